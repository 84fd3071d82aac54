#include "store/payload_limit.hpp"

#include "pg/datum.hpp"
#include "store/catalog.hpp"

namespace dw::store {

int64 stored_size(Datum document) { return static_cast<int64>(toast_raw_datum_size(document)); }

void check_payload(core::QueueId queue, int64 max_payload, Datum payload) {
  const int64 size = stored_size(payload);
  if (likely(size <= max_payload)) return;
  const QueueInfo* const info = find_queue_by_id(queue);
  pg::raise_invalid(
      "payload is too large",
      psprintf("It takes " INT64_FORMAT " bytes, queue \"%s\" takes at most " INT64_FORMAT ".",
               size, info != nullptr ? info->name : "", max_payload),
      "Store it elsewhere and enqueue a reference to it, or raise max_payload with "
      "durable_work.alter_queue.");
}

}  // namespace dw::store
