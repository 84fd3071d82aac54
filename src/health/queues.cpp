/* Whether every queue has its place in shared memory, and its jobs are counted. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

struct Sum {
  uint32 queues;
  uint32 uncounted;
  uint32 unserved;
  StringInfoData names; /* of those, the first few */
};

void add_queue(const store::QueueInfo& queue, void* arg) {
  constexpr uint32 kMostNames = 5;
  auto* const sum = static_cast<Sum*>(arg);
  sum->queues++;
  if (queue.slot.queue == core::kNone) {
    if (sum->unserved++ < kMostNames)
      appendStringInfo(&sum->names, "%s%s", sum->names.len > 0 ? ", " : "", queue.name);
    return;
  }
  int64 unfinished = 0;
  if (!runtime::dispatcher().length_of(queue.slot.queue, &unfinished)) sum->uncounted++;
}

Finding look() {
  Sum sum{};
  initStringInfo(&sum.names);
  store::for_each_queue(add_queue, &sum);
  if (sum.unserved > 0)
    return critical(
        psprintf("%u of %u queues are not served: %s%s", sum.unserved, sum.queues, sum.names.data,
                 sum.unserved > 5 ? ", …" : ""),
        psprintf("Nothing in the first seconds after a start. If this stays: at most %u queues of "
                 "all databases can be served; drop some that are not used, and restart the "
                 "server.",
                 core::kMostQueues));
  if (sum.uncounted > 0)
    return ok(
        psprintf("%u queues are served; jobs of %u are being counted", sum.queues, sum.uncounted));
  return ok(psprintf("%u queues are served", sum.queues));
}

}  // namespace

const Check queues_check{"queues", Needs::slot, look};

}  // namespace dw::health
