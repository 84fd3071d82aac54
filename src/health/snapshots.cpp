/*
 * The oldest snapshot that somebody holds in this database: what it can see must be kept, by vacuum
 * and by the log.
 */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "see/words.hpp"

namespace dw::health {

namespace {

constexpr int64 kOld = USECS_PER_HOUR;
constexpr int64 kVeryOld = USECS_PER_DAY;

Finding look() {
  const char* columns[4] = {};
  const bool found = first_row(
      "SELECT pid, (extract(epoch FROM clock_timestamp() - xact_start) * 1000000)::bigint, "
      "coalesce(nullif(application_name, ''), backend_type), state FROM pg_stat_activity WHERE "
      "datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND "
      "xact_start IS NOT NULL ORDER BY xact_start LIMIT 1",
      columns, 4);
  const int64 age = found ? strtoi64(columns[1], nullptr, 10) : 0;
  if (age < kOld) return ok("no snapshot is older than an hour");
  const char* const seen =
      psprintf("process %s (%s, %s) has held a snapshot for %s", columns[0], columns[2],
               columns[3] == nullptr ? "state unknown" : columns[3], see::duration(age));
  const char* const advice = psprintf(
      "While it does, dead rows stay and tables grow. Let it end its transaction, or end it: "
      "SELECT pg_terminate_backend(%s);",
      columns[0]);
  return age < kVeryOld ? warning(seen, advice) : critical(seen, advice);
}

}  // namespace

const Check snapshots_check{"snapshots", Needs::catalogs, look};

}  // namespace dw::health
