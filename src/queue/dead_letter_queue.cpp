#include "queue/dead_letter_queue.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "store/catalog.hpp"

namespace dw::queue {

namespace {

/* As one of a list; not by its name to somebody who has no right on it. */
void add_name(StringInfo list, const store::QueueInfo& queue) {
  if (list->len > 0) appendStringInfoString(list, ", ");
  if (store::may(queue.id, store::Right::any)) {
    appendStringInfo(list, "\"%s\"", queue.name);
  } else {
    appendStringInfoString(list, "a queue of others");
  }
}

}  // namespace

void lock_ties() {
  /* Taken by nobody else but maintenance of this small table; it does not hold up other changes. */
  LockRelationOid(store::tables().queue, ShareUpdateExclusiveLock);
}

void check_tie(core::QueueId queue, core::QueueId target) {
  StringInfoData path;
  initStringInfo(&path);
  core::QueueId at = target;
  /* Rows that somebody edited may hold a circle of others. */
  for (uint32 steps = 0; at != 0 && steps < core::kMostQueues; steps++) {
    const store::QueueInfo* const info = store::find_queue_by_id(at);
    if (info == nullptr) return;
    add_name(&path, *info);
    if (at == queue)
      pg::raise_invalid(
          "dead letters would go round in a circle",
          psprintf("Dead letters of queue \"%s\" would go to %s.", info->name, path.data),
          "Give the last queue of a row of dead_letter_queue none of its own.");
    at = info->dead_letter_queue;
  }
}

const char* sources_of(core::QueueId queue) {
  struct Sources {
    core::QueueId queue;
    StringInfoData names;
  } sources{queue, {}};
  initStringInfo(&sources.names);
  store::for_each_queue(
      [](const store::QueueInfo& info, void* arg) {
        auto* const found = static_cast<Sources*>(arg);
        if (info.dead_letter_queue != found->queue || info.id == found->queue) return;
        add_name(&found->names, info);
      },
      &sources);
  return sources.names.len == 0 ? nullptr : sources.names.data;
}

}  // namespace dw::queue
