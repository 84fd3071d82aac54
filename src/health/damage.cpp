/* Rows of the log that could not be read, and rows that were not where they were expected. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"

namespace dw::health {

namespace {

Finding look() {
  const core::Index slot = runtime::database();
  const uint64 damaged = runtime::control()->damaged_rows[slot].load();
  const uint64 moved = runtime::control()->quarantined[slot].load();
  if (damaged == 0 && moved == 0) return ok("no damaged row was met");
  const char* const seen =
      psprintf(UINT64_FORMAT " rows of outcomes could not be read, " UINT64_FORMAT
                             " jobs were not where they were expected",
               damaged, moved);
  if (damaged == 0)
    return warning(seen,
                   "They are looked for again, and nothing is lost. Has somebody changed or "
                   "rewritten a table of the schema durable_work by hand?");
  return critical(seen,
                  "An unreadable outcome counts as none, so its jobs may run again. Check the disk "
                  "(data checksums, pg_amcheck); keep a copy of the data directory before you "
                  "mend anything.");
}

}  // namespace

const Check damage_check{"damage", Needs::slot, look};

}  // namespace dw::health
