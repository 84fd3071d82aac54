/*
 * durable_work.hot_keys(queue): the keys with the most unfinished jobs, counted when somebody asks.
 * One walk over memory, a chunk a lock hold, two when there are more keys than counters; then one
 * row of the log for each key that is shown, since memory knows keys by their hash only. Jobs that
 * are on disk only are not seen.
 */
#include <algorithm>

#include "core/hot_keys.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "store/key_hash.hpp"

namespace {

using namespace dw;

constexpr int32 kMostRows = 10000;
/* A key of one job is not a hot one, and neither is a job without a key. */
constexpr uint32 kFewestJobs = 2;

void walk(core::QueueRef queue, core::KeyCounter* counter, core::KeyedJob* batch) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  for (core::Index position = 0; position < dispatcher.arena().capacity;) {
    CHECK_FOR_INTERRUPTS();
    const uint32 n = dispatcher.list_keys(queue, &position, batch);
    for (uint32 i = 0; i < n; i++) counter->add(batch[i]);
  }
}

bool read_row(const core::ListedJob& job, store::JobTuple* row) {
  core::ClaimedJob address{};
  address.id = job.id;
  address.block = job.block;
  address.offset = job.offset;
  address.segment = job.segment;
  bool found = false;
  store::read_jobs(&address, 1, row, &found);
  return found || store::find_job(job.id, row);
}

/* What the key is called; 0: that is not known, its row is gone. False: the job has no key. */
bool read_key(const core::KeyCount& key, Datum* name) {
  store::JobTuple row;
  *name = 0;
  if (!read_row(key.job, &row)) return true;
  if (!row.has_partition_key) return false;
  *name = row.partition_key;
  return true;
}

void put_key(FunctionCallInfo fcinfo, const core::KeyCount& key, Datum name, double seen,
             std::optional<double> seen_of_all) {
  const Datum values[] = {name,
                          Int64GetDatum(key.key_hash),
                          Int64GetDatum(key.waiting),
                          Int64GetDatum(key.due),
                          Int64GetDatum(key.processing),
                          Float8GetDatum(key.jobs() / seen),
                          Float8GetDatum(seen_of_all.value_or(0))};
  const bool nulls[] = {name == 0, false, false, false, false, false, !seen_of_all.has_value()};
  pg::put_row(fcinfo, values, nulls);
}

void put_keys(FunctionCallInfo fcinfo, core::Index queue, core::KeyCounter* counter,
              const core::KeyCount* keys, int32 max_rows) {
  const auto seen = static_cast<double>(counter->jobs());
  int64 unfinished = 0;
  std::optional<double> seen_of_all;
  if (runtime::dispatcher().length_of(queue, &unfinished) && unfinished > 0)
    seen_of_all = std::min(seen / static_cast<double>(unfinished), 1.0);
  const uint32 count = counter->sort();
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work key");
  int32 rows = 0;
  for (uint32 i = 0; i < count && rows < max_rows && keys[i].jobs() >= kFewestJobs; i++) {
    CHECK_FOR_INTERRUPTS();
    pg::in_context(scratch, [&] {
      Datum name = 0;
      if (!read_key(keys[i], &name)) return;
      put_key(fcinfo, keys[i], name, seen, seen_of_all);
      rows++;
    });
    MemoryContextReset(scratch);
  }
  MemoryContextDelete(scratch);
}

}  // namespace

extern "C" Datum dw_hot_keys_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  PreventCommandDuringRecovery("hot_keys");
  const store::QueueInfo queue = store::require_queue(
      pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1), store::Right::read);
  const int32 max_rows = pg::required_int(fcinfo, 1, "max_rows", 1, kMostRows);
  pg::begin_set(fcinfo);
  if (queue.slot.queue == core::kNone) return pg::end_set(fcinfo);
  const uint32 capacity =
      Min(core::KeyCounter::kMostCounters, runtime::dispatcher().arena().capacity);
  auto* const keys = pg::allocate<core::KeyCount>(capacity);
  auto* const index = pg::allocate<uint32>(core::KeyCounter::index_size(capacity));
  auto* const batch = pg::allocate<core::KeyedJob>(core::kEntriesPerHold);
  core::KeyCounter counter(keys, capacity, index);
  walk(queue.slot, &counter, batch);
  if (counter.is_estimate()) {
    counter.count_again();
    walk(queue.slot, &counter, batch);
  }
  put_keys(fcinfo, queue.slot.queue, &counter, keys, max_rows);
  return pg::end_set(fcinfo);
}
