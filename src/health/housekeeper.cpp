/* Whether this database has its housekeeper, and why not. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "see/words.hpp"

namespace dw::health {

namespace {

bool is_present() {
  const core::Index slot = runtime::database();
  return slot != core::kNone && runtime::control()->housekeeper[slot].load() != runtime::kNoProcess;
}

/* A process is registered for this database, or is at work and not attached yet. */
bool is_coming() {
  return runtime::under_control_lock([] {
    for (const runtime::Desk& desk : runtime::control()->desks) {
      const bool occupied =
          desk.state == runtime::DeskState::starting || desk.state == runtime::DeskState::working;
      if (occupied && desk.database == MyDatabaseId) return true;
    }
    return false;
  });
}

Finding look() {
  if (is_present()) return ok("the housekeeper is running");
  const TimestampTz refused = runtime::control()->refused_since.load();
  if (refused != 0 && !is_coming()) {
    return critical(
        psprintf("there has been no free slot for a background worker for %s; max_worker_processes "
                 "is %s",
                 see::duration(Max(GetCurrentTimestamp() - refused, int64{0})),
                 GetConfigOption("max_worker_processes", false, false)),
        "Raise max_worker_processes by one for each database with the extension, plus three, and "
        "restart the server. When a slot becomes free before that, it is taken by itself.");
  }
  if (is_coming())
    return warning("the housekeeper is starting",
                   "Nothing, unless this stays; then the server's log says why.");
  return critical("the housekeeper is not running",
                  "If this stays, the server's log says why: one that ends with an error is "
                  "started again with pauses of up to a minute.");
}

}  // namespace

const Check housekeeper_check{"housekeeper", Needs::workers, look};

}  // namespace dw::health
