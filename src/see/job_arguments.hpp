/*
 * (job_id, queue) as explain_job and history take them.
 */
#pragma once

#include "pg/headers.hpp"

#include "store/catalog.hpp"
#include "store/job_log.hpp"

namespace dw::see {

/*
 * Finds the job's row and the queue that sees it: argument 0 is the job, 1 the queue's name or
 * null. Raises DW002 when there is no such job, no such queue, or the queue does not see the job.
 * Asks for the right to see; a job of a queue that the user has no right on is not there.
 */
store::QueueInfo require_job(FunctionCallInfo fcinfo, store::JobTuple* job);
/* The same for a job in whatever queue. */
store::QueueInfo require_job(core::JobId id, store::Right needed, store::JobTuple* job);

}  // namespace dw::see
