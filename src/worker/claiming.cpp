#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "worker/claim_record.hpp"
#include "worker/claiming.hpp"

namespace dw::worker {

namespace {

// The number of waiting jobs is read without the lock; so many may have come since.
constexpr uint32 kArrivals = 32;

struct Source {
  core::QueueId id;
  core::QueueRef slot;
  bool strict;
  bool recorded;  // each claim is written to the log
  std::string_view name;
};

// What a batch is remembered under; without a request_id there is none.
struct Remembered {
  core::RequestRef request;
  bool used;
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

core::Claimant claimant_of(const ClaimWish& wish) {
  return {wish.registered.member, wish.registered.capacity, wish.owned_only};
}

// Pops up to n jobs and notes the claims. There is room for them in the transaction.
uint32 pop(const Source& source, const ClaimWish& wish, Remembered* remembered,
           core::ClaimedJob* jobs, uint32 n) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Claimant claimant = claimant_of(wish);
  for (;;) {
    const core::WorkerRef worker = runtime::worker(wish.worker, wish.instance);
    const uint32 taken =
        dispatcher.claim(source.slot, worker, wish.lease, jobs, n,
                         remembered != nullptr ? &remembered->request : nullptr, runtime::waiter(),
                         wish.registered.known ? &claimant : nullptr);
    if (taken == core::kWorkerGone) {
      runtime::forget_worker();
      continue;
    }
    runtime::transaction().note_claims(runtime::level(), jobs, taken);
    if (remembered != nullptr && taken > 0) remembered->used = true;
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

// Puts the rows of popped jobs out; returns how many there were. Those that are not handed out
// after all lose their token.
uint32 put_jobs(const Source& source, core::ClaimedJob* jobs, uint32 n, const ClaimOutput& output) {
  auto* const rows = pg::allocate<store::JobTuple>(n);
  auto* const found = pg::allocate<bool>(n);
  store::read_jobs(jobs, static_cast<int>(n), rows, found);
  const Datum name = pg::text_datum(source.name);
  const TimestampTz now = GetCurrentTimestamp();
  uint32 out = 0;
  for (uint32 i = 0; i < n; i++) {
    if (found[i] && rows[i].has_expires_at && rows[i].expires_at <= now) {
      /* The dispatcher knows whole seconds only. */
      runtime::transaction().expire_claim(jobs[i].ref, jobs[i].token);
      jobs[i].token = 0;
    } else if (found[i]) {
      put_job(output, name, jobs[i], rows[i]);
      out++;
    } else {
      runtime::transaction().quarantine(jobs[i].ref, jobs[i].token);
      runtime::note_quarantined();
      pg::report(LOG, DW_INTERNAL_ERROR,
                 psprintf("row of job " INT64_FORMAT " was not where it was expected", jobs[i].id),
                 "The pages of its queue are read again.");
      jobs[i].token = 0;
    }
  }
  return out;
}

// Claims from one queue and puts the rows out; returns how many.
uint32 claim_from(const Source& source, const ClaimWish& wish, uint32 most, Remembered* remembered,
                  const ClaimOutput& output) {
  if (source.slot.queue == core::kNone) return 0;
  /* The server is starting, and whose registration this is is not known yet. */
  if (runtime::is_registration(wish.instance) && !wish.registered.known) return 0;
  const core::Queue& queue = runtime::dispatcher().arena().queues[source.slot.queue];
  const uint64 waiting = uint64{queue.ready_count} + queue.delayed_count + kArrivals;
  const auto n = static_cast<uint32>(std::min<uint64>(most, waiting));
  runtime::transaction().reserve(n);
  auto* const jobs = pg::allocate<core::ClaimedJob>(n);
  const uint32 taken = pop(source, wish, remembered, jobs, n);
  if (taken == 0) return 0;
  if (source.strict) flush_commits();
  const std::size_t first = runtime::transaction().size() - taken;
  const uint32 out = put_jobs(source, jobs, taken, output);
  if (source.recorded) record_claims(source.id, wish.worker, jobs, taken, first);
  return out;
}

// A worker owns nothing of a queue that it was not registered for, and would never get a job.
void require_served(const Source* sources, int count, const ClaimWish& wish) {
  const core::Dispatcher& dispatcher = runtime::dispatcher();
  for (int i = 0; i < count && wish.registered.known; i++) {
    if (dispatcher.serves(wish.registered.member, sources[i].id) ||
        !dispatcher.is_current(wish.registered.member))
      continue;
    pg::raise_invalid(psprintf("worker \"%s\" is not registered for queue \"%s\"",
                               pg::copy(wish.worker), pg::copy(sources[i].name)),
                      "With owned_only it can only claim from its queues.",
                      "Register it with this queue among its queues, or claim without owned_only.");
  }
}

Source source_of(std::string_view name) {
  const store::QueueInfo& queue = store::require_queue(name, store::Right::work);
  const bool recorded = queue.options.at_most_once || queue.options.durable_claims;
  return {queue.id, queue.slot, queue.options.strict, recorded, name};
}

// --- request_id ---------------------------------------------------------------------------------

core::RequestKey key_of(const Source* sources, int count, const ClaimWish& wish) {
  StringInfoData text;
  initStringInfo(&text);
  const core::Index database = runtime::database();
  const uint32 incarnation = runtime::dispatcher().arena().databases[database].incarnation;
  appendBinaryStringInfo(&text, reinterpret_cast<const char*>(&MyDatabaseId), sizeof(Oid));
  appendBinaryStringInfo(&text, reinterpret_cast<const char*>(&incarnation), sizeof(uint32));
  appendBinaryStringInfo(&text, reinterpret_cast<const char*>(&wish.instance), sizeof(int64));
  for (int i = 0; i < count; i++)
    appendBinaryStringInfo(&text, reinterpret_cast<const char*>(&sources[i].id),
                           sizeof(core::QueueId));
  /* Neither holds a zero byte. */
  appendBinaryStringInfo(&text, wish.worker.data(), static_cast<int>(wish.worker.size()));
  appendStringInfoChar(&text, '\0');
  appendBinaryStringInfo(&text, wish.request_id.data(), static_cast<int>(wish.request_id.size()));
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data);
  return {{hash_bytes_extended(bytes, text.len, 0), hash_bytes_extended(bytes, text.len, 1)}};
}

// The queue that a listed lease is of. It is one of these: their numbers are part of the key.
const Source* source_of_job(const Source* sources, int count, const core::ClaimedJob& job) {
  for (int i = 0; i < count; i++) {
    if (sources[i].slot.queue == job.queue) return &sources[i];
  }
  return nullptr;
}

// Puts rows of a batch out again. They were handed out before, so whatever they look like now,
// nothing is changed: a row that is not there any more belongs to a job that has ended meanwhile.
uint32 put_jobs_again(const Source& source, const core::ClaimedJob* jobs, uint32 n,
                      const ClaimOutput& output) {
  auto* const rows = pg::allocate<store::JobTuple>(n);
  auto* const found = pg::allocate<bool>(n);
  store::read_jobs(jobs, static_cast<int>(n), rows, found);
  const Datum name = pg::text_datum(source.name);
  uint32 out = 0;
  for (uint32 i = 0; i < n; i++) {
    if (!found[i]) continue;
    put_job(output, name, jobs[i], rows[i]);
    out++;
  }
  return out;
}

// Puts out what is left of the batch, in the order in which it was handed out.
uint32 put_again(const Source* sources, int count, const core::RequestKey& key,
                 const ClaimOutput& output) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  auto* const leases = pg::allocate<core::LeaseRef>(kMostClaimed);
  const uint32 listed = dispatcher.request_leases(key, leases, kMostClaimed);
  std::sort(leases, leases + listed,
            [](const core::LeaseRef& a, const core::LeaseRef& b) { return a.token < b.token; });
  auto* const jobs = pg::allocate<core::ClaimedJob>(std::max(listed, 1U));
  uint32 held = 0;
  for (uint32 i = 0; i < listed; i++) {
    if (dispatcher.see_claimed(leases[i], &jobs[held])) held++;
  }
  uint32 rows = 0;
  for (uint32 i = 0; i < held;) {
    uint32 end = i;
    while (end < held && jobs[end].queue == jobs[i].queue) end++;
    const Source* const source = source_of_job(sources, count, jobs[i]);
    if (source != nullptr) rows += put_jobs_again(*source, jobs + i, end - i, output);
    i = end;
  }
  return rows;
}

[[noreturn]] void raise_too_many_requests() {
  pg::raise("53400", "too many batches are remembered by their request_id",
            psprintf("At most %u can be held at the same time.",
                     runtime::dispatcher().arena().request_capacity),
            "Finish or release jobs that are held, claim larger batches, or raise "
            "durable_work.max_resident_jobs.");
}

// Another place for the next queue. False: there is none, and the batch is complete as it is.
bool remember_more(Remembered* remembered) {
  runtime::transaction().reserve(1);
  remembered->request = runtime::dispatcher().add_request(remembered->request);
  if (remembered->request.request == core::kNone) return false;
  runtime::transaction().note_request(runtime::level(), remembered->request);
  remembered->used = false;
  return true;
}

// From the first look at the table until the last queue there is a request of this transaction in
// it, so that a repetition never starts beside the first call.
uint32 claim_remembered(const Source* sources, int count, const ClaimWish& wish,
                        Remembered remembered, const ClaimOutput& output) {
  const std::size_t first = runtime::transaction().size();
  uint32 left = wish.max_jobs;
  for (int i = 0; i < count && left > 0; i++) {
    if (remembered.used && !remember_more(&remembered)) break;
    left -= claim_from(sources[i], wish, left, &remembered, output);
  }
  runtime::transaction().delivered(first);
  if (!remembered.used && remembered.request.request != core::kNone)
    runtime::dispatcher().forget_request(remembered.request);
  return wish.max_jobs - left;
}

HandedOut hand_out_once(const Source* sources, int count, const ClaimWish& wish,
                        const ClaimOutput& output) {
  if (runtime::database() == core::kNone) return {0, false};
  core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::RequestKey key = key_of(sources, count, wish);
  for (;;) {
    const pg::OpenTransaction self = pg::my_transaction();
    core::RequestOwner other{};
    Remembered remembered{{core::kNone, 0}, false};
    runtime::transaction().reserve(1);
    switch (
        dispatcher.begin_request(key, {self.process, self.number}, &remembered.request, &other)) {
      case core::RequestStanding::fresh:
        runtime::transaction().note_request(runtime::level(), remembered.request);
        return {claim_remembered(sources, count, wish, remembered, output), false};
      case core::RequestStanding::known:
        return {put_again(sources, count, key, output), true};
      case core::RequestStanding::open_elsewhere:
        pg::wait_for_end_of({other.process, other.transaction});
        break;
      case core::RequestStanding::no_room:
        raise_too_many_requests();
    }
  }
}

HandedOut hand_out_new(const Source* sources, int count, const ClaimWish& wish,
                       const ClaimOutput& output) {
  const std::size_t first = runtime::transaction().size();
  uint32 left = wish.max_jobs;
  for (int i = 0; i < count && left > 0; i++)
    left -= claim_from(sources[i], wish, left, nullptr, output);
  runtime::transaction().delivered(first);
  return {wish.max_jobs - left, false};
}

}  // namespace

void find_registered(ClaimWish* wish) {
  wish->registered = runtime::registered_worker(wish->worker, wish->instance);
  if (wish->owned_only && !runtime::is_registration(wish->instance))
    pg::raise_invalid("owned_only needs the instance of a registered worker",
                      "Only registered workers own buckets.",
                      "Pass what durable_work.register_worker returned as instance.");
}

bool is_closed(const ClaimWish& wish) {
  if (!wish.registered.known) return false;
  core::Dispatcher& dispatcher = runtime::dispatcher();
  if (!dispatcher.may_claim(wish.registered.member)) return true;
  const uint32 capacity = wish.registered.capacity;
  return capacity != 0 &&
         dispatcher.leases_held(runtime::database(), wish.worker, wish.instance) >= capacity;
}

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
  return {rows, result->expectedDesc, 0, result->econtext->ecxt_estate};
}

HandedOut hand_out(const ClaimSources& sources, const ClaimWish& wish, const ClaimOutput& output) {
  /* All of them first: one that is not there is an error before anything is handed out. */
  Source one;
  Source* const known =
      sources.count == 1 ? &one : pg::allocate<Source>(static_cast<Size>(sources.count));
  for (int i = 0; i < sources.count; i++) {
    known[i] = source_of(sources.names[i]);
    if (known[i].recorded) require_plain_statement(known[i].name, output.statement);
  }
  const HandedOut handed = wish.request_id.empty()
                               ? hand_out_new(known, sources.count, wish, output)
                               : hand_out_once(known, sources.count, wish, output);
  /* Woken for another queue, or for one that it did not come to. */
  runtime::dispatcher().pass_wake_on(runtime::waiter());
  if (wish.owned_only && handed.rows == 0 && !handed.again)
    require_served(known, sources.count, wish);
  return handed;
}

}  // namespace dw::worker
