// wait_for_work: sleeps until one of some queues has a job, holding nothing.
//
// It is a procedure because only a procedure at top level may let go of the portal's snapshot:
// while it sleeps the session holds no snapshot and no transaction id, so vacuum is not held up by
// workers that have nothing to do. The sleeper hangs on the lists of its queues in shared memory
// and is woken by the commit that makes a job ready. A woken waiter owes a claim; if the procedure
// ends by an error instead, the abort callback takes it off the lists and passes the wake on.
#include <algorithm>
#include <climits>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

// A queue whose slot is not made yet (the server starts) is looked for again after this time.
constexpr long kRetryMilliseconds = 100;

uint32 wait_event = 0;
bool sleeping = false;
bool callback_registered = false;

// Not guarded: calls only what cannot fail.
void leave_lists(XactEvent event, void* /*unused*/) {
  if (!sleeping || event != XACT_EVENT_ABORT) return;
  sleeping = false;
  const core::Index waiter = runtime::waiter();
  runtime::dispatcher().wait_end(waiter);
  runtime::dispatcher().pass_wake_on(waiter);
}

[[noreturn]] void raise_in_transaction(const char* detail, const char* hint) {
  pg::raise(DW_ACTIVE_SQL_TRANSACTION, "wait_for_work cannot run inside a transaction block",
            detail, hint);
}

void require_no_transaction(FunctionCallInfo fcinfo) {
  const auto* const call = reinterpret_cast<const CallContext*>(fcinfo->context);
  if (call == nullptr || !IsA(call, CallContext) || call->atomic || IsInTransactionBlock(true))
    raise_in_transaction(
        "It sleeps, and an open transaction would hold back vacuum all that time.",
        "CALL it as a statement of its own, outside of BEGIN, functions and exception blocks.");
  if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || runtime::transaction().has_work())
    raise_in_transaction("The transaction has done work that is not committed.",
                         "COMMIT before waiting.");
  if (IsolationUsesXactSnapshot())
    raise_in_transaction("This isolation level keeps one snapshot for the whole transaction.",
                         "Use the isolation level READ COMMITTED for waiting.");
}

// After this the session has no snapshot; the portal knows that it has lost its own.
void drop_snapshots() {
  ForgetPortalSnapshots();
  InvalidateCatalogSnapshot();
}

struct Queues {
  core::QueueId ids[core::kMostWaitedQueues];
  core::QueueRef slots[core::kMostWaitedQueues];
  uint32 count;
  uint32 found;  // the first so many slots are known
};

Queues read_queues(FunctionCallInfo fcinfo) {
  const auto names = pg::required_array(fcinfo, 0, "queues", TEXTOID, core::kMostWaitedQueues);
  if (names.count == 0) pg::raise_invalid("queues must not be empty");
  Queues queues{};
  for (int i = 0; i < names.count; i++) {
    const core::QueueId id = store::require_queue(pg::text_view(names.required(i, "queues"))).id;
    bool repeated = false;
    for (uint32 k = 0; k < queues.count; k++) repeated = repeated || queues.ids[k] == id;
    if (!repeated) queues.ids[queues.count++] = id;
  }
  return queues;
}

// Slots come and go; they are looked up in shared memory, without the catalog and its snapshot.
void find_slots(Queues* queues) {
  const core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Index database = runtime::database();
  queues->found = 0;
  if (database == core::kNone) return;
  for (uint32 i = 0; i < queues->count; i++) {
    const core::Index slot = dispatcher.find_queue(database, queues->ids[i]);
    if (slot != core::kNone) queues->slots[queues->found++] = dispatcher.queue_ref(slot);
  }
}

// Sleeps until the latch says so or the time is over; false when it is over.
bool sleep_until(TimestampTz end, long most_milliseconds) {
  const long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
  if (left <= 0) return false;
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
            std::min(left, most_milliseconds), wait_event);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
  return true;
}

void wait(Queues* queues, int64 timeout) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Index waiter = runtime::waiter();
  const TimestampTz end = GetCurrentTimestamp() + timeout;
  if (!callback_registered) RegisterXactCallback(leave_lists, nullptr);
  callback_registered = true;
  bool waiting = true;
  while (waiting) {
    find_slots(queues);
    const bool complete = queues->found == queues->count;
    const long slice = complete ? LONG_MAX : kRetryMilliseconds;
    if (!dispatcher.wait_begin(waiter, queues->slots, queues->found)) return;
    sleeping = true;
    do {
      waiting = sleep_until(end, slice) && !dispatcher.woken(waiter);
    } while (waiting && complete);
    dispatcher.wait_end(waiter);
    sleeping = false;
    waiting = waiting && !dispatcher.woken(waiter);
  }
}

Datum wait_for_work(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("wait_for_work");
  require_no_transaction(fcinfo);
  const int64 timeout = pg::required_interval(fcinfo, 1, "timeout", 0, runtime::max_wait());
  Queues queues = read_queues(fcinfo);
  if (wait_event == 0) wait_event = pg::new_wait_event("DurableWorkWait");
  drop_snapshots();
  wait(&queues, timeout);
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_wait_for_work_body(FunctionCallInfo fcinfo) {
  return dw::worker::wait_for_work(fcinfo);
}
