/* SQL functions of the extension itself. */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "runtime/epoch.hpp"
#include "runtime/session.hpp"
#include "store/extension.hpp"

namespace dw::runtime {

/*
 * durable_work.attach_database(): the last statement of the install script. The commit of CREATE
 * EXTENSION opens the database for claims at once; the housekeeper comes a moment later.
 */
extern "C" Datum dw_attach_database_body(FunctionCallInfo fcinfo) {
  if (!creating_extension)
    pg::raise(DW_WRONG_STATE, "attach_database() is called by CREATE EXTENSION only", nullptr,
              "There is nothing to do: it has been called when the extension was created.");
  /* CREATE EXTENSION ... VERSION of one that this library does not serve: what ALTER EXTENSION
   * UPDATE can mend need not fail. The housekeeper begins the numbering then. */
  const store::InstalledExtension extension = store::installed_extension();
  if (extension.is_here() && !extension.fits()) {
    store::report_misfit(WARNING, extension);
    return pg::void_result();
  }
  const int64 epoch = raise_epoch();
  if (!preloaded()) {
    pg::report(
        WARNING, DW_NOT_READY, "durable_work is not loaded at server start",
        "Its functions raise an error until then.",
        "Add shared_preload_libraries = 'durable_work' to postgresql.conf and restart the server.");
    return pg::void_result();
  }
  core::Transaction& open = transaction();
  open.reserve(1);
  open.note_attach(level(), MyDatabaseId, epoch, start_paused());
  (void)fcinfo;
  return pg::void_result();
}

/* durable_work.library_version(): of the library that is loaded, which after an upgrade of the
 * files may be older. */
extern "C" Datum dw_library_version_body(FunctionCallInfo) { return pg::text_datum(DW_VERSION); }

}  // namespace dw::runtime
