// The only places that stop a server error.
//
// pg::subtransaction(report, f)  runs f in a subtransaction of the transaction
//   that is open. True: f's work is kept. False: f failed, its work is rolled
//   back, the session is usable, *report says what happened.
// pg::transaction(report, f)  the same with a transaction of its own, for
//   background workers (none may be open). A failure is also written to the log.
//
// Both take C++ exceptions too: f runs under the guard, and what it throws is
// turned into a server error first. Neither stops a cancel or a shutdown:
// subtransaction() passes these on, when it is rolled back: the statement began
// it, and the session could not end what is left open of it; in a worker FATAL
// never comes back at all.
//
// f keeps plain frames like all shell code. `report` lies in the context that
// was current at the call (transaction(): in TopMemoryContext's child `memory`).
#pragma once

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/call.hpp"
#include "pg/error.hpp"

namespace pg {

// What went wrong, copied out of the server's error stack. Plain; texts may be null.
struct error_report {
  int sqlstate;  // packed, as ERRCODE_...
  const char* message;
  const char* detail;
  const char* hint;
  const char* context;

  [[nodiscard]] bool is(const char* state) const { return sqlstate == pg::sqlstate(state); }
};

namespace internal {

// Runs f under the guard; a C++ exception continues as a server error.
template <typename Function>
void run_guarded(Function& function) {
  dw_failure failure;
  const bool done =
      dw_guard_plain([](void* argument) { (*static_cast<Function*>(argument))(); },
                     const_cast<void*>(static_cast<const void*>(&function)), &failure);
  if (!done) dw_raise_failure(&failure);
}

// Cancels and shutdowns must reach the top.
inline bool must_pass(int state) {
  return state == ERRCODE_QUERY_CANCELED || state == ERRCODE_ADMIN_SHUTDOWN ||
         state == ERRCODE_CRASH_SHUTDOWN || state == ERRCODE_CANNOT_CONNECT_NOW ||
         state == ERRCODE_DATABASE_DROPPED || state == ERRCODE_IDLE_SESSION_TIMEOUT;
}

inline error_report report_of(const ErrorData* data) {
  return {data->sqlerrcode, data->message, data->detail, data->hint, data->context};
}

// Takes the error off the server's error stack; copies live in `memory`.
inline error_report take_error(MemoryContext memory) {
  MemoryContextSwitchTo(memory);
  const ErrorData* const data = CopyErrorData();
  FlushErrorState();
  return report_of(data);
}

}  // namespace internal

template <typename Function>
[[nodiscard]] bool subtransaction(error_report* report, Function function) {
  static_assert(std::is_trivially_destructible_v<Function>);

  sigjmp_buf* const handler = PG_exception_stack;
  ErrorContextCallback* const context = error_context_stack;
  const MemoryContext memory = CurrentMemoryContext;
  const ResourceOwner owner = CurrentResourceOwner;
  sigjmp_buf here;

  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(memory);

  if (sigsetjmp(here, 0) != 0) {
    PG_exception_stack = handler;
    error_context_stack = context;
    MemoryContextSwitchTo(memory);
    ErrorData* const error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(memory);
    CurrentResourceOwner = owner;
    if (internal::must_pass(error->sqlerrcode)) ReThrowError(error);
    *report = internal::report_of(error);
    return false;
  }

  PG_exception_stack = &here;
  internal::run_guarded(function);
  ReleaseCurrentSubTransaction();
  PG_exception_stack = handler;
  error_context_stack = context;
  MemoryContextSwitchTo(memory);
  CurrentResourceOwner = owner;
  return true;
}

// `memory` is a long-lived context of the worker (not CurTransactionContext).
// No snapshot is pushed; a log line is written for a failure at level `level`.
template <typename Function>
[[nodiscard]] bool transaction(error_report* report, MemoryContext memory, int level,
                               Function function) {
  static_assert(std::is_trivially_destructible_v<Function>);

  sigjmp_buf* const handler = PG_exception_stack;
  ErrorContextCallback* const context = error_context_stack;
  sigjmp_buf here;

  if (sigsetjmp(here, 0) != 0) {
    PG_exception_stack = handler;
    error_context_stack = context;
    HOLD_INTERRUPTS();
    *report = internal::take_error(memory);
    AbortOutOfAnyTransaction();
    MemoryContextSwitchTo(memory);
    RESUME_INTERRUPTS();
    if (errstart(level, TEXTDOMAIN)) {
      errcode(report->sqlstate);
      errmsg_internal("%s", report->message != nullptr ? report->message : "missing error text");
      if (report->detail != nullptr) errdetail_internal("%s", report->detail);
      if (report->hint != nullptr) errhint("%s", report->hint);
      if (report->context != nullptr) errcontext("%s", report->context);
      errfinish(__FILE__, __LINE__, __func__);
    }
    return false;
  }

  PG_exception_stack = &here;
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  internal::run_guarded(function);
  CommitTransactionCommand();
  PG_exception_stack = handler;
  error_context_stack = context;
  MemoryContextSwitchTo(memory);
  return true;
}

}  // namespace pg
