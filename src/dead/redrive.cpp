// redrive: dead letters become jobs again, in the caller's transaction, or at a rate by the
// housekeeper.
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/queue_hold.hpp"
#include "store/redrive.hpp"
#include "store/redrive_task.hpp"

namespace dw::dead {

namespace {

enum Argument {
  kQueue,
  kJobIds,
  kErrorLike,
  kSince,
  kUntil,
  kToQueue,
  kRatePerSecond,
  kMaxJobs,
  kDryRun,
};

constexpr int kMostIds = 100'000;
constexpr std::size_t kLongestPattern = 1024;
constexpr double kSlowest = 0.001;
constexpr double kFastest = 100'000;

void read_ids(FunctionCallInfo fcinfo, store::Redrive* redrive) {
  const pg::array_values ids = pg::optional_array(fcinfo, kJobIds, "job_ids", INT8OID, kMostIds);
  if (!ids.given) return;
  for (int i = 0; i < ids.count; i++) {
    if (DatumGetInt64(ids.required(i, "job_ids")) < 1)
      pg::raise_invalid("job_ids must be positive");
  }
  redrive->job_ids = store::sorted_ids(ids.values, ids.count, &redrive->job_id_count);
}

// The server would complain only once it meets a text that fits so far.
void check_pattern(std::string_view pattern) {
  std::size_t escapes = 0;
  while (escapes < pattern.size() && pattern[pattern.size() - 1 - escapes] == '\\') escapes++;
  if (escapes % 2 == 1)
    pg::raise_invalid("error_like must not end with an escape character", nullptr,
                      "Write two backslashes for one.");
}

// What is not given reaches from the beginning of time up to this call: what dies while a redrive
// goes on is not for it.
void read_filters(FunctionCallInfo fcinfo, store::Redrive* redrive) {
  read_ids(fcinfo, redrive);
  if (const auto pattern =
          pg::optional_text(fcinfo, kErrorLike, "error_like", 1, kLongestPattern)) {
    check_pattern(*pattern);
    redrive->error_like = pg::text_datum(*pattern);
  }
  const TimestampTz now = GetCurrentTimestamp();
  redrive->since = pg::optional_timestamp(fcinfo, kSince, "since").value_or(DT_NOBEGIN);
  redrive->until = std::min(pg::optional_timestamp(fcinfo, kUntil, "until").value_or(now), now);
}

void read_queues(FunctionCallInfo fcinfo, store::Redrive* redrive) {
  const std::string_view from =
      pg::required_text(fcinfo, kQueue, "queue", 1, core::kQueueNameSize - 1);
  const auto to = pg::optional_text(fcinfo, kToQueue, "to_queue", 1, core::kQueueNameSize - 1);
  const store::QueueInfo& source = store::require_queue(from, store::Right::operate, false);
  redrive->from = redrive->to = source.id;
  redrive->to_topic = source.topic;
  memcpy(redrive->from_name, source.name, sizeof(redrive->from_name));
  if (!to) return;
  const store::QueueInfo& target = store::require_queue(*to, store::Right::enqueue, false);
  redrive->to = target.id;
  redrive->to_topic = target.topic;
}

int64 move_now(const store::Redrive& redrive, int64 most) {
  store::RedrivePosition position = store::kRedriveStart;
  int64 moved = 0;
  for (bool more = true; more && moved < most;) {
    CHECK_FOR_INTERRUPTS();
    const int64 left = most - moved;
    const store::Redriven done = store::redrive_some(
        redrive, &position, static_cast<int>(std::min<int64>(left, store::kRedriveWindow)));
    moved += done.moved;
    more = done.more;
  }
  return moved;
}

int64 move_later(const store::Redrive& redrive, double rate, int64 most) {
  store::RedriveTask task{};
  task.from = redrive.from;
  task.to = redrive.to;
  if (redrive.job_ids != nullptr)
    task.job_ids = store::array_of_ids(redrive.job_ids, redrive.job_id_count);
  task.error_like = redrive.error_like;
  task.since = redrive.since;
  task.until = redrive.until;
  task.most = most;
  task.rate = rate;
  task.matched = store::count_matching(redrive, most);
  store::insert_redrive_task(task);
  return task.matched;
}

Datum redrive(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  store::Redrive redrive{};
  read_filters(fcinfo, &redrive);
  redrive.wait = true;
  const auto rate =
      pg::optional_double(fcinfo, kRatePerSecond, "rate_per_second", kSlowest, kFastest);
  const int64 most = pg::optional_bigint(fcinfo, kMaxJobs, "max_jobs", 1).value_or(PG_INT64_MAX);
  const bool dry_run = pg::required_bool(fcinfo, kDryRun, "dry_run");
  if (!dry_run) runtime::require_writable("redrive()");
  read_queues(fcinfo, &redrive);
  if (dry_run) return Int64GetDatum(store::count_matching(redrive, most));

  // The queue that gets the jobs must still be there when this commits, or they would be gone.
  core::QueueId held = 0;
  while (redrive.to != held) {
    held = redrive.to;
    store::hold_queue(held, true);
    read_queues(fcinfo, &redrive);
  }
  return Int64GetDatum(rate ? move_later(redrive, *rate, most) : move_now(redrive, most));
}

}  // namespace

}  // namespace dw::dead

extern "C" Datum dw_redrive_body(FunctionCallInfo fcinfo) { return dw::dead::redrive(fcinfo); }
