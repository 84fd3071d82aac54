// wait_for_work: sleeps until one of some queues has a job, holding nothing.
//
// It is a procedure because only a procedure at top level may let go of the portal's snapshot:
// while it sleeps the session holds no snapshot and no transaction id, so vacuum is not held up by
// workers that have nothing to do. A woken waiter owes a claim.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "worker/waiting.hpp"

namespace dw::worker {

namespace {

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

WaitedQueues read_queues(FunctionCallInfo fcinfo) {
  const auto names = pg::required_array(fcinfo, 0, "queues", TEXTOID, core::kMostWaitedQueues);
  if (names.count == 0) pg::raise_invalid("queues must not be empty");
  WaitedQueues queues{};
  for (int i = 0; i < names.count; i++)
    add_waited(&queues, store::require_queue(pg::text_view(names.required(i, "queues"))).id);
  return queues;
}

Datum wait_for_work(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("wait_for_work");
  require_no_transaction(fcinfo);
  const int64 timeout = pg::required_interval(fcinfo, 1, "timeout", 0, runtime::max_wait());
  WaitedQueues queues = read_queues(fcinfo);
  prepare_to_sleep();
  drop_snapshots();
  const TimestampTz end = GetCurrentTimestamp() + timeout;
  while (sleep_for_work(&queues, end) == Slept::not_ready) {
  }
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_wait_for_work_body(FunctionCallInfo fcinfo) {
  return dw::worker::wait_for_work(fcinfo);
}
