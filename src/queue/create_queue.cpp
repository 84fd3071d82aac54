/*
 * create_queue: makes a queue and its topic, once. Asked for again with the same settings it does
 * nothing, so that a deployment script can run twice.
 *
 * The owner may make queues, and whom he has granted EXECUTE. Such a role gets all rights on the
 * queues that it makes, as makers of objects have them.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "queue/dead_letter_queue.hpp"
#include "queue/settings.hpp"
#include "runtime/session.hpp"
#include "store/grants.hpp"
#include "store/queue_table.hpp"

namespace {

using namespace dw;

/* That there is a queue of this name cannot be hidden from somebody who wants to make one; more is
 * not told to those who have no right on it. */
void check_same(const store::QueueInfo& queue, const store::QueueSettings& given) {
  if (!store::may(queue.id, store::Right::any))
    pg::raise(DW_INSUFFICIENT_PRIVILEGE, psprintf("permission denied for queue \"%s\"", queue.name),
              "There is a queue of this name, and you have no right on it.",
              "Choose another name, or ask its owner: durable_work.grant_queue.");
  const char* const difference = queue::describe_difference(store::settings_of(queue), given);
  if (difference == nullptr) return;
  pg::raise(DW_SETTINGS_DIFFER,
            psprintf("queue \"%s\" already exists with other settings", queue.name), difference,
            "Change it with durable_work.alter_queue.");
}

void grant_to_maker(std::string_view name) {
  if (store::is_owner()) return;
  store::lock_grants();
  const store::QueueInfo queue = *store::find_queue(name);
  store::grant_rights(&queue, GetUserId(), store::Right::any);
}

}  // namespace

extern "C" Datum dw_create_queue_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  store::QueueSettings settings;
  runtime::require_writable("create_queue()");
  /* Nothing refers to a queue that does not exist yet, so there is no circle to look for. */
  if (queue::ties_dead_letters(fcinfo)) queue::lock_ties();
  queue::read_settings(fcinfo, false, &settings);

  for (;;) {
    const store::QueueInfo* const known = store::find_queue(name);
    if (known != nullptr) {
      check_same(*known, settings);
      return pg::void_result();
    }
    if (store::insert_queue(name, settings)) {
      grant_to_maker(name);
      return pg::void_result();
    }
  }
}
