/*
 * durable_work.live_leases(): the leases of all queues that the user may see, from the dispatcher.
 * A job whose completion is not committed yet is still leased.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "see/progress.hpp"
#include "store/catalog.hpp"

namespace {

using namespace dw;

constexpr uint32 kRoomAtFirst = 256;

void put_lease(FunctionCallInfo fcinfo, Datum queue, const core::LeaseRow& lease, bool reads) {
  Datum progress = 0;
  const bool has_progress = reads && see::read_progress(lease.holder, lease.token, &progress);
  const Datum values[] = {queue,
                          Int64GetDatum(lease.id),
                          CStringGetTextDatum(lease.worker),
                          Int64GetDatum(lease.token),
                          Int32GetDatum(lease.attempt),
                          TimestampTzGetDatum(lease.leased_at),
                          TimestampTzGetDatum(lease.deadline),
                          progress};
  const bool nulls[] = {false, false, false, false, false, false, false, !has_progress};
  pg::put_row(fcinfo, values, nulls);
}

void put_queue(const store::QueueInfo& queue, void* arg) {
  auto* const fcinfo = static_cast<FunctionCallInfo>(arg);
  if (queue.slot.queue == core::kNone || !store::may(queue.id, store::Right::see)) return;
  CHECK_FOR_INTERRUPTS();
  MemoryContext const context = pg::new_context(CurrentMemoryContext, "durable_work leases");
  pg::in_context(context, [&] {
    uint32 room = kRoomAtFirst;
    auto* leases = pg::allocate<core::LeaseRow>(room);
    uint32 count = runtime::dispatcher().see_leases(queue.slot.queue, queue.id, leases, room);
    while (count > room) {
      pfree(leases);
      room = count + count / 8;
      leases = static_cast<core::LeaseRow*>(
          MemoryContextAllocHuge(CurrentMemoryContext, mul_size(room, sizeof(core::LeaseRow))));
      count = runtime::dispatcher().see_leases(queue.slot.queue, queue.id, leases, room);
    }
    const Datum name = CStringGetTextDatum(queue.name);
    const bool reads = store::may(queue.id, store::Right::read);
    for (uint32 i = 0; i < count; i++) put_lease(fcinfo, name, leases[i], reads);
  });
  MemoryContextDelete(context);
}

}  // namespace

extern "C" Datum dw_live_leases_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  if (runtime::database() != core::kNone) store::for_each_queue(put_queue, fcinfo);
  return pg::end_set(fcinfo);
}
