#include "store/job_range.hpp"

#include <algorithm>

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/job_row.hpp"
#include "store/outcome_log.hpp"
#include "store/page_rows.hpp"

namespace dw::store {

namespace {

// One table of the log while a range of it is read.
struct Reading {
  const JobRange* range;
  Relation table;
  Snapshot snapshot;
  uint8 segment;
  RangeSink sink;
  void* arg;
  MemoryContext scratch;  // of one page
};

bool is_in_range(const JobRange& range, const core::StoredJob& job) {
  return job.row.id >= range.first && job.row.id <= range.last && job.topic == range.topic &&
         (!range.one_key || job.row.key_hash == range.key_hash);
}

bool is_own(const HeapTupleData& row) {
  return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row.t_data));
}

void hand_on(const Reading& reading, const core::StoredJob& job, HeapTuple copy) {
  if (copy == nullptr) {
    reading.sink(job, nullptr, reading.arg);
    return;
  }
  JobTuple whole;
  unpack_copy(reading.table, reading.segment, job.row.block, job.row.offset, copy->t_data,
              copy->t_len, &whole);
  reading.sink(job, &whole, reading.arg);
}

// Rows are copied while the page is locked, and looked at after that.
void read_page(const Reading& reading, BlockNumber block) {
  core::StoredJob jobs[MaxHeapTuplesPerPage];
  HeapTuple copies[MaxHeapTuplesPerPage];
  int count = 0;
  for_each_visible_row(reading.table, block, nullptr, reading.snapshot,
                       [&](const HeapTupleData& row) {
                         decode_job(row, reading.segment, &jobs[count]);
                         if (!is_in_range(*reading.range, jobs[count]) || is_own(row)) return;
                         auto* const source = const_cast<HeapTupleData*>(&row);
                         copies[count++] = reading.range->whole ? heap_copytuple(source) : nullptr;
                       });
  for (int i = 0; i < count; i++) hand_on(reading, jobs[i], copies[i]);
}

void read_slot(Reading* reading) {
  reading->table = relation_open(tables().job[reading->segment], AccessShareLock);
  const BlockNumber blocks = RelationGetNumberOfBlocks(reading->table);
  const auto look = [&](BlockNumber block) {
    if (block >= blocks) return;
    pg::in_context(reading->scratch, [&] { read_page(*reading, block); });
    MemoryContextReset(reading->scratch);
  };
  const Relation index = blocks > 0 ? open_id_index(reading->table) : nullptr;
  if (index != nullptr) {
    ScanKeyData keys[2];
    ScanKeyEntryInitialize(&keys[0], 0, 1, BTGreaterEqualStrategyNumber, INT8OID, InvalidOid,
                           F_INT8GE, Int64GetDatum(reading->range->first));
    ScanKeyEntryInitialize(&keys[1], 0, 1, BTLessEqualStrategyNumber, INT8OID, InvalidOid, F_INT8LE,
                           Int64GetDatum(reading->range->last));
    TIDBitmap* const pages = tbm_create(work_mem * 1024L, nullptr);
    const IndexScanDesc scan = pg::begin_bitmap_scan(index, reading->snapshot, 2);
    index_rescan(scan, keys, 2, nullptr, 0);
    index_getbitmap(scan, pages);
    index_endscan(scan);
    index_close(index, AccessShareLock);
    pg::for_each_bitmap_block(pages, look);
    tbm_free(pages);
  } else {
    for (BlockNumber block = 0; block < blocks; block++) look(block);
  }
  relation_close(reading->table, AccessShareLock);
}

struct Sums {
  const core::JobId* ids;
  int n;
  core::OutcomeSum* sums;
};

void add_to_sum(const FoundOutcome& outcome, void* arg) {
  const auto* const all = static_cast<const Sums*>(arg);
  const core::JobId* const place = std::lower_bound(all->ids, all->ids + all->n, outcome.id);
  if (place == all->ids + all->n || *place != outcome.id) return;
  all->sums[place - all->ids].add(outcome.kind,
                                  {outcome.id, outcome.token, outcome.attempt, outcome.next_due});
}

}  // namespace

void read_slot_range(const JobRange& range, uint8 segment, Snapshot snapshot, RangeSink sink,
                     void* arg) {
  Reading reading{&range,
                  nullptr,
                  snapshot,
                  segment,
                  sink,
                  arg,
                  pg::new_context(CurrentMemoryContext, "durable_work range")};
  read_slot(&reading);
  MemoryContextDelete(reading.scratch);
}

core::JobId read_parked_range(const JobRange& range, int most, Snapshot snapshot, RangeSink sink,
                              void* arg) {
  Reading reading{&range,
                  relation_open(tables().job[core::kParkedSegment], AccessShareLock),
                  snapshot,
                  core::kParkedSegment,
                  sink,
                  arg,
                  pg::new_context(CurrentMemoryContext, "durable_work range")};
  const Oid index_id = get_relname_relid("parked_pkey", tables().schema);
  if (!OidIsValid(index_id)) elog(ERROR, "index durable_work.parked_pkey is missing");
  const Relation index = index_open(index_id, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], kJobId, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(range.first));
  ScanKeyInit(&keys[1], kJobId, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(range.last));
  const SysScanDesc scan = systable_beginscan_ordered(reading.table, index, snapshot, 2, keys);
  core::JobId read_up_to = range.last;
  for (int count = 0; count < most;) {
    CHECK_FOR_INTERRUPTS();
    const HeapTuple row = systable_getnext_ordered(scan, ForwardScanDirection);
    if (!HeapTupleIsValid(row)) break;
    core::StoredJob job;
    decode_job(*row, core::kParkedSegment, &job);
    if (++count == most) read_up_to = job.row.id;
    if (!is_in_range(range, job) || runtime::transaction().enqueued_here(job.row.id)) continue;
    pg::in_context(reading.scratch,
                   [&] { hand_on(reading, job, range.whole ? heap_copytuple(row) : nullptr); });
    MemoryContextReset(reading.scratch);
  }
  systable_endscan_ordered(scan);
  index_close(index, AccessShareLock);
  relation_close(reading.table, AccessShareLock);
  MemoryContextDelete(reading.scratch);
  return read_up_to;
}

int segments_between(core::JobId first, core::JobId last, uint8* segments) {
  const core::Index slot = runtime::database();
  if (slot == core::kNone) return 0;
  uint8 all[core::kSegments];
  const int n = runtime::dispatcher().segments_in_order(slot, all);
  const core::Database& database = runtime::dispatcher().arena().databases[slot];
  int count = 0;
  for (int i = 0; i < n; i++) {
    if (database.first_id[all[i]].load() > last) break;
    if (i + 1 < n && database.first_id[all[i + 1]].load() <= first) continue;
    segments[count++] = all[i];
  }
  return count;
}

void sum_outcomes(core::QueueId queue, uint8 segment, const core::JobId* ids, int n,
                  Snapshot snapshot, core::OutcomeSum* sums) {
  for (int i = 0; i < n; i++) sums[i] = core::OutcomeSum();
  if (n == 0) return;
  Sums all{ids, n, sums};
  find_outcomes_in(ids[0], ids[n - 1], queue, segment, snapshot, add_to_sum, &all);
}

}  // namespace dw::store
