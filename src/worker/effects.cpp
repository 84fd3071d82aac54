// mark_handled, fence: for handlers whose effect must not happen twice or out of order. Both are
// part of the effect's own transaction.
#include "core/layout.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/saved_plan.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

constexpr std::size_t kMostHandlerBytes = 255;
constexpr std::size_t kMostKeyBytes = 1024;
constexpr int64 kShortestWindow = core::kSecond;

// Whoever comes second waits for the first one's transaction: if it rolls back, the mark is the
// second one's; if it commits, the row is there and alive. A dead mark is taken over.
constexpr char kMark[] =
    "INSERT INTO durable_work.handled AS h (handler, key, handled_at, expires_at) "
    "VALUES ($1, $2, $3, $4) ON CONFLICT (handler, key) DO UPDATE "
    "SET handled_at = excluded.handled_at, expires_at = excluded.expires_at "
    "WHERE h.expires_at OPERATOR(pg_catalog.<=) excluded.handled_at";

// The row is locked until the end of the effect's transaction, also by an equal token: effects on
// one resource are serial.
constexpr char kFence[] =
    "INSERT INTO durable_work.fence_token AS f (resource, token) VALUES ($1, $2) "
    "ON CONFLICT (resource) DO UPDATE SET token = excluded.token "
    "WHERE f.token OPERATOR(pg_catalog.<=) excluded.token";

store::SavedPlan mark_plan;
store::SavedPlan fence_plan;

Datum mark_handled(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("mark_handled");
  pg::required_text(fcinfo, 0, "handler", 1, kMostHandlerBytes);
  pg::required_text(fcinfo, 1, "key", 1, kMostKeyBytes);
  const int64 window =
      pg::required_interval(fcinfo, 2, "dedupe_window", kShortestWindow, kMostSpan);
  const TimestampTz now = GetCurrentTimestamp();
  const Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
  const Datum values[] = {fcinfo->args[0].value, fcinfo->args[1].value, TimestampTzGetDatum(now),
                          TimestampTzGetDatum(now + window)};
  return BoolGetDatum(store::run_as_owner(&mark_plan, kMark, 4, types, values, "    ") == 1);
}

Datum fence(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("fence");
  const std::string_view resource = pg::required_text(fcinfo, 0, "resource", 1, kMostKeyBytes);
  const int64 token = pg::required_bigint(fcinfo, 1, "lease_token", 1);
  const Oid types[] = {TEXTOID, INT8OID};
  const Datum values[] = {fcinfo->args[0].value, Int64GetDatum(token)};
  if (store::run_as_owner(&fence_plan, kFence, 2, types, values, "  ") == 0)
    pg::raise(DW_STALE_LEASE,
              psprintf("lease token " INT64_FORMAT " is too old for resource \"%s\"", token,
                       pg::copy(resource)),
              "A job with a later token has already used the resource.",
              "Stop working on the job and roll back: somebody else holds it now.");
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_mark_handled_body(FunctionCallInfo fcinfo) {
  return dw::worker::mark_handled(fcinfo);
}
extern "C" Datum dw_fence_body(FunctionCallInfo fcinfo) { return dw::worker::fence(fcinfo); }
