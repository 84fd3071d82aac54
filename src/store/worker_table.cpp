#include "store/worker_table.hpp"

#include <algorithm>

#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/key_hash.hpp"
#include "store/statement.hpp"

namespace dw::store {

namespace {

#define WORKER_COLUMNS "name, instance, queues, capacity, vnodes, drain_deadline"

// The number is drawn once the row is held, so that it is above those of earlier registrations.
constexpr char kRegister[] =
    "INSERT INTO durable_work.worker AS worker (name, instance, queues, capacity, vnodes, labels) "
    "VALUES ($1, pg_catalog.nextval('durable_work.worker_instance_seq'), $2, $3, $4, $5) "
    "ON CONFLICT (name) DO UPDATE SET "
    "instance = pg_catalog.nextval('durable_work.worker_instance_seq'), "
    "queues = excluded.queues, capacity = excluded.capacity, vnodes = excluded.vnodes, "
    "labels = excluded.labels, registered_at = pg_catalog.clock_timestamp(), "
    "drain_deadline = NULL "
    "WHERE NOT EXISTS (SELECT FROM durable_work.queue AS queue "
    "WHERE queue.id = ANY (worker.queues) AND queue.id <> ALL ($6)) RETURNING " WORKER_COLUMNS;
constexpr char kLock[] =
    "SELECT " WORKER_COLUMNS " FROM durable_work.worker WHERE name = $1 FOR UPDATE";
constexpr char kTryLock[] =
    "SELECT " WORKER_COLUMNS " FROM durable_work.worker WHERE name = $1 FOR UPDATE SKIP LOCKED";
constexpr char kDrain[] =
    "UPDATE durable_work.worker SET drain_deadline = $3 WHERE name = $1 AND instance = $2";
constexpr char kDelete[] = "DELETE FROM durable_work.worker WHERE name = $1 AND instance = $2";
constexpr char kList[] =
    "SELECT " WORKER_COLUMNS " FROM durable_work.worker WHERE instance > $1 ORDER BY instance";

template <std::size_t room>
void copy_text(char (&to)[room], std::string_view from) {
  const std::size_t length = std::min(from.size(), room - 1);
  std::memcpy(to, from.data(), length);
  to[length] = '\0';
}

void read_queues(Datum array, core::MemberRow* out) {
  const auto queues = pg::read_array(array, INT4OID, "queues", PG_INT16_MAX);
  const int count = std::min(queues.count, static_cast<int>(core::kMostWaitedQueues));
  for (int i = 0; i < count; i++) {
    if (!queues.nulls[i]) out->queues[out->queue_count++] = DatumGetInt32(queues.values[i]);
  }
}

// Rows that somebody edited by hand must not break anything.
void read_row(uint64 row, core::MemberRow* out) {
  *out = core::MemberRow{};
  const std::string_view name = pg::text_view(number(row, 1));
  copy_text(out->name, name);
  copy_text(out->utf8_name, utf8_text(out->name));
  out->instance = DatumGetInt64(number(row, 2));
  read_queues(number(row, 3), out);
  bool null = false;
  const Datum capacity = column(row, 4, &null);
  out->capacity = null ? 0 : static_cast<uint32>(std::max(DatumGetInt32(capacity), 0));
  out->vnodes = static_cast<uint32>(
      std::clamp(DatumGetInt32(number(row, 5)), 1, static_cast<int32>(core::kMostVnodes)));
  const Datum deadline = column(row, 6, &null);
  out->drain_deadline = null ? core::kNever : DatumGetTimestampTz(deadline);
}

void note(core::ActionKind kind, const core::MemberRow& row) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  transaction.set_worker(row);
  transaction.note_worker(runtime::level(), kind);
}

bool select_worker(const char* statement, std::string_view name, core::MemberRow* row) {
  const Oid types[] = {TEXTOID};
  Datum values[] = {pg::text_datum(name)};
  return execute(statement, types, values, " ", [row](uint64 at) { read_row(at, row); }) == 1;
}

Datum id_array(const core::QueueId* ids, int count) {
  auto* const values = pg::allocate<Datum>(static_cast<Size>(count) + 1);
  for (int i = 0; i < count; i++) values[i] = Int32GetDatum(ids[i]);
  return PointerGetDatum(
      construct_array(values, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

struct Found {
  core::QueueId* ids;
  int count;
};

/* Of the current user. */
Datum queues_to_work_on() {
  Found found{pg::allocate<core::QueueId>(core::kMostQueues), 0};
  for_each_queue(
      [](const QueueInfo& queue, void* arg) {
        auto* const all = static_cast<Found*>(arg);
        if (may(queue.id, Right::work) && all->count < static_cast<int>(core::kMostQueues))
          all->ids[all->count++] = queue.id;
      },
      &found);
  return id_array(found.ids, found.count);
}

}  // namespace

int64 register_worker(const WorkerWish& wish) {
  const Oid types[] = {TEXTOID, INT4ARRAYOID, INT4OID, INT4OID, JSONBOID, INT4ARRAYOID};
  Datum values[] = {pg::text_datum(wish.name),
                    id_array(wish.queues, wish.queue_count),
                    Int32GetDatum(wish.capacity),
                    Int32GetDatum(wish.vnodes),
                    wish.labels,
                    queues_to_work_on()};
  char nulls[] = "      ";
  if (wish.capacity == 0) nulls[2] = 'n';
  if (wish.labels == 0) nulls[4] = 'n';
  core::MemberRow written{};
  execute(kRegister, types, values, nulls, [&written](uint64 row) { read_row(row, &written); });
  if (written.instance == 0) return 0;
  note(core::ActionKind::worker_changed, written);
  return written.instance;
}

bool lock_worker(std::string_view name, core::MemberRow* row) {
  return select_worker(kLock, name, row);
}

bool try_lock_worker(std::string_view name, core::MemberRow* row) {
  return select_worker(kTryLock, name, row);
}

void drain_worker(const core::MemberRow& row, int64 deadline) {
  const Oid types[] = {TEXTOID, INT8OID, TIMESTAMPTZOID};
  Datum values[] = {CStringGetTextDatum(row.name), Int64GetDatum(row.instance),
                    TimestampTzGetDatum(deadline)};
  execute(kDrain, types, values, "   ", ignore);
  core::MemberRow changed = row;
  changed.drain_deadline = deadline;
  note(core::ActionKind::worker_changed, changed);
}

void delete_worker(const core::MemberRow& row) {
  const Oid types[] = {TEXTOID, INT8OID};
  Datum values[] = {CStringGetTextDatum(row.name), Int64GetDatum(row.instance)};
  execute(kDelete, types, values, "  ", ignore);
  note(core::ActionKind::worker_left, row);
}

void for_each_worker(void (*each)(const core::MemberRow& row, void* arg), void* arg) {
  const Oid types[] = {INT8OID};
  Datum values[] = {Int64GetDatum(0)};
  execute(kList, types, values, " ", [each, arg](uint64 at) {
    core::MemberRow row;
    read_row(at, &row);
    each(row, arg);
  });
}

}  // namespace dw::store
