// register_worker, deregister_worker, drain_worker: rows of durable_work.worker, whose effect on
// the rings comes with the commit.
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/key_hash.hpp"
#include "store/worker_table.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

constexpr int32 kMostCapacity = 1'000'000;
constexpr int64 kLongestDrain = int64{365} * USECS_PER_DAY;
constexpr std::size_t kMostLabelBytes = 8192;

using store::Right;

bool may_all(const core::MemberRow& row, Right needed) {
  for (uint32 i = 0; i < row.queue_count; i++) {
    if (store::find_queue_by_id(row.queues[i]) != nullptr && !store::may(row.queues[i], needed))
      return false;
  }
  return true;
}

/* A worker all of whose queues were dropped is the owner's. */
bool may_see(const core::MemberRow& row) {
  bool seen = store::may(store::kEveryQueue, Right::see);
  for (uint32 i = 0; i < row.queue_count; i++) seen = seen || store::may(row.queues[i], Right::see);
  return seen;
}

/* False: it is not registered, or the user must not know that it is. */
bool lock_own_worker(std::string_view name, core::MemberRow* row) {
  if (!store::lock_worker(name, row) || !may_see(*row)) return false;
  if (may_all(*row, Right::read)) return true;
  pg::raise(DW_INSUFFICIENT_PRIVILEGE, psprintf("permission denied for worker \"%s\"", row->name),
            "It is registered for queues that you may neither work on nor operate.",
            "Ask for a right on all of its queues: durable_work.grant_queue.");
}

std::string_view worker_argument(FunctionCallInfo fcinfo) {
  return pg::required_text(fcinfo, 0, "worker", 1, kMostWorkerBytes);
}

/* Room that cannot be had at the commit is asked for now. */
void require_table(const store::QueueInfo& queue) {
  if (queue.slot.queue == core::kNone) return;
  if (runtime::dispatcher().make_owner_table(queue.slot)) return;
  pg::raise("53400", "workers are registered for too many queues",
            psprintf("There is room for %u queues of all databases.",
                     runtime::dispatcher().arena().owner_table_capacity),
            "Drop queues that are no longer needed, or raise durable_work.max_resident_jobs.");
}

int read_queues(FunctionCallInfo fcinfo, core::QueueId* queues) {
  const auto names = pg::required_array(fcinfo, 1, "queues", TEXTOID, core::kMostWaitedQueues);
  if (names.count == 0) pg::raise_invalid("queues must name at least one queue");
  int count = 0;
  for (int i = 0; i < names.count; i++) {
    const store::QueueInfo& queue =
        store::require_queue(pg::text_view(names.required(i, "queues")), Right::work);
    require_table(queue);
    if (std::find(queues, queues + count, queue.id) == queues + count) queues[count++] = queue.id;
  }
  return count;
}

Datum labels_argument(FunctionCallInfo fcinfo) {
  const auto labels = pg::optional_varlena(fcinfo, 4);
  if (!labels) return 0;
  Jsonb* const object = DatumGetJsonbP(*labels);
  if (!JB_ROOT_IS_OBJECT(object)) pg::raise_invalid("labels must be a jsonb object");
  if (VARSIZE(object) > kMostLabelBytes)
    pg::raise_invalid(psprintf("labels must be at most %zu bytes long, not %u", kMostLabelBytes,
                               static_cast<unsigned>(VARSIZE(object))),
                      "The size is measured as jsonb is stored.");
  return PointerGetDatum(object);
}

void require_room(std::string_view name) {
  const core::Index here = runtime::database();
  if (here == core::kNone ||
      runtime::dispatcher().has_room_for_member(here, name, store::utf8_text(name)))
    return;
  pg::raise(
      "53400", "too many workers are registered",
      psprintf(
          "At most %u workers of all databases can be registered, and %u whose names are other "
          "bytes in UTF-8.",
          core::kMostMembers, core::kMostUtf8Names),
      "Deregister those that are gone: see the view durable_work.workers.");
}

Datum register_worker(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("register_worker()");
  store::WorkerWish wish{};
  wish.name = worker_argument(fcinfo);
  wish.capacity = pg::optional_int(fcinfo, 2, "capacity", 1, kMostCapacity).value_or(0);
  wish.vnodes = pg::required_int(fcinfo, 3, "vnodes", 1, static_cast<int32>(core::kMostVnodes));
  wish.labels = labels_argument(fcinfo);
  core::QueueId queues[core::kMostWaitedQueues];
  wish.queue_count = read_queues(fcinfo, queues);
  wish.queues = queues;
  require_room(wish.name);
  const int64 instance = store::register_worker(wish);
  if (instance == 0)
    pg::raise(DW_INSUFFICIENT_PRIVILEGE,
              psprintf("permission denied for worker \"%s\"", pg::copy(wish.name)),
              "A worker of this name is registered for queues that you may not work on.",
              "Choose another name.");
  return Int64GetDatum(instance);
}

void check_instance(const core::MemberRow& row, std::optional<int64> instance) {
  if (!instance || *instance == row.instance) return;
  pg::raise(DW_WRONG_STATE,
            psprintf("instance " INT64_FORMAT " of worker \"%s\" is not registered any more",
                     *instance, row.name),
            psprintf("The registered instance is " INT64_FORMAT ".", row.instance),
            "Leave the instance out to end whichever is registered.");
}

Datum deregister_worker(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("deregister_worker()");
  const std::string_view name = worker_argument(fcinfo);
  const auto instance = pg::optional_bigint(fcinfo, 1, "instance", 1);
  core::MemberRow row;
  if (!lock_own_worker(name, &row)) return BoolGetDatum(false);
  check_instance(row, instance);
  store::delete_worker(row);
  return BoolGetDatum(true);
}

Datum drain_worker(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("drain_worker()");
  const std::string_view name = worker_argument(fcinfo);
  const int64 span = pg::required_interval(fcinfo, 1, "deadline", 0, kLongestDrain);
  const auto instance = pg::optional_bigint(fcinfo, 2, "instance", 1);
  core::MemberRow row;
  if (!lock_own_worker(name, &row))
    pg::raise(DW_UNKNOWN_OBJECT, psprintf("worker \"%s\" is not registered", pg::copy(name)),
              nullptr, "A worker that is not registered just stops claiming.");
  check_instance(row, instance);
  store::drain_worker(row, GetCurrentTimestamp() + span);
  const core::Index here = runtime::database();
  if (here == core::kNone) return Int32GetDatum(0);
  return Int32GetDatum(
      static_cast<int32>(runtime::dispatcher().leases_held(here, row.name, row.instance)));
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_register_worker_body(FunctionCallInfo fcinfo) {
  return dw::worker::register_worker(fcinfo);
}
extern "C" Datum dw_deregister_worker_body(FunctionCallInfo fcinfo) {
  return dw::worker::deregister_worker(fcinfo);
}
extern "C" Datum dw_drain_worker_body(FunctionCallInfo fcinfo) {
  return dw::worker::drain_worker(fcinfo);
}
