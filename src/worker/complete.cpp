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
#include "worker/completing.hpp"
#include "worker/lease_check.hpp"

namespace dw::worker {

namespace {

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

void put_outcome(const Lease& lease, Standing standing, void* arg) {
  const Datum values[] = {Int64GetDatum(lease.id), CStringGetTextDatum(standing_name(standing))};
  const bool nulls[] = {false, false};
  pg::put_row(static_cast<FunctionCallInfo>(arg), values, nulls);
}

Datum complete_many(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const Completions wanted = completion_arguments(fcinfo, 2);
  begin_deciding("complete_many", static_cast<std::size_t>(wanted.ids.count));
  pg::begin_set(fcinfo);
  complete_all(wanted, put_outcome, fcinfo);
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
