/* Whether claims are open: the epoch is raised and flushed after each start of the server. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"

namespace dw::health {

namespace {

Finding look() {
  const core::Database& database = runtime::arena()->databases[runtime::database()];
  if (database.state == core::DatabaseState::open)
    return ok(psprintf("lease tokens are given in epoch " INT64_FORMAT, database.epoch.get()));
  return critical("the epoch is not raised yet: claims return nothing",
                  "Nothing in the first seconds after a start. If this stays, see the rows "
                  "housekeeper and housekeeping.");
}

}  // namespace

const Check epoch_check{"epoch", Needs::slot, look};

}  // namespace dw::health
