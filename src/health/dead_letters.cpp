/* Whether jobs have become dead letters lately. Reads one entry of an index for each queue, and
 * counts a few. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "see/words.hpp"

namespace dw::health {

namespace {

Finding look() {
  const char* columns[3] = {};
  const bool found = first_row(
      "SELECT (SELECT count(*) FROM (SELECT FROM durable_work.dead_letter LIMIT 1001) AS first), "
      "newest.name, (extract(epoch FROM clock_timestamp() - newest.dead_at) * 1000000)::bigint "
      "FROM "
      "(SELECT queue.name, latest.dead_at FROM durable_work.queue AS queue CROSS JOIN LATERAL "
      "(SELECT "
      "dead.dead_at FROM durable_work.dead_letter AS dead WHERE dead.queue = queue.id ORDER BY "
      "dead.dead_at DESC LIMIT 1) AS latest ORDER BY latest.dead_at DESC LIMIT 1) AS newest",
      columns, 3);
  if (!found) return ok("there are no dead letters");
  const int64 kept = strtoi64(columns[0], nullptr, 10);
  const int64 age = strtoi64(columns[2], nullptr, 10);
  const char* const number = kept > 1000 ? "more than 1000" : columns[0];
  const char* const seen = psprintf("%s kept; the last job died in \"%s\" %s ago", number,
                                    columns[1], see::duration(Max(age, int64{0})));
  if (age > USECS_PER_DAY) return ok(seen);
  return warning(seen,
                 "SELECT queue, reason, count(*) FROM durable_work.dead_letters GROUP BY 1, 2; "
                 "mend the cause, then redrive() or discard_dead_letter() them.");
}

}  // namespace

const Check dead_letters_check{"dead_letters", Needs::nothing, look};

}  // namespace dw::health
