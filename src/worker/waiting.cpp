#include <algorithm>
#include <climits>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "runtime/session.hpp"
#include "worker/waiting.hpp"

namespace dw::worker {

namespace {

// A queue whose slot is not made yet (the server starts) is looked for again after this time.
constexpr long kRetryMilliseconds = 100;

uint32 wait_event = 0;
// Since the last abort: only then there may be something to clean up.
bool has_slept = false;
bool callbacks_registered = false;

// While a session sleeps nothing else runs in it, so an abort means that the sleep was cut short,
// or that the session goes on without the claim it was woken for. Not guarded: calls only what
// cannot fail.
void leave_lists() {
  if (!has_slept) return;
  has_slept = false;
  const core::Index waiter = runtime::waiter();
  runtime::dispatcher().wait_end(waiter);
  runtime::dispatcher().pass_wake_on(waiter);
}

void on_transaction(XactEvent event, void* /*unused*/) {
  if (event == XACT_EVENT_ABORT) leave_lists();
}

void on_subtransaction(SubXactEvent event, SubTransactionId /*unused*/, SubTransactionId /*unused*/,
                       void* /*unused*/) {
  if (event == SUBXACT_EVENT_ABORT_SUB) leave_lists();
}

// Slots come and go; they are looked up in shared memory.
void find_slots(WaitedQueues* queues) {
  const core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Index database = runtime::database();
  queues->found = 0;
  if (database == core::kNone) return;
  for (uint32 i = 0; i < queues->count; i++) {
    const core::Index slot = dispatcher.find_queue(database, queues->ids[i]);
    if (slot != core::kNone) queues->slots[queues->found++] = dispatcher.queue_ref(slot);
  }
}

}  // namespace

void add_waited(WaitedQueues* queues, core::QueueId id) {
  for (uint32 i = 0; i < queues->count; i++) {
    if (queues->ids[i] == id) return;
  }
  queues->ids[queues->count++] = id;
}

void prepare_to_sleep() {
  if (wait_event == 0) wait_event = pg::new_wait_event("DurableWorkWait");
  if (callbacks_registered) return;
  RegisterXactCallback(on_transaction, nullptr);
  RegisterSubXactCallback(on_subtransaction, nullptr);
  callbacks_registered = true;
}

bool sleep_on_latch(TimestampTz end, long most_milliseconds) {
  const long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
  if (left <= 0) return false;
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
            std::min(left, most_milliseconds), wait_event);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
  return true;
}

Slept sleep_for_work(WaitedQueues* queues, TimestampTz end) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Index waiter = runtime::waiter();
  find_slots(queues);
  const bool complete = queues->found == queues->count;
  const long slice = complete ? LONG_MAX : kRetryMilliseconds;
  has_slept = true;
  if (!dispatcher.wait_begin(waiter, queues->slots, queues->found)) return Slept::woken;
  bool in_time = true;
  do {
    in_time = sleep_on_latch(end, slice);
  } while (in_time && complete && !dispatcher.woken(waiter));
  dispatcher.wait_end(waiter);
  if (dispatcher.woken(waiter)) return Slept::woken;
  return in_time ? Slept::not_ready : Slept::over;
}

}  // namespace dw::worker
