/*
 * Prepared transactions of this database that hold tables of the extension and that nobody ends.
 * Their locks are found by the one on their own transaction: until a restart they still have the
 * virtual transaction of the session that prepared them.
 */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "see/words.hpp"

namespace dw::health {

namespace {

Finding look() {
  const char* columns[3] = {};
  first_row(
      "SELECT count(*), min(quote_literal(gid)) FILTER (WHERE place = 1), (extract(epoch FROM "
      "clock_timestamp() - min(prepared)) * 1000000)::bigint FROM (SELECT gid, prepared, "
      "row_number() OVER (ORDER BY prepared, gid) AS place FROM pg_prepared_xacts AS prepared "
      "WHERE "
      "database = current_database() AND prepared < clock_timestamp() - interval '10 min' AND "
      "EXISTS (SELECT FROM pg_locks AS own JOIN pg_locks AS lock ON lock.virtualtransaction = "
      "own.virtualtransaction JOIN pg_class AS class ON class.oid = lock.relation WHERE own.pid IS "
      "NULL AND own.transactionid = prepared.transaction AND lock.pid IS NULL AND lock.locktype = "
      "'relation' AND class.relnamespace = 'durable_work'::regnamespace)) AS waiting",
      columns, 3);
  if (columns[1] == nullptr) return ok("no prepared transaction waits for long");
  return warning(
      psprintf("%s prepared transactions hold tables of durable_work, the oldest, %s, for %s",
               columns[0], columns[1], see::duration(strtoi64(columns[2], nullptr, 10))),
      psprintf(
          "Jobs that they enqueued or decided wait for them. Ask who prepared it, then: COMMIT "
          "PREPARED %s; or ROLLBACK PREPARED %s;",
          columns[1], columns[1]));
}

}  // namespace

const Check prepared_check{"prepared", Needs::catalogs, look};

}  // namespace dw::health
