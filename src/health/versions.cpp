/* Whether the library that is loaded and the SQL of this database are of one version. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "store/extension.hpp"

namespace dw::health {

namespace {

Finding look() {
  const store::InstalledExtension extension = store::installed_extension();
  if (extension.fits())
    return ok(psprintf("the library of version %s serves the extension of version %s", DW_VERSION,
                       extension.version));
  return critical(
      psprintf("the library is of version %s, the extension of version %s", DW_VERSION,
               extension.version),
      "After an upgrade of the files restart the server, then run ALTER EXTENSION durable_work "
      "UPDATE in each database that has it.");
}

}  // namespace

const Check versions_check{"versions", Needs::nothing, look};

}  // namespace dw::health
