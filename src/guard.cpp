// The one try/catch between C and C++.
//
// A body is a plain function of the shell. Three things can leave it:
//   - a server error: jumps over this frame, which has nothing to destroy;
//   - a C++ exception from core: ends here, its text is copied into the
//     caller's dw_failure, and C raises it once no C++ frame is left. Reporting
//     from inside the catch block would leak the exception object;
//   - pg::error_in_flight: a server error that pg::call() turned into unwinding.
//     Its report still lies on the server's error stack; C re-throws it.
//
// An exception may pass frames that had pointed the server's handler stack at
// themselves (pg::call, pg::subtransaction), so the stack is put back here.
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "core/failure.hpp"
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "durable_work/errors.h"
#include "pg/call.hpp"

namespace {

template <std::size_t Size>
void copy_text(char (&to)[Size], const char* from) noexcept {
  const std::size_t length = strnlen(from, Size - 1);
  std::memcpy(to, from, length);
  to[length] = '\0';
}

void fill(dw_failure* fail, const char* sqlstate, const char* message) noexcept {
  fail->server_error = false;
  copy_text(fail->sqlstate, sqlstate);
  copy_text(fail->message, message);
  fail->detail[0] = '\0';
  fail->hint[0] = '\0';
}

// Runs `body`; false when it threw.
template <typename Body>
bool contain(Body body, dw_failure* fail) {
  sigjmp_buf* const handler = PG_exception_stack;
  ErrorContextCallback* const context = error_context_stack;
  try {
    body();
    return true;
  } catch (const pg::error_in_flight&) {
    fill(fail, DW_INTERNAL_ERROR, "");
    fail->server_error = true;
  } catch (const dw::core::Failure& failure) {
    fill(fail, failure.sqlstate(), failure.message());
    copy_text(fail->detail, failure.detail_text());
    copy_text(fail->hint, failure.hint_text());
  } catch (const std::bad_alloc&) {
    fill(fail, DW_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& other) {
    fill(fail, DW_INTERNAL_ERROR, other.what());
  } catch (...) {
    fill(fail, DW_INTERNAL_ERROR, "unknown C++ exception in durable_work");
  }
  PG_exception_stack = handler;
  error_context_stack = context;
  return false;
}

}  // namespace

extern "C" bool dw_guard(dw_body body, FunctionCallInfo fcinfo, Datum* out, dw_failure* fail) {
  return contain([=] { *out = body(fcinfo); }, fail);
}

extern "C" bool dw_guard_plain(dw_plain_body body, void* argument, dw_failure* fail) {
  return contain([=] { body(argument); }, fail);
}
