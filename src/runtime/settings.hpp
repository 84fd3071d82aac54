/* Settings that only the runtime reads; the others are in session.hpp. */
#pragma once

#include "pg/headers.hpp"

namespace dw::runtime {

/* Entries in the arena. */
uint32 max_resident_jobs();

/* Of the log's segments; microseconds and bytes. */
int64 segment_max_age();
uint64 segment_max_size();
int64 truncate_grace();

/* Microseconds; 0: clients that listen are not told of work. */
int64 notify_interval();

}  // namespace dw::runtime
