// Outcome rows. They are appended without a look at the free space map, always at the tail, and
// found through the block range index, which answers in whole pages.
//
// Pages: every process remembers the page it last wrote to. A process that comes back after others
// have filled further pages would put a new row far behind the tail, into a page range that the
// index may already have summed up. So the highest page is noted in the arena, without a lock, as a
// hint: whoever is behind it forgets its own and asks the relation for its last page.
#include <atomic>

#include "core/dispatcher.hpp"
#include "core/outcome_sum.hpp"

#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/outcome_log.hpp"

namespace dw::store {

namespace {

constexpr AttrNumber kFirstId = 1;
constexpr AttrNumber kLastId = 2;
constexpr AttrNumber kBody = 3;
constexpr AttrNumber kDetail = 4;
constexpr int kColumns = 4;

// --- writing ------------------------------------------------------------------------------------

uint32* tail_hint(uint8 segment) {
  if (!runtime::preloaded()) return nullptr;
  const core::Index database = runtime::database();
  if (database == core::kNone) return nullptr;
  return &runtime::dispatcher().arena().databases[database].outcome_tail[segment];
}

void forget_old_page(Relation relation, const uint32* hint) {
  if (hint == nullptr) return;
  const BlockNumber target = RelationGetTargetBlock(relation);
  if (target == InvalidBlockNumber) return;
  const uint32 tail =
      std::atomic_ref<uint32>(*const_cast<uint32*>(hint)).load(std::memory_order_relaxed);
  if (target < tail) RelationSetTargetBlock(relation, InvalidBlockNumber);
}

// Lost updates are harmless: the next writer raises it again.
void raise_hint(uint32* hint, BlockNumber block) {
  if (hint == nullptr) return;
  const std::atomic_ref<uint32> tail(*hint);
  if (tail.load(std::memory_order_relaxed) < block) tail.store(block, std::memory_order_relaxed);
}

void insert_index_entries(Relation relation, List* indexes, Datum* values, bool* nulls,
                          ItemPointer tid) {
  ListCell* cell = nullptr;
  foreach (cell, indexes) {
    const Relation index = index_open(lfirst_oid(cell), RowExclusiveLock);
    if (!index->rd_index->indisready) {
      /* Somebody is making it (REINDEX CONCURRENTLY): its file is empty, and it will be built from
       * what is in the table. */
      index_close(index, NoLock);
      continue;
    }
    IndexInfo* const info = makeNode(IndexInfo);
    info->ii_NumIndexAttrs = 1;
    info->ii_NumIndexKeyAttrs = 1;
    info->ii_IndexAttrNumbers[0] = kFirstId;
    info->ii_ReadyForInserts = true;
    info->ii_Am = index->rd_rel->relam;
    info->ii_Context = CurrentMemoryContext;
    index_insert(index, values, nulls, tid, relation, UNIQUE_CHECK_NO, false, info);
    index_insert_cleanup(index, info);
    index_close(index, NoLock);
  }
}

// --- reading ------------------------------------------------------------------------------------

struct Search {
  core::JobId first;
  core::JobId last;
  core::QueueId queue;  // 0: any
  bool details;
  void (*each)(const FoundOutcome& outcome, void* arg);
  void* arg;
};

// The members of this row that are asked for.
void take_row(const Search& search, TupleDesc description, HeapTuple tuple) {
  Datum values[kColumns];
  bool nulls[kColumns];
  heap_deform_tuple(tuple, description, values, nulls);
  const auto* const body =
      reinterpret_cast<const bytea*>(PG_DETOAST_DATUM_PACKED(values[kBody - 1]));
  core::OutcomeReader reader(DatumGetInt64(values[kFirstId - 1]), !nulls[kLastId - 1],
                             reinterpret_cast<const unsigned char*>(VARDATA_ANY(body)),
                             static_cast<std::size_t>(VARSIZE_ANY_EXHDR(body)));
  if (search.queue != 0 && reader.queue() != search.queue) return;
  core::OutcomeMember member;
  while (reader.next(&member)) {
    if (member.id < search.first || member.id > search.last) continue;
    FoundOutcome found{};
    found.kind = reader.kind();
    found.queue = reader.queue();
    found.id = member.id;
    found.token = member.token;
    found.attempt = member.attempt;
    found.at = reader.at();
    found.next_due = member.next_due;
    found.has_detail = search.details && !nulls[kDetail - 1];
    if (found.has_detail)
      found.detail = PointerGetDatum(PG_DETOAST_DATUM_COPY(values[kDetail - 1]));
    search.each(found, search.arg);
  }
}

bool covers(TupleDesc description, HeapTuple tuple, const Search& search) {
  bool none = false;
  const core::JobId first = DatumGetInt64(heap_getattr(tuple, kFirstId, description, &none));
  if (first >= search.first) return first <= search.last;
  const Datum last = heap_getattr(tuple, kLastId, description, &none);
  return !none && DatumGetInt64(last) >= search.first;
}

// Copies what matches, so that nothing of ours runs while the page is locked.
void take_page(const Search& search, Relation relation, Snapshot snapshot, BlockNumber block) {
  CHECK_FOR_INTERRUPTS();
  HeapTuple matches[MaxHeapTuplesPerPage];
  int count = 0;
  const TupleDesc description = RelationGetDescr(relation);
  const Buffer buffer = ReadBuffer(relation, block);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  Page page = BufferGetPage(buffer);
  const auto last = static_cast<OffsetNumber>(PageGetMaxOffsetNumber(page));
  for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++) {
    ItemId line = PageGetItemId(page, offset);
    if (!ItemIdIsNormal(line)) continue;
    HeapTupleData tuple;
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, line));
    tuple.t_len = ItemIdGetLength(line);
    tuple.t_tableOid = RelationGetRelid(relation);
    tuple.t_self.ip_blkid = {static_cast<uint16>(block >> 16), static_cast<uint16>(block & 0xFFFF)};
    tuple.t_self.ip_posid = offset;
    if (!covers(description, &tuple, search)) continue;
    if (!HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer)) continue;
    matches[count++] = heap_copytuple(&tuple);
  }
  UnlockReleaseBuffer(buffer);
  for (int i = 0; i < count; i++) {
    take_row(search, description, matches[i]);
    heap_freetuple(matches[i]);
  }
}

void search_segment(const Search& search, Relation relation, Oid index_oid, Snapshot snapshot) {
  const Relation index = index_open(index_oid, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyEntryInitialize(&keys[0], 0, 1, BTGreaterEqualStrategyNumber, INT8OID, InvalidOid,
                         F_INT8GE, Int64GetDatum(search.first - (core::kMostIdSpan - 1)));
  ScanKeyEntryInitialize(&keys[1], 0, 1, BTLessEqualStrategyNumber, INT8OID, InvalidOid, F_INT8LE,
                         Int64GetDatum(search.last));
  TIDBitmap* const bitmap = tbm_create(work_mem * 1024L, nullptr);
  const IndexScanDesc scan = pg::begin_bitmap_scan(index, snapshot, 2);
  index_rescan(scan, keys, 2, nullptr, 0);
  index_getbitmap(scan, bitmap);
  index_endscan(scan);
  index_close(index, AccessShareLock);
  const BlockNumber blocks = RelationGetNumberOfBlocks(relation);
  pg::for_each_bitmap_block(bitmap, [&](BlockNumber block) {
    if (block < blocks) take_page(search, relation, snapshot, block);
  });
  tbm_free(bitmap);
}

void search_parked(const Search& search, Relation relation, Oid index_oid, Snapshot snapshot) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], kFirstId, BTGreaterEqualStrategyNumber, F_INT8GE,
              Int64GetDatum(search.first - (core::kMostIdSpan - 1)));
  ScanKeyInit(&keys[1], kFirstId, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(search.last));
  const SysScanDesc scan = systable_beginscan(relation, index_oid, true, snapshot, 2, keys);
  while (const HeapTuple tuple = systable_getnext(scan)) {
    if (covers(RelationGetDescr(relation), tuple, search))
      take_row(search, RelationGetDescr(relation), tuple);
  }
  systable_endscan(scan);
}

// The index on first_id that finds everything. While one is made anew there is a second; one that
// could not be finished stays there, and finds nothing.
Oid usable_index(Relation relation) {
  List* const indexes = RelationGetIndexList(relation);
  Oid found = InvalidOid;
  const ListCell* cell = nullptr;
  foreach (cell, indexes) {
    const Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    if (index->rd_index->indisvalid && index->rd_index->indnkeyatts == 1 &&
        index->rd_index->indkey.values[0] == kFirstId &&
        heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr))
      found = RelationGetRelid(index);
    index_close(index, NoLock);
    if (OidIsValid(found)) break;
  }
  list_free(indexes);
  return found;
}

void run(const Search& search, uint8 segment, Snapshot snapshot) {
  Snapshot seen = snapshot != nullptr ? snapshot : RegisterSnapshot(GetLatestSnapshot());
  const Relation relation = table_open(tables().outcome[segment], AccessShareLock);
  const Oid index = usable_index(relation);
  if (!OidIsValid(index)) {
    /* Somebody dropped it: slow, but right. */
    const BlockNumber blocks = RelationGetNumberOfBlocks(relation);
    for (BlockNumber block = 0; block < blocks; block++) take_page(search, relation, seen, block);
  } else if (segment == core::kParkedSegment) {
    search_parked(search, relation, index, seen);
  } else {
    search_segment(search, relation, index, seen);
  }
  table_close(relation, AccessShareLock);
  if (snapshot == nullptr) UnregisterSnapshot(seen);
}

}  // namespace

void insert_outcome(core::OutcomeKind kind, TimestampTz at, core::QueueId queue, uint8 segment,
                    const core::OutcomeMember* members, int n, Datum detail, bool has_detail,
                    void (*wrote)(uint8 segment, uint32 block, int members, void* arg), void* arg) {
  const Relation relation = table_open(tables().outcome[segment], RowExclusiveLock);
  List* const indexes = RelationGetIndexList(relation);
  uint32* const hint = tail_hint(segment);
  union {
    int32 header; /* aligns it */
    unsigned char bytes[VARHDRSZ + core::kMostBody];
  } body;
  int done = 0;
  while (done < n) {
    std::size_t length = 0;
    const int count = static_cast<int>(core::pack_outcome(kind, at, queue, members + done,
                                                          static_cast<std::size_t>(n - done),
                                                          body.bytes + VARHDRSZ, &length));
    SET_VARSIZE(body.bytes, VARHDRSZ + length);
    Datum values[kColumns] = {Int64GetDatum(members[done].id),
                              Int64GetDatum(members[done + count - 1].id),
                              PointerGetDatum(body.bytes), detail};
    bool nulls[kColumns] = {false, count == 1, false, !has_detail};
    const HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
    forget_old_page(relation, hint);
    heap_insert(relation, tuple, GetCurrentCommandId(true), HEAP_INSERT_SKIP_FSM, nullptr);
    const BlockNumber block = ItemPointerGetBlockNumber(&tuple->t_self);
    raise_hint(hint, block);
    insert_index_entries(relation, indexes, values, nulls, &tuple->t_self);
    heap_freetuple(tuple);
    if (wrote != nullptr) wrote(segment, block, count, arg);
    done += count;
  }
  list_free(indexes);
  table_close(relation, NoLock);
}

void find_outcomes(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
                   void (*each)(const FoundOutcome& outcome, void* arg), void* arg) {
  run({id, id, queue, true, each, arg}, segment, snapshot);
}

void find_outcomes_in(core::JobId first, core::JobId last, core::QueueId queue, uint8 segment,
                      Snapshot snapshot, void (*each)(const FoundOutcome& outcome, void* arg),
                      void* arg) {
  run({first, last, queue, false, each, arg}, segment, snapshot);
}

bool find_final_outcome(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
                        FoundOutcome* out) {
  struct Final {
    core::OutcomeSum sum;
    FoundOutcome* out;
  } final{core::OutcomeSum(), out};
  find_outcomes(
      id, queue, segment, snapshot,
      [](const FoundOutcome& outcome, void* arg) {
        auto* const wanted = static_cast<Final*>(arg);
        wanted->sum.add(outcome.kind,
                        {outcome.id, outcome.token, outcome.attempt, outcome.next_due});
        if (wanted->sum.finished() && wanted->sum.end() == outcome.kind &&
            wanted->sum.end_token() == outcome.token)
          *wanted->out = outcome;
      },
      &final);
  if (final.sum.moved()) return find_final_outcome(id, queue, core::kParkedSegment, snapshot, out);
  return final.sum.finished();
}

}  // namespace dw::store
