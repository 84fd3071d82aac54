#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "store/outcome_log.hpp"
#include "worker/completing.hpp"
#include "worker/limits.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::worker {

Completions completion_arguments(FunctionCallInfo fcinfo, int results) {
  const Completions wanted{
      pg::required_array(fcinfo, 0, "job_ids", INT8OID, kMostJobsPerCall),
      pg::required_array(fcinfo, 1, "lease_tokens", INT8OID, kMostJobsPerCall),
      pg::optional_array(fcinfo, results, "results", JSONBOID, kMostJobsPerCall)};
  pg::check_same_length(wanted.ids, "job_ids", wanted.tokens, "lease_tokens");
  pg::check_same_length(wanted.ids, "job_ids", wanted.results, "results");
  return wanted;
}

void write_completed(const core::Decided& decided, std::size_t action, TimestampTz at,
                     std::optional<Datum> result) {
  write_outcome(core::OutcomeKind::completed, at, decided_job(decided, action, 0, 0), result,
                core::Decision::finish, 0);
  store::obey_strict(decided.options);
}

void complete_all(const Completions& wanted, void (*put)(const Lease&, Standing, void* arg),
                  void* arg) {
  const TimestampTz at = GetCurrentTimestamp();
  auto* const jobs = pg::allocate<DecidedJob>(static_cast<Size>(wanted.ids.count));
  int plain = 0;
  for (int i = 0; i < wanted.ids.count; i++) {
    const Lease lease = checked_lease(DatumGetInt64(wanted.ids.required(i, "job_ids")),
                                      DatumGetInt64(wanted.tokens.required(i, "lease_tokens")));
    core::Decided decided;
    std::size_t action = 0;
    const Standing standing = take_decision(lease, &decided, &action);
    if (standing == Standing::held && wanted.results.is_null(i)) {
      jobs[plain++] = decided_job(decided, action, 0, 0);
      store::obey_strict(decided.options);
    } else if (standing == Standing::held) {
      write_completed(decided, action, at,
                      PointerGetDatum(PG_DETOAST_DATUM_PACKED(wanted.results.values[i])));
    }
    put(lease, standing, arg);
  }
  if (plain > 0) write_outcomes(core::OutcomeKind::completed, at, jobs, plain, std::nullopt);
}

}  // namespace dw::worker
