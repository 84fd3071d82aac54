// complete_and_claim: what a worker in a loop does between two jobs, in one call.
//
// The completions are decided first and written like those of complete_many, then jobs are handed
// out as claim does. Both are one statement: if it fails nothing is completed and the claims are
// refunded; if the transaction rolls back later nothing is completed, and the attempts of the new
// jobs are charged. One row each for the jobs that were to be completed, then one for each new job.
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "worker/claiming.hpp"
#include "worker/completing.hpp"
#include "worker/lease_check.hpp"

namespace dw::worker {

namespace {

constexpr int kColumns = 1 + kClaimedColumns;
// Of one job that was to be completed: outcome, job_id and lease_token.
constexpr int kCompletedColumns = 3;

ClaimWish wish_arguments(FunctionCallInfo fcinfo) {
  ClaimWish wish;
  wish.worker = pg::required_text(fcinfo, 3, "worker", 1, kMostWorkerBytes);
  wish.max_jobs = static_cast<uint32>(pg::required_int(fcinfo, 4, "max_jobs", 1, kMostClaimed));
  wish.lease = span_argument(fcinfo, 5);
  wish.owned_only = pg::required_bool(fcinfo, 6, "owned_only");
  wish.instance = pg::optional_bigint(fcinfo, 7, "instance", 1).value_or(0);
  find_registered(&wish);
  return wish;
}

// Such a queue insists on a claim that is a transaction of its own, which this one never is.
void require_plain_queues(const ClaimSources& sources) {
  for (int i = 0; i < sources.count; i++) {
    const store::QueueInfo& queue = store::require_queue(sources.names[i], store::Right::work);
    if (!queue.options.at_most_once && !queue.options.durable_claims) continue;
    pg::raise(DW_FEATURE_NOT_SUPPORTED,
              psprintf("complete_and_claim cannot claim from queue \"%s\"", queue.name),
              "Its claims are recorded, and a recorded claim is a transaction of its own.",
              "Complete the jobs, commit, and call claim.");
  }
}

void put_completed(const Lease& lease, Standing standing, void* arg) {
  auto* const output = static_cast<const ClaimOutput*>(arg);
  Datum values[kColumns] = {CStringGetTextDatum(standing_name(standing)), Int64GetDatum(lease.id),
                            Int64GetDatum(lease.token)};
  bool nulls[kColumns];
  for (int i = 0; i < kColumns; i++) nulls[i] = i >= kCompletedColumns;
  tuplestore_putvalues(output->rows, output->description, values, nulls);
}

Datum complete_and_claim(FunctionCallInfo fcinfo, const ClaimSources& sources) {
  const ClaimWish wish = wish_arguments(fcinfo);
  const Completions finished = completion_arguments(fcinfo, 8);
  require_plain_queues(sources);
  begin_deciding("complete_and_claim", static_cast<std::size_t>(finished.ids.count));
  ClaimOutput output = begin_claim_output(fcinfo, kColumns);
  complete_all(finished, put_completed, &output);
  output.outcome = pg::text_datum("claimed");
  hand_out(sources, wish, output);
  return pg::end_set(fcinfo);
}

void begin() {
  runtime::require_preloaded();
  runtime::require_writable("complete_and_claim");
}

Datum from_queue(FunctionCallInfo fcinfo) {
  begin();
  std::string_view name;
  return complete_and_claim(fcinfo, one_source(fcinfo, 2, &name));
}

Datum from_queues(FunctionCallInfo fcinfo) {
  begin();
  return complete_and_claim(fcinfo, several_sources(fcinfo, 2));
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_complete_and_claim_body(FunctionCallInfo fcinfo) {
  return dw::worker::from_queue(fcinfo);
}
extern "C" Datum dw_complete_and_claim_queues_body(FunctionCallInfo fcinfo) {
  return dw::worker::from_queues(fcinfo);
}
