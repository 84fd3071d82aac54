// reschedule: a job that waits becomes due at another time.
#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "change/reschedule.hpp"
#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/new_row.hpp"
#include "store/outcome_log.hpp"
#include "store/taken_job.hpp"
#include "worker/lease_check.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::change {

namespace {

[[noreturn]] void raise_expires_before(core::JobId id, TimestampTz expires_at) {
  pg::raise_invalid(psprintf("job " INT64_FORMAT " would expire before it is due", id),
                    psprintf("Its expires_at is %s.", timestamptz_to_str(expires_at)),
                    "Choose an earlier time, or cancel the job.");
}

void require_unexpired(const core::Decided& job, const NewDue& due) {
  const TimestampTz expires_at = core::expiry_time(job.expires_at);
  if (expires_at <= due.at) raise_expires_before(job.id, expires_at);
}

// In parked the row says when the loader looks at the job.
void write_parked(const store::TakenJob& taken, const NewDue& due) {
  store::JobTuple job;
  store::read_taken_row(taken, &job);
  store::NewRow row{store::columns_of(job, taken.decided.queue_id), core::OutcomeKind::rescheduled,
                    kRescheduled, due.at, taken.decided.attempts};
  store::write_new_row(taken, &row);
}

Datum reschedule(FunctionCallInfo fcinfo) {
  worker::begin_deciding("reschedule()", store::kActionsOfOneJob);
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id", 1);
  const NewDue due = new_due(pg::required_timestamp(fcinfo, 1, "available_at"));
  core::QueueId queue = 0;
  if (const auto name = pg::optional_text(fcinfo, 2, "queue", 1, core::kQueueNameSize - 1))
    queue = store::require_queue(*name, store::Right::operate, false).id;
  store::TakenJob job;
  store::Wanted wanted;
  wanted.again = true;
  wanted.right = store::Right::operate;
  const store::Taking taking = store::take_job(id, queue, wanted, &job);
  if (taking != store::Taking::taken) store::raise_not_taken(id, taking, job, "rescheduled");
  require_unexpired(job.decided, due);
  write_rescheduled(job, due);
  return pg::void_result();
}

}  // namespace

void write_rescheduled(const store::TakenJob& taken, const NewDue& due) {
  const core::Decided& job = taken.decided;
  if (job.segment == core::kParkedSegment) {
    write_parked(taken, due);
    return;
  }
  worker::write_outcome(
      core::OutcomeKind::rescheduled, due.now,
      worker::decided_job(job, taken.action, job.attempts, core::explicit_due(due.at, due.now)),
      rescheduled_detail(), core::Decision::reschedule, due.at);
  store::obey_strict(job.options);
}

}  // namespace dw::change

extern "C" Datum dw_reschedule_body(FunctionCallInfo fcinfo) {
  return dw::change::reschedule(fcinfo);
}
