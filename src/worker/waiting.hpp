// Sleeping until one of some queues has a job; what wait_for_work and claim's own wait share.
//
// The sleeper hangs on the lists of its queues in shared memory and is woken by the commit that
// makes a job ready. However the sleep ends, it leaves no link behind: if by an error, the abort
// callbacks take it off the lists.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::worker {

// Named by their numbers, so that their slots can be looked up without the catalog and a snapshot.
struct WaitedQueues {
  core::QueueId ids[core::kMostWaitedQueues];
  core::QueueRef slots[core::kMostWaitedQueues];
  uint32 count;
  uint32 found;  // the first so many slots are known
};

// One that is named twice counts once.
void add_waited(WaitedQueues* queues, core::QueueId id);

// To be called before the sleep, as it may need memory and the catalog.
void prepare_to_sleep();

enum class Slept : std::uint8_t {
  woken,      // one of the queues has work, has got a wake, or is gone
  not_ready,  // a queue has no place in memory yet; look at the queues again
  over,       // the time is
};

// A wake may come at the last moment, so a claim is due however the sleep ended. One that was woken
// and then fails passes the wake on.
Slept sleep_for_work(WaitedQueues* queues, TimestampTz end);

// Sleeps until the latch is set, at most so long and at most until `end`; false when that is over.
bool sleep_on_latch(TimestampTz end, long most_milliseconds);

}  // namespace dw::worker
