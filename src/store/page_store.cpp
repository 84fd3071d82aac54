#include <algorithm>

#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/call.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "store/blocked_key.hpp"
#include "store/catalog.hpp"
#include "store/job_row.hpp"
#include "store/key_weight.hpp"
#include "store/page_rows.hpp"
#include "store/page_store.hpp"

namespace dw::store {

PageStore::PageStore(core::Dispatcher* dispatcher, core::Index database)
    : dispatcher_(dispatcher), database_(database) {
  /* A scan of the whole log must not push everything else out of the buffer pool. */
  strategy_ = pg::in_context(TopMemoryContext, [] { return GetAccessStrategy(BAS_BULKREAD); });
}

void PageStore::begin() {
  pg::call([this] {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    snapshot_ = GetActiveSnapshot();
    /* After the snapshot: what it sees was in the log by now. */
    position_ = RecoveryInProgress() ? 0 : GetXLogInsertRecPtr();
    note_count_ = 0;
  });
}

void PageStore::commit() {
  pg::call([this] {
    close_tables();
    PopActiveSnapshot();
    snapshot_ = nullptr;
    CommitTransactionCommand();
  });
  for (int i = 0; i < note_count_; i++)
    dispatcher_->note_outcome_page(database_, notes_[i].segment, notes_[i].block);
  note_count_ = 0;
}

void PageStore::abort() noexcept {
  AbortOutOfAnyTransaction();
  for (Table& table : jobs_) table.relation = nullptr;
  for (Table& table : outcomes_) table.relation = nullptr;
  due_index_ = nullptr;
  parked_scan_ = nullptr;
  snapshot_ = nullptr;
  note_count_ = 0;
}

/* Locks are kept until the end of the transaction. */
void PageStore::close_tables() {
  for (Table* tables : {jobs_, outcomes_}) {
    for (int i = 0; i < core::kStores; i++) {
      if (tables[i].relation != nullptr) table_close(tables[i].relation, NoLock);
      tables[i].relation = nullptr;
    }
  }
}

/* Does not wait for long: the caller's lock_timeout is small. With the lock nobody can write the
 * table anew before the end of the transaction. */
void PageStore::open_table(Table* table, Oid oid, const ColumnType* columns, int count) {
  if (table->relation != nullptr) return;
  Relation opened = table_open(oid, AccessShareLock);
  check_columns(opened, columns, count);
  const pg::RelFileNumber file = pg::rel_file_number(opened);
  if (OidIsValid(table->file) && table->file != file) {
    rewritten_ = true;
    pg::raise(DW_WRONG_STATE,
              psprintf("table \"%s\" was written anew", RelationGetRelationName(opened)),
              "Its rows lie at other places than were known.", "The log is read again.");
  }
  table->file = file;
  table->blocks = RelationGetNumberOfBlocks(opened);
  table->relation = opened;
}

namespace {

/* Without a lock: one that writes the table anew may hold it for long. */
bool has_other_file(Oid table, pg::RelFileNumber known) {
  if (!OidIsValid(known)) return false;
  const HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
  if (!HeapTupleIsValid(row)) return false;
  const bool other = reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relfilenode != known;
  ReleaseSysCache(row);
  return other;
}

}  // namespace

void PageStore::check_files() {
  for (std::uint8_t segment = 0; segment < core::kStores; segment++) {
    if (has_other_file(tables().job[segment], jobs_[segment].file) ||
        has_other_file(tables().outcome[segment], outcomes_[segment].file))
      rewritten_ = true;
  }
}

void PageStore::forget_files() {
  for (std::uint8_t segment = 0; segment < core::kStores; segment++) forget_files_of(segment);
  rewritten_ = false;
}

void PageStore::forget_files_of(std::uint8_t segment) {
  jobs_[segment].file = InvalidOid;
  outcomes_[segment].file = InvalidOid;
}

const PageStore::Table& PageStore::job_table(std::uint8_t segment) {
  Table& table = jobs_[segment];
  open_table(&table, tables().job[segment], kJobColumns, kJobColumnCount);
  return table;
}

const PageStore::Table& PageStore::outcome_table(std::uint8_t segment) {
  Table& table = outcomes_[segment];
  open_table(&table, tables().outcome[segment], kOutcomeColumns, kOutcomeColumnCount);
  return table;
}

std::uint32_t PageStore::job_blocks(std::uint8_t segment) {
  return pg::call([this, segment] { return job_table(segment).blocks; });
}

std::uint32_t PageStore::outcome_blocks(std::uint8_t segment) {
  return pg::call([this, segment] { return outcome_table(segment).blocks; });
}

int PageStore::read_job_page(std::uint8_t segment, BlockNumber block) {
  const Table& table = job_table(segment);
  if (block >= table.blocks) return 0;
  int count = 0;
  for_each_visible_row(table.relation, block, strategy_, snapshot_, [&](const HeapTupleData& row) {
    decode_job(row, segment, &job_rows_[count++]);
  });
  return count;
}

void PageStore::scan_jobs(std::uint8_t segment, std::uint32_t block, core::JobSink& sink) {
  const int count = pg::call([this, segment, block] { return read_job_page(segment, block); });
  for (int i = 0; i < count; i++) {
    if (!sink.take(job_rows_[i])) return;
  }
}

core::JobId PageStore::read_first_id(std::uint8_t segment, BlockNumber block) {
  const Table& table = job_table(segment);
  core::JobId first = core::kNever;
  if (block >= table.blocks) return first;
  for_each_row(table.relation, block, strategy_, [&first](HeapTupleData* row, Buffer, bool) {
    if (first == core::kNever) first = stored_job_id(row->t_data);
  });
  return first;
}

core::JobId PageStore::first_job_id(std::uint8_t segment, std::uint32_t block) {
  return pg::call([this, segment, block] { return read_first_id(segment, block); });
}

void PageStore::scan_key_blocks(core::KeyBlockSink& sink) {
  int count = 0;
  const core::KeyBlock* const blocks =
      pg::call([this, &count] { return read_blocked_keys(snapshot_, &count); });
  for (int i = 0; i < count; i++) sink.take(blocks[i]);
}

void PageStore::scan_key_weights(core::KeyWeightSink& sink) {
  int count = 0;
  const core::KeyWeight* const rows =
      pg::call([this, &count] { return read_key_weights(snapshot_, &count); });
  for (int i = 0; i < count; i++) sink.take(rows[i]);
}

void PageStore::remove_key_block(core::QueueId queue, core::JobId job) {
  pg::call([queue, job] { delete_blocked_key(queue, job); });
}

int PageStore::read_outcome_page(std::uint8_t segment, BlockNumber block) {
  const Table& table = outcome_table(segment);
  if (block >= table.blocks) return 0;
  int count = 0;
  unsigned char* place = bodies_;
  for_each_visible_row(table.relation, block, strategy_, snapshot_, [&](const HeapTupleData& row) {
    place = decode_outcome(row, place, &outcome_rows_[count++]);
  });
  /* No page is locked any more: a body that was stored out of line or compressed can be fetched. */
  for (int i = 0; i < count; i++) finish_outcome(&outcome_rows_[i]);
  return count;
}

void PageStore::scan_outcomes(std::uint8_t segment, std::uint32_t block, core::OutcomeSink& sink) {
  const int count = pg::call([this, segment, block] { return read_outcome_page(segment, block); });
  for (int i = 0; i < count; i++) {
    if (!sink.take(outcome_rows_[i])) return;
  }
}

void PageStore::begin_parked_scan(std::int32_t topic, core::Micros from, core::Micros until) {
  const Table& parked = job_table(core::kParkedSegment);
  const Oid index = get_relname_relid("parked_due", tables().schema);
  if (!OidIsValid(index)) elog(ERROR, "index durable_work.parked_due is missing");
  due_index_ = index_open(index, AccessShareLock);
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], kJobTopic, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(topic));
  ScanKeyInit(&keys[1], kJobAvailableAt, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
              TimestampTzGetDatum(from));
  ScanKeyInit(&keys[2], kJobAvailableAt, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
              TimestampTzGetDatum(until));
  parked_scan_ = systable_beginscan_ordered(parked.relation, due_index_, snapshot_, 3, keys);
}

int PageStore::read_parked_rows(core::ParkedPlace after) {
  int count = 0;
  while (count < kRowsAtOnce) {
    const HeapTuple row = systable_getnext_ordered(parked_scan_, ForwardScanDirection);
    if (!HeapTupleIsValid(row)) break;
    decode_job(*row, core::kParkedSegment, &job_rows_[count]);
    const core::JobRow& job = job_rows_[count].row;
    if (job.due > after.due || job.id > after.id) count++;
  }
  return count;
}

void PageStore::end_parked_scan() {
  systable_endscan_ordered(parked_scan_);
  parked_scan_ = nullptr;
  index_close(due_index_, NoLock);
  due_index_ = nullptr;
}

void PageStore::scan_parked(std::int32_t topic, core::ParkedPlace after, core::Micros until,
                            core::JobSink& sink) {
  pg::call([this, topic, after, until] { begin_parked_scan(topic, after.due, until); });
  bool wanted = true;
  int count = kRowsAtOnce;
  while (wanted && count == kRowsAtOnce) {
    count = pg::call([this, after] { return read_parked_rows(after); });
    for (int i = 0; wanted && i < count; i++) wanted = sink.take(job_rows_[i]);
  }
  pg::call([this] { end_parked_scan(); });
}

int PageStore::read_parked_by_id(core::JobId after) {
  const Table& parked = job_table(core::kParkedSegment);
  const Oid index_id = get_relname_relid("parked_pkey", tables().schema);
  if (!OidIsValid(index_id)) elog(ERROR, "index durable_work.parked_pkey is missing");
  const Relation index = index_open(index_id, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, kJobId, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
  const SysScanDesc scan = systable_beginscan_ordered(parked.relation, index, snapshot_, 1, &key);
  int count = 0;
  while (count < kRowsAtOnce) {
    const HeapTuple row = systable_getnext_ordered(scan, ForwardScanDirection);
    if (!HeapTupleIsValid(row)) break;
    decode_job(*row, core::kParkedSegment, &job_rows_[count++]);
  }
  systable_endscan_ordered(scan);
  index_close(index, NoLock);
  return count;
}

void PageStore::scan_parked_by_id(core::JobId after, core::JobSink& sink) {
  const int count = pg::call([this, after] { return read_parked_by_id(after); });
  for (int i = 0; i < count; i++) {
    if (!sink.take(job_rows_[i])) return;
  }
}

void PageStore::note_page(uint8 segment, uint32 block) {
  for (int i = note_count_ - 1; i >= 0; i--) {
    if (notes_[i].segment == segment && notes_[i].block == block) return;
  }
  if (note_count_ == kMostNotes) elog(ERROR, "too many outcome pages in one sweep");
  notes_[note_count_++] = Note{segment, block};
}

/* One kind of outcome of one queue in one segment, of one worker's leases; sorted by id. */
void PageStore::write_group(const core::Expiry* const* group, int n, TimestampTz now) {
  const core::Expiry& first = *group[0];
  const char* const reason = core::reason_of(first.reason);
  const bool dead = first.outcome == core::OutcomeKind::dead_lettered;
  const Datum detail = failure_detail(first.worker, Datum{0}, false, reason);
  auto* const members = pg::allocate<core::OutcomeMember>(static_cast<Size>(n));
  for (int i = 0; i < n; i++) {
    const core::Expiry& expiry = *group[i];
    members[i] =
        core::OutcomeMember{expiry.id, expiry.token, expiry.attempt, dead ? core::Micros{0} : now};
    if (dead) bury_expired(expiry, reason, now, detail);
  }
  insert_outcome(
      first.outcome, now, first.queue, first.segment, members, n, detail, true,
      [](uint8 segment, uint32 block, int, void* arg) {
        static_cast<PageStore*>(arg)->note_page(segment, block);
      },
      this);
}

void PageStore::write_expiries(const core::Expiry* expiries, std::size_t n, core::Micros now) {
  pg::call([this, expiries, n, now] {
    auto** const sorted = pg::allocate<const core::Expiry*>(n);
    for (std::size_t i = 0; i < n; i++) sorted[i] = &expiries[i];
    std::sort(sorted, sorted + n, expiry_before);
    std::size_t first = 0;
    for (std::size_t i = 1; i <= n; i++) {
      if (i < n && same_outcome_row(*sorted[first], *sorted[i])) continue;
      write_group(sorted + first, static_cast<int>(i - first), now);
      first = i;
    }
  });
}

}  // namespace dw::store
