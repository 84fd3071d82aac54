/*
 * Finding the job that explain_job and history are asked about.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "see/job_arguments.hpp"

namespace dw::see {

namespace {

[[noreturn]] void raise_unknown_job(core::JobId id) {
  pg::raise(DW_UNKNOWN_OBJECT, psprintf("job " INT64_FORMAT " does not exist", id),
            "It was never enqueued, its transaction has not committed, or it was removed when its "
            "retention ended.");
}

}  // namespace

store::QueueInfo require_job(FunctionCallInfo fcinfo, store::JobTuple* job) {
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id");
  const auto name = pg::optional_text(fcinfo, 1, "queue", 1, core::kQueueNameSize - 1);
  const bool named = name.has_value();
  store::QueueInfo wanted{};
  if (named) wanted = store::require_queue(*name, store::Right::see, false);

  const store::QueueInfo queue = require_job(id, store::Right::see, job);
  if (named && queue.id != wanted.id)
    pg::raise(DW_UNKNOWN_OBJECT,
              psprintf("job " INT64_FORMAT " is not in queue \"%s\"", id, wanted.name),
              psprintf("It is in queue \"%s\".", queue.name));
  return queue;
}

store::QueueInfo require_job(core::JobId id, store::Right needed, store::JobTuple* job) {
  if (!store::find_job(id, job)) raise_unknown_job(id);
  const store::QueueInfo* const found = store::find_queue_by_topic(job->topic);
  if (found == nullptr) raise_unknown_job(id); /* its queue was dropped */
  const store::QueueInfo queue = *found;
  const store::Right rights = store::rights_on(queue.id);
  if (rights == store::Right::none) raise_unknown_job(id);
  if (!store::has(rights, needed)) store::raise_no_right(queue.name, needed);
  return queue;
}

}  // namespace dw::see
