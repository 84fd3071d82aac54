/*
 * Registered workers: reading their table, noticing who is dead, and ending those that drain.
 *
 * Commits of register_worker and its like change the members in the arena themselves; the table is
 * read at the start, and when a commit could not. As with queues, a row read here may be older than
 * what a commit has put into the arena since, so a pass that changed something is followed by
 * another, until one changes nothing. At the start of the server each worker counts as seen at that
 * moment, and has durable_work.worker_dead_after to come back.
 *
 * A worker that drains is deregistered when it holds nothing, of which its last lease tells, or at
 * its deadline. Then what it still holds is given back as release does it: each in the state that
 * the dispatcher has it in, with an outcome where the claim was recorded. What an open transaction
 * is deciding is left to that.
 */
#include <algorithm>

#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/test_point.hpp"
#include "store/outcome_log.hpp"
#include "store/worker_table.hpp"

namespace dw::runtime {

namespace {

constexpr int kMostPasses = 20;
constexpr uint32 kMostInStep = 100;
/* A claim from a queue that is none of the worker's may have come after the state was set, and its
 * lease tells nobody of its end. */
constexpr int64 kLookAgain = 1 * core::kSecond;

/* Process-local. Monotonic: when a member may be dead; wall: when one that drains is to end. */
constinit int64 next_death = core::kNever;
constinit int64 next_deadline = core::kNever;

/* --- the table --- */

struct Rows {
  core::MemberRow* rows;
  uint32 count;
};

struct Known {
  int64 instance;
  char name[core::kWorkerNameSize];
};

void collect(const core::MemberRow& row, void* arg) {
  auto* const rows = static_cast<Rows*>(arg);
  if (rows->count < core::kMostMembers) rows->rows[rows->count++] = row;
}

uint32 list_members(const Housekeeper& self, Known* known) {
  uint32 count = 0;
  core::MemberFigures member;
  for (core::Index i = 0; i < core::kMostMembers; i++) {
    if (!dispatcher().see_member(i, self.slot, &member)) continue;
    known[count].instance = member.instance;
    std::memcpy(known[count].name, member.name, sizeof member.name);
    count++;
  }
  return count;
}

bool remove_gone(const Housekeeper& self, const Known* known, uint32 count, const Rows& rows) {
  bool changed = false;
  for (uint32 k = 0; k < count; k++) {
    core::MemberRow* const end = rows.rows + rows.count;
    const bool listed = std::any_of(rows.rows, end, [&](const core::MemberRow& row) {
      return strcmp(row.name, known[k].name) == 0;
    });
    if (!listed)
      changed = dispatcher().remove_member(self.slot, known[k].name, known[k].instance) || changed;
  }
  return changed;
}

bool apply(const Housekeeper& self, const core::MemberRow& row) {
  switch (dispatcher().add_member(self.slot, row)) {
    case core::MemberChange::none:
      return false;
    case core::MemberChange::done:
      return true;
    case core::MemberChange::no_room:
      break;
  }
  pg::report(
      LOG, DW_PROGRAM_LIMIT_EXCEEDED,
      psprintf("worker \"%s\" owns nothing, there are too many workers", row.name),
      psprintf("At most %u workers of all databases can be registered, and %u whose names are "
               "other bytes in UTF-8.",
               core::kMostMembers, core::kMostUtf8Names),
      "Deregister those that are gone, then let this one register again.");
  return false;
}

/* --- the end of a worker that drains --- */

struct Written {
  std::size_t action;
};

void note_row(uint8 segment, uint32 block, int, void* arg) {
  transaction().note_outcome_row(static_cast<const Written*>(arg)->action, segment, block);
}

/* In a transaction. What may not be handed out twice stays with the worker. */
void release(const core::LeaseRow& lease) {
  core::Transaction& open = transaction();
  open.reserve(1);
  core::Decided decided;
  Written written{0};
  if (open.begin_decision(level(), lease.id, lease.token, &decided, &written.action) !=
          core::Verdict::ok ||
      decided.options.at_most_once)
    return;
  const TimestampTz now = GetCurrentTimestamp();
  if (decided.claim_is_recorded) {
    const core::OutcomeMember member{decided.id, decided.token, decided.attempts - 1, 0};
    store::insert_outcome(core::OutcomeKind::rescheduled, now, decided.queue_id, decided.segment,
                          &member, 1, Datum{0}, false, note_row, &written);
    store::obey_strict(decided.options);
  }
  open.settle(written.action, core::Decision::put_back, core::OutcomeKind::rescheduled, now);
}

/* Somebody who registers, drains or deregisters it at the moment is not waited for. */
void deregister(const core::MemberFigures& member) {
  DW_SHELL_TEST_POINT("point:duty-workers");
  core::MemberRow row;
  if (store::try_lock_worker(member.name, &row) && row.instance == member.instance)
    store::delete_worker(row);
}

/* It claims nothing any more, so what it holds now is all there is. */
bool release_all(const Housekeeper& self, const core::MemberFigures& member) {
  const core::Index worker = dispatcher().find_worker(self.slot, member.name, member.instance);
  if (worker == core::kNone) return true;
  const uint32 room = std::max(member.in_flight, 1U);
  auto* const refs = static_cast<core::EntryRef*>(
      MemoryContextAllocHuge(self.memory, mul_size(room, sizeof(core::EntryRef))));
  const uint32 count = std::min(dispatcher().worker_leases(worker, refs, room), room);
  for (uint32 first = 0; first < count; first += kMostInStep) {
    const uint32 end = std::min(count, first + kMostInStep);
    const bool good = transaction_step(self, [refs, first, end, worker] {
      core::LeaseRow lease;
      for (uint32 i = first; i < end; i++) {
        if (dispatcher().see_lease(refs[i], worker, &lease)) release(lease);
      }
    });
    if (!good || slot_is_gone(self)) return false;
  }
  return true;
}

bool end_worker(const Housekeeper& self, const core::MemberFigures& member) {
  return release_all(self, member) && transaction_step(self, [&member] { deregister(member); });
}

bool follow_member(const Housekeeper& self, const core::MemberFigures& member) {
  const int64 wall = platform().wall_now();
  if (member.state == core::MemberState::draining)
    next_deadline = std::min(next_deadline, wall + kLookAgain);
  switch (core::duty_about(member, platform().monotonic_now(), wall)) {
    case core::MemberDuty::deregister:
      return transaction_step(self, [&member] { deregister(member); });
    case core::MemberDuty::release_jobs:
      return end_worker(self, member);
    case core::MemberDuty::none:
      break;
  }
  if (member.state == core::MemberState::draining)
    next_deadline = std::min(next_deadline, member.drain_deadline);
  return true;
}

}  // namespace

bool read_workers(Housekeeper* self) {
  auto* const known =
      static_cast<Known*>(MemoryContextAlloc(self->memory, core::kMostMembers * sizeof(Known)));
  Rows rows{static_cast<core::MemberRow*>(
                MemoryContextAlloc(self->memory, core::kMostMembers * sizeof(core::MemberRow))),
            0};
  bool good = true;
  bool changed = true;
  for (int pass = 0; pass < kMostPasses && changed && good; pass++) {
    const uint32 count = list_members(*self, known);
    rows.count = 0;
    good = transaction_step(*self, [&rows] { store::for_each_worker(collect, &rows); });
    if (!good || slot_is_gone(*self)) break;
    changed = remove_gone(*self, known, count, rows);
    for (uint32 i = 0; i < rows.count; i++) changed = apply(*self, rows.rows[i]) || changed;
  }
  pfree(rows.rows);
  pfree(known);
  return good;
}

void follow_workers(Housekeeper* self) {
  if (!is_due(self->workers)) return;
  bool good = true;
  if (self->wants_workers) {
    good = read_workers(self);
    self->wants_workers = !good;
  }
  next_deadline = core::kNever;
  next_death = dispatcher().check_members(self->slot, worker_dead_after());
  const bool any = arena()->member_count.load() > 0;
  core::MemberFigures member;
  for (core::Index i = 0; any && good && i < core::kMostMembers && !slot_is_gone(*self); i++) {
    const core::MemberState state = arena()->members[i].state.load();
    if (state != core::MemberState::dead && state != core::MemberState::draining) continue;
    if (dispatcher().see_member(i, self->slot, &member)) good = follow_member(*self, member);
  }
  if (good)
    note_success(&self->workers);
  else
    note_failure(&self->workers);
}

int64 pause_of_workers() {
  const int64 monotonic = platform().monotonic_now();
  const int64 wall = platform().wall_now();
  int64 pause = core::kNever;
  if (next_death != core::kNever) pause = std::max<int64>(next_death - monotonic, 0);
  if (next_deadline != core::kNever)
    pause = std::min(pause, std::max<int64>(next_deadline - wall, 0));
  return pause;
}

}  // namespace dw::runtime
