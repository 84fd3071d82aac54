// One new job's arguments, and the way from them to a row of the log. Shared by enqueue and the
// view inbox; enqueue_many uses the parts.
#pragma once

#include "core/dispatcher.hpp"
#include "pg/headers.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"

namespace dw::produce {

enum class UniqueWhile : uint8 { window, pending, active };
enum class OnDuplicate : uint8 { give_back, replace, error };

struct JobArguments {
  Datum payload = 0;                     // jsonb
  std::optional<Datum> partition_key;    // text
  std::optional<Datum> idempotency_key;  // text
  std::optional<Datum> headers;          // jsonb
  std::optional<TimestampTz> available_at;
  std::optional<TimestampTz> expires_at;
  int16 priority = core::kDefaultPriority;
  int16 max_attempts = 0;  // 0: the queue's
  UniqueWhile unique_while = UniqueWhile::window;
  OnDuplicate on_duplicate = OnDuplicate::give_back;
};

// Limits. They raise 22023.
void check_partition_key(Datum key);
void check_idempotency_key(Datum key);
void check_headers(Datum headers);
// A job that could never be handed out is refused. `due` is its due time, if it is not due at once.
void check_expires_at(TimestampTz expires_at, std::optional<TimestampTz> due);
// `at` plus `delay` microseconds; raises when that is beyond the calendar.
TimestampTz after_delay(TimestampTz at, int64 delay);

// A queue's parts that survive other look-ups in the catalog.
struct Target {
  core::QueueId queue;
  int32 topic;
  core::QueueRef slot;
  int64 dedupe_window;
  int64 max_payload;
  int32 max_attempts;
  uint32 buckets;
};
Target target_of(const store::QueueInfo& queue);

// Raises 22023 for a payload larger than the queue takes.
void check_payload(const Target& target, Datum payload);

// A row ready to be written.
store::NewJob new_job(const Target& target, const JobArguments& arguments, core::JobId id,
                      TimestampTz now);

// Takes room for the rows in the queue, writes them and notes them for the end of the transaction,
// which has room for them and one action more.
void append(Target target, const store::NewJob* jobs, int n);

struct Submitted {
  core::JobId job_id;
  bool inserted;      // false: the idempotency key belongs to that job already
  store::NewJob job;  // as written, if inserted
};
Submitted submit(const Target& target, const JobArguments& arguments);

}  // namespace dw::produce
