// A token that the dispatcher does not know says nothing by itself: the job may be finished, by
// this token or by a later one, or the lease may have ended. The log knows what is final; the rest
// is told by the job's entry.
#include "worker/lease_check.hpp"

#include "core/token.hpp"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "store/outcome_log.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

// Process-local: of the job that was decided last. Most workers decide those of one queue.
constinit core::QueueId last_queue = 0;

constexpr char kNoSuchJob[] = "There is no job with this id.";
constexpr core::QueueId kAnyQueue = 0;
constexpr core::QueueId kNoQueue = -1;

// Raises 42501 if the user has another right on the queue; false: for this user it is not there.
bool may_work_on(core::QueueId id) {
  const store::Right rights = store::rights_on(id);
  if (store::has(rights, store::Right::work)) return true;
  const store::QueueInfo* const queue =
      rights != store::Right::none ? store::find_queue_by_id(id) : nullptr;
  if (queue != nullptr) store::raise_no_right(queue->name, store::Right::work);
  return false;
}

// 0: nobody knows the job.
core::QueueId queue_of(const Lease& lease) {
  const core::Index database = runtime::database();
  if (database != core::kNone) {
    const core::QueueId id = runtime::dispatcher().queue_of(database, lease.id, lease.token);
    if (id != 0) return id;
  }
  store::JobTuple job;
  if (!store::find_job(lease.id, &job)) return 0;
  const store::QueueInfo* const queue = store::find_queue_by_topic(job.topic);
  return queue != nullptr ? queue->id : 0;
}

// Nothing about it is told.
bool is_hidden(const Lease& lease) {
  if (store::is_owner()) return false;
  const core::QueueId queue = queue_of(lease);
  return queue == 0 || !may_work_on(queue);
}

// The right is looked up outside of the queue's lock, and the queue is known only under it. So the
// dispatcher is told which queue will do, and leaves the job alone if it is in another one.
core::Verdict begin_permitted(const Lease& lease, core::Decided* decided, std::size_t* action) {
  core::Transaction& transaction = runtime::transaction();
  core::QueueId permitted = kNoQueue;
  if (store::is_owner()) {
    permitted = kAnyQueue;
  } else if (last_queue != 0 && store::may(last_queue, store::Right::work)) {
    permitted = last_queue;
  }
  for (;;) {
    const core::Verdict verdict = transaction.begin_decision(
        runtime::level(), lease.id, lease.token, decided, action, permitted);
    if (verdict != core::Verdict::other_queue || !may_work_on(decided->queue_id)) return verdict;
    permitted = last_queue = decided->queue_id;
  }
}

constexpr char kHint[] =
    "Stop working on the job, roll back what was done for it, and claim again.";

bool find_final(core::JobId id, store::FoundOutcome* out) {
  /* Of a job that was moved the first says what the second would. */
  return store::find_final_outcome(id, 0, store::segment_of(id), nullptr, out) ||
         store::find_final_outcome(id, 0, core::kParkedSegment, nullptr, out);
}

bool completed_by(const Lease& lease) {
  store::FoundOutcome outcome;
  return find_final(lease.id, &outcome) && outcome.kind == core::OutcomeKind::completed &&
         outcome.token == lease.token;
}

const char* reason_in_log(core::JobId id) {
  store::FoundOutcome outcome;
  if (!find_final(id, &outcome)) return nullptr;
  switch (outcome.kind) {
    case core::OutcomeKind::completed:
      return psprintf("The job was completed under lease token " INT64_FORMAT ".", outcome.token);
    case core::OutcomeKind::dead_lettered:
      return "The job is a dead letter.";
    case core::OutcomeKind::cancelled:
      return "The job was cancelled.";
    default:
      return "The job was removed.";
  }
}

const char* reason_in_dispatcher(const Lease& lease) {
  const core::Index database = runtime::database();
  if (database == core::kNone) return "The server is starting; no lease is older than its start.";
  core::ResidentRow row;
  if (!runtime::dispatcher().see_job(database, 0, lease.id, &row)) return nullptr;
  if (row.state == core::EntryState::cancelled) return "The job was cancelled.";
  if (row.token > lease.token && row.worker[0] != '\0')
    return psprintf("The job was claimed again, by worker \"%s\".", row.worker);
  if (row.token > lease.token) return "The job was claimed again or changed since.";
  if (row.token == lease.token && row.state == core::EntryState::completing)
    return "This transaction has decided the job before.";
  const int64 epoch = runtime::dispatcher().arena().databases[database].epoch;
  if (core::epoch_of(lease.token) < epoch)
    return "The lease was given before the server's last start, which ended all leases.";
  if (row.token != 0 && row.token < lease.token) return "This token was never given for the job.";
  return "The lease ran out, was given back, or its claim was rolled back.";
}

const char* stale_reason(const Lease& lease) {
  if (is_hidden(lease)) return kNoSuchJob;
  if (const char* const reason = reason_in_dispatcher(lease)) return reason;
  if (const char* const reason = reason_in_log(lease.id)) return reason;
  store::JobTuple job;
  if (!store::find_job(lease.id, &job)) return kNoSuchJob;
  if (store::find_queue_by_topic(job.topic) == nullptr) return "The queue of the job was dropped.";
  return "The lease ran out or was given back, and the job is not in memory.";
}

[[noreturn]] void raise_in_doubt(const Lease& lease) {
  pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " is being decided", lease.id),
            "A transaction that is still open has completed, failed, released or cancelled the job "
            "under this lease.",
            "Try again when that transaction has ended.");
}

}  // namespace

const char* standing_name(Standing standing) {
  switch (standing) {
    case Standing::held:
      return "completed";
    case Standing::already_completed:
      return "already_completed";
    case Standing::in_doubt:
      return "in_doubt";
    case Standing::stale:
      break;
  }
  return "stale";
}

Lease checked_lease(core::JobId id, core::Token token) {
  pg::check_range(id, "job_id", 1, PG_INT64_MAX);
  pg::check_range(token, "lease_token", 1, PG_INT64_MAX);
  return {id, token};
}

Lease lease_arguments(FunctionCallInfo fcinfo) {
  return checked_lease(pg::required_bigint(fcinfo, 0, "job_id"),
                       pg::required_bigint(fcinfo, 1, "lease_token"));
}

int64 span_argument(FunctionCallInfo fcinfo, int number) {
  const std::optional<int64> span = pg::optional_interval(fcinfo, number, "lease", 0, kMostSpan);
  if (span.has_value() && *span == 0) pg::raise_invalid("lease must be greater than zero");
  return span.value_or(0);
}

void begin_deciding(const char* command, std::size_t n) {
  runtime::require_preloaded();
  runtime::require_writable(command);
  runtime::transaction().reserve(n);
}

Standing take_decision(const Lease& lease, core::Decided* decided, std::size_t* action) {
  switch (begin_permitted(lease, decided, action)) {
    case core::Verdict::ok:
      return Standing::held;
    case core::Verdict::own_duplicate:
      /* Given up earlier in this transaction: no longer the caller's. */
      return runtime::transaction().outcome_of(*action) == core::OutcomeKind::completed
                 ? Standing::already_completed
                 : Standing::stale;
    case core::Verdict::in_doubt:
      return Standing::in_doubt;
    case core::Verdict::cancelled:
    case core::Verdict::other_queue:
      return Standing::stale;
    case core::Verdict::stale:
    case core::Verdict::leased:
    case core::Verdict::not_resident:
    case core::Verdict::no_room:
    case core::Verdict::used_up:
    case core::Verdict::not_open:
      break;
  }
  return !is_hidden(lease) && completed_by(lease) ? Standing::already_completed : Standing::stale;
}

void require_decision(const Lease& lease, core::Decided* decided, std::size_t* action,
                      bool* completed) {
  const Standing standing = take_decision(lease, decided, action);
  if (completed != nullptr) *completed = standing == Standing::already_completed;
  switch (standing) {
    case Standing::held:
      return;
    case Standing::already_completed:
      if (completed != nullptr) return;
      break;
    case Standing::in_doubt:
      raise_in_doubt(lease);
    case Standing::stale:
      break;
  }
  raise_stale(lease);
}

void require_own_queue(const Lease& lease) {
  if (store::is_owner()) return;
  const core::Index database = runtime::database();
  if (database == core::kNone) return;
  const core::QueueId queue = runtime::dispatcher().queue_of(database, lease.id, lease.token);
  if (queue != 0 && !may_work_on(queue)) raise_stale(lease);
}

void raise_stale(const Lease& lease) {
  pg::raise(DW_STALE_LEASE,
            psprintf("lease token " INT64_FORMAT " of job " INT64_FORMAT " is stale", lease.token,
                     lease.id),
            stale_reason(lease), kHint);
}

}  // namespace dw::worker
