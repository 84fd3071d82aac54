/* Whether the library was loaded at server start; without that nothing works. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"

namespace dw::health {

namespace {

Finding look() {
  if (runtime::preloaded()) return ok("the library was loaded at server start");
  return critical(
      psprintf("shared_preload_libraries is '%s'",
               GetConfigOption("shared_preload_libraries", false, false)),
      "Add shared_preload_libraries = 'durable_work' to postgresql.conf and restart the server.");
}

}  // namespace

const Check preloaded_check{"preloaded", Needs::nothing, look};

}  // namespace dw::health
