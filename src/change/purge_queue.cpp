// purge_queue: every unfinished job of a queue ends, however many there are, in one transaction.
//
// The protocol is in core/withhold.cpp. What is in memory is decided entry by entry; what is on
// disk only is ended by rows of the log that cover many jobs, so the cost in memory does not depend
// on the backlog.
#include <algorithm>

#include "core/dispatcher.hpp"
#include "core/outcome.hpp"
#include "core/outcome_sum.hpp"

#include "pg/headers.hpp"

#include "change/batch.hpp"
#include "change/job_walk.hpp"
#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_range.hpp"
#include "store/outcome_log.hpp"
#include "store/queue_hold.hpp"
#include "store/saved_plan.hpp"

namespace dw::change {

namespace {

constexpr core::JobId kSpan = 32768;
constexpr int kParkedAtOnce = 1000;

constexpr char kForgetKeys[] = "DELETE FROM durable_work.idempotency WHERE topic = $1";
store::SavedPlan forget_keys_plan;

[[noreturn]] void raise_not_loaded(const store::QueueInfo& queue) {
  pg::raise(DW_WRONG_STATE, psprintf("queue \"%s\" cannot be purged now", queue.name),
            "It is not loaded yet.", "Try again in a moment.");
}

// --- what is in memory --------------------------------------------------------------------------

int64 purge_resident(const store::QueueInfo& queue) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  core::ListWish wish{};
  wish.leased = true;
  auto* const listed = pg::allocate<core::ListedJob>(core::kEntriesPerHold);
  auto* const jobs = pg::allocate<Candidate>(core::kEntriesPerHold);
  Batch batch = begin_batch(Change::purge, queue, {}, PG_INT64_MAX);
  for (core::Index position = 0; position < dispatcher.arena().capacity;) {
    CHECK_FOR_INTERRUPTS();
    const auto n = static_cast<int>(dispatcher.list_jobs(queue.slot, wish, &position, listed));
    for (int i = 0; i < n; i++) {
      jobs[i] = {};
      jobs[i].known_by_entry = true;
      jobs[i].job.row.id = listed[i].id;
    }
    for (int done = 0; done < n;)
      done += change_jobs(&batch, jobs + done, std::min(n - done, kSlice));
  }
  pfree(listed);
  pfree(jobs);
  return batch.changed;
}

// --- what is on disk only -----------------------------------------------------------------------

struct OnDisk {
  const store::QueueInfo* queue;
  uint8 segment;  // of what was found
  core::JobId* ids;
  int count;
  int room;
  int64 purged;
};

void take_row(const core::StoredJob& job, const store::JobTuple*, void* arg) {
  auto* const found = static_cast<OnDisk*>(arg);
  Assert(found->count < found->room);
  found->ids[found->count++] = job.row.id;
  found->segment = job.row.segment;
}

void note_row(uint8 segment, uint32 block, int, void*) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve_rows(1);
  transaction.note_written(runtime::level(), segment, block);
}

void write_purged(OnDisk* found, const core::JobId* ids, int n) {
  if (n == 0) return;
  const core::Token first =
      runtime::dispatcher().take_tokens(runtime::database(), static_cast<uint32>(n));
  if (first == 0) raise_not_loaded(*found->queue);
  auto* const members = pg::allocate<core::OutcomeMember>(static_cast<Size>(n));
  for (int i = 0; i < n; i++) members[i] = {ids[i], first + i, 0, 0};
  store::insert_outcome(core::OutcomeKind::purged, GetCurrentTimestamp(), found->queue->id,
                        found->segment, members, n, purged_detail(), true, note_row, nullptr);
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  transaction.note_purged(runtime::level(), found->queue->id, static_cast<uint32>(n), first);
  found->purged += n;
}

// Of the rows found those are ended that the log does not know an end of, and that have no entry.
void purge_found(OnDisk* found, Snapshot snapshot) {
  std::sort(found->ids, found->ids + found->count);
  auto* const sums = pg::allocate<core::OutcomeSum>(static_cast<Size>(found->count));
  store::sum_outcomes(found->queue->id, found->segment, found->ids, found->count, snapshot, sums);
  int left = 0;
  for (int i = 0; i < found->count; i++) {
    if (sums[i].finished() || sums[i].moved()) continue;
    if (runtime::dispatcher().is_resident(found->queue->slot, found->ids[i])) continue;
    found->ids[left++] = found->ids[i];
  }
  write_purged(found, found->ids, left);
  found->count = 0;
}

void purge_range(OnDisk* found, core::JobId first, core::JobId last, bool parked_only,
                 Snapshot snapshot) {
  store::JobRange range{};
  range.topic = found->queue->topic;
  range.last = last;
  for (range.first = first; range.first <= last;) {
    range.first = store::read_parked_range(range, kParkedAtOnce, snapshot, take_row, found) + 1;
    purge_found(found, snapshot);
  }
  if (parked_only) return;
  range.first = first;
  uint8 segments[core::kSegments];
  const int n = store::segments_between(first, last, segments);
  for (int i = 0; i < n; i++) {
    store::read_slot_range(range, segments[i], snapshot, take_row, found);
    purge_found(found, snapshot);
  }
}

int64 purge_on_disk(const store::QueueInfo& queue, bool parked_only) {
  OnDisk found{};
  found.queue = &queue;
  found.room = static_cast<int>(kSpan);
  found.ids = pg::allocate<core::JobId>(kSpan);
  const core::JobId end = store::next_job_id();
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work purge");
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const core::JobId span = parked_only ? end : kSpan;
  for (core::JobId first = 1; first < end; first += span) {
    CHECK_FOR_INTERRUPTS();
    pg::in_context(scratch, [&] {
      purge_range(&found, first, std::min(first + span, end) - 1, parked_only, snapshot);
    });
    MemoryContextReset(scratch);
  }
  UnregisterSnapshot(snapshot);
  MemoryContextDelete(scratch);
  pfree(found.ids);
  return found.purged;
}

// --- the function -------------------------------------------------------------------------------

void forget_keys(int32 topic) {
  const Oid types[] = {INT4OID};
  const Datum values[] = {Int32GetDatum(topic)};
  store::run_as_owner(&forget_keys_plan, kForgetKeys, 1, types, values, " ");
}

int64 purge(const store::QueueInfo& queue) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  bool all_resident = false;
  if (runtime::database() == core::kNone ||
      !transaction.withhold(runtime::level(), queue.slot, &all_resident))
    raise_not_loaded(queue);
  const int64 resident = purge_resident(queue);
  const int64 on_disk = purge_on_disk(queue, all_resident);
  runtime::dispatcher().stop_reading(queue.slot);
  /* The same statement may purge again. */
  CommandCounterIncrement();
  return resident + on_disk;
}

Datum purge_queue(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  const bool forget = pg::required_bool(fcinfo, 1, "forget_keys");
  runtime::require_writable("purge_queue()");
  core::QueueId held = 0;
  for (;;) {
    const core::QueueId id = store::require_queue(name, store::Right::operate, false).id;
    if (id == held) break;
    held = id;
    store::hold_queue_for_purge(held);
  }
  const store::QueueInfo queue = store::require_queue(name, store::Right::operate, false);
  const int64 purged = purge(queue);
  if (forget) forget_keys(queue.topic);
  return Int64GetDatum(purged);
}

}  // namespace

}  // namespace dw::change

extern "C" Datum dw_purge_queue_body(FunctionCallInfo fcinfo) {
  return dw::change::purge_queue(fcinfo);
}
