#include "core/types.hpp"

#include "pg/headers.hpp"

#include "runtime/process.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kFirstPause = 1 * core::kSecond;
constexpr int64 kLongestPause = 60 * core::kSecond;

void set_own(const char* name, const char* value) {
  /* A setting that this major does not have needs no value. */
  if (GetConfigOption(name, true, false) == nullptr) return;
  SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

}  // namespace

void start_worker_process() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
}

void use_own_settings(const char* application_name) {
  set_own("application_name", application_name);
  set_own("search_path", "pg_catalog, pg_temp");
  /* Flushes its own commits and waits for no standby. */
  set_own("synchronous_commit", "local");
  set_own("default_transaction_isolation", "read committed");
  set_own("default_transaction_read_only", "off");
  set_own("default_transaction_deferrable", "off");
  set_own("statement_timeout", "0");
  set_own("transaction_timeout", "0");
  set_own("idle_in_transaction_session_timeout", "0");
  set_own("idle_session_timeout", "0");
  set_own("lock_timeout", "1s");
  /* In a deadlock with somebody's DROP EXTENSION this process gives way: it tries again. */
  set_own("deadlock_timeout", "10ms");
}

bool shutdown_requested() {
  /* A lock timeout that came too late, or a cancel between steps, is nobody's. */
  QueryCancelPending = false;
  CHECK_FOR_INTERRUPTS();
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
  }
  return ShutdownRequestPending;
}

void sleep_for(int64 microseconds, uint32 wait_event) {
  const int64 milliseconds = Max(int64{0}, (microseconds + 999) / 1000);
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
            static_cast<long>(Min(milliseconds, int64{INT_MAX})), wait_event);
  ResetLatch(MyLatch);
}

bool is_due(const Phase& phase) { return platform().monotonic_now() >= phase.not_before; }

void note_success(Phase* phase) {
  if (phase->pause != 0) end_trouble(phase->database, phase->duty);
  phase->not_before = core::kAlways;
  phase->pause = 0;
}

void note_failure(Phase* phase) {
  phase->pause = phase->pause == 0 ? kFirstPause : Min(2 * phase->pause, kLongestPause);
  phase->not_before = platform().monotonic_now() + phase->pause;
  note_trouble(phase->database, phase->duty);
}

}  // namespace dw::runtime
