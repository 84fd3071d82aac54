// Taking idempotency keys.
//
// For each key: INSERT … ON CONFLICT DO NOTHING, which waits for a transaction that is inserting
// the same key. No row inserted: somebody has the key. Read who, with a new snapshot, since the
// one of the statement may be older than that commit. A key past its time is taken over by an
// UPDATE that looks at the time again; a row that is gone (its transaction rolled back after the
// INSERT had looked, or it was pruned) starts the loop anew.
//
// Many keys are inserted by one statement, in the order given; what it leaves is decided one by
// one.
#include "store/idempotency.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "store/catalog.hpp"

namespace dw::store {

namespace {

// Planned at first use, for the life of the process.
struct Statement {
  const char* text;
  int parameters;
  Oid types[5];
  SPIPlanPtr plan;
};

Statement insert_one{
    "INSERT INTO durable_work.idempotency (topic, key, job_id, payload_hash, expires_at) "
    "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    5,
    {INT4OID, TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID},
    nullptr};

Statement insert_many{
    "INSERT INTO durable_work.idempotency (topic, key, job_id, payload_hash, expires_at) "
    "SELECT $1, u.key, u.job_id, u.payload_hash, $5 "
    "FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)) "
    "AS u (key, job_id, payload_hash) ON CONFLICT DO NOTHING RETURNING job_id",
    5,
    {INT4OID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID},
    nullptr};

Statement read_one{
    "SELECT job_id, payload_hash, expires_at <= pg_catalog.clock_timestamp() "
    "FROM durable_work.idempotency WHERE topic OPERATOR(pg_catalog.=) $1 "
    "AND key OPERATOR(pg_catalog.=) $2",
    2,
    {INT4OID, TEXTOID},
    nullptr};

Statement take_over{
    "UPDATE durable_work.idempotency SET job_id = $3, payload_hash = $4, expires_at = $5 "
    "WHERE topic OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 "
    "AND expires_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()",
    5,
    {INT4OID, TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID},
    nullptr};

Statement lock_one{
    "SELECT job_id, payload_hash, expires_at <= pg_catalog.clock_timestamp() "
    "FROM durable_work.idempotency WHERE topic OPERATOR(pg_catalog.=) $1 "
    "AND key OPERATOR(pg_catalog.=) $2 FOR UPDATE",
    2,
    {INT4OID, TEXTOID},
    nullptr};

Statement move_one{
    "UPDATE durable_work.idempotency SET job_id = $3, payload_hash = $4, expires_at = $5 "
    "WHERE topic OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2",
    5,
    {INT4OID, TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID},
    nullptr};

SPIPlanPtr planned(Statement* statement) {
  if (statement->plan == nullptr) {
    const SPIPlanPtr plan = SPI_prepare(statement->text, statement->parameters, statement->types);
    if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    if (SPI_keepplan(plan) != 0) elog(ERROR, "SPI_keepplan failed");
    statement->plan = plan;
  }
  return statement->plan;
}

void check(int result) {
  if (result < 0) elog(ERROR, "SPI failed: %s", SPI_result_code_string(result));
}

uint64 write(Statement* statement, Datum* values) {
  check(SPI_execute_plan(planned(statement), values, nullptr, false, 0));
  return SPI_processed;
}

Datum column(uint64 row, int number) {
  bool null = false;
  return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &null);
}

KeyHolder holder_of_row() {
  return {DatumGetInt64(column(0, 1)), DatumGetInt64(column(0, 2)), DatumGetBool(column(0, 3))};
}

std::optional<KeyHolder> read_holder(int32 topic, Datum key) {
  Datum values[] = {Int32GetDatum(topic), key};
  check(SPI_execute_snapshot(planned(&read_one), values, nullptr, GetLatestSnapshot(),
                             InvalidSnapshot, true, false, 1));
  if (SPI_processed == 0) return std::nullopt;
  return holder_of_row();
}

void claim_one(int32 topic, KeyClaim* claim, TimestampTz expires_at, bool insert_first) {
  Datum values[] = {Int32GetDatum(topic), claim->key, Int64GetDatum(claim->job_id),
                    Int64GetDatum(claim->payload_hash), TimestampTzGetDatum(expires_at)};
  for (bool insert = insert_first;; insert = true) {
    CHECK_FOR_INTERRUPTS();
    if (insert && write(&insert_one, values) > 0) break;
    const std::optional<KeyHolder> holder = read_holder(topic, claim->key);
    if (!holder) continue;
    if (holder->expired) {
      if (write(&take_over, values) > 0) break;
      continue;
    }
    if (holder->payload_hash != claim->payload_hash)
      raise_other_payload(pg::text_view(claim->key), holder->job_id);
    claim->job_id = holder->job_id;
    claim->won = false;
    return;
  }
  claim->won = true;
}

Datum array_of(Datum* values, int n, Oid type, int16 length, bool by_value, char alignment) {
  return PointerGetDatum(construct_array(values, n, type, length, by_value, alignment));
}

// Sets `won` of those that went in. The rows come back in the order of the keys, hence of `claims`.
void insert_all(int32 topic, KeyClaim* claims, int n, TimestampTz expires_at) {
  auto* const keys = pg::allocate<Datum>(static_cast<Size>(n));
  auto* const ids = pg::allocate<Datum>(static_cast<Size>(n));
  auto* const hashes = pg::allocate<Datum>(static_cast<Size>(n));
  for (int i = 0; i < n; i++) {
    keys[i] = claims[i].key;
    ids[i] = Int64GetDatum(claims[i].job_id);
    hashes[i] = Int64GetDatum(claims[i].payload_hash);
  }
  Datum values[] = {Int32GetDatum(topic), array_of(keys, n, TEXTOID, -1, false, TYPALIGN_INT),
                    array_of(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE),
                    array_of(hashes, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE),
                    TimestampTzGetDatum(expires_at)};
  const uint64 inserted = write(&insert_many, values);
  uint64 row = 0;
  for (int i = 0; i < n; i++) {
    claims[i].won = row < inserted && DatumGetInt64(column(row, 1)) == claims[i].job_id;
    if (claims[i].won) row++;
  }
  if (row != inserted) elog(ERROR, "idempotency keys came back in another order");
}

TimestampTz end_of_window(TimestampTz now, int64 window) {
  TimestampTz end = 0;
  if (__builtin_add_overflow(now, window, &end) || !IS_VALID_TIMESTAMP(end))
    return END_TIMESTAMP - 1;
  return end;
}

// Runs with SPI connected, as the owner of the table.
template <typename Function>
auto as_owner(Function function) {
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const auto result = function();
  SPI_finish();
  leave_owner(&scope);
  return result;
}

uint64 write_row(Statement* statement, const KeyRow& row) {
  Datum values[] = {Int32GetDatum(row.topic), row.key, Int64GetDatum(row.job_id),
                    Int64GetDatum(row.payload_hash),
                    TimestampTzGetDatum(end_of_window(row.now, row.window))};
  return as_owner([&] { return write(statement, values); });
}

}  // namespace

bool insert_key(const KeyRow& row) { return write_row(&insert_one, row) > 0; }

bool lock_key(int32 topic, Datum key, KeyHolder* holder) {
  return as_owner([&] {
    Datum values[] = {Int32GetDatum(topic), key};
    if (write(&lock_one, values) == 0) return false;
    *holder = holder_of_row();
    return true;
  });
}

void move_key(const KeyRow& row) { write_row(&move_one, row); }

void raise_other_payload(std::string_view key, core::JobId holder) {
  pg::raise(DW_PAYLOAD_DIFFERS,
            psprintf("idempotency key \"%s\" was used before with another payload", pg::copy(key)),
            psprintf("Job " INT64_FORMAT " was enqueued first under this key.", holder),
            "Send the same payload again to get the first job, or use a new key for a new job.");
}

int64 payload_hash(Datum payload) {
  const Jsonb* const document = DatumGetJsonbP(payload);
  return static_cast<int64>(
      hash_bytes_extended(reinterpret_cast<const unsigned char*>(VARDATA(document)),
                          static_cast<int>(VARSIZE(document) - VARHDRSZ), 0));
}

void claim_keys(int32 topic, KeyClaim* claims, int n, TimestampTz now, int64 window) {
  if (n == 0) return;
  const TimestampTz expires_at = end_of_window(now, window);
  as_owner([&] {
    if (n == 1) {
      claim_one(topic, claims, expires_at, true);
    } else {
      insert_all(topic, claims, n, expires_at);
      for (int i = 0; i < n; i++)
        if (!claims[i].won) claim_one(topic, &claims[i], expires_at, false);
    }
    return true;
  });
}

}  // namespace dw::store
