/* The segments of the log: how many are free, and what keeps the oldest one from being emptied. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "see/words.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

const char* queue_name(core::QueueId id) {
  const store::QueueInfo* const queue = id != 0 ? store::find_queue_by_id(id) : nullptr;
  return queue != nullptr ? psprintf("queue \"%s\"", queue->name) : "a queue";
}

const char* process_name(int32 pid) {
  return pid != 0 ? psprintf("process %d", pid)
                  : "a prepared transaction, or a process that has ended";
}

const char* jobs_of(const core::SegmentHold& hold) {
  return psprintf(INT64_FORMAT " unfinished jobs, the oldest is job " INT64_FORMAT " of %s",
                  hold.jobs, hold.job, queue_name(hold.queue));
}

const char* reason_of(const core::SegmentHold& hold) {
  switch (hold.reason) {
    case core::Hold::writers:
      return psprintf("%s has an open transaction that wrote to it", process_name(hold.pid));
    case core::Hold::loading:
      return "jobs of it wait on disk for room in memory";
    case core::Hold::jobs:
    case core::Hold::stragglers:
      return jobs_of(hold);
    case core::Hold::retention:
      return psprintf("%s keeps its finished jobs until %s", queue_name(hold.queue),
                      timestamptz_to_str(hold.until));
    case core::Hold::snapshot:
      return psprintf("%s may still read it by an old snapshot", process_name(hold.pid));
    case core::Hold::lock:
      return psprintf("%s holds a lock on its tables", process_name(hold.pid));
    case core::Hold::prepared:
      return "a prepared transaction has used it";
    case core::Hold::counting:
      return "the unfinished jobs of the database are being counted";
    case core::Hold::not_checked:
    case core::Hold::none:
    case core::Hold::no_free_segment:
      break;
  }
  return "it is still being looked at";
}

const char* advice_for(const core::SegmentHold& hold) {
  switch (hold.reason) {
    case core::Hold::writers:
    case core::Hold::snapshot:
    case core::Hold::lock:
      if (hold.pid == 0) return "Look at pg_prepared_xacts and end what nobody will end any more.";
      return psprintf("Let it end, or end it: SELECT pg_terminate_backend(%d);", hold.pid);
    case core::Hold::prepared:
      return "Look at pg_prepared_xacts and end what nobody will end any more.";
    case core::Hold::jobs:
    case core::Hold::stragglers:
    case core::Hold::loading:
      return "Add workers, or end jobs that nobody needs: purge_queue, cancel_many. Leased jobs "
             "stay "
             "where they are until they end.";
    case core::Hold::retention:
      return "Lower the retention of that queue (alter_queue), or raise "
             "durable_work.segment_max_size and durable_work.segment_max_age so that fewer "
             "segments "
             "hold more.";
    default:
      return "Wait a minute and look again.";
  }
}

Finding look() {
  const core::Index slot = runtime::database();
  core::Dispatcher& dispatcher = runtime::dispatcher();
  uint8 segments[core::kSegments];
  const uint8 used = dispatcher.segments_in_order(slot, segments);
  if (used == 0) return ok("the log has not been looked at yet");
  const core::SegmentHold current = dispatcher.see_hold(slot, segments[used - 1]);
  const core::SegmentHold oldest = dispatcher.see_hold(slot, segments[0]);
  const char* const count =
      psprintf("%d of %d segments of the log are in use", used, core::kSegments);
  if (used == 1) return ok(count);
  const char* const seen =
      psprintf("%s; segment %d is not emptied yet: %s", count, segments[0], reason_of(oldest));
  if (current.reason == core::Hold::no_free_segment)
    return critical(psprintf("%s. The current one goes on growing", seen), advice_for(oldest));
  if (used + 1 >= core::kSegments) return warning(seen, advice_for(oldest));
  return ok(seen);
}

}  // namespace

const Check log_check{"log", Needs::slot, look};

}  // namespace dw::health
