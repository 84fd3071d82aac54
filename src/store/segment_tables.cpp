#include <algorithm>

#include "core/dispatcher.hpp"
#include "core/known_slots.hpp"

#include "pg/headers.hpp"

#include "pg/call.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/segment_tables.hpp"
#include "store/statement.hpp"

namespace dw::store {

namespace {

constexpr char kBegin[] =
    "WITH old AS (DELETE FROM durable_work.segment WHERE slot = $1) "
    "INSERT INTO durable_work.segment (slot, first_id, opened_at) "
    "VALUES ($1, $2, pg_catalog.clock_timestamp())";
/* The first segment of a new database has no row until it is followed by another. */
constexpr char kRemember[] =
    "INSERT INTO durable_work.segment (slot, first_id, opened_at) "
    "SELECT $1, $2, pg_catalog.clock_timestamp() WHERE NOT EXISTS "
    "(SELECT 1 FROM durable_work.segment WHERE slot = $1)";
constexpr char kLastTopic[] = "SELECT last_value FROM durable_work.topic_id_seq WHERE is_called";
constexpr char kEnd[] = "DELETE FROM durable_work.segment WHERE slot = $1";
constexpr char kOpened[] = "SELECT max(opened_at) FROM durable_work.segment WHERE slot = $1";
constexpr char kList[] =
    "SELECT slot, min(first_id) FROM durable_work.segment WHERE slot BETWEEN 0 AND $1 - 1 "
    "GROUP BY slot ORDER BY 2";
constexpr char kFirstRow[] = "SELECT enqueued_at FROM durable_work.job_%d LIMIT $1";
/* Writers stay within 64 pages of the end, so the lowest id is on the first pages. */
constexpr char kLeastId[] =
    "SELECT min(id) FROM durable_work.job_%d WHERE ctid < '(65,0)'::pg_catalog.tid AND id >= $1";
constexpr char kTruncate[] = "TRUNCATE durable_work.job_%d, durable_work.outcome_%d";
constexpr char kLockHolder[] =
    "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND relation = ANY ($1) "
    "AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = "
    "pg_catalog.current_database()) AND granted AND pid <> pg_catalog.pg_backend_pid() "
    "ORDER BY pid LIMIT 1";
constexpr char kSnapshotHolder[] =
    "SELECT pid FROM pg_catalog.pg_stat_activity WHERE (datname = pg_catalog.current_database() "
    "OR datname IS NULL) AND backend_xmin IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() "
    "AND pg_catalog.age(backend_xmin) >= $1 ORDER BY pg_catalog.age(backend_xmin) DESC LIMIT 1";

/* Blocks of the sequence that skip_ids() draws at most: twice what a segment may lie ahead. */
constexpr int kMostDraws = 2 * 65536;

/* In a transaction of its own, for callers that have objects to destroy. */
template <typename Function>
auto in_transaction(bool with_snapshot, Function function) {
  return pg::call([with_snapshot, &function] {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    if (with_snapshot) PushActiveSnapshot(GetTransactionSnapshot());
    if constexpr (std::is_void_v<decltype(function())>) {
      function();
      if (with_snapshot) PopActiveSnapshot();
      CommitTransactionCommand();
    } else {
      const auto result = function();
      if (with_snapshot) PopActiveSnapshot();
      CommitTransactionCommand();
      return result;
    }
  });
}

void run(const char* statement, int32 slot) {
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(slot)};
  execute(statement, types, values, " ", ignore);
}

void run(const char* statement, int32 slot, core::JobId first) {
  const Oid types[] = {INT4OID, INT8OID};
  Datum values[] = {Int32GetDatum(slot), Int64GetDatum(first)};
  execute(statement, types, values, "  ", ignore);
}

uint64 bytes_of(Relation table) {
  uint64 blocks = RelationGetNumberOfBlocks(table);
  if (OidIsValid(table->rd_rel->reltoastrelid)) {
    const Relation toast = table_open(table->rd_rel->reltoastrelid, AccessShareLock);
    blocks += RelationGetNumberOfBlocks(toast);
    table_close(toast, AccessShareLock);
  }
  return blocks * BLCKSZ;
}

TimestampTz read_opened(uint8 segment) {
  TimestampTz at = 0;
  const auto read = [&at](uint64 row) {
    bool null = false;
    const Datum value = column(row, 1, &null);
    if (!null) at = DatumGetTimestampTz(value);
  };
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(segment)};
  execute(kOpened, types, values, " ", read);
  Datum one[] = {Int32GetDatum(1)};
  if (at == 0) execute(psprintf(kFirstRow, segment), types, one, " ", read);
  return at;
}

/* A process that holds a lock on one of the tables; 0: not known. */
int32 lock_holder(const Oid* relations, int n) {
  Datum oids[4];
  for (int i = 0; i < n; i++) oids[i] = ObjectIdGetDatum(relations[i]);
  const Oid types[] = {OIDARRAYOID};
  Datum values[] = {
      PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT))};
  int32 pid = 0;
  execute(kLockHolder, types, values, " ", [&pid](uint64 row) {
    bool null = false;
    const Datum value = column(row, 1, &null);
    if (!null) pid = DatumGetInt32(value);
  });
  return pid;
}

/* A toast table too: TRUNCATE locks it without a condition, and whoever vacuums it would make it
 * wait while it holds the log's table. */
int tables_of(uint8 segment, Oid* relations) {
  int n = 0;
  for (const Oid table : {tables().job[segment], tables().outcome[segment]}) {
    relations[n++] = table;
    HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "a table of the log is gone");
    const Oid toast = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->reltoastrelid;
    ReleaseSysCache(tuple);
    if (OidIsValid(toast)) relations[n++] = toast;
  }
  return n;
}

bool lock_all(const Oid* relations, int n, LOCKMODE mode) {
  for (int i = 0; i < n; i++)
    if (!ConditionalLockRelationOid(relations[i], mode)) return false;
  return true;
}

BlockNumber blocks_of(Oid relation) {
  const Relation table = table_open(relation, NoLock);
  const BlockNumber blocks = RelationGetNumberOfBlocks(table);
  table_close(table, NoLock);
  return blocks;
}

/* An index that was built on an empty table has a summary of its first range, and then every insert
 * there rewrites that. */
void forget_first_range(Oid relation) {
  const Relation table = table_open(relation, NoLock);
  List* const indexes = RelationGetIndexList(table);
  table_close(table, NoLock);
  ListCell* cell;
  foreach (cell, indexes) {
    const Relation index = index_open(lfirst_oid(cell), NoLock);
    const bool by_ranges = index->rd_rel->relam == BRIN_AM_OID;
    index_close(index, NoLock);
    if (by_ranges)
      DirectFunctionCall2(brin_desummarize_range, ObjectIdGetDatum(lfirst_oid(cell)),
                          Int64GetDatum(0));
  }
}

void truncate_segment(uint8 segment) {
  const Oid no_types[] = {INT4OID};
  Datum no_values[] = {Int32GetDatum(0)};
  execute(psprintf(kTruncate, segment, segment), no_types, no_values, " ", ignore);
  CommandCounterIncrement();
  forget_first_range(tables().job[segment]);
  forget_first_range(tables().outcome[segment]);
  run(kEnd, segment);
  core::Transaction& open = runtime::transaction();
  open.reserve(1);
  open.note_segment_emptied(runtime::level(), segment);
}

core::JobId open_ids_beyond(uint32 ahead) {
  const Oid sequence = tables().job_id_sequence;
  const core::JobId drawn = nextval_internal(sequence, false);
  HeapTuple const tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "sequence durable_work.job_id_seq is gone");
  const int64 increment = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple))->seqincrement;
  ReleaseSysCache(tuple);
  return drawn + std::max<int64>(increment, 1) * ahead;
}

core::JobId least_id(uint8 segment) {
  core::JobId least = core::kNever;
  const Oid types[] = {INT8OID};
  Datum values[] = {Int64GetDatum(PG_INT64_MIN)};
  execute(psprintf(kLeastId, segment), types, values, " ", [&least](uint64 row) {
    bool null = false;
    const Datum value = column(row, 1, &null);
    if (!null) least = DatumGetInt64(value);
  });
  return least;
}

/* kNever: it is not in use. */
core::JobId first_id_of(const core::SlotFacts (&slots)[core::kSegments], uint8 segment,
                        bool at_start) {
  switch (core::judge_slot(slots, segment, at_start)) {
    case core::SlotStanding::unused:
      return core::kNever;
    case core::SlotStanding::in_use:
      return slots[segment].first;
    case core::SlotStanding::only_announced:
      run(kEnd, segment);
      return core::kNever;
    case core::SlotStanding::without_row: {
      const core::JobId least = least_id(segment);
      /* While a restore goes on its row may still come. */
      if (at_start && least != core::kNever) run(kRemember, segment, least);
      return least;
    }
  }
  return core::kNever;
}

}  // namespace

std::int32_t SegmentTables::last_topic() {
  return in_transaction(true, [] {
    int64 last = 0;
    const Oid types[] = {INT4OID};
    Datum values[] = {Int32GetDatum(0)};
    execute(kLastTopic, types, values, " ",
            [&last](uint64 row) { last = DatumGetInt64(number(row, 1)); });
    return static_cast<std::int32_t>(last);
  });
}

core::SegmentFacts SegmentTables::facts(std::uint8_t segment) {
  Opened* const opened = &opened_[segment];
  const core::JobId first = dispatcher_->arena().databases[database_].first_id[segment].load();
  const bool known = opened->at != 0 && opened->first_id == first;
  return in_transaction(!known, [segment, opened, first, known] {
    const Relation jobs = table_open(tables().job[segment], AccessShareLock);
    const Relation outcomes = table_open(tables().outcome[segment], AccessShareLock);
    const core::SegmentFacts found{RelationGetNumberOfBlocks(jobs),
                                   bytes_of(jobs) + bytes_of(outcomes), 0};
    table_close(outcomes, NoLock);
    table_close(jobs, NoLock);
    if (!known) *opened = Opened{first, read_opened(segment)};
    core::SegmentFacts facts = found;
    facts.opened_at = opened->at != 0 ? opened->at : GetCurrentTimestamp();
    return facts;
  });
}

core::JobId SegmentTables::begin(std::uint8_t segment, std::uint32_t ahead) {
  core::Database* const database = &dispatcher_->arena().databases[database_];
  return in_transaction(true, [segment, ahead, database] {
    const Oid relations[] = {tables().job[segment], tables().outcome[segment]};
    if (!lock_all(relations, 2, ShareLock)) return core::JobId{0};
    for (const Oid relation : relations)
      if (blocks_of(relation) > 0) return core::JobId{0};
    const uint8 current = database->current_segment.load();
    run(kRemember, current, std::max<core::JobId>(database->first_id[current].load(), 0));
    const core::JobId first = open_ids_beyond(ahead);
    run(kBegin, segment, first);
    return first;
  });
}

void SegmentTables::skip_ids(core::JobId first) {
  in_transaction(true, [this, first] {
    const Oid sequence = tables().job_id_sequence;
    for (int i = 0; i < kMostDraws; i++) {
      CHECK_FOR_INTERRUPTS();
      const core::JobId id = nextval_internal(sequence, false);
      if (id < first) continue;
      dispatcher_->open_job_ids(database_, sequence, id, 1);
      return;
    }
  });
}

bool SegmentTables::make_quiet(std::uint8_t segment, std::int32_t* pid) {
  return in_transaction(true, [this, segment, pid] {
    const Oid table = tables().job[segment];
    if (!ConditionalLockRelationOid(table, ShareLock)) {
      *pid = lock_holder(&table, 1);
      return false;
    }
    dispatcher_->make_quiet(database_, segment);
    return true;
  });
}

std::uint64_t SegmentTables::now_in_transactions() {
  return pg::call([] { return U64FromFullTransactionId(ReadNextFullTransactionId()); });
}

bool SegmentTables::all_snapshots_behind(std::uint64_t point, std::int32_t* pid) {
  return in_transaction(false, [point, pid] {
    InvalidateCatalogSnapshot();
    const Relation table = table_open(tables().segment, AccessShareLock);
    InvalidateCatalogSnapshot();
    const TransactionId oldest = GetOldestNonRemovableTransactionId(table);
    table_close(table, AccessShareLock);
    const auto at = XidFromFullTransactionId(FullTransactionIdFromU64(point));
    if (TransactionIdFollowsOrEquals(oldest, at)) return true;
    PushActiveSnapshot(GetTransactionSnapshot());
    const Oid types[] = {INT4OID};
    const auto age = static_cast<int32>(XidFromFullTransactionId(ReadNextFullTransactionId()) - at);
    Datum values[] = {Int32GetDatum(age)};
    *pid = 0;
    execute(kSnapshotHolder, types, values, " ",
            [pid](uint64 row) { *pid = DatumGetInt32(number(row, 1)); });
    PopActiveSnapshot();
    return false;
  });
}

bool SegmentTables::empty(std::uint8_t segment, std::int32_t* pid) {
  const bool emptied = in_transaction(true, [segment, pid] {
    Oid relations[4];
    const int n = tables_of(segment, relations);
    *pid = 0;
    if (!lock_all(relations, n, AccessExclusiveLock)) {
      *pid = lock_holder(relations, n);
      return false;
    }
    truncate_segment(segment);
    return true;
  });
  /* Its tables are other files now. */
  if (emptied) pages_->forget_files_of(segment);
  return emptied;
}

void SegmentTables::relocate(std::uint8_t segment, const core::Straggler* jobs, std::size_t n,
                             core::Relocation* results) {
  in_transaction(true, [segment, jobs, n, results] { relocate_jobs(segment, jobs, n, results); });
}

void read_segments(core::Index database, bool at_start) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  core::SlotFacts slots[core::kSegments];
  std::fill(slots, slots + core::kSegments, core::SlotFacts{core::kNever, false});
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(core::kSegments)};
  execute(kList, types, values, " ", [&slots](uint64 row) {
    slots[DatumGetInt32(number(row, 1))].first = DatumGetInt64(number(row, 2));
  });
  for (uint8 segment = 0; segment < core::kSegments; segment++) {
    const Oid table = tables().job[segment];
    LockRelationOid(table, AccessShareLock);
    slots[segment].has_jobs = blocks_of(table) > 0;
  }
  bool any = false;
  for (uint8 segment = 0; segment < core::kSegments; segment++) {
    const core::JobId first = first_id_of(slots, segment, at_start);
    if (first == core::kNever) continue;
    dispatcher.know_segment(database, segment, first);
    any = true;
  }
  if (!any) dispatcher.begin_log(database);
}

}  // namespace dw::store
