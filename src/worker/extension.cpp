// extend_lease, heartbeat: the worker is still at it. Both change only shared memory: no row, no
// transaction id, no WAL, and they hold even if the calling transaction rolls back.
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/registered.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "worker/lease_check.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

[[noreturn]] void raise_used_up(const Lease& lease) {
  pg::raise(DW_WRONG_STATE,
            psprintf("the lease of job " INT64_FORMAT " cannot be extended any further", lease.id),
            "The attempt has taken as long as the queue's max_runtime allows.",
            "Finish before the lease ends; after that the job is given to another worker.");
}

Datum extend_lease(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("extend_lease");
  const Lease lease = lease_arguments(fcinfo);
  const int64 span = span_argument(fcinfo, 2);
  require_own_queue(lease);
  const core::Index database = runtime::database();
  core::Verdict verdict = core::Verdict::not_resident;
  core::Micros deadline = 0;
  if (database != core::kNone)
    deadline = runtime::dispatcher().extend(database, lease.id, lease.token, span, &verdict);
  if (verdict == core::Verdict::used_up) raise_used_up(lease);
  if (verdict != core::Verdict::ok) raise_stale(lease);
  return TimestampTzGetDatum(deadline);
}

// --- heartbeat ----------------------------------------------------------------------------------

struct Beat {
  core::LeaseRow lease;
  core::HeartbeatState state;
};

const char* state_name(core::HeartbeatState state) {
  switch (state) {
    case core::HeartbeatState::leased:
      return "leased";
    case core::HeartbeatState::cancelled:
      return "cancelled";
    case core::HeartbeatState::lost:
      break;
  }
  return "lost";
}

int by_job(const void* a, const void* b) {
  const core::LeaseRow& left = static_cast<const Beat*>(a)->lease;
  const core::LeaseRow& right = static_cast<const Beat*>(b)->lease;
  if (left.id != right.id) return left.id < right.id ? -1 : 1;
  return left.queue < right.queue ? -1 : (left.queue > right.queue ? 1 : 0);
}

// Other roles may use the same name of a worker, for queues that this one knows nothing of.
bool may_extend(core::EntryRef ref) {
  return store::is_owner() || store::may(runtime::dispatcher().queue_of(ref), store::Right::work);
}

// The worker's leases at one moment. Memory is had before the lock is taken, so it may take a few
// tries while another connection claims under the same name.
core::EntryRef* leases_of(core::Index worker, uint32* count) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  uint32 room = 64;
  for (;;) {
    auto* const refs = static_cast<core::EntryRef*>(
        MemoryContextAllocHuge(CurrentMemoryContext, mul_size(room, sizeof(core::EntryRef))));
    *count = dispatcher.worker_leases(worker, refs, room);
    if (*count <= room) return refs;
    pfree(refs);
    room = *count + *count / 4;
  }
}

Datum queue_name(core::QueueId id) {
  const store::QueueInfo* const queue = store::find_queue_by_id(id);
  return queue != nullptr ? CStringGetTextDatum(queue->name) : Datum{0};
}

Datum heartbeat(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("heartbeat");
  const std::string_view name = pg::required_text(fcinfo, 0, "worker", 1, kMostWorkerBytes);
  const int64 span = span_argument(fcinfo, 1);
  const int64 instance = pg::optional_bigint(fcinfo, 2, "instance", 1).value_or(0);
  (void)runtime::registered_worker(name, instance);
  pg::begin_set(fcinfo);
  const core::Index database = runtime::database();
  if (database == core::kNone) return pg::end_set(fcinfo);
  core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Index worker = dispatcher.find_worker(database, name, instance);
  if (worker == core::kNone) return pg::end_set(fcinfo);

  uint32 count = 0;
  const core::EntryRef* const refs = leases_of(worker, &count);
  auto* const beats = static_cast<Beat*>(
      MemoryContextAllocHuge(CurrentMemoryContext, mul_size(std::max(count, 1U), sizeof(Beat))));
  uint32 held = 0;
  for (uint32 i = 0; i < count; i++) {
    Beat* const beat = &beats[held];
    if (may_extend(refs[i]) &&
        dispatcher.heartbeat(refs[i], worker, span, &beat->lease, &beat->state))
      held++;
  }
  qsort(beats, held, sizeof(Beat), by_job);

  core::QueueId named = 0;
  Datum shown = 0;
  for (uint32 i = 0; i < held; i++) {
    const core::LeaseRow& lease = beats[i].lease;
    if (lease.queue != named) {
      named = lease.queue;
      shown = queue_name(named);
    }
    const Datum values[] = {Int64GetDatum(lease.id), shown, TimestampTzGetDatum(lease.deadline),
                            CStringGetTextDatum(state_name(beats[i].state))};
    const bool nulls[] = {false, shown == 0, false, false};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_extend_lease_body(FunctionCallInfo fcinfo) {
  return dw::worker::extend_lease(fcinfo);
}
extern "C" Datum dw_heartbeat_body(FunctionCallInfo fcinfo) {
  return dw::worker::heartbeat(fcinfo);
}
