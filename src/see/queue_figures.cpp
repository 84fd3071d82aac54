/*
 * durable_work.queue_figures(): what shared memory says of each queue that the user may see; the
 * view queue_stats shows it.
 */
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace {

using namespace dw;

struct Row {
  Datum values[15];
  bool nulls[15];
  int count;

  void put(Datum value) {
    nulls[count] = false;
    values[count++] = value;
  }
  void put_null() {
    nulls[count] = true;
    values[count++] = Datum{0};
  }
  void put_count(uint64 value) { put(Int64GetDatum(static_cast<int64>(value))); }
};

void put_queue(const store::QueueInfo& queue, void* arg) {
  auto* const fcinfo = static_cast<FunctionCallInfo>(arg);
  if (queue.slot.queue == core::kNone || !store::may(queue.id, store::Right::see)) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(queue.slot.queue, &figures);
  if (figures.id != queue.id) return;

  Row row{};
  row.put(Int32GetDatum(queue.id));
  row.put_count(figures.ready);
  row.put_count(figures.delayed);
  row.put_count(figures.leased);
  row.put_count(figures.blocked);
  const int64 resident = int64{figures.ready} + figures.delayed + figures.leased + figures.blocked;
  if (figures.counted) {
    /* A commit that has not reported its jobs yet may have had one of them loaded. */
    row.put(Int64GetDatum(std::max<int64>(figures.unfinished - resident, 0)));
    row.put(Int64GetDatum(figures.unfinished));
  } else {
    row.put_null();
    row.put_null();
  }
  const int64 age = figures.oldest_due == core::kNever
                        ? -1
                        : std::max<int64>(GetCurrentTimestamp() - figures.oldest_due, 0);
  if (age >= 0) {
    row.put(IntervalPGetDatum(pg::make_interval(age)));
  } else {
    row.put_null();
  }
  const core::QueueCounters& since_start = figures.counters;
  for (const uint64 counter :
       {since_start.enqueued, since_start.claimed, since_start.completed, since_start.failed,
        since_start.expired, since_start.dead_lettered, since_start.cancelled})
    row.put_count(counter);
  pg::put_row(fcinfo, row.values, row.nulls);
}

}  // namespace

extern "C" Datum dw_queue_figures_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  if (runtime::database() != core::kNone) store::for_each_queue(put_queue, fcinfo);
  return pg::end_set(fcinfo);
}
