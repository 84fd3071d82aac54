/*
 * durable_work.wait_for_job(job_id, timeout): sleeps until the job has its final outcome, holding
 * nothing.
 *
 * Each look reads the log with a new snapshot, after this process has said in shared memory that it
 * waits for the job: an end that the look does not see wakes it. Between two looks the session has
 * no snapshot and no lock. What it cannot be told of in time is the loss of the job's queue, since
 * this process may learn of that a moment after it was woken; so while the queue has no place in
 * memory, which is also the case when the server starts, it looks again after a while.
 */
#include <climits>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "runtime/waiting.hpp"
#include "see/job_arguments.hpp"
#include "see/job_state.hpp"

namespace {

using namespace dw;

struct Answer {
  see::Status status;
  bool has_result;
  Datum result;
  bool queue_is_known; /* it has its place in memory */
};

bool is_final(see::Status status) {
  return status == see::Status::completed || status == see::Status::dead_letter ||
         status == see::Status::cancelled;
}

/* Raises DW002 when there is no such job. The result is a copy in `context`. */
Answer look(core::JobId id, MemoryContext context) {
  AcceptInvalidationMessages();
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  store::JobTuple job;
  const store::QueueInfo queue = see::require_job(id, store::Right::any, &job);
  see::JobState state;
  see::job_state(id, queue.id, job.segment, snapshot, &state);
  Answer answer{state.status, false, 0, queue.slot.queue != core::kNone};
  if (state.status == see::Status::completed && store::may(queue.id, store::Right::read)) {
    Datum stored = 0;
    answer.has_result = see::read_detail(state.result, job.segment, snapshot, &stored);
    if (answer.has_result)
      answer.result = pg::in_context(
          context, [stored] { return PointerGetDatum(PG_DETOAST_DATUM_COPY(stored)); });
  }
  UnregisterSnapshot(snapshot);
  InvalidateCatalogSnapshot();
  return answer;
}

/* Looks leave nothing behind but the result. */
Answer look_aside(core::JobId id) {
  MemoryContext const result = CurrentMemoryContext;
  MemoryContext const context = pg::new_context(result, "durable_work look");
  const Answer answer = pg::in_context(context, [id, result] { return look(id, result); });
  MemoryContextDelete(context);
  return answer;
}

Answer wait(core::JobId id, TimestampTz end) {
  bool awaiting = runtime::begin_awaiting(id);
  Answer answer = look_aside(id);
  bool in_time = true;
  while (!is_final(answer.status) && in_time) {
    const bool sure = awaiting && answer.queue_is_known;
    in_time = runtime::sleep_for_end(end, sure ? INT_MAX : runtime::kRetryMilliseconds);
    if (awaiting) {
      runtime::await_again();
    } else {
      awaiting = runtime::begin_awaiting(id);
    }
    answer = look_aside(id);
  }
  if (awaiting) runtime::end_awaiting();
  return answer;
}

}  // namespace

extern "C" Datum dw_wait_for_job_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("wait_for_job");
  runtime::require_no_transaction(fcinfo, "wait_for_job");
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id");
  const int64 timeout = pg::required_interval(fcinfo, 1, "timeout", 0, runtime::max_wait());
  runtime::prepare_to_sleep();
  runtime::drop_snapshots();
  const Answer answer = wait(id, GetCurrentTimestamp() + timeout);
  const Datum values[] = {CStringGetTextDatum(see::status_name(answer.status)), answer.result};
  const bool nulls[] = {false, !answer.has_result};
  return pg::row_result(fcinfo, values, nulls);
}
