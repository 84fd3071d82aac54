// How large a payload may be.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::store {

// Of a jsonb document before compression, with its header, as pg_column_size says of a value that
// is not stored yet. Read from headers and toast pointers: nothing is fetched or decompressed.
int64 stored_size(Datum document);

// Raises 22023 for a payload that is larger than the queue takes.
void check_payload(core::QueueId queue, int64 max_payload, Datum payload);

}  // namespace dw::store
