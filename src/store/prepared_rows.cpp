/*
 * What prepared transactions have written: rows whose writer is still open. No snapshot sees them,
 * so they are told by their xmin.
 */
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/call.hpp"
#include "store/page_rows.hpp"
#include "store/page_store.hpp"

namespace dw::store {

namespace {

/*
 * The top transaction that wrote the row, if that and the subtransaction are open; rows that it has
 * removed itself do not count. The snapshot that the caller holds keeps what is known of
 * subtransactions that are open.
 */
TransactionId open_writer(const HeapTupleData& row) {
  const HeapTupleHeaderData* const header = row.t_data;
  if (HeapTupleHeaderXminCommitted(header) || HeapTupleHeaderXminInvalid(header))
    return InvalidTransactionId;
  const TransactionId writer = HeapTupleHeaderGetRawXmin(header);
  if (!TransactionIdIsNormal(writer) || !TransactionIdIsInProgress(writer))
    return InvalidTransactionId;
  const bool has_remover = (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
                           !HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask);
  if (has_remover &&
      TransactionIdIsInProgress(HeapTupleHeaderGetUpdateXid(const_cast<HeapTupleHeader>(header))))
    return InvalidTransactionId;
  return SubTransGetTopmostTransaction(writer);
}

std::size_t read_prepared(core::TransactionNumber* out, std::size_t most) {
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const int status = SPI_execute(
      "SELECT p.transaction FROM pg_catalog.pg_prepared_xacts p WHERE p.database "
      "OPERATOR(pg_catalog.=) pg_catalog.current_database()",
      true, 0);
  if (status != SPI_OK_SELECT) elog(ERROR, "reading pg_prepared_xacts: SPI status %d", status);
  const std::size_t count = SPI_processed;
  for (std::size_t i = 0; i < std::min(count, most); i++) {
    bool null = false;
    out[i] = DatumGetTransactionId(
        SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null));
  }
  SPI_finish();
  return count;
}

/* As TransactionIdDidCommit() and its like need it. */
core::Fate find_fate(TransactionId transaction) {
  if (TransactionIdIsInProgress(transaction)) return core::Fate::open;
  LWLockAcquire(XactTruncationLock, LW_SHARED);
  const bool known = !TransactionIdPrecedes(transaction, pg::oldest_known_transaction());
  const bool committed = known && TransactionIdDidCommit(transaction);
  LWLockRelease(XactTruncationLock);
  if (!known) return core::Fate::forgotten;
  return committed ? core::Fate::committed : core::Fate::aborted;
}

}  // namespace

std::size_t PageStore::list_prepared(core::TransactionNumber* out, std::size_t most) {
  return pg::call([out, most] { return read_prepared(out, most); });
}

core::Fate PageStore::fate(core::TransactionNumber transaction) {
  return pg::call([transaction] { return find_fate(transaction); });
}

int PageStore::read_open_jobs(std::uint8_t segment, BlockNumber block) {
  const Table& table = job_table(segment);
  if (block >= table.blocks) return 0;
  int count = 0;
  for_each_row(table.relation, block, strategy_, [&](const HeapTupleData* row, Buffer, bool) {
    writers_[count] = open_writer(*row);
    if (TransactionIdIsValid(writers_[count])) decode_job(*row, segment, &job_rows_[count++]);
  });
  return count;
}

void PageStore::scan_open_jobs(std::uint8_t segment, std::uint32_t block,
                               core::PreparedSink& sink) {
  const int count = pg::call([this, segment, block] { return read_open_jobs(segment, block); });
  for (int i = 0; i < count; i++) sink.take(writers_[i], job_rows_[i]);
}

void PageStore::scan_open_parked(core::PreparedSink& sink) {
  const std::uint32_t blocks = job_blocks(core::kParkedSegment);
  for (std::uint32_t block = 0; block < blocks; block++)
    scan_open_jobs(core::kParkedSegment, block, sink);
}

int PageStore::read_open_outcomes(std::uint8_t segment, BlockNumber block) {
  const Table& table = outcome_table(segment);
  if (block >= table.blocks) return 0;
  int count = 0;
  unsigned char* place = bodies_;
  for_each_row(table.relation, block, strategy_, [&](const HeapTupleData* row, Buffer, bool) {
    writers_[count] = open_writer(*row);
    if (TransactionIdIsValid(writers_[count]))
      place = decode_outcome(*row, place, &outcome_rows_[count++]);
  });
  for (int i = 0; i < count; i++) finish_outcome(&outcome_rows_[i]);
  return count;
}

void PageStore::scan_open_outcomes(std::uint8_t segment, std::uint32_t block,
                                   core::PreparedSink& sink) {
  const int count = pg::call([this, segment, block] { return read_open_outcomes(segment, block); });
  for (int i = 0; i < count; i++) sink.take(writers_[i], outcome_rows_[i]);
}

}  // namespace dw::store
