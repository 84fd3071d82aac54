// cancel_many, reschedule_many, retry_now_many: all jobs of a queue that fit, a bounded number in a
// call. Whoever wants more calls again with where the last call ended.
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "change/batch.hpp"
#include "change/job_filter.hpp"
#include "change/job_walk.hpp"
#include "change/reschedule.hpp"
#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace dw::change {

namespace {

constexpr int32 kMostJobs = 100'000;

struct Call {
  store::QueueInfo queue;
  JobFilter filter;
  int64 most;
  core::JobId after;
};

// Arguments partition_key, filter, older_than, max_jobs and after_job_id, from that number on.
Call read_call(FunctionCallInfo fcinfo, int first, const char* command) {
  runtime::require_preloaded();
  runtime::require_writable(command);
  Call call{};
  call.filter = filter_arguments(fcinfo, first);
  call.most = pg::required_int(fcinfo, first + 3, "max_jobs", 1, kMostJobs);
  call.after =
      pg::optional_bigint(fcinfo, first + 4, "after_job_id", 0, PG_INT64_MAX - 1).value_or(0);
  call.queue =
      store::require_queue(pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1),
                           store::Right::operate, false);
  return call;
}

[[noreturn]] void raise_not_now(const Call& call, const char* detail, const char* hint) {
  pg::raise(DW_WRONG_STATE, psprintf("jobs of queue \"%s\" cannot be changed now", call.queue.name),
            detail, hint);
}

void require_open(const Call& call) {
  const core::Index database = runtime::database();
  if (database == core::kNone ||
      runtime::dispatcher().arena().databases[database].state != core::DatabaseState::open)
    raise_not_now(call, "The queues of this database are not loaded yet.",
                  "Try again in a moment.");
}

Datum result(FunctionCallInfo fcinfo, const Batch& batch, core::JobId next_after) {
  const Datum values[] = {Int64GetDatum(batch.changed), Int64GetDatum(batch.left_out),
                          Int64GetDatum(next_after)};
  const bool nulls[] = {false, false, next_after < 0};
  return pg::row_result(fcinfo, values, nulls);
}

Datum change_many(FunctionCallInfo fcinfo, const Call& call, Change change, const NewDue& due) {
  require_open(call);
  core::ListWish wish{};
  wish.one_key = call.filter.partition_key.has_value();
  wish.key_hash = call.filter.key_hash;
  wish.leased = change != Change::retry_now;
  wish.retrying = change == Change::retry_now;
  JobWalk walk;
  begin_walk(&walk, call.queue, call.filter, wish, call.after);
  Batch batch = begin_batch(change, call.queue, due, call.most);
  while (next_window(&walk)) {
    for (int done = 0; done < walk.found_count;) {
      const int n = std::min(walk.found_count - done, kSlice);
      done += change_jobs(&batch, walk.found + done, n);
      if (done == walk.found_count) break;
      if (batch.changed < batch.most && !batch.no_room) continue;
      if (batch.changed == 0)
        raise_not_now(call,
                      "All memory that the queue may use is taken by jobs that are leased or being "
                      "decided.",
                      "Try again in a moment, and change fewer jobs in one transaction.");
      return result(fcinfo, batch, walk.found[done].job.row.id - 1);
    }
    if (batch.changed >= batch.most && walk.next < walk.end)
      return result(fcinfo, batch, walk.next - 1);
  }
  return result(fcinfo, batch, -1);
}

Datum cancel_many(FunctionCallInfo fcinfo) {
  const Call call = read_call(fcinfo, 1, "cancel_many()");
  if (!call.filter.needs_row())
    pg::raise_invalid(
        "partition_key, filter or older_than must be given", nullptr,
        "With older_than => '0' all jobs fit; durable_work.purge_queue removes all at "
        "once.");
  return change_many(fcinfo, call, Change::cancel, {});
}

Datum reschedule_many(FunctionCallInfo fcinfo) {
  const Call call = read_call(fcinfo, 2, "reschedule_many()");
  const NewDue due = new_due(pg::required_timestamp(fcinfo, 1, "available_at"));
  return change_many(fcinfo, call, Change::reschedule, due);
}

Datum retry_now_many(FunctionCallInfo fcinfo) {
  const Call call = read_call(fcinfo, 1, "retry_now_many()");
  const TimestampTz now = GetCurrentTimestamp();
  return change_many(fcinfo, call, Change::retry_now, {now, now});
}

}  // namespace

}  // namespace dw::change

extern "C" Datum dw_cancel_many_body(FunctionCallInfo fcinfo) {
  return dw::change::cancel_many(fcinfo);
}
extern "C" Datum dw_reschedule_many_body(FunctionCallInfo fcinfo) {
  return dw::change::reschedule_many(fcinfo);
}
extern "C" Datum dw_retry_now_many_body(FunctionCallInfo fcinfo) {
  return dw::change::retry_now_many(fcinfo);
}
