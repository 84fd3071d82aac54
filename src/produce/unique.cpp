// Deciding whether a key's job stands for the new one, or is replaced by it.
//
//   window    until the key's time is over, whatever became of the job
//   pending   while the job waits. It is held back until this transaction ends: what the
//   transaction
//             wrote must be visible to whoever works on the job
//   active    while the job is not finished
//
// A job that is replaced keeps its number and the time of its enqueue; all else is the new job's,
// and its attempts begin anew.
//
// The row of the key is locked first. From there on the job can still be claimed or finished by
// others, but no other producer decides about the key: whoever comes next sees what came of this.
#include "produce/unique.hpp"

#include "core/outcome_sum.hpp"
#include "core/transaction.hpp"

#include "pg/headers.hpp"

#include "durable_work/errors.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/idempotency.hpp"
#include "store/job_log.hpp"
#include "store/new_row.hpp"
#include "store/outcome_log.hpp"
#include "store/taken_job.hpp"

namespace dw::produce {

namespace {

// How long a job may be in doubt: a sweep, or the gap between a commit and its callback.
constexpr int kLooks = 100;
constexpr long kPause = 10000;  // microseconds

bool log_says_finished(core::JobId id, core::QueueId queue) {
  store::JobTuple job;
  if (!store::find_job(id, &job)) return true;
  core::OutcomeSum sum;
  store::find_outcomes(
      id, queue, job.segment, nullptr,
      [](const store::FoundOutcome& outcome, void* arg) {
        static_cast<core::OutcomeSum*>(arg)->add(
            outcome.kind, {outcome.id, outcome.token, outcome.attempt, outcome.next_due});
      },
      &sum);
  return sum.finished();
}

// Not completed, cancelled or a dead letter, and not by this transaction either.
bool is_active(core::JobId id, core::QueueId queue) {
  core::Transaction& transaction = runtime::transaction();
  if (transaction.enqueued_here(id)) return true;
  core::ResidentRow row;
  const core::Index database = runtime::database();
  if (database == core::kNone || !runtime::dispatcher().see_job(database, queue, id, &row))
    return !log_says_finished(id, queue);
  switch (row.state) {
    case core::EntryState::cancelled:
    case core::EntryState::blocked:
      return false;
    case core::EntryState::completing:
      // A commit shows in the log before the dispatcher hears of it.
      return !transaction.ended_here(id) && !log_says_finished(id, queue);
    default:
      return true;
  }
}

// Somebody who holds its lease is deciding it.
bool is_held(core::JobId id, core::QueueId queue) {
  core::ResidentRow row;
  return runtime::dispatcher().see_job(runtime::database(), queue, id, &row) &&
         row.state == core::EntryState::completing && row.deadline != 0;
}

// Takes the job if it waits. A doubt is waited for, but not one that its worker makes: then the job
// counts as leased.
store::Taking take_waiting(core::JobId id, core::QueueId queue, bool again, store::TakenJob* job) {
  core::Transaction& transaction = runtime::transaction();
  store::Wanted wanted;
  wanted.again = again;
  store::Taking taking = store::Taking::in_doubt;
  for (int look = 0; look < kLooks; look++) {
    transaction.reserve(store::kActionsOfOneJob);
    taking = store::take_job(id, queue, wanted, job);
    if (taking != store::Taking::in_doubt) break;
    if (is_held(id, queue)) return store::Taking::leased;
    CHECK_FOR_INTERRUPTS();
    pg_usleep(kPause);
  }
  if (taking == store::Taking::decided_here && transaction.ended_here(id))
    return store::Taking::finished;
  return taking;
}

// Waits, and if so nobody claims it before this transaction has ended.
bool hold_pending(core::JobId id, core::QueueId queue) {
  store::TakenJob job;
  const store::Taking taking = take_waiting(id, queue, false, &job);
  switch (taking) {
    case store::Taking::taken:
    case store::Taking::enqueued_here:
    case store::Taking::decided_here:
      return true;
    case store::Taking::leased:
    case store::Taking::finished:
    case store::Taking::unknown:
      return false;
    default:
      store::raise_not_taken(id, taking, job, "held back for its idempotency key");
  }
}

bool stands(const store::KeyHolder& holder, const Target& target, const JobArguments& arguments) {
  switch (arguments.unique_while) {
    case UniqueWhile::pending:
      return hold_pending(holder.job_id, target.queue);
    case UniqueWhile::active:
      return is_active(holder.job_id, target.queue);
    case UniqueWhile::window:
      break;
  }
  return !holder.expired;
}

[[noreturn]] void raise_not_replaceable(Datum key, core::JobId holder, bool leased) {
  pg::raise(DW_WRONG_STATE,
            psprintf("the job of idempotency key \"%s\" can no longer be replaced",
                     pg::copy(pg::text_view(key))),
            leased ? psprintf("A worker is processing job " INT64_FORMAT ".", holder)
                   : psprintf("Job " INT64_FORMAT " has ended.", holder),
            leased ? "With unique_while => 'pending' another job is made then."
                   : "With unique_while => 'pending' or 'active' another job is made then.");
}

// Of the new job everything but the number and the time of the first enqueue.
store::NewRow new_row(const Target& target, const JobArguments& arguments, core::JobId id,
                      TimestampTz enqueued_at) {
  return {new_job(target, arguments, id, enqueued_at), core::OutcomeKind::payload_replaced,
          "replaced", arguments.available_at.value_or(core::kAlways), 0};
}

// Puts the new job in the place of the one that has the key, if that waits. False: the key is free.
bool replace(const store::KeyHolder& holder, const Target& target, const JobArguments& arguments) {
  if (arguments.unique_while == UniqueWhile::window && holder.expired) return false;
  const core::JobId id = holder.job_id;
  if (const core::JobRow* const own = runtime::transaction().enqueued_row(id)) {
    store::NewRow row = new_row(target, arguments, id, own->enqueued_at);
    store::write_new_enqueued_row(&row);
    return true;
  }
  store::TakenJob job;
  const store::Taking taking = take_waiting(id, target.queue, true, &job);
  switch (taking) {
    case store::Taking::taken: {
      store::JobTuple old;
      store::read_taken_row(job, &old);
      store::NewRow row = new_row(target, arguments, id, old.enqueued_at);
      store::write_new_row(job, &row);
      return true;
    }
    case store::Taking::leased:
      if (arguments.unique_while == UniqueWhile::pending) return false;
      raise_not_replaceable(*arguments.idempotency_key, id, true);
    case store::Taking::finished:
    case store::Taking::unknown:
      if (arguments.unique_while != UniqueWhile::window) return false;
      raise_not_replaceable(*arguments.idempotency_key, id, false);
    default:
      store::raise_not_taken(id, taking, job, "replaced");
  }
}

[[noreturn]] void raise_duplicate(Datum key, core::JobId holder) {
  pg::raise("23505", psprintf("idempotency key \"%s\" is in use", pg::copy(pg::text_view(key))),
            psprintf("Job " INT64_FORMAT " has it.", holder),
            "Use on_duplicate => 'return' to get that job.");
}

}  // namespace

Submitted submit_unique(const Target& target, const JobArguments& arguments) {
  const Datum key = *arguments.idempotency_key;
  const int64 hash = store::payload_hash(arguments.payload);
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    const TimestampTz now = GetCurrentTimestamp();
    store::KeyRow row{target.topic, key, store::next_job_id(), hash, now, target.dedupe_window};
    store::KeyHolder holder;
    bool free = store::insert_key(row);
    if (!free) {
      // Gone: its transaction rolled back after the insert had met it, or it was pruned.
      if (!store::lock_key(target.topic, key, &holder)) continue;
      if (arguments.on_duplicate == OnDuplicate::replace) {
        free = !replace(holder, target, arguments);
        if (!free) row.job_id = holder.job_id;
        store::move_key(row);
        if (!free) return {holder.job_id, false, {}};
      } else if (!stands(holder, target, arguments)) {
        store::move_key(row);
        free = true;
      }
    }
    if (free) {
      runtime::transaction().reserve(2);
      Submitted done{row.job_id, true, new_job(target, arguments, row.job_id, now)};
      append(target, &done.job, 1);
      return done;
    }
    if (arguments.on_duplicate == OnDuplicate::error) raise_duplicate(key, holder.job_id);
    if (holder.payload_hash != hash) store::raise_other_payload(pg::text_view(key), holder.job_id);
    return {holder.job_id, false, {}};
  }
}

}  // namespace dw::produce
