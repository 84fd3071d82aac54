#include "store/redrive.hpp"

#include <algorithm>

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/blocked_key.hpp"
#include "store/redrive_task.hpp"
#include "store/redriven_rows.hpp"

namespace dw::store {

namespace {

// $1 queue, $2 since, $3 until, $4 pattern or null.
#define MATCHES "($4 IS NULL OR d.reason LIKE $4 OR (d.history -> -1 ->> 'error') LIKE $4)"
#define IN_TIME "d.queue = $1 AND d.dead_at >= $2 AND d.dead_at < $3"

constexpr char kNextWindow[] = "SELECT d.job_id, d.dead_at, " MATCHES
                               " FROM durable_work.dead_letter AS d "
                               "WHERE " IN_TIME
                               " AND (d.dead_at, d.job_id) > ($5, $6) "
                               "ORDER BY d.dead_at, d.job_id LIMIT $7";
constexpr char kNamedWindow[] = "SELECT d.job_id, d.dead_at, " MATCHES
                                " FROM durable_work.dead_letter AS d "
                                "WHERE " IN_TIME " AND d.job_id = ANY ($5) ORDER BY d.job_id";

// Locks are taken in the order of the sort below them.
constexpr char kLock[] =
    "SELECT d.job_id FROM durable_work.dead_letter AS d WHERE d.queue = $1 AND d.job_id = ANY ($2) "
    "ORDER BY d.dead_at, d.job_id FOR UPDATE";
constexpr char kLockFree[] =
    "SELECT d.job_id FROM durable_work.dead_letter AS d WHERE d.queue = $1 AND d.job_id = ANY ($2) "
    "ORDER BY d.dead_at, d.job_id FOR UPDATE SKIP LOCKED";
constexpr char kTake[] =
    "DELETE FROM durable_work.dead_letter WHERE queue = $1 AND job_id = ANY ($2) "
    "RETURNING job_id, key_hash, priority, max_attempts, enqueued_at, expires_at, partition_key, "
    "payload, headers, history";

constexpr char kCount[] =
    "SELECT count(*) FROM (SELECT FROM durable_work.dead_letter AS d WHERE " IN_TIME " AND " MATCHES
    " LIMIT $5) AS matching";
constexpr char kCountNamed[] =
    "SELECT count(*) FROM (SELECT FROM durable_work.dead_letter AS d WHERE " IN_TIME " AND " MATCHES
    " AND d.job_id = ANY ($6) LIMIT $5) AS matching";

// Planned for these values each time: what the filters let through differs from call to call.
template <int n>
uint64 run(const char* statement, const Oid (&types)[n], Datum (&values)[n], const char* nulls,
           bool read_only, int expected) {
  const int result =
      SPI_execute_with_args(statement, n, const_cast<Oid*>(types), values, nulls, read_only, 0);
  if (result != expected)
    elog(ERROR, "a statement of redrive gave %s", SPI_result_code_string(result));
  return SPI_processed;
}

Datum field(uint64 row, int number, bool* null) {
  return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

Datum required_field(uint64 row, int number) {
  bool null = false;
  const Datum value = field(row, number, &null);
  if (null) elog(ERROR, "column %d of a dead letter is null", number);
  return value;
}

// The next ids to look at, of those named.
const core::JobId* next_named(const Redrive& redrive, const RedrivePosition& position, int* n) {
  const core::JobId* const end = redrive.job_ids + redrive.job_id_count;
  const core::JobId* const first = std::upper_bound(redrive.job_ids, end, position.job_id);
  *n = static_cast<int>(std::min<std::ptrdiff_t>(end - first, kRedriveWindow));
  return first;
}

// What a window has.
struct Window {
  core::JobId wanted[kRedriveWindow];
  int count;
  bool more;
};

uint64 read_next(const Redrive& redrive, const RedrivePosition& position, int rows) {
  const Oid types[] = {INT4OID,        TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
                       TIMESTAMPTZOID, INT8OID,        INT8OID};
  Datum values[] = {Int32GetDatum(redrive.from),
                    TimestampTzGetDatum(redrive.since),
                    TimestampTzGetDatum(redrive.until),
                    redrive.error_like,
                    TimestampTzGetDatum(position.dead_at),
                    Int64GetDatum(position.job_id),
                    Int64GetDatum(rows)};
  return run(kNextWindow, types, values, redrive.error_like != 0 ? "       " : "   n   ", false,
             SPI_OK_SELECT);
}

uint64 read_named(const Redrive& redrive, const core::JobId* ids, int n) {
  const Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8ARRAYOID};
  Datum values[] = {Int32GetDatum(redrive.from), TimestampTzGetDatum(redrive.since),
                    TimestampTzGetDatum(redrive.until), redrive.error_like, array_of_ids(ids, n)};
  return run(kNamedWindow, types, values, redrive.error_like != 0 ? "     " : "   n ", false,
             SPI_OK_SELECT);
}

// Up to `most` that match, and moves the position behind the last one that was looked at.
void look(const Redrive& redrive, RedrivePosition* position, int most, Window* window) {
  window->count = 0;
  int named = 0;
  const core::JobId* ids = nullptr;
  if (redrive.job_ids != nullptr) {
    ids = next_named(redrive, *position, &named);
    if (named == 0) {
      window->more = false;
      return;
    }
  }
  /* Without a pattern all that are looked at are wanted. */
  const int most_rows = redrive.error_like != 0 ? kRedriveWindow : most;
  const uint64 rows =
      ids != nullptr ? read_named(redrive, ids, named) : read_next(redrive, *position, most_rows);
  uint64 row = 0;
  for (; row < rows && window->count < most; row++) {
    const core::JobId id = DatumGetInt64(required_field(row, 1));
    *position = {DatumGetTimestampTz(required_field(row, 2)), id};
    bool null = false;
    if (DatumGetBool(field(row, 3, &null)) && !null) window->wanted[window->count++] = id;
  }
  const bool whole = row == rows;
  if (ids != nullptr) {
    if (whole) position->job_id = ids[named - 1];
    window->more = !whole || ids + named < redrive.job_ids + redrive.job_id_count;
  } else {
    window->more = !whole || rows == static_cast<uint64>(most_rows);
  }
  SPI_freetuptable(SPI_tuptable);
}

// Leaves in the window what this transaction has locked now.
void lock_wanted(const Redrive& redrive, Window* window) {
  const Oid types[] = {INT4OID, INT8ARRAYOID};
  Datum values[] = {Int32GetDatum(redrive.from), array_of_ids(window->wanted, window->count)};
  const uint64 rows =
      run(redrive.wait ? kLock : kLockFree, types, values, "  ", false, SPI_OK_SELECT);
  window->count = static_cast<int>(rows);
  for (uint64 row = 0; row < rows; row++)
    window->wanted[row] = DatumGetInt64(required_field(row, 1));
  SPI_freetuptable(SPI_tuptable);
}

void fill_taken(uint64 row, TakenLetter* letter) {
  bool null = false;
  letter->id = DatumGetInt64(required_field(row, 1));
  letter->key_hash = static_cast<uint32>(DatumGetInt32(required_field(row, 2)));
  letter->priority = DatumGetInt16(required_field(row, 3));
  letter->max_attempts = DatumGetInt16(field(row, 4, &null));
  if (null) letter->max_attempts = 0;
  letter->enqueued_at = DatumGetTimestampTz(required_field(row, 5));
  letter->expires_at = DatumGetTimestampTz(field(row, 6, &null));
  letter->has_expires_at = !null;
  letter->partition_key = field(row, 7, &null);
  letter->has_partition_key = !null;
  letter->payload = required_field(row, 8);
  letter->headers = field(row, 9, &null);
  letter->has_headers = !null;
  letter->history = required_field(row, 10);
}

// Takes the rows out of dead_letter and writes them to parked.
void move_wanted(const Redrive& redrive, const Window& window) {
  const Oid types[] = {INT4OID, INT8ARRAYOID};
  Datum values[] = {Int32GetDatum(redrive.from), array_of_ids(window.wanted, window.count)};
  const uint64 rows = run(kTake, types, values, "  ", false, SPI_OK_DELETE_RETURNING);
  if (rows != static_cast<uint64>(window.count))
    elog(ERROR, "%d dead letters were locked, but " UINT64_FORMAT " taken", window.count, rows);
  auto* const letters = pg::allocate<TakenLetter>(rows);
  for (uint64 row = 0; row < rows; row++) fill_taken(row, &letters[row]);
  SPITupleTable* const table = SPI_tuptable;
  const QueueInfo* const from = find_queue_by_id(redrive.from);
  if (from != nullptr && from->options.ordered)
    free_keys_of(redrive.from, redrive.to, array_of_ids(window.wanted, window.count));
  write_redriven(redrive, letters, window.count);
  SPI_freetuptable(table);
}

Redriven redrive_window(const Redrive& redrive, RedrivePosition* position, int most) {
  Window* const window = pg::allocate<Window>(1);
  look(redrive, position, std::min(most, kRedriveWindow), window);
  const int wanted = window->count;
  if (wanted > 0) lock_wanted(redrive, window);
  if (window->count > 0) move_wanted(redrive, *window);
  return {window->count, !redrive.wait && window->count < wanted, window->more};
}

}  // namespace

Redriven redrive_some(const Redrive& redrive, RedrivePosition* position, int most) {
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work redrive");
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const Redriven done =
      pg::in_context(scratch, [&] { return redrive_window(redrive, position, most); });
  if (SPI_finish() != SPI_OK_FINISH) elog(ERROR, "SPI_finish failed");
  leave_owner(&scope);
  MemoryContextDelete(scratch);
  return done;
}

int64 count_matching(const Redrive& redrive, int64 most) {
  const Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT8ARRAYOID};
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const bool named = redrive.job_ids != nullptr;
  Datum values[] = {Int32GetDatum(redrive.from),
                    TimestampTzGetDatum(redrive.since),
                    TimestampTzGetDatum(redrive.until),
                    redrive.error_like,
                    Int64GetDatum(most),
                    named ? array_of_ids(redrive.job_ids, redrive.job_id_count) : Datum{0}};
  char nulls[] = "      ";
  if (redrive.error_like == 0) nulls[3] = 'n';
  if (!named) nulls[5] = 'n';
  run(named ? kCountNamed : kCount, types, values, nulls, false, SPI_OK_SELECT);
  const int64 count = DatumGetInt64(required_field(0, 1));
  SPI_finish();
  leave_owner(&scope);
  return count;
}

}  // namespace dw::store
