// update_payload: a job that waits gets another payload.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "store/catalog.hpp"
#include "store/new_row.hpp"
#include "store/payload_limit.hpp"
#include "store/taken_job.hpp"
#include "worker/lease_check.hpp"

namespace dw::change {

namespace {

void check_size(core::QueueId queue, Datum payload) {
  const store::QueueInfo* const info = store::find_queue_by_id(queue);
  if (info != nullptr) store::check_payload(queue, info->max_payload, payload);
}

Datum update_payload(FunctionCallInfo fcinfo) {
  worker::begin_deciding("update_payload()", store::kActionsOfOneJob);
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id", 1);
  const Datum payload = pg::required_datum(fcinfo, 1, "payload");
  store::TakenJob job;
  store::Wanted wanted;
  wanted.again = true;
  wanted.right = store::Right::operate;
  const store::Taking taking = store::take_job(id, 0, wanted, &job);
  if (taking != store::Taking::taken)
    store::raise_not_taken(id, taking, job, "given another payload");
  check_size(job.decided.queue_id, payload);
  store::JobTuple old;
  store::read_taken_row(job, &old);
  store::NewRow row{store::columns_of(old, job.decided.queue_id),
                    core::OutcomeKind::payload_replaced, "payload updated", job.decided.due,
                    job.decided.attempts};
  row.job.payload = payload;
  store::write_new_row(job, &row);
  return pg::void_result();
}

}  // namespace

}  // namespace dw::change

extern "C" Datum dw_update_payload_body(FunctionCallInfo fcinfo) {
  return dw::change::update_payload(fcinfo);
}
