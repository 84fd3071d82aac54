// claim: hands out jobs under leases.
//
// Nothing is written: no tuple, no transaction id, no WAL. The dispatcher pops what is due under
// the queue's lock, the rows are then read by their addresses outside of it, and go straight into
// the result. Until the rows are out a failure of the statement gives the jobs back with the
// attempt refunded; after that a rollback charges the attempt, or a payload that breaks its worker
// would come back for ever.
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "worker/lease_check.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

constexpr int kColumns = 10;
// The number of waiting jobs is read without the lock; so many may have come since.
constexpr uint32 kArrivals = 32;

struct Request {
  std::string_view worker;
  uint32 max_jobs;
  core::Micros lease;  // 0: the queue's
  int64 instance;      // 0: none
};

struct Source {
  core::QueueRef slot;
  bool strict;
  std::string_view name;
};

struct Output {
  Tuplestorestate* rows;
  TupleDesc description;
};

Request request_arguments(FunctionCallInfo fcinfo) {
  Request request;
  request.worker = pg::required_text(fcinfo, 1, "worker", 1, kMostWorkerBytes);
  request.max_jobs = static_cast<uint32>(pg::required_int(fcinfo, 2, "max_jobs", 1, kMostClaimed));
  request.lease = span_argument(fcinfo, 3);
  request.instance = pg::optional_bigint(fcinfo, 4, "instance", 1).value_or(0);
  return request;
}

// A tuplestore of the row type that the caller expects, which is the declared one: the executor
// then has nothing to check and nothing to copy.
Output begin_output(FunctionCallInfo fcinfo) {
  auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  if (result == nullptr || !IsA(result, ReturnSetInfo) ||
      (result->allowedModes & SFRM_Materialize) == 0 || result->expectedDesc == nullptr)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("set-valued function called in context that cannot accept a set")));
  if (result->expectedDesc->natts != kColumns)
    elog(ERROR, "claim returns %d columns, not %d", kColumns, result->expectedDesc->natts);
  const MemoryContext before = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
  Tuplestorestate* const rows =
      tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
  MemoryContextSwitchTo(before);
  result->returnMode = SFRM_Materialize;
  result->setResult = rows;
  return {rows, result->expectedDesc};
}

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
uint32 pop(const Source& source, const Request& request, core::ClaimedJob* jobs, uint32 n) {
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

void put_job(const Output& output, Datum queue_name, const core::ClaimedJob& job,
             const store::JobTuple& row) {
  Datum values[kColumns] = {Int64GetDatum(job.id),
                            Int64GetDatum(job.token),
                            queue_name,
                            row.partition_key,
                            row.payload,
                            row.headers,
                            Int32GetDatum(job.attempt),
                            TimestampTzGetDatum(row.enqueued_at),
                            TimestampTzGetDatum(job.deadline),
                            Int32GetDatum(job.priority)};
  bool nulls[kColumns] = {
      false, false, false, !row.has_partition_key, false, !row.has_headers, false,
      false, false, false};
  tuplestore_putvalues(output.rows, output.description, values, nulls);
}

// Claims from one queue and puts the rows out; returns how many.
uint32 claim_from(const Source& source, const Request& request, uint32 most, const Output& output) {
  if (source.slot.queue == core::kNone) return 0;
  const core::Queue& queue = runtime::dispatcher().arena().queues[source.slot.queue];
  const uint64 waiting = uint64{queue.ready_count} + queue.delayed_count + kArrivals;
  const auto n = static_cast<uint32>(std::min<uint64>(most, waiting));
  runtime::transaction().reserve(n);
  auto* const jobs = pg::allocate<core::ClaimedJob>(n);
  auto* const rows = pg::allocate<store::JobTuple>(n);
  auto* const found = pg::allocate<bool>(n);
  const uint32 taken = pop(source, request, jobs, n);
  if (taken == 0) return 0;
  if (source.strict) flush_commits();
  store::read_jobs(jobs, static_cast<int>(taken), rows, found);
  const Datum name = pg::text_datum(source.name);
  uint32 out = 0;
  for (uint32 i = 0; i < taken; i++) {
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

void begin_claim() {
  runtime::require_preloaded();
  runtime::require_writable("claim");
  /* Whoever was woken comes here for the work it was woken for. */
  runtime::dispatcher().settle_wake(runtime::waiter());
}

Source source_of(const store::QueueInfo& queue) { return {queue.slot, queue.options.strict, {}}; }

Datum claim(FunctionCallInfo fcinfo) {
  begin_claim();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  const Request request = request_arguments(fcinfo);
  Source source = source_of(store::require_queue(name));
  source.name = name;
  const Output output = begin_output(fcinfo);
  const std::size_t first = runtime::transaction().size();
  claim_from(source, request, request.max_jobs, output);
  runtime::transaction().delivered(first);
  return pg::end_set(fcinfo);
}

Datum claim_queues(FunctionCallInfo fcinfo) {
  begin_claim();
  const auto names = pg::required_array(fcinfo, 0, "queues", TEXTOID, core::kMostWaitedQueues);
  const Request request = request_arguments(fcinfo);
  if (names.count == 0) pg::raise_invalid("queues must name at least one queue", nullptr, nullptr);
  auto* const sources = pg::allocate<Source>(static_cast<Size>(names.count));
  for (int i = 0; i < names.count; i++) {
    sources[i] = source_of(store::require_queue(pg::text_view(names.required(i, "queues"))));
    sources[i].name = pg::text_view(names.values[i]);
  }
  const Output output = begin_output(fcinfo);
  const std::size_t first = runtime::transaction().size();
  uint32 left = request.max_jobs;
  for (int i = 0; i < names.count && left > 0; i++)
    left -= claim_from(sources[i], request, left, output);
  runtime::transaction().delivered(first);
  return pg::end_set(fcinfo);
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_claim_body(FunctionCallInfo fcinfo) { return dw::worker::claim(fcinfo); }
extern "C" Datum dw_claim_queues_body(FunctionCallInfo fcinfo) {
  return dw::worker::claim_queues(fcinfo);
}
