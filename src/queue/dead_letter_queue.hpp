/*
 * The option dead_letter_queue: one queue's dead letters become jobs of another.
 *
 * create_queue and alter_queue tie queues together, drop_queue unties them. A tie is good only
 * together with all others (no circle, no end that is gone), so whoever makes or breaks one takes a
 * lock first that only they take, and looks at the table after that.
 */
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::queue {

/* Held until the transaction ends. Before any row of durable_work.queue is locked. */
void lock_ties();

/* Raises 22023 if the dead letters of `queue` would come back to it over `target`. */
void check_tie(core::QueueId queue, core::QueueId target);

/* The queues whose dead letters go to this one, as a list of names; nullptr: none. */
const char* sources_of(core::QueueId queue);

}  // namespace dw::queue
