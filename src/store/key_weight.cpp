#include "store/key_weight.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/key_hash.hpp"
#include "store/statement.hpp"

namespace dw::store {

namespace {

// Process-local: where the statement runs, which an error ends with.
constinit SubTransactionId writing_in = InvalidSubTransactionId;

// Columns, from 1.
constexpr int kQueue = 1;
constexpr int kPartitionKey = 2;
constexpr int kWeight = 3;

core::KeyWeight weight_of(TupleTableSlot* slot) {
  bool null = false;
  const Datum key =
      PointerGetDatum(PG_DETOAST_DATUM_PACKED(slot_getattr(slot, kPartitionKey, &null)));
  const auto* const text = reinterpret_cast<const varlena*>(DatumGetPointer(key));
  core::KeyWeight row{};
  row.queue = DatumGetInt32(slot_getattr(slot, kQueue, &null));
  row.key_hash = key_hash({VARDATA_ANY(text), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(text))});
  row.key_check = key_check(key);
  row.weight = static_cast<uint32>(Max(1, DatumGetInt32(slot_getattr(slot, kWeight, &null))));
  return row;
}

}  // namespace

void write_key_weight(core::QueueId queue, Datum partition_key, core::KeyWeight row) {
  const Oid types[] = {INT4OID, TEXTOID, INT4OID};
  Datum values[] = {Int32GetDatum(queue), partition_key,
                    Int32GetDatum(static_cast<int32>(row.weight))};
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  writing_in = GetCurrentSubTransactionId();
  if (row.weight > 1)
    execute(
        "INSERT INTO durable_work.key_weight AS w (queue, partition_key, weight) VALUES ($1, $2, "
        "$3) ON CONFLICT (queue, partition_key) DO UPDATE SET weight = excluded.weight",
        types, values, "   ", ignore);
  else
    execute(
        "DELETE FROM durable_work.key_weight WHERE queue = $1 AND partition_key = $2 AND $3 = 1",
        types, values, "   ", ignore);
  writing_in = InvalidSubTransactionId;
  transaction.note_weight(runtime::level(), row);
}

void delete_key_weights(core::QueueId queue) {
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(queue)};
  writing_in = GetCurrentSubTransactionId();
  execute("DELETE FROM durable_work.key_weight WHERE queue = $1", types, values, " ", ignore);
  writing_in = InvalidSubTransactionId;
}

KeyWeightRows count_key_weights(core::QueueId queue, Datum partition_key) {
  const Oid types[] = {INT4OID, TEXTOID};
  Datum values[] = {Int32GetDatum(queue), partition_key};
  KeyWeightRows rows{};
  execute(
      "SELECT count(*), coalesce(bool_or(queue = $1 AND partition_key = $2), false) FROM "
      "durable_work.key_weight",
      types, values, "  ", [&rows](uint64 row) {
        rows.count = DatumGetInt64(number(row, 1));
        rows.has_key = DatumGetBool(number(row, 2));
      });
  return rows;
}

bool writes_key_weight() {
  return writing_in != InvalidSubTransactionId && writing_in == GetCurrentSubTransactionId();
}

const core::KeyWeight* read_key_weights(Snapshot snapshot, int* count) {
  int room = 64;
  auto* rows = pg::allocate<core::KeyWeight>(static_cast<Size>(room));
  *count = 0;
  Relation const relation = table_open(tables().key_weight, AccessShareLock);
  TupleTableSlot* const slot = table_slot_create(relation, nullptr);
  TableScanDesc const scan = table_beginscan(relation, snapshot, 0, nullptr);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    if (*count == room) {
      room *= 2;
      rows = static_cast<core::KeyWeight*>(
          repalloc_huge(rows, mul_size(static_cast<Size>(room), sizeof(core::KeyWeight))));
    }
    rows[(*count)++] = weight_of(slot);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, AccessShareLock);
  return rows;
}

}  // namespace dw::store
