#include "store/redrive_task.hpp"

#include <algorithm>

#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "store/statement.hpp"

namespace dw::store {

namespace {

// Ended tasks are shown for a week. They go when the next one comes.
constexpr char kPrune[] =
    "DELETE FROM durable_work.redrive_task WHERE ended_at < pg_catalog.clock_timestamp() - "
    "interval '7 days'";
constexpr char kInsert[] =
    "INSERT INTO durable_work.redrive_task (queue, to_queue, job_ids, error_like, since, until, "
    "max_jobs, rate_per_second, matched) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
/* The oldest of each queue first: one queue's slow ones do not keep another's from running. */
constexpr char kList[] =
    "SELECT id, rate_per_second FROM (SELECT id, rate_per_second, row_number() "
    "OVER (PARTITION BY queue ORDER BY id) AS turn FROM durable_work.redrive_task "
    "WHERE state = 'running') AS running ORDER BY turn, id LIMIT $1";
constexpr char kTake[] =
    "SELECT queue, to_queue, job_ids, error_like, since, until, max_jobs, rate_per_second, "
    "matched, "
    "moved, position_dead_at, position_job_id, left_out FROM durable_work.redrive_task "
    "WHERE id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED";
constexpr char kProgress[] =
    "UPDATE durable_work.redrive_task SET moved = $2, position_dead_at = $3, position_job_id = $4, "
    "left_out = $5 WHERE id = $1";
constexpr char kEnd[] =
    "UPDATE durable_work.redrive_task SET state = $2, error = $3, "
    "ended_at = pg_catalog.clock_timestamp() WHERE id = $1 AND state = 'running'";
constexpr char kDropSource[] = "DELETE FROM durable_work.redrive_task WHERE queue = $1";
constexpr char kDropTarget[] =
    "UPDATE durable_work.redrive_task SET state = 'failed', error = $2, "
    "ended_at = pg_catalog.clock_timestamp() WHERE to_queue = $1 AND state = 'running'";

// A copy of a varlena; 0 for null.
Datum copy(uint64 row, int at) {
  bool null = false;
  const Datum value = column(row, at, &null);
  return null ? Datum{0} : PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
}

void read_task(uint64 row, RedriveTask* task) {
  bool null = false;
  task->from = DatumGetInt32(number(row, 1));
  task->to = DatumGetInt32(number(row, 2));
  task->job_ids = copy(row, 3);
  task->error_like = copy(row, 4);
  task->since = DatumGetTimestampTz(number(row, 5));
  task->until = DatumGetTimestampTz(number(row, 6));
  task->most = DatumGetInt64(column(row, 7, &null));
  if (null) task->most = PG_INT64_MAX;
  task->rate = DatumGetFloat8(number(row, 8));
  task->matched = DatumGetInt64(number(row, 9));
  task->moved = DatumGetInt64(number(row, 10));
  task->position.dead_at = DatumGetTimestampTz(number(row, 11));
  task->position.job_id = DatumGetInt64(number(row, 12));
  task->left_out = DatumGetBool(number(row, 13));
}

}  // namespace

int64 insert_redrive_task(const RedriveTask& task) {
  const Oid no_types[] = {INT8OID};
  Datum no_values[] = {Int64GetDatum(0)};
  execute(kPrune, no_types, no_values, " ", ignore);
  const Oid types[] = {INT4OID,        INT4OID, INT8ARRAYOID, TEXTOID, TIMESTAMPTZOID,
                       TIMESTAMPTZOID, INT8OID, FLOAT8OID,    INT8OID};
  Datum values[] = {
      Int32GetDatum(task.from), Int32GetDatum(task.to),          task.job_ids,
      task.error_like,          TimestampTzGetDatum(task.since), TimestampTzGetDatum(task.until),
      Int64GetDatum(task.most), Float8GetDatum(task.rate),       Int64GetDatum(task.matched)};
  char nulls[] = "         ";
  if (task.job_ids == 0) nulls[2] = 'n';
  if (task.error_like == 0) nulls[3] = 'n';
  if (task.most == PG_INT64_MAX) nulls[6] = 'n';
  int64 id = 0;
  execute(kInsert, types, values, nulls, [&id](uint64 row) { id = DatumGetInt64(number(row, 1)); });
  return id;
}

int list_running_tasks(RunningTask* tasks, int most) {
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(most)};
  return static_cast<int>(execute(kList, types, values, " ", [tasks](uint64 row) {
    tasks[row] = {DatumGetInt64(number(row, 1)), DatumGetFloat8(number(row, 2))};
  }));
}

bool take_task(int64 id, RedriveTask* task) {
  const Oid types[] = {INT8OID};
  Datum values[] = {Int64GetDatum(id)};
  task->id = id;
  return execute(kTake, types, values, " ", [task](uint64 row) { read_task(row, task); }) == 1;
}

void note_progress(const RedriveTask& task) {
  const Oid types[] = {INT8OID, INT8OID, TIMESTAMPTZOID, INT8OID, BOOLOID};
  Datum values[] = {Int64GetDatum(task.id), Int64GetDatum(task.moved),
                    TimestampTzGetDatum(task.position.dead_at), Int64GetDatum(task.position.job_id),
                    BoolGetDatum(task.left_out)};
  execute(kProgress, types, values, "     ", ignore);
}

void end_task(int64 id, const char* state, const char* error) {
  const Oid types[] = {INT8OID, TEXTOID, TEXTOID};
  Datum values[] = {Int64GetDatum(id), CStringGetTextDatum(state),
                    error != nullptr ? CStringGetTextDatum(error) : Datum{0}};
  execute(kEnd, types, values, error != nullptr ? "   " : "  n", ignore);
}

void drop_tasks_of(const QueueInfo& queue) {
  const Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(queue.id)};
  execute(kDropSource, types, values, " ", ignore);
  const Oid target_types[] = {INT4OID, TEXTOID};
  Datum target_values[] = {Int32GetDatum(queue.id),
                           CStringGetTextDatum(psprintf("queue \"%s\" was dropped", queue.name))};
  execute(kDropTarget, target_types, target_values, "  ", ignore);
}

core::JobId* sorted_ids(const Datum* ids, int n, int* count) {
  auto* const sorted = pg::allocate<core::JobId>(static_cast<Size>(n) + 1);
  for (int i = 0; i < n; i++) sorted[i] = DatumGetInt64(ids[i]);
  std::sort(sorted, sorted + n);
  *count = static_cast<int>(std::unique(sorted, sorted + n) - sorted);
  return sorted;
}

core::JobId* ids_of(Datum array, int* count) {
  Datum* values = nullptr;
  bool* nulls = nullptr;
  int n = 0;
  deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
                    TYPALIGN_DOUBLE, &values, &nulls, &n);
  int given = 0;
  for (int i = 0; i < n; i++) {
    if (!nulls[i]) values[given++] = values[i];
  }
  return sorted_ids(values, given, count);
}

Datum array_of_ids(const core::JobId* ids, int n) {
  auto* const values = pg::allocate<Datum>(static_cast<Size>(n) + 1);
  for (int i = 0; i < n; i++) values[i] = Int64GetDatum(ids[i]);
  return PointerGetDatum(
      construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

}  // namespace dw::store
