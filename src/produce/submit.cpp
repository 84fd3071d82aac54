// From checked arguments to a row of the log.
//
// Order: room for the intent in process memory, id, idempotency key, room in the queue, row,
// intent. So a duplicate takes no room. Whatever fails on the way fails the statement, and the
// transaction takes back what was written.
#include "produce/submit.hpp"

#include "core/hash.hpp"
#include "core/transaction.hpp"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "produce/room.hpp"
#include "produce/unique.hpp"
#include "runtime/session.hpp"
#include "store/idempotency.hpp"
#include "store/key_hash.hpp"
#include "store/payload_limit.hpp"

namespace dw::produce {

namespace {

constexpr Size kLongestPartitionKey = 1024;  // bytes

}  // namespace

void check_partition_key(Datum key) {
  pg::check_length(pg::text_view(key), "partition_key", 0, kLongestPartitionKey);
}

void check_idempotency_key(Datum key) {
  pg::check_length(pg::text_view(key), "idempotency_key", 1, store::kLongestIdempotencyKey);
}

void check_headers(Datum headers) {
  const int64 size = store::stored_size(headers);
  if (size > runtime::max_headers())
    pg::raise_invalid("headers are too large",
                      psprintf("They take " INT64_FORMAT
                               " bytes, durable_work.max_headers is " INT64_FORMAT " bytes.",
                               size, runtime::max_headers()),
                      "Put what is long into the payload, or raise durable_work.max_headers.");
  if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(headers)))
    pg::raise_invalid("headers must be a jsonb object", nullptr,
                      "Write them like {\"trace_id\": \"4bf92f35\"}.");
}

void check_expires_at(TimestampTz expires_at, std::optional<TimestampTz> due) {
  const TimestampTz now = GetCurrentTimestamp();
  if (expires_at <= now)
    pg::raise_invalid("expires_at must be in the future", nullptr,
                      "A job without expires_at waits for as long as it takes.");
  if (due.has_value() && expires_at <= *due)
    pg::raise_invalid("expires_at must be later than available_at", nullptr,
                      "The job would expire before it is due.");
}

TimestampTz after_delay(TimestampTz at, int64 delay) {
  TimestampTz due = 0;
  if (__builtin_add_overflow(at, delay, &due) || !IS_VALID_TIMESTAMP(due))
    pg::raise_invalid("delay is out of range");
  return due;
}

Target target_of(const store::QueueInfo& queue) {
  return {queue.id,
          queue.topic,
          queue.slot,
          queue.dedupe_window,
          queue.max_payload,
          queue.options.max_attempts,
          static_cast<uint32>(queue.options.buckets)};
}

void check_payload(const Target& target, Datum payload) {
  store::check_payload(target.queue, target.max_payload, payload);
}

store::NewJob new_job(const Target& target, const JobArguments& arguments, core::JobId id,
                      TimestampTz now) {
  store::NewJob job;
  job.id = id;
  job.topic = target.topic;
  job.queue = target.queue;
  job.key_hash = arguments.partition_key ? store::key_hash(pg::text_view(*arguments.partition_key))
                                         : core::fnv1a32_of_id(id);
  job.priority = arguments.priority;
  job.max_attempts = arguments.max_attempts;
  job.enqueued_at = now;
  job.has_available_at = arguments.available_at.has_value();
  job.available_at = arguments.available_at.value_or(0);
  job.has_expires_at = arguments.expires_at.has_value();
  job.expires_at = arguments.expires_at.value_or(0);
  job.has_partition_key = arguments.partition_key.has_value();
  job.partition_key = arguments.partition_key.value_or(0);
  job.payload = arguments.payload;
  job.has_headers = arguments.headers.has_value();
  job.headers = arguments.headers.value_or(0);
  return job;
}

void append(Target target, const store::NewJob* jobs, int n) {
  const TakenRoom room = take_room(&target, n);
  core::JobRow one;
  core::JobRow* const rows = n == 1 ? &one : pg::allocate<core::JobRow>(static_cast<Size>(n));
  store::insert_jobs(jobs, n, rows);
  core::Transaction& transaction = runtime::transaction();
  const int level = runtime::level();
  for (int i = 0; i < n; i++) {
    rows[i].has_room = room.taken;
    transaction.note_enqueue(level, target.slot, rows[i]);
  }
  if (room.taken) transaction.use_room(room.action);
  if (rows != &one) pfree(rows);
}

Submitted submit(const Target& target, const JobArguments& arguments) {
  check_payload(target, arguments.payload);
  if (arguments.unique_while != UniqueWhile::window ||
      arguments.on_duplicate != OnDuplicate::give_back)
    return submit_unique(target, arguments);
  runtime::transaction().reserve(1);
  const TimestampTz now = GetCurrentTimestamp();
  const core::JobId id = store::next_job_id();
  if (arguments.idempotency_key) {
    store::KeyClaim claim{*arguments.idempotency_key, store::payload_hash(arguments.payload), id,
                          false};
    store::claim_keys(target.topic, &claim, 1, now, target.dedupe_window);
    if (!claim.won) return {claim.job_id, false, {}};
  }
  Submitted done{id, true, new_job(target, arguments, id, now)};
  append(target, &done.job, 1);
  return done;
}

}  // namespace dw::produce
