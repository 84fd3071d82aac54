#include <algorithm>
#include <climits>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "runtime/waiting.hpp"

namespace dw::runtime {

namespace {

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
  const core::Index self = waiter();
  dispatcher().sleep_as(self, nullptr);
  dispatcher().await_end(self);
  dispatcher().wait_end(self);
  dispatcher().pass_wake_on(self);
}

void on_transaction(XactEvent event, void* /*unused*/) {
  if (event == XACT_EVENT_ABORT) leave_lists();
}

void on_subtransaction(SubXactEvent event, SubTransactionId /*unused*/, SubTransactionId /*unused*/,
                       void* /*unused*/) {
  if (event == SUBXACT_EVENT_ABORT_SUB) leave_lists();
}

[[noreturn]] void raise_in_transaction(const char* procedure, const char* detail,
                                       const char* hint) {
  pg::raise(DW_ACTIVE_SQL_TRANSACTION,
            psprintf("%s cannot run inside a transaction block", procedure), detail, hint);
}

// Slots come and go; they are looked up in shared memory.
void find_slots(WaitedQueues* queues) {
  const core::Index here = database();
  queues->found = 0;
  if (here == core::kNone) return;
  for (uint32 i = 0; i < queues->count; i++) {
    const core::Index slot = dispatcher().find_queue(here, queues->ids[i]);
    if (slot != core::kNone) queues->slots[queues->found++] = dispatcher().queue_ref(slot);
  }
}

}  // namespace

void require_no_transaction(FunctionCallInfo fcinfo, const char* procedure) {
  const auto* const call = reinterpret_cast<const CallContext*>(fcinfo->context);
  if (call == nullptr || !IsA(call, CallContext) || call->atomic || IsInTransactionBlock(true))
    raise_in_transaction(
        procedure, "It sleeps, and an open transaction would hold back vacuum all that time.",
        "CALL it as a statement of its own, outside of BEGIN, functions and exception blocks.");
  if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || transaction().has_work())
    raise_in_transaction(procedure, "The transaction has done work that is not committed.",
                         "COMMIT before waiting.");
  if (IsolationUsesXactSnapshot())
    raise_in_transaction(procedure,
                         "This isolation level keeps one snapshot for the whole transaction.",
                         "Use the isolation level READ COMMITTED for waiting.");
}

/* A CALL that returns a row has its snapshot registered as well, for a row that points into tables;
 * a COMMIT inside of a procedure lets go of it in the same way. */
void drop_snapshots() {
  if (ActivePortal != nullptr && ActivePortal->holdSnapshot != nullptr) {
    UnregisterSnapshotFromOwner(ActivePortal->holdSnapshot, ActivePortal->resowner);
    ActivePortal->holdSnapshot = nullptr;
  }
  ForgetPortalSnapshots();
  InvalidateCatalogSnapshot();
}

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

namespace {

// A sign of life, too.
bool is_welcome(const core::MemberRef* member) {
  return member == nullptr || (dispatcher().note_seen(*member) && dispatcher().may_claim(*member));
}

}  // namespace

Slept sleep_for_work(WaitedQueues* queues, TimestampTz end) {
  if (queues->unknown)
    return sleep_on_latch(end, kRetryMilliseconds) ? Slept::not_ready : Slept::over;
  const core::Index self = waiter();
  find_slots(queues);
  const bool complete = queues->found == queues->count;
  long slice = complete ? LONG_MAX : kRetryMilliseconds;
  if (queues->registered)
    slice = std::min(slice, static_cast<long>(heartbeat_interval() / core::kMillisecond));
  const core::MemberRef* const member = queues->registered ? &queues->member : nullptr;
  has_slept = true;
  /* Before the look whether it may still claim. */
  dispatcher().sleep_as(self, member);
  if (!dispatcher().wait_begin(self, queues->slots, queues->found,
                               queues->owned_only ? member : nullptr)) {
    dispatcher().sleep_as(self, nullptr);
    return Slept::woken;
  }
  bool in_time = true;
  bool welcome = is_welcome(member);
  while (in_time && welcome) {
    in_time = sleep_on_latch(end, slice);
    welcome = is_welcome(member);
    if (!complete || dispatcher().woken(self)) break;
  }
  dispatcher().sleep_as(self, nullptr);
  dispatcher().wait_end(self);
  if (!welcome) return Slept::woken;
  if (dispatcher().woken(self)) return Slept::woken;
  return in_time ? Slept::not_ready : Slept::over;
}

bool begin_awaiting(core::JobId job) {
  const core::Index here = database();
  if (here == core::kNone) return false;
  has_slept = true;
  dispatcher().await_begin(waiter(), here, job);
  return true;
}

void end_awaiting() { dispatcher().await_end(waiter()); }

void await_again() { dispatcher().await_again(waiter()); }

bool sleep_for_end(TimestampTz end, long most_milliseconds) {
  const TimestampTz slice = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), most_milliseconds);
  while (!dispatcher().awaited_ended(waiter()) && GetCurrentTimestamp() < slice) {
    if (!sleep_on_latch(end, most_milliseconds)) return false;
  }
  return true;
}

}  // namespace dw::runtime
