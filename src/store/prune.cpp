// A job of parked goes when it has ended in every queue that sees it and each has kept it for its
// retention; one that no queue sees any more goes at once. Its outcomes go after it, a row when
// none of its jobs is left. A dead letter stays in parked as long as its row of dead_letter: a
// redrive gives that row another life, and must not meet somebody who is removing it.
//
// Expired keys and marks are found by reading the tables page by page: an index by time would cost
// each enqueue more than this costs in a day.
#include "store/prune.hpp"

#include <algorithm>

#include "pg/memory.hpp"
#include "store/catalog.hpp"
#include "store/job_row.hpp"
#include "store/statement.hpp"

namespace dw::store {

namespace {

constexpr BlockNumber kPagesAtOnce = 32;
constexpr int kJobsAtOnce = 200;

constexpr char kExpired[] =
    "DELETE FROM durable_work.%s WHERE ctid >= $1 AND ctid < $2 "
    "AND expires_at <= pg_catalog.clock_timestamp()";

// The next jobs that have outcomes, and of those the ones that are past their time.
constexpr char kParked[] =
    "WITH next AS MATERIALIZED (SELECT DISTINCT first_id FROM durable_work.parked_outcome "
    "WHERE first_id > $1 ORDER BY first_id LIMIT $2), "
    "member AS MATERIALIZED (SELECT member.* FROM durable_work.parked_outcome AS outcome "
    "CROSS JOIN LATERAL durable_work.outcome_members(outcome.first_id, outcome.last_id, "
    "outcome.body) AS member WHERE outcome.first_id > $1 "
    "AND outcome.first_id <= (SELECT max(first_id) FROM next)), "
    "ended AS (SELECT id, queue, max(at) AS at FROM member "
    "WHERE kind IN ('completed', 'cancelled', 'purged') GROUP BY id, queue), "
    "removed AS (DELETE FROM durable_work.parked AS job "
    "WHERE job.id IN (SELECT id FROM ended) "
    "AND NOT EXISTS (SELECT 1 FROM durable_work.dead_letter AS dead WHERE dead.job_id = job.id "
    "AND dead.topic = job.topic) "
    "AND NOT EXISTS (SELECT 1 FROM durable_work.queue AS queue WHERE queue.topic = job.topic "
    "AND NOT EXISTS (SELECT 1 FROM ended WHERE ended.id = job.id AND ended.queue = queue.id "
    "AND ended.at + queue.retention <= pg_catalog.clock_timestamp())) RETURNING 1) "
    "SELECT (SELECT max(first_id) FROM next), (SELECT count(*) FROM removed)";

// Outcomes of jobs that are no longer there, up to where kParked has come.
constexpr char kOrphans[] =
    "DELETE FROM durable_work.parked_outcome AS outcome "
    "WHERE outcome.first_id > $1 AND outcome.first_id <= $2 "
    "AND NOT EXISTS (SELECT 1 FROM durable_work.outcome_members(outcome.first_id, outcome.last_id, "
    "outcome.body) AS member JOIN durable_work.parked AS job ON job.id = member.id)";

// Jobs of queues that were dropped. A restore brings parked jobs before their queues, and sets the
// sequence after them.
constexpr char kUnseen[] =
    "WITH RECURSIVE seen (topic) AS (SELECT min(topic) FROM durable_work.parked UNION ALL "
    "SELECT (SELECT min(parked.topic) FROM durable_work.parked WHERE parked.topic > seen.topic) "
    "FROM seen WHERE seen.topic IS NOT NULL) "
    "DELETE FROM durable_work.parked AS job WHERE job.id IN (SELECT id FROM durable_work.parked "
    "WHERE topic = ANY (ARRAY(SELECT topic FROM seen WHERE seen.topic IS NOT NULL "
    "AND seen.topic <= (SELECT last_value FROM durable_work.topic_id_seq WHERE is_called) "
    "AND NOT EXISTS (SELECT 1 FROM durable_work.topic WHERE topic.id = seen.topic))) LIMIT $1)";

uint64 prune_expired(const char* table, Oid oid, PrunePosition* position, bool* end) {
  const Relation relation = table_open(oid, RowExclusiveLock);
  const BlockNumber blocks = RelationGetNumberOfBlocks(relation);
  table_close(relation, NoLock);
  *end = true;
  if (position->block >= blocks) return 0;
  const BlockNumber last = std::min(blocks, position->block + kPagesAtOnce);
  ItemPointerData bounds[2];
  bounds[0] = item_pointer(position->block, FirstOffsetNumber);
  bounds[1] = item_pointer(last, FirstOffsetNumber);
  const Oid types[] = {TIDOID, TIDOID};
  Datum values[] = {PointerGetDatum(&bounds[0]), PointerGetDatum(&bounds[1])};
  const uint64 removed = execute(psprintf(kExpired, table), types, values, "  ", ignore);
  position->block = last;
  *end = last >= blocks;
  return removed;
}

uint64 prune_parked(PrunePosition* position, bool* end) {
  const Oid types[] = {INT8OID, INT4OID};
  Datum values[] = {Int64GetDatum(position->after), Int32GetDatum(kJobsAtOnce)};
  core::JobId last = position->after;
  uint64 removed = 0;
  execute(kParked, types, values, "  ", [&last, &removed, end](uint64 row) {
    bool null = false;
    const Datum reached = column(row, 1, &null);
    *end = null;
    if (!null) last = DatumGetInt64(reached);
    removed = static_cast<uint64>(DatumGetInt64(number(row, 2)));
  });
  if (*end) return removed;
  CommandCounterIncrement();
  const Oid range_types[] = {INT8OID, INT8OID};
  Datum range[] = {Int64GetDatum(position->after), Int64GetDatum(last)};
  removed += execute(kOrphans, range_types, range, "  ", ignore);
  position->after = last;
  return removed;
}

uint64 prune_unseen() {
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(kJobsAtOnce)};
  return execute(kUnseen, types, values, " ", ignore);
}

}  // namespace

Pruned prune_some(PrunePosition* position, bool jobs) {
  bool end = false;
  uint64 removed = 0;
  switch (position->table) {
    case 0:
      removed = prune_expired("idempotency", tables().idempotency, position, &end);
      break;
    case 1:
      removed = prune_expired("handled", tables().handled, position, &end);
      break;
    case 2:
      removed = prune_unseen();
      end = removed == 0;
      break;
    default:
      end = true;
      if (jobs) removed = prune_parked(position, &end);
      break;
  }
  if (!end) return {removed, false};
  const int next = position->table + 1;
  const bool last = next > 3;
  *position = PrunePosition{};
  if (!last) position->table = next;
  return {removed, last};
}

}  // namespace dw::store
