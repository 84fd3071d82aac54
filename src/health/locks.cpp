/*
 * Open transactions that hold locks on tables of the extension: for long, or of a kind that keeps
 * enqueues and completions out.
 */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "see/words.hpp"

namespace dw::health {

namespace {

Finding look() {
  const char* columns[5] = {};
  const bool found = first_row(
      "SELECT pid, relation, mode, age, strong FROM (SELECT DISTINCT ON (lock.pid) lock.pid, "
      "class.relname AS relation, lock.mode, (extract(epoch FROM clock_timestamp() - "
      "activity.xact_start) * 1000000)::bigint AS age, lock.mode IN ('ShareLock', "
      "'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') AS strong FROM pg_locks AS "
      "lock JOIN pg_class AS class ON class.oid = lock.relation JOIN pg_stat_activity AS activity "
      "ON activity.pid = lock.pid WHERE lock.locktype = 'relation' AND lock.granted AND "
      "lock.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND "
      "class.relnamespace = 'durable_work'::regnamespace AND class.relkind = 'r' AND lock.pid <> "
      "pg_backend_pid() ORDER BY lock.pid, strong DESC, class.relname) AS holder WHERE age > CASE "
      "WHEN strong THEN 10 ELSE 600 END * 1000000::bigint ORDER BY strong DESC, age DESC LIMIT 1",
      columns, 5);
  if (!found) return ok("no transaction holds a table of durable_work for long");
  const char* const seen = psprintf(
      "process %s has held %s on durable_work.%s in a transaction that is open for %s", columns[0],
      columns[2], columns[1], see::duration(strtoi64(columns[3], nullptr, 10)));
  const bool strong = columns[4] != nullptr && columns[4][0] == 't';
  if (strong)
    return critical(seen, psprintf("Enqueues or completions wait for it. Let it end, or end it: "
                                   "SELECT pg_terminate_backend(%s);",
                                   columns[0]));
  return warning(seen, psprintf("What it has decided stays undecided. If nobody works in it any "
                                "more, end it: SELECT pg_terminate_backend(%s);",
                                columns[0]));
}

}  // namespace

const Check locks_check{"locks", Needs::catalogs, look};

}  // namespace dw::health
