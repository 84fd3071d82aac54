/*
 * durable_work.limit_figures(): how the limits of each queue that the user may see stand, out of
 * shared memory; the view limits shows it.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace {

using namespace dw;

constexpr const char* kKindNames[core::kLimitKinds] = {"concurrency", "rate"};

void put_limit(FunctionCallInfo fcinfo, core::QueueId queue, std::size_t kind, const char* scope,
               const core::LimitFigures& limit) {
  if (!limit.limits) return;
  const bool counts = static_cast<core::LimitKind>(kind) == core::LimitKind::concurrency;
  const bool tells_when = limit.available == 0 && limit.next != core::kNever;
  const Datum values[] = {Int32GetDatum(queue),
                          CStringGetTextDatum(kKindNames[kind]),
                          CStringGetTextDatum(scope),
                          Int64GetDatum(int64{limit.in_flight}),
                          Int64GetDatum(int64{limit.available}),
                          TimestampTzGetDatum(limit.next)};
  const bool nulls[] = {false, false, false, !counts, false, !tells_when};
  pg::put_row(fcinfo, values, nulls);
}

void put_queue(const store::QueueInfo& queue, void* arg) {
  auto* const fcinfo = static_cast<FunctionCallInfo>(arg);
  if (queue.slot.queue == core::kNone || !store::may(queue.id, store::Right::see)) return;
  core::QueueLimitFigures figures;
  if (!runtime::dispatcher().see_limits(queue.slot.queue, queue.id, &figures)) return;
  for (std::size_t kind = 0; kind < core::kLimitKinds; kind++) {
    put_limit(fcinfo, queue.id, kind, "queue", figures.own[kind]);
    put_limit(fcinfo, queue.id, kind, "group", figures.group[kind]);
  }
}

}  // namespace

extern "C" Datum dw_limit_figures_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  if (runtime::database() != core::kNone) store::for_each_queue(put_queue, fcinfo);
  return pg::end_set(fcinfo);
}
