// cancel: a job that is not wanted any more.
//
// A waiting job is gone when the transaction commits; of a leased one the holder's next call is
// told so. A job that is not in memory is first given a placeholder entry, which keeps the loader
// from making it claimable, and only then the log is read, with a snapshot taken after that:
// whatever was decided before the placeholder is seen, and nothing is decided behind it.
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "store/outcome_log.hpp"
#include "worker/lease_check.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::worker {

namespace {

// How often a job may become resident between the two looks at it.
constexpr int kTries = 16;

[[noreturn]] void raise_unknown(core::JobId id) {
  pg::raise(DW_UNKNOWN_OBJECT, psprintf("job " INT64_FORMAT " does not exist", id),
            "It never existed, or it finished and its retention is over.");
}

[[noreturn]] void raise_in_doubt(core::JobId id) {
  pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " is being decided", id),
            "A transaction that is still open is deciding the job.",
            "Try again when that transaction has ended.");
}

[[noreturn]] void raise_finished(core::JobId id, core::OutcomeKind kind) {
  pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " can no longer be cancelled", id),
            kind == core::OutcomeKind::dead_lettered ? "The job is a dead letter."
                                                     : "The job is completed.");
}

bool write_cancelled(const core::Decided& decided, std::size_t action) {
  const core::Decision decision = decided.before == core::EntryState::leased
                                      ? core::Decision::cancel_held
                                      : core::Decision::finish;
  write_outcome(core::OutcomeKind::cancelled, GetCurrentTimestamp(),
                decided_job(decided, action, 0, 0), std::nullopt, decision, 0);
  obey_strict(decided.options);
  return true;
}

// --- a job that is not in memory ----------------------------------------------------------------

struct LoggedState {
  bool final;
  core::OutcomeKind kind;
  TimestampTz at;  // of the latest outcome
  int32 attempts;
  TimestampTz next_due;  // 0: as the job's row says
};

void note_outcome(const store::FoundOutcome& outcome, void* arg) {
  auto* const state = static_cast<LoggedState*>(arg);
  state->attempts = std::max(state->attempts, outcome.attempt);
  if (core::is_final(outcome.kind)) {
    state->final = true;
    state->kind = outcome.kind;
  }
  if (outcome.next_due != 0 && outcome.at >= state->at) {
    state->at = outcome.at;
    state->next_due = outcome.next_due;
  }
}

LoggedState read_log(const store::JobTuple& job, core::QueueId queue) {
  LoggedState state{};
  store::find_outcomes(job.id, queue, job.segment, nullptr, note_outcome, &state);
  return state;
}

core::JobRow row_of(const store::JobTuple& job, core::QueueId queue, const LoggedState& state) {
  core::JobRow row{};
  row.id = job.id;
  row.due = job.has_available_at ? job.available_at : core::kAlways;
  if (state.next_due != 0) row.due = state.next_due;
  row.queue = queue;
  row.key_hash = job.key_hash;
  row.block = job.block;
  row.offset = job.offset;
  row.segment = job.segment;
  row.priority = static_cast<std::uint8_t>(job.priority);
  row.max_attempts = static_cast<std::uint16_t>(job.max_attempts);
  row.attempts = static_cast<std::uint16_t>(state.attempts);
  return row;
}

// False: was cancelled already.
bool answer_finished(core::JobId id, core::OutcomeKind kind) {
  if (kind == core::OutcomeKind::cancelled || kind == core::OutcomeKind::purged) return false;
  raise_finished(id, kind);
}

// Room that another job of the queue gives up is free when the loader's chunk is over, which takes
// milliseconds.
core::Verdict add_placeholder(core::QueueId queue, core::JobId id, std::size_t* action) {
  constexpr int kLooks = 50;
  constexpr long kPause = 1000;
  core::Verdict verdict = core::Verdict::no_room;
  for (int i = 0; i < kLooks && verdict == core::Verdict::no_room; i++) {
    if (i > 0) pg_usleep(kPause);
    CHECK_FOR_INTERRUPTS();
    verdict = runtime::transaction().add_placeholder(runtime::level(), queue, id, action);
  }
  return verdict;
}

// What came of the attempt to cancel a job that was not resident.
enum class Attempt : std::uint8_t { cancelled, was_cancelled, resident_now };

Attempt cancel_logged(core::JobId id, core::QueueId wanted) {
  core::Transaction& transaction = runtime::transaction();
  if (transaction.enqueued_here(id))
    pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " was enqueued by this transaction", id),
              "Its own transaction has not committed, so there is nothing to cancel yet.",
              "Roll back to a savepoint before the enqueue, or cancel after the commit.");
  store::JobTuple job;
  if (!store::find_job(id, &job)) raise_unknown(id);
  const store::QueueInfo* const queue = store::find_queue_by_topic(job.topic);
  if (queue == nullptr || (wanted != 0 && queue->id != wanted)) raise_unknown(id);
  const core::QueueId queue_id = queue->id;

  LoggedState state = read_log(job, queue_id);
  if (state.final)
    return answer_finished(id, state.kind) ? Attempt::cancelled : Attempt::was_cancelled;

  std::size_t action = 0;
  switch (add_placeholder(queue_id, id, &action)) {
    case core::Verdict::ok:
      break;
    case core::Verdict::no_room:
      pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " cannot be cancelled now", id),
                "The queue is not loaded yet, or all memory it may use is taken by jobs that are "
                "leased or "
                "being decided.",
                "Try again in a moment, and cancel fewer jobs in one transaction.");
    default:
      return Attempt::resident_now;
  }
  /* An error from here on drops the placeholder with the transaction. */
  state = read_log(job, queue_id);
  if (state.final) {
    transaction.drop_placeholder(action);
    return answer_finished(id, state.kind) ? Attempt::cancelled : Attempt::was_cancelled;
  }
  core::Decided decided;
  if (!transaction.fill_placeholder(action, row_of(job, queue_id, state), &decided))
    raise_in_doubt(id);
  write_cancelled(decided, action);
  return Attempt::cancelled;
}

bool cancel_job(core::JobId id, core::QueueId queue) {
  core::Transaction& transaction = runtime::transaction();
  for (int tries = 0; tries < kTries; tries++) {
    core::Decided decided;
    std::size_t action = 0;
    switch (transaction.begin_cancel(runtime::level(), id, queue, &decided, &action)) {
      case core::Verdict::ok:
        return write_cancelled(decided, action);
      case core::Verdict::cancelled:
        return false;
      case core::Verdict::not_resident:
        switch (cancel_logged(id, queue)) {
          case Attempt::cancelled:
            return true;
          case Attempt::was_cancelled:
            return false;
          case Attempt::resident_now:
            CHECK_FOR_INTERRUPTS();
            continue;
        }
        break;
      default:
        raise_in_doubt(id);
    }
  }
  raise_in_doubt(id);
}

Datum cancel(FunctionCallInfo fcinfo) {
  begin_deciding("cancel", 2 * kTries);
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id", 1);
  core::QueueId queue = 0;
  if (const auto name = pg::optional_text(fcinfo, 1, "queue", 1, core::kQueueNameSize - 1))
    queue = store::require_queue(*name, false).id;
  return BoolGetDatum(cancel_job(id, queue));
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_cancel_body(FunctionCallInfo fcinfo) { return dw::worker::cancel(fcinfo); }
