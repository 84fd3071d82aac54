/*
 * durable_work.wake_figures(): workers that sleep and were woken, of each queue that the user may
 * see; the view wakeups shows it.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace {

using namespace dw;

void put_queue(const store::QueueInfo& queue, void* arg) {
  auto* const fcinfo = static_cast<FunctionCallInfo>(arg);
  if (queue.slot.queue == core::kNone || !store::may(queue.id, store::Right::see)) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(queue.slot.queue, &figures);
  if (figures.id != queue.id) return;
  const Datum values[] = {Int32GetDatum(queue.id), Int64GetDatum(figures.waiters),
                          Int64GetDatum(static_cast<int64>(figures.counters.woken)),
                          Int64GetDatum(static_cast<int64>(figures.counters.woken_in_vain))};
  const bool nulls[] = {false, false, false, false};
  pg::put_row(fcinfo, values, nulls);
}

}  // namespace

extern "C" Datum dw_wake_figures_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  if (runtime::database() != core::kNone) store::for_each_queue(put_queue, fcinfo);
  return pg::end_set(fcinfo);
}
