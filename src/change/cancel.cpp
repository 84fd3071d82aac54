// cancel: a job that is not wanted any more.
//
// A waiting job is gone when the transaction commits; of a leased one the holder's next call is
// told so.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/outcome_log.hpp"
#include "store/taken_job.hpp"
#include "worker/lease_check.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::change {

namespace {

void write_cancelled(const store::TakenJob& job) {
  const core::Decision decision = job.decided.before == core::EntryState::leased
                                      ? core::Decision::cancel_held
                                      : core::Decision::finish;
  worker::write_outcome(core::OutcomeKind::cancelled, GetCurrentTimestamp(),
                        worker::decided_job(job.decided, job.action, 0, 0), std::nullopt, decision,
                        0);
  store::obey_strict(job.decided.options);
}

// False: it was cancelled already.
bool cancel_job(core::JobId id, core::QueueId queue) {
  store::TakenJob job;
  store::Wanted wanted;
  wanted.leased = true;
  wanted.right = store::Right::operate;
  const store::Taking taking = store::take_job(id, queue, wanted, &job);
  if (taking == store::Taking::finished &&
      (job.end == core::OutcomeKind::cancelled || job.end == core::OutcomeKind::purged))
    return false;
  if (taking != store::Taking::taken) store::raise_not_taken(id, taking, job, "cancelled");
  write_cancelled(job);
  return true;
}

Datum cancel(FunctionCallInfo fcinfo) {
  worker::begin_deciding("cancel", store::kActionsOfOneJob);
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id", 1);
  core::QueueId queue = 0;
  if (const auto name = pg::optional_text(fcinfo, 1, "queue", 1, core::kQueueNameSize - 1))
    queue = store::require_queue(*name, store::Right::operate, false).id;
  return BoolGetDatum(cancel_job(id, queue));
}

}  // namespace

}  // namespace dw::change

extern "C" Datum dw_cancel_body(FunctionCallInfo fcinfo) { return dw::change::cancel(fcinfo); }
