// pg::call(): a server call below C++ objects with destructors.
//
// A server error is a longjmp and runs no destructor. Plain shell code has none
// to run and calls the server directly. Where an object with a destructor must
// live across a server call, the call goes through here: the jump ends in this
// frame and goes on as the exception pg::error_in_flight, which unwinds.
//
//   std::vector<Key> keys = ...;                       // file listed in ci/landing_pads_allowed
//   const int64 n = pg::call([&] { return count_rows(relation); });
//
// The error report stays on the server's own error stack; nothing is copied, and
// the final PG_RE_THROW in shim.c keeps SQLSTATE, DETAIL, HINT, CONTEXT, file and
// line. Therefore
//   - nobody but the guard catches error_in_flight;
//   - destructors that run under it call no server function.
// Costs about 3 ns more than a plain call (mask is not saved).
#pragma once

#include "pg/headers.hpp"

namespace pg {

// Marker: a server error waits on the server's error stack.
struct error_in_flight {};

template <typename Function>
auto call(Function function) -> decltype(function()) {
  using Result = decltype(function());
  static_assert(std::is_trivially_destructible_v<Function>,
                "capture by reference: the lambda itself is jumped over");
  static_assert(std::is_void_v<Result> || std::is_trivially_destructible_v<Result>,
                "return a plain value: the result is jumped over");

  sigjmp_buf* const handler = PG_exception_stack;
  ErrorContextCallback* const context = error_context_stack;
  const MemoryContext memory = CurrentMemoryContext;
  sigjmp_buf here;

  if (sigsetjmp(here, 0) != 0) {
    PG_exception_stack = handler;
    error_context_stack = context;
    MemoryContextSwitchTo(memory);
    throw error_in_flight{};
  }

  PG_exception_stack = &here;
  if constexpr (std::is_void_v<Result>) {
    function();
    PG_exception_stack = handler;
    error_context_stack = context;
  } else {
    const Result result = function();
    PG_exception_stack = handler;
    error_context_stack = context;
    return result;
  }
}

}  // namespace pg
