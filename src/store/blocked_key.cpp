#include "store/blocked_key.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/key_hash.hpp"
#include "store/saved_plan.hpp"
#include "store/statement.hpp"

namespace dw::store {

namespace {

// One of the key can only be there if rows were loaded past the engine.
constexpr char kInsert[] =
    "INSERT INTO durable_work.blocked_key AS b (queue, partition_key, job_id, takes_along) "
    "VALUES ($1, $2, $3, $4) ON CONFLICT (queue, partition_key) DO UPDATE SET job_id = "
    "excluded.job_id, blocked_at = excluded.blocked_at, takes_along = excluded.takes_along";

SavedPlan insert_plan;

// Process-local: where the statement runs, which an error ends with.
constinit SubTransactionId writing_in = InvalidSubTransactionId;

// Columns, from 1.
constexpr int kQueue = 1;
constexpr int kPartitionKey = 2;
constexpr int kJobId = 3;
constexpr int kTakesAlong = 5;

core::KeyBlock block_of(TupleTableSlot* slot) {
  bool null = false;
  const Datum key =
      PointerGetDatum(PG_DETOAST_DATUM_PACKED(slot_getattr(slot, kPartitionKey, &null)));
  const auto* const text = reinterpret_cast<const varlena*>(DatumGetPointer(key));
  core::KeyBlock block{};
  block.queue = DatumGetInt32(slot_getattr(slot, kQueue, &null));
  block.key_hash = key_hash({VARDATA_ANY(text), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(text))});
  block.key_check = key_check(key);
  block.job = DatumGetInt64(slot_getattr(slot, kJobId, &null));
  const Datum takes_along = slot_getattr(slot, kTakesAlong, &null);
  block.takes_along = null ? 0 : DatumGetInt64(takes_along);
  return block;
}

}  // namespace

void insert_blocked_key(core::QueueId queue, Datum partition_key, core::JobId job,
                        core::JobId takes_along) {
  const Oid types[] = {INT4OID, TEXTOID, INT8OID, INT8OID};
  const Datum values[] = {Int32GetDatum(queue), partition_key, Int64GetDatum(job),
                          Int64GetDatum(takes_along)};
  writing_in = GetCurrentSubTransactionId();
  run_as_owner(&insert_plan, kInsert, 4, types, values, takes_along == 0 ? "   n" : "    ");
  writing_in = InvalidSubTransactionId;
}

bool writes_blocked_key() {
  return writing_in != InvalidSubTransactionId && writing_in == GetCurrentSubTransactionId();
}

void delete_blocked_key(core::QueueId queue, core::JobId job) {
  const Oid types[] = {INT4OID, INT8OID};
  Datum values[] = {Int32GetDatum(queue), Int64GetDatum(job)};
  execute("DELETE FROM durable_work.blocked_key WHERE queue = $1 AND job_id = $2", types, values,
          "  ", ignore);
}

void free_keys_of(core::QueueId queue, core::QueueId to, Datum job_ids) {
  const Oid types[] = {INT4OID, INT8ARRAYOID};
  Datum values[] = {Int32GetDatum(queue), job_ids};
  execute(
      "DELETE FROM durable_work.blocked_key WHERE queue = $1 AND job_id = ANY ($2) "
      "RETURNING job_id",
      types, values, "  ", [queue, to](uint64 row) {
        core::Transaction& transaction = runtime::transaction();
        transaction.reserve(1);
        transaction.note_unblocked(runtime::level(), queue, DatumGetInt64(number(row, 1)),
                                   to == queue ? core::Unblock::retry : core::Unblock::skip, 0);
      });
}

const core::KeyBlock* read_blocked_keys(Snapshot snapshot, int* count) {
  int room = 64;
  auto* blocks = pg::allocate<core::KeyBlock>(static_cast<Size>(room));
  *count = 0;
  Relation const relation = table_open(tables().blocked_key, AccessShareLock);
  TupleTableSlot* const slot = table_slot_create(relation, nullptr);
  TableScanDesc const scan = table_beginscan(relation, snapshot, 0, nullptr);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    if (*count == room) {
      room *= 2;
      blocks = static_cast<core::KeyBlock*>(
          repalloc_huge(blocks, mul_size(static_cast<Size>(room), sizeof(core::KeyBlock))));
    }
    blocks[(*count)++] = block_of(slot);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, AccessShareLock);
  return blocks;
}

}  // namespace dw::store
