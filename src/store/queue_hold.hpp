// Heavyweight locks on a queue as a whole, until the transaction ends. Working, producing, pausing
// and altering take none of them.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::store {

// Keeps the queue from being dropped; false: somebody is dropping it, and `wait` is false.
bool hold_queue(core::QueueId queue, bool wait);
// Keeps it from being dropped or purged by others.
void hold_queue_for_purge(core::QueueId queue);
// Waits for all of the above.
void hold_queue_for_drop(core::QueueId queue);

}  // namespace dw::store
