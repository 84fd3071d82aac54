/* Whether a setting was changed in the files that only a restart of the server takes up. */
#include "pg/headers.hpp"

#include "health/checks.hpp"

namespace dw::health {

namespace {

Finding look() {
  const char* names = nullptr;
  first_row(
      "SELECT string_agg(name || ' (in use: ' || setting || ')', ', ' ORDER BY name) FROM "
      "pg_settings WHERE pending_restart AND (name LIKE 'durable\\_work.%' OR name IN "
      "('shared_preload_libraries', 'max_worker_processes', 'max_connections', "
      "'max_prepared_transactions'))",
      &names, 1);
  if (names == nullptr) return ok("no setting waits for a restart");
  return warning(psprintf("changed since the server started: %s", names),
                 "Restart the server when it suits: until then it works with the old values.");
}

}  // namespace

const Check settings_check{"settings", Needs::memory, look};

}  // namespace dw::health
