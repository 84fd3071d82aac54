/* Whether there is a launcher, which sends the housekeepers. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/shared.hpp"

namespace dw::health {

namespace {

Finding look() {
  if (runtime::control()->launcher.load() != runtime::kNoProcess)
    return ok("the launcher is running");
  return critical(
      "the launcher is not running",
      psprintf("If this stays: max_worker_processes is %s, and other libraries may have taken all "
               "of it when the server started; its log says \"too many background workers\" then. "
               "Raise it and restart the server. Otherwise the log says why it ended.",
               GetConfigOption("max_worker_processes", false, false)));
}

}  // namespace

const Check launcher_check{"launcher", Needs::workers, look};

}  // namespace dw::health
