/*
 * set_key_weight: how many jobs a key of a fair queue gets a round. The row of the table is what
 * counts, and memory follows at commit.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "key/key_argument.hpp"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/key_hash.hpp"
#include "store/key_weight.hpp"
#include "store/queue_hold.hpp"

namespace dw::key {

namespace {

uint32 weight_argument(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(2)) return 1;
  constexpr auto kMost = static_cast<int32>(core::kMostWeight);
  const int32 weight = PG_GETARG_INT32(2);
  if (weight < 1 || weight > kMost)
    pg::raise_invalid(psprintf("weight must be between 1 and %d, not %d", kMost, weight),
                      "It is how many jobs of the key are handed out a round.",
                      "Null or 1 removes it. A key that is to get nothing can be limited with "
                      "set_concurrency_limit.");
  return static_cast<uint32>(weight);
}

core::QueueId fair_queue(FunctionCallInfo fcinfo) {
  const store::QueueInfo& queue =
      store::require_queue(pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1),
                           store::Right::operate, false);
  if (queue.options.fair) return queue.id;
  pg::raise_invalid(psprintf("queue \"%s\" does not serve keys by turns", queue.name),
                    "Only in a queue with fairness by key has a key a share.",
                    "Use a queue made with fairness => 'key'.");
}

/* The table has what this transaction has written, memory what other databases have. Two sessions
 * that ask at the same time may both find room for one: then one of the keys counts as any other
 * until there is some. */
void require_room(core::QueueId queue, Datum key) {
  const store::KeyWeightRows rows = store::count_key_weights(queue, key);
  if (rows.has_key) return;
  if (rows.count < core::kMostWeightedKeys && runtime::dispatcher().has_room_for_weight()) return;
  pg::raise("53400", "too many keys have a weight",
            psprintf("There is room for %u of all queues of the server.", core::kMostWeightedKeys),
            "Take those away that nobody needs: set_key_weight with weight null. The view "
            "key_weights shows them.");
}

Datum set_key_weight(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const core::QueueId named = fair_queue(fcinfo);
  const std::string_view key = pg::required_text(fcinfo, 1, "partition_key", 0, kLongestKey);
  const uint32 weight = weight_argument(fcinfo);
  runtime::require_writable("set_key_weight()");
  store::hold_queue(named, true);
  /* It may have been dropped while this waited. */
  const core::QueueId queue = fair_queue(fcinfo);
  const Datum text = pg::text_datum(key);
  if (weight > 1) require_room(queue, text);
  store::write_key_weight(
      queue, text, core::KeyWeight{queue, store::key_hash(key), store::key_check(text), weight});
  return pg::void_result();
}

}  // namespace

}  // namespace dw::key

extern "C" Datum dw_set_key_weight_body(FunctionCallInfo fcinfo) {
  return dw::key::set_key_weight(fcinfo);
}
