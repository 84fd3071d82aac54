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

/* Where a row of durable_work.epoch was made. */
struct Identity {
  int64 system;
  int32 timeline;
  Oid database;
  Oid table;
};

struct Highest {
  int64 value; /* 0: no row */
  Identity identity;
};

Identity identity_here() {
  return Identity{static_cast<int64>(GetSystemIdentifier()),
                  static_cast<int32>(GetWALInsertionTimeLine()), MyDatabaseId,
                  store::tables().epoch};
}

bool same(const Identity& a, const Identity& b) {
  return a.system == b.system && a.timeline == b.timeline && a.database == b.database &&
         a.table == b.table;
}

Datum column(int number) {
  bool null = false;
  const Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &null);
  return null ? Datum{0} : value;
}

Highest read_highest() {
  const int status = SPI_execute(
      "SELECT value, system_identifier, timeline, database_oid, table_oid FROM durable_work.epoch "
      "ORDER BY value DESC LIMIT 1",
      false, 1);
  if (status != SPI_OK_SELECT) elog(ERROR, "reading durable_work.epoch: SPI status %d", status);
  if (SPI_processed == 0) return Highest{};
  return Highest{DatumGetInt64(column(1)),
                 Identity{DatumGetInt64(column(2)), DatumGetInt32(column(3)),
                          DatumGetObjectId(column(4)), DatumGetObjectId(column(5))}};
}

void note_epoch(int64 value) {
  if (!preloaded()) return;
  int64 highest = control()->highest_epoch.load();
  while (highest < value && !control()->highest_epoch.compare_exchange_weak(highest, value)) {
  }
}

void write_epoch(int64 value, const Identity& identity) {
  if (value <= 0 || value > kLastEpoch)
    pg::raise(DW_INTERNAL_ERROR, psprintf("epoch " INT64_FORMAT " is out of range", value),
              "Lease tokens of this database are used up.",
              "Look for a wrong row in durable_work.epoch.");
  Oid types[] = {INT8OID, INT8OID, INT4OID, OIDOID, OIDOID};
  Datum values[] = {Int64GetDatum(value), Int64GetDatum(identity.system),
                    Int32GetDatum(identity.timeline), ObjectIdGetDatum(identity.database),
                    ObjectIdGetDatum(identity.table)};
  const int status = SPI_execute_with_args(
      "INSERT INTO durable_work.epoch (value, system_identifier, timeline, database_oid, "
      "table_oid) "
      "VALUES ($1, $2, $3, $4, $5)",
      5, types, values, nullptr, false, 0);
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

int64 start_epoch() {
  return as_owner([] {
    const Highest highest = read_highest();
    const int64 value = highest.value > 0 ? highest.value + kLeap : clock_epoch();
    write_epoch(value, identity_here());
    return value;
  });
}

int64 raise_epoch() {
  return as_owner([] {
    const Highest highest = read_highest();
    const Identity here = identity_here();
    int64 value = clock_epoch();
    if (highest.value > 0) value = highest.value + (same(highest.identity, here) ? 1 : kLeap);
    write_epoch(value, here);
    return value;
  });
}

int64 highest_epoch() {
  return as_owner([] { return read_highest().value; });
}

}  // namespace dw::runtime
