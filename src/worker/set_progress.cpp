// set_progress: how far a worker is with a job. Kept in shared memory only, for as long as the
// lease is held, and shown by the view leases and by explain_job. It holds whatever becomes of the
// calling transaction.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "worker/lease_check.hpp"

namespace dw::worker {

namespace {

Datum set_progress(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("set_progress");
  const Lease lease = lease_arguments(fcinfo);
  const auto* const progress =
      reinterpret_cast<const varlena*>(pg::required_varlena(fcinfo, 2, "progress"));
  const std::size_t length = VARSIZE_ANY_EXHDR(progress);
  if (length > core::kMostProgressBytes)
    pg::raise_invalid(psprintf("progress must be at most %d bytes long, not %zu",
                               core::kMostProgressBytes, length),
                      "It is measured as jsonb is stored.",
                      "Say how far the job is; data belongs into tables.");
  require_own_queue(lease);
  const core::Index database = runtime::database();
  core::Verdict verdict = core::Verdict::not_resident;
  if (database != core::kNone)
    verdict = runtime::dispatcher().set_progress(
        database, lease.id, lease.token, VARDATA_ANY(progress), static_cast<uint16>(length));
  if (verdict != core::Verdict::ok) raise_stale(lease);
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_set_progress_body(FunctionCallInfo fcinfo) {
  return dw::worker::set_progress(fcinfo);
}
