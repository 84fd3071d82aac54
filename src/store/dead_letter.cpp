#include "store/dead_letter.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "store/json_builder.hpp"
#include "store/saved_plan.hpp"

namespace dw::store {

namespace {

// A job dies once; a second row can only come from data loaded twice and replaces the first.
constexpr char kInsert[] =
    "INSERT INTO durable_work.dead_letter AS d (queue, job_id, topic, key_hash, priority, "
    "max_attempts, "
    "attempts, enqueued_at, dead_at, partition_key, reason, payload, headers, history) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
    "ON CONFLICT (queue, job_id) DO UPDATE SET attempts = excluded.attempts, dead_at = "
    "excluded.dead_at, "
    "reason = excluded.reason, history = excluded.history";
constexpr int kParameters = 14;

SavedPlan insert_plan;

Datum array_of(Datum element) {
  JsonBuilder json;
  json.begin_array();
  json.element(element);
  json.end_array();
  return json.datum();
}

}  // namespace

Datum last_failure(TimestampTz at, int32 attempt, Datum detail) {
  JsonBuilder json;
  json.begin_object();
  json.time("at", at);
  json.text("event", "dead_lettered");
  json.integer("attempt", attempt);
  json.members_of(detail);
  json.end_object();
  return json.datum();
}

void insert_dead_letter(core::QueueId queue, const JobTuple& job, int32 attempts,
                        const char* reason, TimestampTz at, Datum history) {
  const Oid types[kParameters] = {INT4OID, INT8OID,  INT4OID,        INT4OID,        INT2OID,
                                  INT2OID, INT4OID,  TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
                                  TEXTOID, JSONBOID, JSONBOID,       JSONBOID};
  const Datum values[kParameters] = {Int32GetDatum(queue),
                                     Int64GetDatum(job.id),
                                     Int32GetDatum(job.topic),
                                     Int32GetDatum(static_cast<int32>(job.key_hash)),
                                     Int16GetDatum(job.priority),
                                     Int16GetDatum(job.max_attempts),
                                     Int32GetDatum(attempts),
                                     TimestampTzGetDatum(job.enqueued_at),
                                     TimestampTzGetDatum(at),
                                     job.partition_key,
                                     CStringGetTextDatum(reason),
                                     job.payload,
                                     job.headers,
                                     history};
  char nulls[kParameters + 1] = "              ";
  if (job.max_attempts == 0) nulls[5] = 'n';
  if (!job.has_partition_key) nulls[9] = 'n';
  if (!job.has_headers) nulls[12] = 'n';
  run_as_owner(&insert_plan, kInsert, kParameters, types, values, nulls);
}

void bury(core::QueueId queue, const core::ClaimedJob& address, int32 attempts, const char* reason,
          TimestampTz at, Datum detail) {
  JobTuple job;
  bool found = false;
  read_jobs(&address, 1, &job, &found);
  if (!found && !find_job(address.id, &job))
    pg::raise(DW_INTERNAL_ERROR, psprintf("row of job " INT64_FORMAT " is missing", address.id));
  const Datum last = last_failure(at, attempts, detail);
  const Datum history =
      attempts > 1 ? failure_history(address.id, queue, address.segment, last) : array_of(last);
  insert_dead_letter(queue, job, attempts, reason, at, history);
}

}  // namespace dw::store
