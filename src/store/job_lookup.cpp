// Reading job rows: by address for claims, by id for everything rare.
//
// By address: the dispatcher's entry proves that the row's transaction committed and that the row
// is still needed, so no snapshot is looked at and no hint bit set (under data checksums that
// would write WAL). The tables are locked only if that needs no waiting: whoever holds a stronger
// lock (TRUNCATE, VACUUM FULL) would stop every claim. A page is pinned and share-locked once for
// neighbouring jobs; rows are copied under the lock and read after it.
//
// By id: parked first, because a job that was moved there has a row in its old segment too; then
// the segment that its id belongs to, through the block range index; then the others, most of which
// are empty.
#include "core/dispatcher.hpp"
#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "store/job_log.hpp"
#include "store/job_row.hpp"
#include "store/key_hash.hpp"

namespace dw::store {

namespace {

// Fetched from the TOAST table, so that the value outlives its row; stays compressed.
Datum self_contained(Datum value) {
  const auto* const bytes = reinterpret_cast<varlena*>(DatumGetPointer(value));
  return VARATT_IS_EXTERNAL(bytes) ? PointerGetDatum(detoast_external_attr(
                                         reinterpret_cast<varlena*>(DatumGetPointer(value))))
                                   : value;
}

// The values of short columns are taken out of the row, the others stay in it.
void unpack(HeapTuple row, TupleDesc description, JobTuple* out) {
  Datum values[kLastJobColumn];
  bool nulls[kLastJobColumn];
  heap_deform_tuple(row, description, values, nulls);
  const auto has = [&](JobColumn column) { return !nulls[column - 1]; };
  const auto get = [&](JobColumn column) { return nulls[column - 1] ? 0 : values[column - 1]; };
  out->id = DatumGetInt64(get(kJobId));
  out->topic = DatumGetInt32(get(kJobTopic));
  out->key_hash = static_cast<uint32>(DatumGetInt32(get(kJobKeyHash)));
  out->priority = DatumGetInt16(get(kJobPriority));
  out->max_attempts = DatumGetInt16(get(kJobMaxAttempts));
  out->enqueued_at = DatumGetTimestampTz(get(kJobEnqueuedAt));
  out->has_available_at = has(kJobAvailableAt);
  out->available_at = DatumGetTimestampTz(get(kJobAvailableAt));
  out->has_expires_at = has(kJobExpiresAt);
  out->expires_at = DatumGetTimestampTz(get(kJobExpiresAt));
  out->has_partition_key = has(kJobPartitionKey);
  out->partition_key = has(kJobPartitionKey) ? self_contained(get(kJobPartitionKey)) : 0;
  out->payload = self_contained(get(kJobPayload));
  out->has_headers = has(kJobHeaders);
  out->headers = has(kJobHeaders) ? self_contained(get(kJobHeaders)) : 0;
}

}  // namespace

void unpack_copy(Relation table, uint8 segment, BlockNumber block, OffsetNumber offset,
                 HeapTupleHeader row, uint32 length, JobTuple* out) {
  HeapTupleData tuple;
  tuple.t_len = length;
  tuple.t_tableOid = RelationGetRelid(table);
  tuple.t_self = item_pointer(block, offset);
  tuple.t_data = row;
  unpack(&tuple, RelationGetDescr(table), out);
  out->block = block;
  out->offset = offset;
  out->segment = segment;
}

Relation open_id_index(Relation table) {
  List* const indexes = RelationGetIndexList(table);
  const ListCell* cell = nullptr;
  Relation found = nullptr;
  foreach (cell, indexes) {
    const Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    if (index->rd_rel->relam == BRIN_AM_OID && index->rd_index->indisvalid &&
        index->rd_index->indkey.values[0] == kJobId) {
      found = index;
      break;
    }
    index_close(index, AccessShareLock);
  }
  list_free(indexes);
  return found;
}

namespace {

HeapTupleHeader copy_row(Page page, ItemId item) {
  const Size length = ItemIdGetLength(item);
  char* const copy = pg::allocate<char>(length);
  std::memcpy(copy, PageGetItem(page, item), length);
  return reinterpret_cast<HeapTupleHeader>(copy);
}

// --- by address ---------------------------------------------------------------------------------

// One table of a batch of reads; opened at its first job.
struct Reader {
  Relation table;
  bool tried;
};

// How long a segment's file was when this process last looked, to save a system call for each
// claim. A segment's file only grows while rows in it are needed; parked is vacuumed, so its length
// is asked for each time.
struct KnownLength {
  pg::RelFileNumber file;
  BlockNumber blocks;
};
constinit KnownLength known_lengths[core::kStores]{};

void open_reader(Reader* reader, uint8 segment) {
  reader->tried = true;
  const Oid oid = tables().job[segment];
  if (!ConditionalLockRelationOid(oid, AccessShareLock)) return;
  if (tables().job[segment] != oid) {
    UnlockRelationOid(oid, AccessShareLock);
    return;
  }
  reader->table = relation_open(oid, NoLock);
}

bool block_exists(Relation table, uint8 segment, BlockNumber block) {
  KnownLength* const known = &known_lengths[segment];
  const pg::RelFileNumber file = pg::rel_file_number(table);
  if (segment != core::kParkedSegment && known->file == file && block < known->blocks) return true;
  known->blocks = RelationGetNumberOfBlocks(table);
  known->file = file;
  return block < known->blocks;
}

// Jobs of one page; at most MaxHeapTuplesPerPage of them.
void read_page(Relation table, const core::ClaimedJob* jobs, int n, JobTuple* tuples, bool* found) {
  HeapTupleHeader rows[MaxHeapTuplesPerPage];
  uint32 lengths[MaxHeapTuplesPerPage];

  const Buffer buffer = ReadBuffer(table, jobs[0].block);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  const auto last = static_cast<OffsetNumber>(PageGetMaxOffsetNumber(page));
  for (int i = 0; i < n; i++) {
    rows[i] = nullptr;
    if (jobs[i].offset < FirstOffsetNumber || jobs[i].offset > last) continue;
    const ItemId item = PageGetItemId(page, jobs[i].offset);
    if (!ItemIdIsNormal(item)) continue;
    if (stored_job_id(reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item))) != jobs[i].id)
      continue;
    lengths[i] = ItemIdGetLength(item);
    rows[i] = copy_row(page, item);
  }
  UnlockReleaseBuffer(buffer);

  for (int i = 0; i < n; i++) {
    found[i] = rows[i] != nullptr;
    if (found[i])
      unpack_copy(table, jobs[i].segment, jobs[i].block, jobs[i].offset, rows[i], lengths[i],
                  &tuples[i]);
  }
}

bool same_page(const core::ClaimedJob& a, const core::ClaimedJob& b) {
  return a.segment == b.segment && a.block == b.block;
}

// --- by id --------------------------------------------------------------------------------------

bool find_parked(core::JobId id, Snapshot snapshot, JobTuple* out) {
  const Relation table = relation_open(tables().job[core::kParkedSegment], AccessShareLock);
  list_free(RelationGetIndexList(table));  // fills in rd_pkindex
  ScanKeyData key;
  ScanKeyInit(&key, kJobId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
  const SysScanDesc scan = systable_beginscan(table, table->rd_pkindex,
                                              OidIsValid(table->rd_pkindex), snapshot, 1, &key);
  const HeapTuple row = systable_getnext(scan);
  const bool found = HeapTupleIsValid(row);
  if (found) {
    const HeapTuple copy = heap_copytuple(row);
    unpack_copy(table, core::kParkedSegment, ItemPointerGetBlockNumber(&row->t_self),
                ItemPointerGetOffsetNumber(&row->t_self), copy->t_data, copy->t_len, out);
  }
  systable_endscan(scan);
  relation_close(table, AccessShareLock);
  return found;
}

// Pages that may hold the id, in rising order.
template <typename Each>
void for_each_page_with(Relation index, core::JobId id, Snapshot snapshot, Each each) {
  ScanKeyData key;
  ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, INT8OID, InvalidOid, F_INT8EQ,
                         Int64GetDatum(id));
  TIDBitmap* const pages = tbm_create(work_mem * 1024L, nullptr);
  const IndexScanDesc scan = pg::begin_bitmap_scan(index, snapshot, 1);
  index_rescan(scan, &key, 1, nullptr, 0);
  index_getbitmap(scan, pages);
  index_endscan(scan);
  pg::for_each_bitmap_block(pages, each);
  tbm_free(pages);
}

bool find_on_page(Relation table, uint8 segment, BlockNumber block, core::JobId id,
                  Snapshot snapshot, JobTuple* out) {
  CHECK_FOR_INTERRUPTS();
  HeapTupleHeader row = nullptr;
  uint32 length = 0;
  OffsetNumber offset = FirstOffsetNumber;
  const Buffer buffer = ReadBuffer(table, block);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  const auto last = static_cast<OffsetNumber>(PageGetMaxOffsetNumber(page));
  for (; offset <= last; offset = static_cast<OffsetNumber>(offset + 1)) {
    const ItemId item = PageGetItemId(page, offset);
    if (!ItemIdIsNormal(item)) continue;
    HeapTupleData tuple;
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    if (stored_job_id(tuple.t_data) != id) continue;
    tuple.t_len = ItemIdGetLength(item);
    tuple.t_tableOid = RelationGetRelid(table);
    tuple.t_self = item_pointer(block, offset);
    if (!HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer)) continue;
    length = tuple.t_len;
    row = copy_row(page, item);
    break;
  }
  UnlockReleaseBuffer(buffer);
  if (row != nullptr) unpack_copy(table, segment, block, offset, row, length, out);
  return row != nullptr;
}

bool find_in_segment(core::JobId id, uint8 segment, Snapshot snapshot, JobTuple* out) {
  const Relation table = relation_open(tables().job[segment], AccessShareLock);
  const Relation index = open_id_index(table);
  const BlockNumber blocks = RelationGetNumberOfBlocks(table);
  bool found = false;
  const auto look = [&](BlockNumber block) {
    if (!found && block < blocks) found = find_on_page(table, segment, block, id, snapshot, out);
  };
  if (index != nullptr) {
    for_each_page_with(index, id, snapshot, look);
    index_close(index, AccessShareLock);
  } else {
    for (BlockNumber block = 0; block < blocks && !found; block++) look(block);
  }
  relation_close(table, AccessShareLock);
  return found;
}

}  // namespace

core::JobRow job_row(const JobTuple& job, core::QueueId queue) {
  core::JobRow row{};
  row.id = job.id;
  row.due = job.has_available_at ? job.available_at : core::kAlways;
  row.queue = queue;
  row.key_hash = job.key_hash;
  row.key_check = job.has_partition_key ? key_check(job.partition_key) : 0;
  row.block = job.block;
  row.offset = job.offset;
  row.segment = job.segment;
  row.priority = static_cast<std::uint8_t>(job.priority);
  row.max_attempts = static_cast<std::uint16_t>(job.max_attempts);
  row.expires_at = job.has_expires_at ? core::expiry_seconds(job.expires_at) : 0;
  return row;
}

void read_jobs(const core::ClaimedJob* jobs, int n, JobTuple* tuples, bool* found) {
  Reader readers[core::kStores] = {};
  for (int i = 0; i < n;) {
    int run = 1;
    while (i + run < n && run < MaxHeapTuplesPerPage && same_page(jobs[i], jobs[i + run])) run++;
    const uint8 segment = jobs[i].segment;
    Reader* const reader = &readers[segment];
    if (!reader->tried) open_reader(reader, segment);
    if (reader->table != nullptr && block_exists(reader->table, segment, jobs[i].block))
      read_page(reader->table, jobs + i, run, tuples + i, found + i);
    else
      std::memset(found + i, 0, static_cast<Size>(run) * sizeof(bool));
    i += run;
  }
  for (const Reader& reader : readers)
    if (reader.table != nullptr) relation_close(reader.table, AccessShareLock);
}

bool find_job(core::JobId id, JobTuple* tuple) {
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const uint8 expected = segment_of(id);
  bool found = find_parked(id, snapshot, tuple) ||
               (expected != core::kParkedSegment && find_in_segment(id, expected, snapshot, tuple));
  // On a standby, and for rows that somebody brought from elsewhere.
  for (uint8 segment = 0; segment < core::kSegments && !found; segment++)
    if (segment != expected) found = find_in_segment(id, segment, snapshot, tuple);
  UnregisterSnapshot(snapshot);
  return found;
}

}  // namespace dw::store
