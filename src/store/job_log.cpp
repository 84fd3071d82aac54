// Appending job rows.
//
// Rows go straight through the heap, without executor and SPI, because this is the whole cost of an
// enqueue. What the executor would have done and we do: lock, command id, TOAST (by the heap
// itself), index entries. What it would have checked (read-only transaction, rights) the callers
// check.
//
// Which segment: an id belongs to the one whose first id is the highest not above it; that is the
// current one but for ids taken just before a rotation. Its state is read again after its table is
// locked: a segment becomes quiet while its table is locked against writers, so whoever holds the
// lock and still reads the same may write to it until the transaction ends. A job whose segment
// may not be written, or that is enqueued before the database has its place in shared memory, goes
// to parked: that takes any id, and is where a look-up by id begins.
//
// Which page: one at the end, so that pages fill in the order in which the loader and the block
// range summaries take them; see tail_page.cpp.
//
// The segment's block range index: an entry is needed only where the range already has a summary.
// The range is looked up after the rows are on their pages, and the summariser puts down its
// placeholder before it reads the pages, so one of the two always sees the other. This is what the
// index itself does for every row; here it is done once for a run of rows.
#include <algorithm>

#include "core/dispatcher.hpp"
#include "pg/headers.hpp"

#include "pg/brin.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/job_log.hpp"
#include "store/job_row.hpp"
#include "store/key_hash.hpp"
#include "store/tail_page.hpp"

namespace dw::store {

namespace {

constexpr int kRowsPerChunk = 1000;
constexpr Size kBytesPerChunk = 64 * 1024;

// What is known of a segment's indexes until the server says that the table changed.
struct SegmentIndexes {
  Oid table;  // InvalidOid: nothing known
  Oid only;   // the block range index, if the table has just that one
  pg::BrinMap map;
};
SegmentIndexes segment_indexes[core::kSegments];

void forget_indexes(Datum /*unused*/, Oid relation) {
  for (SegmentIndexes& known : segment_indexes)
    if (relation == InvalidOid || known.table == relation || known.only == relation)
      known.table = InvalidOid;
}

// The block range index on id, if it is ready and the only index.
Oid only_index(Relation table) {
  List* const indexes = RelationGetIndexList(table);
  if (list_length(indexes) != 1) return InvalidOid;
  const Oid oid = linitial_oid(indexes);
  const Relation index = index_open(oid, RowExclusiveLock);
  const bool as_made = index->rd_rel->relam == BRIN_AM_OID && index->rd_index->indisready &&
                       index->rd_index->indnkeyatts == 1 &&
                       index->rd_index->indkey.values[0] == kJobId &&
                       heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr);
  index_close(index, NoLock);
  return as_made ? oid : InvalidOid;
}

SegmentIndexes& indexes_of(Relation table, uint8 segment) {
  static bool registered = false;
  SegmentIndexes& known = segment_indexes[segment];
  if (known.table == RelationGetRelid(table)) return known;
  if (!registered) {
    CacheRegisterRelcacheCallback(forget_indexes, Datum{0});
    registered = true;
  }
  known.only = only_index(table);
  known.table = RelationGetRelid(table);
  return known;
}

core::Database* database_slot() {
  const core::Index slot = runtime::database();
  return slot == core::kNone ? nullptr : &runtime::dispatcher().arena().databases[slot];
}

// Null while the database has no slot in shared memory.
uint32* tail_of(uint8 segment) {
  core::Database* const database = database_slot();
  return database == nullptr ? nullptr : &database->tail_block[segment];
}

// --- rows ---------------------------------------------------------------------------------------

bool is_delayed(const NewJob& job) {
  return job.has_available_at && job.available_at > job.enqueued_at;
}

HeapTuple form_row(TupleDesc description, const NewJob& job) {
  Datum values[kLastJobColumn];
  bool nulls[kLastJobColumn] = {};
  const auto put = [&](JobColumn column, bool present, Datum value) {
    values[column - 1] = present ? value : Datum{0};
    nulls[column - 1] = !present;
  };
  put(kJobId, true, Int64GetDatum(job.id));
  put(kJobEnqueuedAt, true, TimestampTzGetDatum(job.enqueued_at));
  put(kJobTopic, true, Int32GetDatum(job.topic));
  put(kJobKeyHash, true, Int32GetDatum(static_cast<int32>(job.key_hash)));
  put(kJobPriority, true, Int16GetDatum(job.priority));
  put(kJobMaxAttempts, job.max_attempts != 0, Int16GetDatum(job.max_attempts));
  put(kJobAvailableAt, is_delayed(job), TimestampTzGetDatum(job.available_at));
  put(kJobExpiresAt, job.has_expires_at, TimestampTzGetDatum(job.expires_at));
  put(kJobPartitionKey, job.has_partition_key, job.partition_key);
  put(kJobPayload, true, job.payload);
  put(kJobHeaders, job.has_headers, job.headers);
  return heap_form_tuple(description, values, nulls);
}

void fill_row(const NewJob& job, uint8 segment, const ItemPointerData& place, core::JobRow* row) {
  row->id = job.id;
  row->due = is_delayed(job) ? job.available_at : core::kAlways;
  row->queue = job.queue;
  row->key_hash = job.key_hash;
  row->key_check = job.has_partition_key ? key_check(job.partition_key) : 0;
  row->block = ItemPointerGetBlockNumber(&place);
  row->offset = ItemPointerGetOffsetNumber(&place);
  row->segment = segment;
  row->priority = static_cast<uint8>(job.priority);
  row->max_attempts = static_cast<uint16>(job.max_attempts);
  row->attempts = 0;
  row->expires_at = job.has_expires_at ? core::expiry_seconds(job.expires_at) : 0;
  row->has_room = false;
  row->enqueued_at = job.enqueued_at;
}

// --- segments -----------------------------------------------------------------------------------

bool is_writable(core::JobId id, uint8* segment) {
  const core::Index slot = runtime::database();
  // A transaction that made the extension anew has other tables than the slot knows of.
  if (slot == core::kNone || runtime::transaction().changes_database()) return false;
  *segment = runtime::dispatcher().segment_of(slot, id);
  return runtime::dispatcher().may_write(slot, *segment);
}

// Null: the job goes to parked.
Relation lock_segment(core::JobId id, uint8* segment) {
  while (is_writable(id, segment)) {
    const Oid table = tables().job[*segment];
    LockRelationOid(table, RowExclusiveLock);
    uint8 now = 0;
    if (is_writable(id, &now) && now == *segment && tables().job[now] == table)
      return relation_open(table, NoLock);
    UnlockRelationOid(table, RowExclusiveLock);
  }
  return nullptr;
}

// Entries for rows that are on their pages already.
void index_rows(Relation table, SegmentIndexes* indexes, const core::JobRow* rows, int n) {
  const Relation index = index_open(indexes->only, RowExclusiveLock);
  IndexInfo* info = nullptr;
  for (int i = 0; i < n;) {
    const pg::BrinRange range = pg::brin_range(index, rows[i].block, &indexes->map);
    for (; i < n && range.holds(rows[i].block); i++) {
      if (!range.summarised) continue;
      if (info == nullptr) {
        info = makeNode(IndexInfo);
        info->ii_Context = CurrentMemoryContext;
      }
      Datum value = Int64GetDatum(rows[i].id);
      bool null = false;
      ItemPointerData place = item_pointer(rows[i].block, rows[i].offset);
      index_insert(index, &value, &null, &place, table, UNIQUE_CHECK_NO, false, info);
    }
  }
  if (info != nullptr) index_insert_cleanup(index, info);
  index_close(index, NoLock);
}

// The server's own routine for rows that have been formed already. Named for catalogs, but good
// for every table without expression and partial indexes.
void insert_with_indexes(Relation table, uint8 segment, const NewJob* jobs, int n,
                         core::JobRow* rows) {
  const CatalogIndexState indexes = CatalogOpenIndexes(table);
  for (int i = 0; i < indexes->ri_NumIndices; i++) {
    const IndexInfo* const info = indexes->ri_IndexRelationInfo[i];
    if (info->ii_Expressions != NIL || info->ii_Predicate != NIL ||
        info->ii_ExclusionOps != nullptr)
      pg::raise(DW_FEATURE_NOT_SUPPORTED,
                psprintf("index \"%s\" on a table of durable_work is of a kind that enqueue cannot "
                         "keep up to date",
                         RelationGetRelationName(indexes->ri_IndexRelationDescs[i])),
                nullptr, "Drop the index.");
  }
  for (int i = 0; i < n; i++) {
    CHECK_FOR_INTERRUPTS();
    const HeapTuple row = form_row(RelationGetDescr(table), jobs[i]);
    CatalogTupleInsertWithInfo(table, row, indexes);
    fill_row(jobs[i], segment, row->t_self, &rows[i]);
    heap_freetuple(row);
  }
  CatalogCloseIndexes(indexes);
}

void append_one(Relation table, uint8 segment, const NewJob& job, core::JobRow* row) {
  const HeapTuple tuple = form_row(RelationGetDescr(table), job);
  uint32* const tail = tail_of(segment);
  if (tail != nullptr) aim_at_tail(table, tail, tuple->t_len);
  heap_insert(table, tuple, GetCurrentCommandId(true), HEAP_INSERT_SKIP_FSM, nullptr);
  fill_row(job, segment, tuple->t_self, row);
  heap_freetuple(tuple);
}

// heap_multi_insert wants slots only to take a tuple from and to write its address to; these are
// heap tuple slots that own a tuple, made without the arrays that reading columns would need.
struct SlotArray {
  HeapTupleTableSlot* slots;
  TupleTableSlot** pointers;

  explicit SlotArray(int n)
      : slots(pg::allocate_zeroed<HeapTupleTableSlot>(static_cast<Size>(n))),
        pointers(pg::allocate<TupleTableSlot*>(static_cast<Size>(n))) {
    for (int i = 0; i < n; i++) {
      pointers[i] = &slots[i].base;
      NodeSetTag(pointers[i], T_TupleTableSlot);
      *const_cast<const TupleTableSlotOps**>(&pointers[i]->tts_ops) = &TTSOpsHeapTuple;
    }
  }
  void put(int i, HeapTuple tuple) const {
    slots[i].base.tts_flags = TTS_FLAG_SHOULDFREE;
    slots[i].tuple = tuple;
  }
};

int append_chunk(Relation table, uint8 segment, const NewJob* jobs, int n, core::JobRow* rows,
                 const SlotArray& slots) {
  Size bytes = 0;
  int taken = 0;
  while (taken < n && taken < kRowsPerChunk && bytes < kBytesPerChunk) {
    const HeapTuple tuple = form_row(RelationGetDescr(table), jobs[taken]);
    slots.put(taken, tuple);
    bytes += tuple->t_len;
    taken++;
  }
  uint32* const tail = tail_of(segment);
  if (tail != nullptr) aim_at_tail(table, tail, slots.slots[0].tuple->t_len);
  heap_multi_insert(table, slots.pointers, taken, GetCurrentCommandId(true), HEAP_INSERT_SKIP_FSM,
                    nullptr);
  for (int i = 0; i < taken; i++) fill_row(jobs[i], segment, slots.pointers[i]->tts_tid, &rows[i]);
  return taken;
}

void append_many(Relation table, uint8 segment, const NewJob* jobs, int n, core::JobRow* rows) {
  const SlotArray slots(Min(n, kRowsPerChunk));
  const MemoryContext chunk = pg::new_context(CurrentMemoryContext, "durable_work job rows");
  for (int done = 0; done < n;) {
    done += pg::in_context(chunk, [&] {
      return append_chunk(table, segment, jobs + done, n - done, rows + done, slots);
    });
    MemoryContextReset(chunk);
  }
  MemoryContextDelete(chunk);
}

void insert_parked(const NewJob* jobs, int n, core::JobRow* rows) {
  const Relation table = relation_open(tables().job[core::kParkedSegment], RowExclusiveLock);
  insert_with_indexes(table, core::kParkedSegment, jobs, n, rows);
  relation_close(table, NoLock);
}

// Jobs that no segment takes. The loader finds a parked row by its due time, and a row has one only
// if it is later than the enqueue.
void park_at_once(const NewJob* jobs, int n, core::JobRow* rows) {
  for (int i = 0; i < n; i++) {
    NewJob job = jobs[i];
    if (!is_delayed(job)) {
      job.has_available_at = true;
      job.available_at = job.enqueued_at + 1;
    }
    insert_parked(&job, 1, &rows[i]);
  }
}

// Jobs that go to the same place as the first of them; returns how many that were.
int insert_run(const NewJob* jobs, int n, core::JobRow* rows) {
  uint8 segment = core::kParkedSegment;
  const Relation table = lock_segment(jobs[0].id, &segment);
  if (table == nullptr) {
    park_at_once(jobs, 1, rows);
    return 1;
  }
  int run = 1;
  while (run < n && segment_of(jobs[run].id) == segment) run++;
  SegmentIndexes& indexes = indexes_of(table, segment);
  if (indexes.only == InvalidOid) {
    insert_with_indexes(table, segment, jobs, run, rows);
  } else {
    if (run == 1)
      append_one(table, segment, jobs[0], rows);
    else
      append_many(table, segment, jobs, run, rows);
    index_rows(table, &indexes, rows, run);
  }
  uint32* const tail = tail_of(segment);
  if (tail != nullptr) raise_tail(tail, rows[run - 1].block);
  relation_close(table, NoLock);
  return run;
}

// The address of a job's row in parked.
bool find_parked(Relation table, core::JobId id, Snapshot snapshot, ItemPointer place) {
  ScanKeyData key;
  ScanKeyInit(&key, kJobId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
  const SysScanDesc scan = systable_beginscan(table, table->rd_pkindex,
                                              OidIsValid(table->rd_pkindex), snapshot, 1, &key);
  const HeapTuple row = systable_getnext(scan);
  const bool found = HeapTupleIsValid(row);
  if (found) *place = row->t_self;
  systable_endscan(scan);
  return found;
}

// --- numbers ------------------------------------------------------------------------------------

uint32 increment_of(Oid sequence) {
  HeapTuple const tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
  if (!HeapTupleIsValid(tuple)) return 1;
  const int64 increment = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple))->seqincrement;
  ReleaseSysCache(tuple);
  return static_cast<uint32>(std::clamp<int64>(increment, 1, core::kMostJobIds));
}

// The sequence stays locked against ALTER SEQUENCE until the transaction ends, so the increment is
// that of the number just taken. A sequence that this transaction made is not for others yet.
core::JobId open_block(Oid sequence) {
  for (;;) {
    CHECK_FOR_INTERRUPTS(); /* many rounds, if somebody has set the sequence back */
    const core::JobId id = nextval_internal(sequence, false);
    const core::Index slot = runtime::database();
    if (slot == core::kNone || runtime::transaction().changes_database()) return id;
    if (runtime::dispatcher().open_job_ids(slot, sequence, id, increment_of(sequence))) return id;
  }
}

}  // namespace

core::JobId next_job_id() {
  const Oid sequence = tables().job_id_sequence;
  const core::Index slot = runtime::database();
  if (slot != core::kNone) {
    const core::JobId id = runtime::dispatcher().take_job_id(slot, sequence);
    if (likely(id != 0)) return id;
  }
  return open_block(sequence);
}

void put_parked(const NewJob* jobs, int n, core::JobRow* rows, bool* was_there) {
  const Relation table = relation_open(tables().job[core::kParkedSegment], RowExclusiveLock);
  list_free(RelationGetIndexList(table));  // fills in rd_pkindex
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const CatalogIndexState indexes = CatalogOpenIndexes(table);
  for (int i = 0; i < n; i++) {
    CHECK_FOR_INTERRUPTS();
    const HeapTuple row = form_row(RelationGetDescr(table), jobs[i]);
    ItemPointerData place;
    was_there[i] = find_parked(table, jobs[i].id, snapshot, &place);
    if (was_there[i])
      CatalogTupleUpdateWithInfo(table, &place, row, indexes);
    else
      CatalogTupleInsertWithInfo(table, row, indexes);
    fill_row(jobs[i], core::kParkedSegment, row->t_self, &rows[i]);
    heap_freetuple(row);
  }
  CatalogCloseIndexes(indexes);
  UnregisterSnapshot(snapshot);
  relation_close(table, NoLock);
}

void remove_own_job(const core::JobRow& row) {
  const Relation table = relation_open(tables().job[row.segment], RowExclusiveLock);
  ItemPointerData place = item_pointer(row.block, row.offset);
  simple_heap_delete(table, &place);
  relation_close(table, NoLock);
}

uint8 segment_of(core::JobId id) {
  const core::Index slot = runtime::database();
  return slot == core::kNone ? core::kParkedSegment : runtime::dispatcher().segment_of(slot, id);
}

/* The housekeeper tells the dispatcher of an emptied slot before it lets its locks go. */
bool keep_slot(uint8 segment, core::JobId id) {
  if (segment == core::kParkedSegment) return true;
  LockRelationOid(tables().outcome[segment], RowExclusiveLock);
  return segment_of(id) == segment;
}

void insert_jobs(const NewJob* jobs, int n, core::JobRow* rows) {
  const int64 horizon = runtime::timer_horizon();
  const auto is_parked = [horizon](const NewJob& job) {
    return is_delayed(job) && job.available_at - job.enqueued_at > horizon;
  };
  for (int done = 0; done < n;) {
    const bool parked = is_parked(jobs[done]);
    int run = 1;
    while (done + run < n && is_parked(jobs[done + run]) == parked) run++;
    if (parked)
      insert_parked(jobs + done, run, rows + done);
    else
      run = insert_run(jobs + done, run, rows + done);
    done += run;
  }
}

}  // namespace dw::store
