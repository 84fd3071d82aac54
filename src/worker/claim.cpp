// claim: hands out jobs under leases.
//
// Nothing is written: no tuple, no transaction id, no WAL. The dispatcher pops what is due under
// the queue's lock, the rows are then read by their addresses outside of it, and go straight into
// the result. Until the rows are out a failure of the statement gives the jobs back with the
// attempt refunded; after that a rollback charges the attempt, or a payload that breaks its worker
// would come back for ever.
//
// A claim that may wait sleeps only while it has nothing, and looks again whenever it is woken. It
// keeps its snapshot, which is why it may not wait for long, and why it may not wait at all in a
// transaction whose snapshot would be older than the jobs it is waiting for.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "runtime/waiting.hpp"
#include "store/catalog.hpp"
#include "worker/claiming.hpp"
#include "worker/lease_check.hpp"

namespace dw::worker {

namespace {

constexpr int64 kLongestWait = 5 * USECS_PER_SEC;
constexpr std::size_t kMostRequestIdBytes = 255;

ClaimWish wish_arguments(FunctionCallInfo fcinfo) {
  ClaimWish wish;
  wish.worker = pg::required_text(fcinfo, 1, "worker", 1, kMostWorkerBytes);
  wish.max_jobs = static_cast<uint32>(pg::required_int(fcinfo, 2, "max_jobs", 1, kMostClaimed));
  wish.lease = span_argument(fcinfo, 3);
  wish.owned_only = pg::required_bool(fcinfo, 5, "owned_only");
  wish.request_id = pg::optional_text(fcinfo, 6, "request_id", 1, kMostRequestIdBytes)
                        .value_or(std::string_view{});
  wish.instance = pg::optional_bigint(fcinfo, 7, "instance", 1).value_or(0);
  find_registered(&wish);
  return wish;
}

// Microseconds; 0: not at all.
int64 wait_argument(FunctionCallInfo fcinfo) {
  const int64 wait = pg::required_interval(fcinfo, 4, "wait", 0, kLongestWait);
  if (wait > 0 && IsolationUsesXactSnapshot())
    pg::raise(DW_ACTIVE_SQL_TRANSACTION, "claim cannot wait under this isolation level",
              "The transaction would not see what was committed together with the jobs that it "
              "waits for.",
              "Use READ COMMITTED, or CALL durable_work.wait_for_work before the transaction.");
  return wait;
}

// The queues as they are now: one may have been dropped and made again.
runtime::WaitedQueues queues_to_wait_for(const ClaimSources& sources, const ClaimWish& wish) {
  runtime::WaitedQueues queues{};
  queues.registered = wish.registered.known;
  queues.member = wish.registered.member;
  queues.owned_only = wish.owned_only;
  queues.unknown = runtime::is_registration(wish.instance) && !wish.registered.known;
  for (int i = 0; i < sources.count; i++)
    runtime::add_waited(&queues, store::require_queue(sources.names[i], store::Right::work).id);
  return queues;
}

void wait_and_hand_out(const ClaimSources& sources, ClaimWish wish, const ClaimOutput& output,
                       int64 wait) {
  const TimestampTz end = GetCurrentTimestamp() + wait;
  runtime::prepare_to_sleep();
  runtime::Slept slept = runtime::Slept::not_ready;
  while (slept != runtime::Slept::over) {
    runtime::WaitedQueues queues = queues_to_wait_for(sources, wish);
    slept = runtime::sleep_for_work(&queues, end);
    /* Tells of queues that were dropped meanwhile. */
    AcceptInvalidationMessages();
    CHECK_FOR_INTERRUPTS();
    if (queues.unknown) find_registered(&wish);
    const HandedOut handed = hand_out(sources, wish, output);
    if (handed.rows > 0 || handed.again || is_closed(wish)) return;
  }
}

Datum claim_from(FunctionCallInfo fcinfo, const ClaimSources& sources) {
  const ClaimWish wish = wish_arguments(fcinfo);
  const int64 wait = wait_argument(fcinfo);
  const ClaimOutput output = begin_claim_output(fcinfo, kClaimedColumns);
  const HandedOut handed = hand_out(sources, wish, output);
  if (wait > 0 && handed.rows == 0 && !handed.again && !is_closed(wish))
    wait_and_hand_out(sources, wish, output, wait);
  return pg::end_set(fcinfo);
}

void begin_claim() {
  runtime::require_preloaded();
  runtime::require_writable("claim");
}

Datum claim(FunctionCallInfo fcinfo) {
  begin_claim();
  std::string_view name;
  return claim_from(fcinfo, one_source(fcinfo, 0, &name));
}

Datum claim_queues(FunctionCallInfo fcinfo) {
  begin_claim();
  return claim_from(fcinfo, several_sources(fcinfo, 0));
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_claim_body(FunctionCallInfo fcinfo) { return dw::worker::claim(fcinfo); }
extern "C" Datum dw_claim_queues_body(FunctionCallInfo fcinfo) {
  return dw::worker::claim_queues(fcinfo);
}
