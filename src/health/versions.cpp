/* Whether the library that is loaded and the SQL of this database are of one version. */
#include "pg/headers.hpp"

#include "health/checks.hpp"

namespace dw::health {

namespace {

Finding look() {
  const char* installed = nullptr;
  first_row("SELECT extversion FROM pg_extension WHERE extname = 'durable_work'", &installed, 1);
  if (installed != nullptr && strcmp(installed, DW_VERSION) == 0)
    return ok(psprintf("library and extension are of version %s", DW_VERSION));
  return warning(
      psprintf("the library is of version %s, the extension of version %s", DW_VERSION,
               installed == nullptr ? "unknown" : installed),
      "After an upgrade of the files restart the server, then run ALTER EXTENSION durable_work "
      "UPDATE in each database that has it.");
}

}  // namespace

const Check versions_check{"versions", Needs::nothing, look};

}  // namespace dw::health
