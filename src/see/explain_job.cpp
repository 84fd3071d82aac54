/*
 * durable_work.explain_job(job_id, queue): where a job stands and what happens to it next. Looks at
 * the log as it is now, not as the transaction's snapshot has it.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "see/detail.hpp"
#include "see/job_arguments.hpp"
#include "see/job_state.hpp"
#include "see/prepared.hpp"
#include "see/progress.hpp"

namespace {

using namespace dw;

struct Next {
  const char* action;
  TimestampTz at; /* 0: none */
};

Next next_of_pending(const see::JobState& state, bool is_own, bool paused, TimestampTz due) {
  if (state.deciding) return {"wait for the transaction that decides it", 0};
  if (state.dying) return {"become a dead letter", 0};
  if (is_own) return {"claim after this transaction commits", 0};
  if (runtime::starts_paused()) return {"claim after start_paused is turned off", 0};
  if (paused) return {"claim after resume_queue", 0};
  if (due > GetCurrentTimestamp()) return {"claim when due", due};
  if (state.resident.found && state.resident.row.key_is_limited)
    return {"claim when its key may start a job", 0};
  if (state.behind_others) return {"claim after the earlier jobs of its key", 0};
  if (state.resident.found || state.unknown_leases) return {"claim", 0};
  return {"load into memory, then claim", 0};
}

Next next_of(const see::JobState& state, bool is_own, bool paused, TimestampTz due) {
  switch (state.status) {
    case see::Status::pending:
      return next_of_pending(state, is_own, paused, due);
    case see::Status::processing:
      if (state.deciding) return {"wait for the transaction that decides it", 0};
      return {"complete or expire", state.lease_expires_at};
    case see::Status::dead_letter:
      return {"none, kept for inspection", 0};
    default:
      return {"none", 0};
  }
}

/* expires_at comes before whatever would be next. */
void heed_expiry(const store::JobTuple& job, TimestampTz due, see::JobState* state, Next* next) {
  if (!job.has_expires_at || state->deciding) return;
  const bool expired = job.expires_at <= GetCurrentTimestamp();
  if (state->status == see::Status::processing && expired && state->reason == nullptr)
    state->reason = "expires_at has passed, there will be no other attempt";
  if (state->status != see::Status::pending || state->dying) return;
  if (expired) {
    *next = {"become a dead letter", 0};
    state->reason = "expires_at has passed";
  } else if (due >= job.expires_at) {
    *next = {"become a dead letter", job.expires_at};
    state->reason = "it expires before it is due again";
  }
}

/* Of a dead letter it may be what its worker said. */
const char* reason_of(const see::JobState& state, uint8 segment, Snapshot snapshot, bool reads) {
  if (state.status != see::Status::dead_letter) return state.reason;
  Datum detail = 0;
  if (!reads) return nullptr;
  if (!see::read_failure(state.failure, segment, snapshot, &detail)) return state.reason;
  return see::json_text(detail, "reason");
}

void put(FunctionCallInfo fcinfo, const store::JobTuple& job, const store::QueueInfo& queue,
         Snapshot snapshot) {
  see::JobState state;
  see::job_state(job.id, queue.id, job.segment, snapshot, &state);
  const TimestampTz due = state.next_due != 0    ? state.next_due
                          : job.has_available_at ? job.available_at
                                                 : TimestampTz{0};
  see::heed_due(job.segment, due, &state);
  const bool is_own = runtime::transaction().enqueued_here(job.id);
  Next next = next_of(state, is_own, queue.options.paused, due);
  heed_expiry(job, due, &state, &next);
  if (state.deciding) {
    const char* const prepared = see::prepared_decider(queue.id, job.id);
    if (prepared != nullptr) state.reason = prepared;
  }
  const bool reads = store::may(queue.id, store::Right::read);
  const char* const reason = reason_of(state, job.segment, snapshot, reads);
  const int32 most =
      core::most_attempts(queue.options, static_cast<std::uint16_t>(job.max_attempts));
  Datum progress = 0;
  const bool has_progress =
      reads && state.status == see::Status::processing && state.resident.found &&
      see::read_progress(state.resident.row.holder, state.resident.row.token, &progress);
  const auto text = [](const char* value) {
    return value != nullptr ? CStringGetTextDatum(value) : Datum{0};
  };
  const Datum values[] = {Int64GetDatum(job.id),
                          CStringGetTextDatum(queue.name),
                          CStringGetTextDatum(see::status_name(state.status)),
                          text(state.worker),
                          TimestampTzGetDatum(state.lease_expires_at),
                          Int32GetDatum(state.attempts),
                          Int32GetDatum(most),
                          CStringGetTextDatum(next.action),
                          TimestampTzGetDatum(next.at),
                          text(reason),
                          progress};
  const bool nulls[] = {false,
                        false,
                        false,
                        state.worker == nullptr,
                        state.lease_expires_at == 0,
                        false,
                        false,
                        false,
                        next.at == 0,
                        reason == nullptr,
                        !has_progress};
  pg::put_row(fcinfo, values, nulls);
}

}  // namespace

extern "C" Datum dw_explain_job_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  store::JobTuple job;
  const store::QueueInfo queue = see::require_job(fcinfo, &job);
  pg::begin_set(fcinfo);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  put(fcinfo, job, queue, snapshot);
  UnregisterSnapshot(snapshot);
  return pg::end_set(fcinfo);
}
