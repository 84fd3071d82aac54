// Sleeping until one of some queues has a job, or until a job has ended; what wait_for_work,
// claim's own wait and wait_for_job share.
//
// The sleeper hangs on lists in shared memory and is woken by the commit that it waits for. However
// the sleep ends, it leaves no link behind: if by an error, the abort callbacks take it off the
// lists.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::runtime {

// Named by their numbers, so that their slots can be looked up without the catalog and a snapshot.
struct WaitedQueues {
  core::QueueId ids[core::kMostWaitedQueues];
  core::QueueRef slots[core::kMostWaitedQueues];
  uint32 count;
  uint32 found;  // the first so many slots are known
  // Who waits, if it is a registered worker: it is alive meanwhile, and does not go on waiting when
  // it is to drain. owned_only: only jobs of its buckets end the sleep.
  bool registered;
  bool owned_only;
  // The server is starting, and whose registration this is is not known yet.
  bool unknown;
  core::MemberRef member;
};

// One that is named twice counts once.
void add_waited(WaitedQueues* queues, core::QueueId id);

// What has no place in memory yet (the server starts) is looked for again after this time.
constexpr long kRetryMilliseconds = 100;

// For procedures that hold nothing while they sleep. Raises 25001 inside of a transaction block, a
// function or a transaction that has done something.
void require_no_transaction(FunctionCallInfo fcinfo, const char* procedure);
// After this the session has no snapshot; the portal knows that it has lost its own.
void drop_snapshots();

// To be called before the first sleep, as it may need memory and the catalog.
void prepare_to_sleep();

enum class Slept : std::uint8_t {
  woken,      // one of the queues has work, has got a wake, or is gone
  not_ready,  // a queue has no place in memory yet, or the worker; look at them again
  over,       // the time is
};

// A wake may come at the last moment, so a claim is due however the sleep ended. One that was woken
// and then fails passes the wake on.
Slept sleep_for_work(WaitedQueues* queues, TimestampTz end);

// From here the end of the job ends the sleep of this process; to be called before the log is read.
// False: the database has no place in memory yet.
bool begin_awaiting(core::JobId job);
void end_awaiting();
// Before the log is read again.
void await_again();
// Sleeps until the job may have ended, at most so long and at most until `end`; false when that is
// over.
bool sleep_for_end(TimestampTz end, long most_milliseconds);

// Sleeps until the latch is set, at most so long and at most until `end`; false when that is over.
bool sleep_on_latch(TimestampTz end, long most_milliseconds);

}  // namespace dw::runtime
