// fail, fail_many, reject: an attempt that went wrong.
//
// While attempts are left the job waits out its backoff and is tried again; otherwise, and when the
// worker says that trying again is useless, it becomes a dead letter with the history of its
// failures.
#include "core/backoff.hpp"
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/dead_letter.hpp"
#include "store/outcome_log.hpp"
#include "worker/lease_check.hpp"
#include "worker/limits.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::worker {

namespace {

constexpr char kExhausted[] = "attempts exhausted";
constexpr char kNotRetryable[] = "not retryable";
constexpr char kExpired[] = "expired";

struct Failure {
  std::optional<Datum> error;
  std::optional<int64> retry_in;
  bool retryable;
};

void check_error_size(Datum error) {
  const auto size = static_cast<std::size_t>(VARSIZE_ANY_EXHDR(DatumGetPointer(error)));
  if (size > kMostErrorBytes)
    pg::raise_invalid(psprintf("error must be at most %zu bytes, not %zu", kMostErrorBytes, size),
                      nullptr, "Store large reports elsewhere and keep a reference here.");
}

Datum detail_of(const core::Decided& decided, std::optional<Datum> error, const char* reason) {
  return store::failure_detail(decided.worker_name, error.value_or(Datum{0}), error.has_value(),
                               reason);
}

bool blocks_key(const core::Decided& decided) {
  return decided.has_turn && decided.options.ordered &&
         decided.options.on_exhausted != core::OnExhausted::skip;
}

void make_dead_letter(const core::Decided& decided, std::size_t action, TimestampTz at,
                      std::optional<Datum> error, const char* reason) {
  core::ClaimedJob address{};
  address.ref = decided.ref;
  address.id = decided.id;
  address.token = decided.token;
  address.block = decided.block;
  address.offset = decided.offset;
  address.segment = decided.segment;
  const Datum detail = detail_of(decided, error, reason);
  const bool blocks = blocks_key(decided) && reason != kExpired;
  const core::JobId takes_along =
      blocks && decided.options.on_exhausted == core::OnExhausted::dead_letter_key
          ? runtime::dispatcher().end_of_followers(runtime::database())
          : 0;
  store::bury(decided.queue_id, address, decided.attempts, reason, at, detail, true,
              blocks ? &takes_along : nullptr);
  write_outcome(core::OutcomeKind::dead_lettered, at,
                decided_job(decided, action, decided.attempts, 0), detail,
                blocks ? core::Decision::block : core::Decision::finish, takes_along);
  store::obey_strict(decided.options);
}

// Returns what became of the job, in the word that fail() returns.
const char* charge(const core::Decided& decided, std::size_t action, const Failure& failure) {
  const TimestampTz at = GetCurrentTimestamp();
  const bool exhausted = decided.attempts >= decided.max_attempts;
  const bool expired = core::has_expired(decided.expires_at, at);
  if (!failure.retryable || exhausted || expired) {
    make_dead_letter(decided, action, at, failure.error,
                     !failure.retryable ? kNotRetryable
                     : exhausted        ? kExhausted
                                        : kExpired);
    return "dead_letter";
  }
  const core::Platform& platform = runtime::dispatcher().platform();
  const core::Micros delay =
      failure.retry_in.has_value()
          ? *failure.retry_in
          : core::retry_delay(decided.options, decided.attempts, platform.random());
  /* Without a delay no time is written: the job is due at once. */
  const core::Micros due = delay > 0 ? core::whole_milliseconds(at + delay) : at;
  write_outcome(core::OutcomeKind::attempt_failed, at,
                decided_job(decided, action, decided.attempts, delay > 0 ? due : 0),
                detail_of(decided, failure.error, nullptr), core::Decision::retry, due);
  store::obey_strict(decided.options);
  return "retry";
}

Datum fail(FunctionCallInfo fcinfo) {
  begin_deciding("fail", 1);
  const Lease lease = lease_arguments(fcinfo);
  Failure failure;
  failure.error = pg::optional_varlena(fcinfo, 2);
  failure.retry_in = pg::optional_interval(fcinfo, 3, "retry_in", 0, kMostSpan);
  failure.retryable = pg::required_bool(fcinfo, 4, "retryable");
  if (failure.error.has_value()) check_error_size(*failure.error);
  core::Decided decided;
  std::size_t action = 0;
  require_decision(lease, &decided, &action);
  return CStringGetTextDatum(charge(decided, action, failure));
}

// An outcome of fail_many that is no success. The completion of the very same token is stale here:
// the attempt can no longer fail.
const char* refusal_name(Standing standing) {
  return standing == Standing::in_doubt ? "in_doubt" : "stale";
}

Datum fail_many(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const auto ids = pg::required_array(fcinfo, 0, "job_ids", INT8OID, kMostJobsPerCall);
  const auto tokens = pg::required_array(fcinfo, 1, "lease_tokens", INT8OID, kMostJobsPerCall);
  const auto errors = pg::optional_array(fcinfo, 2, "errors", JSONBOID, kMostJobsPerCall);
  pg::check_same_length(ids, "job_ids", tokens, "lease_tokens");
  pg::check_same_length(ids, "job_ids", errors, "errors");
  Failure failure;
  failure.retry_in = pg::optional_interval(fcinfo, 3, "retry_in", 0, kMostSpan);
  failure.retryable = pg::required_bool(fcinfo, 4, "retryable");
  begin_deciding("fail_many", static_cast<std::size_t>(ids.count));

  pg::begin_set(fcinfo);
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work fail_many");
  for (int i = 0; i < ids.count; i++) {
    const Lease lease = checked_lease(DatumGetInt64(ids.required(i, "job_ids")),
                                      DatumGetInt64(tokens.required(i, "lease_tokens")));
    const char* const outcome = pg::in_context(scratch, [&]() -> const char* {
      failure.error.reset();
      if (!errors.is_null(i)) {
        failure.error = PointerGetDatum(PG_DETOAST_DATUM_PACKED(errors.values[i]));
        check_error_size(*failure.error);
      }
      core::Decided decided;
      std::size_t action = 0;
      const Standing standing = take_decision(lease, &decided, &action);
      return standing == Standing::held ? charge(decided, action, failure) : refusal_name(standing);
    });
    MemoryContextReset(scratch);
    const Datum values[] = {Int64GetDatum(lease.id), CStringGetTextDatum(outcome)};
    const bool nulls[] = {false, false};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}

Datum reject(FunctionCallInfo fcinfo) {
  begin_deciding("reject", 1);
  const Lease lease = lease_arguments(fcinfo);
  const std::string_view reason = pg::required_text(fcinfo, 2, "reason", 1, kMostReasonBytes);
  core::Decided decided;
  std::size_t action = 0;
  require_decision(lease, &decided, &action);
  make_dead_letter(decided, action, GetCurrentTimestamp(), std::nullopt, pg::copy(reason));
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_fail_body(FunctionCallInfo fcinfo) { return dw::worker::fail(fcinfo); }
extern "C" Datum dw_fail_many_body(FunctionCallInfo fcinfo) {
  return dw::worker::fail_many(fcinfo);
}
extern "C" Datum dw_reject_body(FunctionCallInfo fcinfo) { return dw::worker::reject(fcinfo); }
