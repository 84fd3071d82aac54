#include "runtime/epoch.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"

#include "pg/error.hpp"
#include "store/catalog.hpp"

namespace dw::runtime {

namespace {

/* Two servers that were one before, or a restored copy, must not give the same token. */
constexpr int64 kLeap = 65536;
/* A token is a positive bigint with the epoch in its upper half. */
constexpr int64 kLastEpoch = PG_INT32_MAX;

/* Highest values; 0: none. Rows that were made elsewhere came with a restore, a clone or a
 * promotion. */
struct Highest {
  int64 here;
  int64 elsewhere;
};

/* Where a row is made: system identifier, timeline, database, table. */
constexpr int kIdentityColumns = 4;
constexpr Oid kIdentityTypes[kIdentityColumns] = {INT8OID, INT4OID, OIDOID, OIDOID};

void fill_identity(Datum* values) {
  values[0] = Int64GetDatum(static_cast<int64>(GetSystemIdentifier()));
  values[1] = Int32GetDatum(static_cast<int32>(GetWALInsertionTimeLine()));
  values[2] = ObjectIdGetDatum(MyDatabaseId);
  values[3] = ObjectIdGetDatum(store::tables().epoch);
}

Highest read_highest() {
  Oid types[kIdentityColumns];
  Datum values[kIdentityColumns];
  std::memcpy(types, kIdentityTypes, sizeof types);
  fill_identity(values);
  const int status = SPI_execute_with_args(
      "SELECT coalesce(max(value) FILTER (WHERE made_here), 0), "
      "coalesce(max(value) FILTER (WHERE NOT made_here), 0) FROM (SELECT value, system_identifier "
      "= $1 AND "
      "timeline = $2 AND database_oid = $3 AND table_oid = $4 AS made_here FROM "
      "durable_work.epoch) e",
      kIdentityColumns, types, values, nullptr, false, 0);
  if (status != SPI_OK_SELECT || SPI_processed != 1)
    elog(ERROR, "reading durable_work.epoch: SPI status %d", status);
  bool null = false;
  const HeapTuple row = SPI_tuptable->vals[0];
  return Highest{DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &null)),
                 DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &null))};
}

void note_epoch(int64 value) {
  if (!preloaded()) return;
  int64 highest = control()->highest_epoch.load();
  while (highest < value && !control()->highest_epoch.compare_exchange_weak(highest, value)) {
  }
}

void write_epoch(int64 value) {
  if (value <= 0 || value > kLastEpoch)
    pg::raise(DW_INTERNAL_ERROR, psprintf("epoch " INT64_FORMAT " is out of range", value),
              "Lease tokens of this database are used up.",
              "Look for a wrong row in durable_work.epoch.");
  Oid types[kIdentityColumns + 1] = {INT8OID};
  Datum values[kIdentityColumns + 1] = {Int64GetDatum(value)};
  std::memcpy(types + 1, kIdentityTypes, sizeof kIdentityTypes);
  fill_identity(values + 1);
  const int status = SPI_execute_with_args(
      "INSERT INTO durable_work.epoch (value, system_identifier, timeline, database_oid, "
      "table_oid) "
      "VALUES ($1, $2, $3, $4, $5)",
      kIdentityColumns + 1, types, values, nullptr, false, 0);
  if (status != SPI_OK_INSERT) elog(ERROR, "writing durable_work.epoch: SPI status %d", status);
  note_epoch(value);
}

/* Runs with SPI connected, as the owner of the table. */
template <typename Function>
int64 as_owner(Function function) {
  store::OwnerScope scope;
  store::enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const int64 result = function();
  SPI_finish();
  store::leave_owner(&scope);
  return result;
}

/* Seconds since 2026-01-01 UTC, which is 9497 days after the server's zero; above what this server
 * has seen, because an extension that was dropped a moment ago may be ahead of the clock. */
int64 clock_epoch() {
  constexpr int64 kSecondsBefore = int64{9497} * SECS_PER_DAY;
  const int64 seconds = GetCurrentTimestamp() / USECS_PER_SEC - kSecondsBefore;
  const int64 seen = preloaded() ? control()->highest_epoch.load() : 0;
  return Max(Max(seconds, seen + 1), int64{1});
}

}  // namespace

int64 raise_epoch() {
  return as_owner([] {
    const Highest highest = read_highest();
    int64 value = highest.here > 0 ? highest.here + 1 : 0;
    if (highest.elsewhere > 0) value = Max(value, highest.elsewhere + kLeap);
    if (value == 0) value = clock_epoch();
    write_epoch(value);
    return value;
  });
}

int64 least_epoch() {
  return as_owner([] {
    const Highest highest = read_highest();
    return Max(highest.here, highest.elsewhere > 0 ? highest.elsewhere + kLeap : 0);
  });
}

}  // namespace dw::runtime
