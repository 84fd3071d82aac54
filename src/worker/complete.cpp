// complete, try_complete, complete_many: the job is done.
//
// The completion is one appended row, in the caller's transaction: business writes and completion
// commit together or not at all. Repeating the call with the token that completed the job is no
// error, so a worker that lost the reply may ask again.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/outcome_log.hpp"
#include "worker/lease_check.hpp"
#include "worker/limits.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::worker {

namespace {

void write_completed(const core::Decided& decided, std::size_t action, TimestampTz at,
                     std::optional<Datum> result) {
  write_outcome(core::OutcomeKind::completed, at, decided_job(decided, action, 0, 0), result,
                core::Decision::finish, 0);
  obey_strict(decided.options);
}

Datum complete(FunctionCallInfo fcinfo) {
  begin_deciding("complete", 1);
  const Lease lease = lease_arguments(fcinfo);
  const std::optional<Datum> result = pg::optional_varlena(fcinfo, 2);
  core::Decided decided;
  std::size_t action = 0;
  bool before = false;
  require_decision(lease, &decided, &action, &before);
  if (before) return BoolGetDatum(false);
  write_completed(decided, action, GetCurrentTimestamp(), result);
  return BoolGetDatum(true);
}

Datum try_complete(FunctionCallInfo fcinfo) {
  begin_deciding("try_complete", 1);
  const Lease lease = lease_arguments(fcinfo);
  const std::optional<Datum> result = pg::optional_varlena(fcinfo, 2);
  core::Decided decided;
  std::size_t action = 0;
  const Standing standing = take_decision(lease, &decided, &action);
  if (standing == Standing::held) write_completed(decided, action, GetCurrentTimestamp(), result);
  return CStringGetTextDatum(standing_name(standing));
}

Datum complete_many(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const auto ids = pg::required_array(fcinfo, 0, "job_ids", INT8OID, kMostJobsPerCall);
  const auto tokens = pg::required_array(fcinfo, 1, "lease_tokens", INT8OID, kMostJobsPerCall);
  const auto results = pg::optional_array(fcinfo, 2, "results", JSONBOID, kMostJobsPerCall);
  pg::check_same_length(ids, "job_ids", tokens, "lease_tokens");
  pg::check_same_length(ids, "job_ids", results, "results");
  begin_deciding("complete_many", static_cast<std::size_t>(ids.count));

  const TimestampTz at = GetCurrentTimestamp();
  DecidedJob* const jobs = pg::allocate<DecidedJob>(static_cast<Size>(ids.count));
  int plain = 0;
  pg::begin_set(fcinfo);
  for (int i = 0; i < ids.count; i++) {
    const Lease lease = checked_lease(DatumGetInt64(ids.required(i, "job_ids")),
                                      DatumGetInt64(tokens.required(i, "lease_tokens")));
    core::Decided decided;
    std::size_t action = 0;
    const Standing standing = take_decision(lease, &decided, &action);
    if (standing == Standing::held && results.is_null(i)) {
      jobs[plain++] = decided_job(decided, action, 0, 0);
      obey_strict(decided.options);
    } else if (standing == Standing::held) {
      write_completed(decided, action, at,
                      PointerGetDatum(PG_DETOAST_DATUM_PACKED(results.values[i])));
    }
    const Datum values[] = {Int64GetDatum(lease.id), CStringGetTextDatum(standing_name(standing))};
    const bool nulls[] = {false, false};
    pg::put_row(fcinfo, values, nulls);
  }
  if (plain > 0) write_finished(core::OutcomeKind::completed, at, jobs, plain);
  return pg::end_set(fcinfo);
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_complete_body(FunctionCallInfo fcinfo) { return dw::worker::complete(fcinfo); }
extern "C" Datum dw_try_complete_body(FunctionCallInfo fcinfo) {
  return dw::worker::try_complete(fcinfo);
}
extern "C" Datum dw_complete_many_body(FunctionCallInfo fcinfo) {
  return dw::worker::complete_many(fcinfo);
}
