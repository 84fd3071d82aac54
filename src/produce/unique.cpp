// Deciding whether a key's job stands for the new one.
//
//   window    until the key's time is over, whatever became of the job
//   pending   while the job waits. It is held back until this transaction ends: what the
//   transaction
//             wrote must be visible to whoever works on the job
//   active    while the job is not finished
//
// The row of the key is locked first. From there on the job can still be claimed or finished by
// others, but no other producer decides about the key: whoever comes next sees what came of this.
#include "produce/unique.hpp"

#include "core/outcome_sum.hpp"
#include "core/transaction.hpp"

#include "pg/headers.hpp"

#include "change/taken_job.hpp"
#include "durable_work/errors.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/idempotency.hpp"
#include "store/job_log.hpp"
#include "store/outcome_log.hpp"

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

// Waits, and if so nobody claims it before this transaction has ended.
bool hold_pending(core::JobId id, core::QueueId queue) {
  core::Transaction& transaction = runtime::transaction();
  change::TakenJob job;
  change::Taking taking = change::Taking::in_doubt;
  for (int look = 0; look < kLooks; look++) {
    transaction.reserve(change::kActionsOfOneJob);
    taking = change::take_job(id, queue, change::Wanted{}, &job);
    if (taking != change::Taking::in_doubt) break;
    if (is_held(id, queue)) return false;
    CHECK_FOR_INTERRUPTS();
    pg_usleep(kPause);
  }
  switch (taking) {
    case change::Taking::taken:
    case change::Taking::enqueued_here:
      return true;
    case change::Taking::decided_here:
      return !transaction.ended_here(id);
    case change::Taking::leased:
    case change::Taking::finished:
    case change::Taking::unknown:
      return false;
    default:
      change::raise_not_taken(id, taking, job, "held back for its idempotency key");
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
    const core::JobId id = store::next_job_id();
    const store::KeyRow row{target.topic, key, id, hash, now, target.dedupe_window};
    store::KeyHolder holder;
    bool free = store::insert_key(row);
    if (!free) {
      // Gone: its transaction rolled back after the insert had met it, or it was pruned.
      if (!store::lock_key(target.topic, key, &holder)) continue;
      if (!stands(holder, target, arguments)) {
        store::move_key(row);
        free = true;
      }
    }
    if (free) {
      runtime::transaction().reserve(2);
      Submitted done{id, true, new_job(target, arguments, id, now)};
      append(target, &done.job, 1);
      return done;
    }
    if (arguments.on_duplicate == OnDuplicate::error) raise_duplicate(key, holder.job_id);
    if (holder.payload_hash != hash) store::raise_other_payload(pg::text_view(key), holder.job_id);
    return {holder.job_id, false, {}};
  }
}

}  // namespace dw::produce
