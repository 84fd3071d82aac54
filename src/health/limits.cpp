/* Queues with limits: jobs that are due and may never start, or have waited for long for a place.
 */
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "see/words.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

constexpr int64 kLong = int64{10} * SECS_PER_MINUTE * USECS_PER_SEC;
constexpr uint32 kMostNames = 5;

struct Sum {
  uint32 limited;
  uint32 closed; /* limit 0, and jobs are due */
  uint32 stuck;
  uint32 crowded; /* more keys are to be counted than there is room for */
  StringInfoData closed_names;
  StringInfoData stuck_names;
  StringInfoData crowded_names;
};

void add_name(StringInfo names, uint32 already, const char* name, const char* remark) {
  if (already == kMostNames) appendStringInfoString(names, ", …");
  if (already < kMostNames)
    appendStringInfo(names, "%s%s%s", names->len > 0 ? ", " : "", name, remark);
}

bool limits_anything(const core::QueueLimits& limits) { return limits != core::QueueLimits{}; }

void add_queue(const store::QueueInfo& info, void* arg) {
  auto* const sum = static_cast<Sum*>(arg);
  if (!limits_anything(info.limits) || info.slot.queue == core::kNone) return;
  sum->limited++;
  core::QueueLimitFigures limits;
  core::QueueFigures figures;
  if (!runtime::dispatcher().see_limits(info.slot.queue, info.id, &limits)) return;
  if (limits.short_of_keys != 0 && GetCurrentTimestamp() - limits.short_of_keys < kLong)
    add_name(&sum->crowded_names, sum->crowded++, info.name, "");
  runtime::dispatcher().queue_figures(info.slot.queue, &figures);
  const core::LimitFigures* const places = hindrance(limits, core::LimitKind::concurrency);
  if (places == nullptr || figures.id != info.id || figures.ready == 0 || figures.paused) return;
  if (places->max_in_flight == 0) {
    add_name(&sum->closed_names, sum->closed++, info.name, "");
    return;
  }
  const int64 idle = GetCurrentTimestamp() - std::max(limits.last_handed_out, figures.oldest_due);
  if (idle < kLong) return;
  add_name(&sum->stuck_names, sum->stuck++, info.name,
           psprintf(" (nothing started for %s)", see::duration(idle)));
}

Finding look() {
  Sum sum{};
  initStringInfo(&sum.closed_names);
  initStringInfo(&sum.stuck_names);
  initStringInfo(&sum.crowded_names);
  store::for_each_queue(add_queue, &sum);
  if (sum.limited == 0) return ok("no queue is limited");
  if (sum.closed > 0)
    return warning(
        psprintf("jobs are due, but the concurrency limit is 0: %s", sum.closed_names.data),
        "When they may run: SELECT durable_work.set_concurrency_limit(queue, "
        "max_in_flight). The view limits shows what is set.");
  if (sum.stuck > 0)
    return warning(
        psprintf("jobs are due, and all places have been taken for long: %s", sum.stuck_names.data),
        "Look in the view leases and in pg_prepared_xacts for who holds them; "
        "explain_waiting says which limit it is.");
  if (sum.crowded > 0)
    return warning(
        psprintf("more keys are limited than there is room to count: %s", sum.crowded_names.data),
        "Jobs of other keys wait until some need not be counted any more. A higher "
        "durable_work.max_resident_jobs has room for a sixteenth as many keys.");
  return ok(psprintf("%u queues are limited", sum.limited));
}

}  // namespace

const Check limits_check{"limits", Needs::slot, look};

}  // namespace dw::health
