// A dead letter's row, and the job that its queue's dead_letter_queue gets for it.
//
// Both are written by the transaction that writes the outcome, so either all of it happened or
// nothing. The new job goes past the limits of its queue: a dead letter that cannot be passed on
// would have to fail the worker's call, or the sweep, again and again.
#include "store/dead_letter.hpp"

#include "core/hash.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/blocked_key.hpp"
#include "store/catalog.hpp"
#include "store/json_builder.hpp"
#include "store/saved_plan.hpp"

namespace dw::store {

namespace {

// A job dies once; a second row can only come from data loaded twice and replaces the first.
constexpr char kInsert[] =
    "INSERT INTO durable_work.dead_letter AS d (queue, job_id, topic, key_hash, priority, "
    "max_attempts, "
    "attempts, enqueued_at, dead_at, expires_at, partition_key, reason, payload, headers, history) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
    "ON CONFLICT (queue, job_id) DO UPDATE SET attempts = excluded.attempts, dead_at = "
    "excluded.dead_at, "
    "reason = excluded.reason, history = excluded.history";
constexpr int kParameters = 15;

SavedPlan insert_plan;

Datum array_of(Datum element) {
  JsonBuilder json;
  json.begin_array();
  json.element(element);
  json.end_array();
  return json.datum();
}

struct Death {
  int32 attempts;
  const char* reason;
  TimestampTz at;
};

void insert_dead_letter(core::QueueId queue, const JobTuple& job, const Death& death,
                        Datum history) {
  const Oid types[kParameters] = {INT4OID, INT8OID, INT4OID,        INT4OID,        INT2OID,
                                  INT2OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
                                  TEXTOID, TEXTOID, JSONBOID,       JSONBOID,       JSONBOID};
  const Datum values[kParameters] = {Int32GetDatum(queue),
                                     Int64GetDatum(job.id),
                                     Int32GetDatum(job.topic),
                                     Int32GetDatum(static_cast<int32>(job.key_hash)),
                                     Int16GetDatum(job.priority),
                                     Int16GetDatum(job.max_attempts),
                                     Int32GetDatum(death.attempts),
                                     TimestampTzGetDatum(job.enqueued_at),
                                     TimestampTzGetDatum(death.at),
                                     TimestampTzGetDatum(job.expires_at),
                                     job.partition_key,
                                     CStringGetTextDatum(death.reason),
                                     job.payload,
                                     job.headers,
                                     history};
  char nulls[kParameters + 1] = "               ";
  if (job.max_attempts == 0) nulls[5] = 'n';
  if (!job.has_expires_at) nulls[9] = 'n';
  if (!job.has_partition_key) nulls[10] = 'n';
  if (!job.has_headers) nulls[13] = 'n';
  run_as_owner(&insert_plan, kInsert, kParameters, types, values, nulls);
}

// Where the new job comes from, beside what the old one had in its headers.
Datum headers_of(const char* queue, const JobTuple& job, const Death& death) {
  JsonBuilder origin;
  origin.begin_object();
  origin.text("queue", queue);
  origin.integer("job_id", job.id);
  origin.text("reason", death.reason);
  origin.integer("attempts", death.attempts);
  origin.time("dead_at", death.at);
  origin.end_object();
  JsonBuilder json;
  json.begin_object();
  if (job.has_headers) json.members_of(job.headers);
  json.json("dead_letter", origin.datum());
  json.end_object();
  return json.datum();
}

// A number that names no queue is a leftover of rows that somebody edited: the dead letter is kept
// all the same.
void pass_on(core::QueueId queue, const JobTuple& job, const Death& death) {
  const QueueInfo* const from = find_queue_by_id(queue);
  if (from == nullptr || from->dead_letter_queue == 0) return;
  const core::QueueId target_id = from->dead_letter_queue;
  const char* const name = pstrdup(from->name);
  const QueueInfo* const target = find_queue_by_id(target_id);
  if (target == nullptr) return;
  const core::QueueRef slot = target->slot;

  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  NewJob made{};
  made.topic = target->topic;
  made.queue = target_id;
  made.id = next_job_id();
  made.key_hash = job.has_partition_key ? job.key_hash : core::fnv1a32_of_id(made.id);
  made.priority = job.priority;
  made.enqueued_at = death.at;
  made.has_partition_key = job.has_partition_key;
  made.partition_key = job.partition_key;
  made.payload = job.payload;
  made.has_headers = true;
  made.headers = headers_of(name, job, death);
  core::JobRow row;
  insert_jobs(&made, 1, &row);
  transaction.note_enqueue(runtime::level(), slot, row);
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

void bury(core::QueueId queue, const core::ClaimedJob& address, int32 attempts, const char* reason,
          TimestampTz at, Datum detail, bool while_held, const core::JobId* blocks) {
  JobTuple job;
  bool found = false;
  read_jobs(&address, 1, &job, &found);
  if (!found && !find_job(address.id, &job))
    pg::raise(DW_INTERNAL_ERROR, psprintf("row of job " INT64_FORMAT " is missing", address.id));
  const Datum last = last_failure(at, attempts, detail);
  /* What lies in parked may have a history from before it was redriven. */
  const bool has_history =
      attempts > (while_held ? 1 : 0) || address.segment == core::kParkedSegment;
  const Datum history =
      has_history ? failure_history(address.id, queue, address.segment, address.token, last)
                  : array_of(last);
  const Death death{attempts, reason, at};
  insert_dead_letter(queue, job, death, history);
  if (blocks != nullptr && job.has_partition_key)
    insert_blocked_key(queue, job.partition_key, job.id, *blocks);
  pass_on(queue, job, death);
}

}  // namespace dw::store
