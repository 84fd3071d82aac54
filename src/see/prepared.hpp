#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::see {

/* Which prepared transaction decides the job, as a sentence without an end; nullptr: none does. */
const char* prepared_decider(core::QueueId queue, core::JobId id);

/* The names of those that decide jobs of the queue, quoted, and how many jobs; nullptr: none does.
 */
const char* prepared_deciders(core::QueueRef queue, uint32* jobs);

}  // namespace dw::see
