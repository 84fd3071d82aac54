// release, defer: the worker gives the job back, and the attempt does not count.
//
// A release is only remembered in memory and costs nothing; a crash would make the job claimable
// again anyway. It is written where the claim was. A deferral is a promise about time and is
// written to the log.
#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

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

/* Handed out means used up: nobody can tell what the worker did with it. */
void refuse_at_most_once(const core::Decided& decided, const char* change) {
  if (!decided.options.at_most_once) return;
  pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " cannot be %s", decided.id, change),
            "Its queue hands out each job at most once.",
            "Complete it, or make a dead letter of it with fail or reject.");
}

Datum release(FunctionCallInfo fcinfo) {
  begin_deciding("release", 1);
  const Lease lease = lease_arguments(fcinfo);
  core::Decided decided;
  std::size_t action = 0;
  require_decision(lease, &decided, &action);
  refuse_at_most_once(decided, "released");
  const TimestampTz now = GetCurrentTimestamp();
  if (decided.claim_is_recorded) {
    /* What the log says of the attempt has to be taken back there. */
    write_outcome(core::OutcomeKind::rescheduled, now,
                  decided_job(decided, action, decided.attempts - 1, 0), std::nullopt,
                  core::Decision::put_back, now);
    store::obey_strict(decided.options);
  } else {
    runtime::transaction().settle(action, core::Decision::put_back, core::OutcomeKind::rescheduled,
                                  now);
  }
  return pg::void_result();
}

Datum defer(FunctionCallInfo fcinfo) {
  begin_deciding("defer", 1);
  const Lease lease = lease_arguments(fcinfo);
  const TimestampTz until = pg::required_timestamp(fcinfo, 2, "until");
  const TimestampTz now = GetCurrentTimestamp();
  if (until > now + kMostSpan) pg::raise_invalid("until must be at most a hundred years from now");
  const bool later = until > now;
  const core::Micros due = later ? core::whole_milliseconds(until) : now;
  core::Decided decided;
  std::size_t action = 0;
  require_decision(lease, &decided, &action);
  refuse_at_most_once(decided, "deferred");
  write_outcome(core::OutcomeKind::rescheduled, now,
                decided_job(decided, action, decided.attempts - 1, later ? due : 0), std::nullopt,
                core::Decision::put_back, due);
  store::obey_strict(decided.options);
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_release_body(FunctionCallInfo fcinfo) { return dw::worker::release(fcinfo); }
extern "C" Datum dw_defer_body(FunctionCallInfo fcinfo) { return dw::worker::defer(fcinfo); }
