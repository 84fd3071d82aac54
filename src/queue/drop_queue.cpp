/*
 * drop_queue: removes a queue with its topic, idempotency keys and dead letters. Unless forced it
 * refuses while jobs are unfinished, or while dead letters of other queues go to it.
 *
 * The dispatcher answers first: what waits or is leased there is unfinished. Only a queue of which
 * it knows nothing unfinished is counted in the log, all of it unless the queue is live, in which
 * case just the long sleepers can be missing from memory. A job whose enqueue commits between that
 * count and the commit of the drop goes with the queue, as if it had been there before.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "queue/dead_letter_queue.hpp"
#include "runtime/session.hpp"
#include "store/queue_hold.hpp"
#include "store/queue_table.hpp"

namespace {

using namespace dw;

[[noreturn]] void refuse(const char* name, const char* detail) {
  pg::raise(DW_WRONG_STATE, psprintf("queue \"%s\" has unfinished jobs", name), detail,
            "Finish or cancel them, or drop the queue with force => true.");
}

void require_untied(const store::QueueInfo& queue) {
  const char* const sources = queue::sources_of(queue.id);
  if (sources == nullptr) return;
  pg::raise(DW_WRONG_STATE,
            psprintf("queue \"%s\" is the dead_letter_queue of other queues", queue.name),
            psprintf("Dead letters go to it from %s.", sources),
            "Give them another with alter_queue(dead_letter_queue => ...), or drop the queue with "
            "force => true.");
}

void require_finished(const store::QueueInfo& queue) {
  bool parked_only = false;
  if (queue.slot.queue != core::kNone) {
    core::QueueFigures figures;
    runtime::dispatcher().queue_figures(queue.slot.queue, &figures);
    const uint32 waiting = figures.ready + figures.delayed;
    if (figures.id == queue.id && waiting + figures.leased > 0)
      refuse(queue.name, psprintf("In memory %u wait and %u are leased.", waiting, figures.leased));
    /* Jobs that this transaction enqueued become resident only when it commits. */
    uint64 unused = 0;
    parked_only = figures.id == queue.id && figures.resident == 0 &&
                  runtime::dispatcher().keeps_all(queue.slot, &unused) &&
                  !runtime::transaction().has_work();
  }
  const int64 unfinished = store::count_unfinished(queue, parked_only);
  if (unfinished > 0)
    refuse(queue.name, psprintf("In the log " INT64_FORMAT " are unfinished.", unfinished));
}

}  // namespace

extern "C" Datum dw_drop_queue_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  const bool force = pg::required_bool(fcinfo, 1, "force");
  runtime::require_writable("drop_queue()");

  queue::lock_ties();
  /* A queue that is not there is not made first. A redrive into it is waited for. */
  core::QueueId id = 0;
  do {
    id = store::require_queue(name, store::Right::operate, false).id;
    store::hold_queue_for_drop(id);
  } while (!store::lock_queue(id));
  const store::QueueInfo queue = store::require_queue(name, store::Right::operate, false);
  if (!force) {
    require_untied(queue);
    require_finished(queue);
  }
  store::delete_queue(queue);
  return pg::void_result();
}
