/*
 * alter_queue, pause_queue, resume_queue, resize_buckets: change a queue's row. The dispatcher
 * takes the new options when the transaction commits; leases that are out keep their deadlines.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "queue/dead_letter_queue.hpp"
#include "queue/settings.hpp"
#include "runtime/session.hpp"
#include "store/queue_table.hpp"

namespace {

using namespace dw;

Datum set_paused(FunctionCallInfo fcinfo, bool paused, const char* command) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  runtime::require_writable(command);
  const store::QueueInfo& queue = store::lock_newest(name);
  store::QueueSettings settings = store::settings_of(queue);
  if (settings.options.paused != paused) {
    settings.options.paused = paused;
    store::update_queue(queue, settings);
  }
  return pg::void_result();
}

/* What is in memory lies as the queue was made. */
void check_for_life(const char* option, bool is, bool given) {
  if (is == given) return;
  pg::raise(DW_FEATURE_NOT_SUPPORTED, psprintf("%s of a queue cannot be changed", option),
            psprintf("It is %s, not %s.", is ? "key" : "none", given ? "key" : "none"),
            "Make another queue, let the workers finish this one, then move them over.");
}

}  // namespace

extern "C" Datum dw_alter_queue_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  bool any = false;
  for (int i = queue::kFirstOption; i <= queue::kLastOption; i++) any |= !pg::is_null(fcinfo, i);
  if (!any)
    pg::raise_invalid("no option is given", nullptr,
                      "Name the options to change, for example lease => '5 min'.");
  runtime::require_writable("alter_queue()");

  if (queue::ties_dead_letters(fcinfo)) queue::lock_ties();
  /* A copy: reading the options looks up other queues. */
  const store::QueueInfo queue = store::lock_newest(name);
  const store::QueueSettings before = store::settings_of(queue);
  store::QueueSettings settings = before;
  queue::read_settings(fcinfo, true, &settings);
  check_for_life("ordering", before.options.ordered, settings.options.ordered);
  check_for_life("fairness", before.options.fair, settings.options.fair);
  if (settings.dead_letter_queue != before.dead_letter_queue)
    queue::check_tie(queue.id, settings.dead_letter_queue);
  if (queue::describe_difference(before, settings) != nullptr) store::update_queue(queue, settings);
  return pg::void_result();
}

extern "C" Datum dw_resize_buckets_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  const int32 buckets =
      pg::required_int(fcinfo, 1, "buckets", 1, static_cast<int32>(core::kMostBuckets));
  runtime::require_writable("resize_buckets()");
  const store::QueueInfo& queue = store::lock_newest(name);
  store::QueueSettings settings = store::settings_of(queue);
  if (settings.options.buckets != buckets) {
    settings.options.buckets = buckets;
    store::update_queue(queue, settings);
  }
  return pg::void_result();
}

extern "C" Datum dw_pause_queue_body(FunctionCallInfo fcinfo) {
  return set_paused(fcinfo, true, "pause_queue()");
}

extern "C" Datum dw_resume_queue_body(FunctionCallInfo fcinfo) {
  return set_paused(fcinfo, false, "resume_queue()");
}
