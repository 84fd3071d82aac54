/*
 * What the launcher and the housekeepers have in common: signals, settings, sleep, and steps that
 * may fail.
 *
 * SIGTERM only asks: the loop looks at it between steps, and every step is short, because locks are
 * waited for one second at most and work is cut into pieces of about ten milliseconds.
 */
#pragma once

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/subtransaction.hpp"
#include "runtime/trouble.hpp"

namespace dw::runtime {

/* Signal handlers, then lets signals in. */
void start_worker_process();

/* Own values of settings that a user's or database's default must not change; after connecting. */
void use_own_settings(const char* application_name);

/* Between steps: server requests, configuration. True: shut down. */
bool shutdown_requested();

/* Sleeps until the latch is set; at most this long. Nothing is held while sleeping. */
void sleep_for(int64 microseconds, uint32 wait_event);

/* A phase of work that may fail: after a failure it pauses, each time longer, while other phases go
 * on. */
struct Phase {
  int64 not_before; /* monotonic */
  int64 pause;
  /* Where its trouble is shown; database kNone: nowhere. */
  core::Index database;
  Duty duty;
};
constexpr Phase new_phase(core::Index database, Duty duty) {
  return Phase{core::kAlways, 0, database, duty};
}
bool is_due(const Phase& phase);
void note_success(Phase* phase);
void note_failure(Phase* phase);

/*
 * Runs `function`, which may begin and end transactions itself. On an error: reports it at the
 * level that `level()` gives then, aborts whatever is open, false.
 */
template <typename Level, typename Function>
[[nodiscard]] bool protected_step(MemoryContext memory, Level level, Function function) {
  sigjmp_buf* const handler = PG_exception_stack;
  ErrorContextCallback* const context = error_context_stack;
  sigjmp_buf here;

  if (sigsetjmp(here, 0) != 0) {
    PG_exception_stack = handler;
    error_context_stack = context;
    HOLD_INTERRUPTS();
    MemoryContextSwitchTo(memory);
    ErrorData* const data = CopyErrorData();
    FlushErrorState();
    remember_error(data->sqlerrcode, data->message);
    AbortOutOfAnyTransaction();
    MemoryContextSwitchTo(memory);
    data->elevel = level();
    ThrowErrorData(data);
    FreeErrorData(data);
    RESUME_INTERRUPTS();
    return false;
  }

  PG_exception_stack = &here;
  pg::internal::run_guarded(function);
  PG_exception_stack = handler;
  error_context_stack = context;
  MemoryContextSwitchTo(memory);
  return true;
}

}  // namespace dw::runtime
