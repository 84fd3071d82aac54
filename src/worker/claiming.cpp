#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "worker/claiming.hpp"

namespace dw::worker {

namespace {

// The number of waiting jobs is read without the lock; so many may have come since.
constexpr uint32 kArrivals = 32;

struct Source {
  core::QueueRef slot;
  bool strict;
  std::string_view name;
};

// What a durable queue promises: a job that is handed out stays enqueued whatever happens. Its
// commit may have been asynchronous, and everything handed out was committed before now.
void flush_commits() {
  XLogRecPtr end = GetXLogInsertRecPtr();
  /* Right behind a page header there is no record yet: the last one ended before the header. */
  if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD) {
    end -= SizeOfXLogLongPHD;
  } else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD) {
    end -= SizeOfXLogShortPHD;
  }
  XLogFlush(end);
}

// Pops up to n jobs and notes the claims. There is room for them in the transaction.
uint32 pop(const Source& source, const ClaimRequest& request, core::ClaimedJob* jobs, uint32 n) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  for (;;) {
    const core::WorkerRef worker = runtime::worker(request.worker, request.instance);
    const uint32 taken = dispatcher.claim(source.slot, worker, request.lease, jobs, n);
    if (taken == core::kWorkerGone) {
      runtime::forget_worker();
      continue;
    }
    runtime::transaction().note_claims(runtime::level(), jobs, taken);
    return taken;
  }
}

void put_job(const ClaimOutput& output, Datum queue_name, const core::ClaimedJob& job,
             const store::JobTuple& row) {
  Datum values[1 + kClaimedColumns] = {output.outcome,
                                       Int64GetDatum(job.id),
                                       Int64GetDatum(job.token),
                                       queue_name,
                                       row.partition_key,
                                       row.payload,
                                       row.headers,
                                       Int32GetDatum(job.attempt),
                                       TimestampTzGetDatum(row.enqueued_at),
                                       TimestampTzGetDatum(job.deadline),
                                       Int32GetDatum(job.priority)};
  bool nulls[1 + kClaimedColumns] = {
      false, false, false, false, !row.has_partition_key, false, !row.has_headers,
      false, false, false, false};
  const int first = output.outcome != 0 ? 0 : 1;
  tuplestore_putvalues(output.rows, output.description, values + first, nulls + first);
}

// Puts the rows of popped jobs out; returns how many there were.
uint32 put_jobs(const Source& source, const core::ClaimedJob* jobs, uint32 n,
                const ClaimOutput& output) {
  auto* const rows = pg::allocate<store::JobTuple>(n);
  auto* const found = pg::allocate<bool>(n);
  store::read_jobs(jobs, static_cast<int>(n), rows, found);
  const Datum name = pg::text_datum(source.name);
  uint32 out = 0;
  for (uint32 i = 0; i < n; i++) {
    if (found[i]) {
      put_job(output, name, jobs[i], rows[i]);
      out++;
    } else {
      runtime::transaction().quarantine(jobs[i].ref, jobs[i].token);
      pg::report(LOG, DW_INTERNAL_ERROR,
                 psprintf("row of job " INT64_FORMAT " was not where it was expected", jobs[i].id),
                 "The pages of its queue are read again.");
    }
  }
  return out;
}

// Claims from one queue and puts the rows out; returns how many.
uint32 claim_from(const Source& source, const ClaimRequest& request, uint32 most,
                  const ClaimOutput& output) {
  if (source.slot.queue == core::kNone) return 0;
  const core::Queue& queue = runtime::dispatcher().arena().queues[source.slot.queue];
  const uint64 waiting = uint64{queue.ready_count} + queue.delayed_count + kArrivals;
  const auto n = static_cast<uint32>(std::min<uint64>(most, waiting));
  runtime::transaction().reserve(n);
  auto* const jobs = pg::allocate<core::ClaimedJob>(n);
  const uint32 taken = pop(source, request, jobs, n);
  if (taken == 0) return 0;
  if (source.strict) flush_commits();
  return put_jobs(source, jobs, taken, output);
}

Source source_of(std::string_view name) {
  const store::QueueInfo& queue = store::require_queue(name);
  return {queue.slot, queue.options.strict, name};
}

}  // namespace

ClaimSources one_source(FunctionCallInfo fcinfo, int number, std::string_view* name) {
  *name = pg::required_text(fcinfo, number, "queue", 1, core::kQueueNameSize - 1);
  return {name, 1};
}

ClaimSources several_sources(FunctionCallInfo fcinfo, int number) {
  const auto names = pg::required_array(fcinfo, number, "queues", TEXTOID, core::kMostWaitedQueues);
  if (names.count == 0) pg::raise_invalid("queues must name at least one queue");
  auto* const views = pg::allocate<std::string_view>(static_cast<Size>(names.count));
  for (int i = 0; i < names.count; i++) views[i] = pg::text_view(names.required(i, "queues"));
  return {views, names.count};
}

ClaimOutput begin_claim_output(FunctionCallInfo fcinfo, int columns) {
  auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  if (result == nullptr || !IsA(result, ReturnSetInfo) ||
      (result->allowedModes & SFRM_Materialize) == 0 || result->expectedDesc == nullptr)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("set-valued function called in context that cannot accept a set")));
  if (result->expectedDesc->natts != columns)
    elog(ERROR, "the result has %d columns, not %d", columns, result->expectedDesc->natts);
  const MemoryContext before = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
  Tuplestorestate* const rows =
      tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
  MemoryContextSwitchTo(before);
  result->returnMode = SFRM_Materialize;
  result->setResult = rows;
  return {rows, result->expectedDesc, 0};
}

uint32 hand_out(const ClaimSources& sources, const ClaimRequest& request,
                const ClaimOutput& output) {
  /* All of them first: one that is not there is an error before anything is handed out. */
  Source one;
  Source* const known =
      sources.count == 1 ? &one : pg::allocate<Source>(static_cast<Size>(sources.count));
  for (int i = 0; i < sources.count; i++) known[i] = source_of(sources.names[i]);
  const std::size_t first = runtime::transaction().size();
  uint32 left = request.max_jobs;
  for (int i = 0; i < sources.count && left > 0; i++)
    left -= claim_from(known[i], request, left, output);
  runtime::transaction().delivered(first);
  return request.max_jobs - left;
}

}  // namespace dw::worker
