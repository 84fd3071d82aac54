/* Queues that are paused; that is worth a warning while jobs of theirs are due. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

struct Sum {
  uint32 paused;
  uint64 due;
  StringInfoData names;
};

void add_queue(const store::QueueInfo& info, void* arg) {
  constexpr uint32 kMostNames = 5;
  auto* const sum = static_cast<Sum*>(arg);
  if (!info.options.paused || info.slot.queue == core::kNone) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(info.slot.queue, &figures);
  if (figures.id != info.id) return;
  sum->due += figures.ready;
  if (sum->paused++ < kMostNames)
    appendStringInfo(&sum->names, "%s%s", sum->names.len > 0 ? ", " : "", info.name);
}

Finding look() {
  Sum sum{};
  initStringInfo(&sum.names);
  store::for_each_queue(add_queue, &sum);
  if (sum.paused == 0) return ok("no queue is paused");
  const char* const seen = psprintf("paused: %s%s; due in them: " UINT64_FORMAT, sum.names.data,
                                    sum.paused > 5 ? ", …" : "", sum.due);
  if (sum.due == 0) return ok(seen);
  return warning(seen,
                 "When the reason for the pause is gone: SELECT "
                 "durable_work.resume_queue(queue) FROM durable_work.queues WHERE paused;");
}

}  // namespace

const Check paused_check{"paused", Needs::slot, look};

}  // namespace dw::health
