/*
 * durable_work.worker_figures(): what shared memory knows of registered workers; the view workers
 * shows it. ring_owner, owned_buckets: who owns which bucket of a queue now.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "store/catalog.hpp"
#include "store/key_hash.hpp"

namespace {

using namespace dw;

/* One of its queues. */
bool may_see(const core::MemberFigures& member) {
  bool seen = store::may(store::kEveryQueue, store::Right::see);
  for (uint32 i = 0; i < member.queue_count; i++)
    seen = seen || store::may(member.queues[i], store::Right::see);
  return seen;
}

const char* state_of(const core::MemberFigures& member, int64 seen_ago) {
  if (member.state == core::MemberState::draining) return "draining";
  return seen_ago < runtime::worker_dead_after() ? "alive" : "dead";
}

int32 buckets_of(const core::MemberFigures& member, core::Index database) {
  uint16 buckets[core::kMostBuckets];
  uint32 count = 0;
  for (uint32 i = 0; i < member.queue_count; i++) {
    const core::Index queue = runtime::dispatcher().find_queue(database, member.queues[i]);
    if (queue != core::kNone)
      count += runtime::dispatcher().owned_buckets(queue, member.queues[i], member.ref, buckets);
  }
  return static_cast<int32>(count);
}

void put_member(FunctionCallInfo fcinfo, const core::MemberFigures& member, core::Index database) {
  const int64 seen_ago = runtime::platform().monotonic_now() - member.last_seen;
  const bool drains = member.state == core::MemberState::draining;
  const Datum values[] = {CStringGetTextDatum(member.name),
                          Int64GetDatum(member.instance),
                          CStringGetTextDatum(state_of(member, seen_ago)),
                          TimestampTzGetDatum(GetCurrentTimestamp() - seen_ago),
                          TimestampTzGetDatum(member.drain_deadline),
                          Int32GetDatum(static_cast<int32>(member.in_flight)),
                          Int32GetDatum(buckets_of(member, database))};
  const bool nulls[] = {false, false, false, false, !drains, false, false};
  pg::put_row(fcinfo, values, nulls);
}

const store::QueueInfo& queue_argument(FunctionCallInfo fcinfo) {
  return store::require_queue(pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1),
                              store::Right::see, false);
}

Datum array_of(const uint16* buckets, uint32 count) {
  auto* const values = pg::allocate<Datum>(count + 1);
  for (uint32 i = 0; i < count; i++) values[i] = Int32GetDatum(buckets[i]);
  return PointerGetDatum(
      construct_array(values, static_cast<int>(count), INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

}  // namespace

extern "C" Datum dw_worker_figures_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  const core::Index here = runtime::database();
  if (here == core::kNone) return pg::end_set(fcinfo);
  core::MemberFigures member;
  for (core::Index i = 0; i < core::kMostMembers; i++) {
    if (runtime::dispatcher().see_member(i, here, &member) && may_see(member))
      put_member(fcinfo, member, here);
  }
  return pg::end_set(fcinfo);
}

extern "C" Datum dw_ring_owner_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const store::QueueInfo& queue = queue_argument(fcinfo);
  const core::Index slot = queue.slot.queue;
  const core::QueueId id = queue.id;
  const std::string_view key = pg::required_text(fcinfo, 1, "partition_key", 0, MaxAllocSize);
  char name[core::kWorkerNameSize];
  if (slot == core::kNone ||
      runtime::dispatcher().owner_of_bucket(slot, id, store::key_hash(key), name) == core::kNone)
    return pg::null_result(fcinfo);
  return CStringGetTextDatum(name);
}

extern "C" Datum dw_owned_buckets_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const store::QueueInfo& queue = queue_argument(fcinfo);
  const core::Index slot = queue.slot.queue;
  const core::QueueId id = queue.id;
  const std::string_view name =
      pg::required_text(fcinfo, 1, "worker", 1, core::kWorkerNameSize - 1);
  const core::Index here = runtime::database();
  core::MemberFacts facts{};
  core::MemberRef member{core::kNone, 0};
  if (here != core::kNone) member = runtime::dispatcher().find_member(here, name, &facts);
  if (member.member == core::kNone)
    pg::raise(DW_UNKNOWN_OBJECT, psprintf("worker \"%s\" is not registered", pg::copy(name)),
              nullptr, "The view durable_work.workers shows those that are.");
  uint16 buckets[core::kMostBuckets];
  const uint32 count =
      slot == core::kNone ? 0 : runtime::dispatcher().owned_buckets(slot, id, member, buckets);
  return array_of(buckets, count);
}
