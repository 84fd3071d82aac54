// A record of a claim has to be on disk before anybody works on the job. So the claim must be a
// transaction of its own: it ends with the statement, and the server tells the client that the
// statement is complete after that. Inside a block, a function or a pipeline the rows would be in
// the worker's hands while the record can still be rolled back, or lost.
#include "core/outcome.hpp"

#include "pg/headers.hpp"

extern "C" {
#include "tcop/pquery.h"
}

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/outcome_log.hpp"
#include "worker/claim_record.hpp"

namespace dw::worker {

namespace {

struct Recorded {
  const core::ClaimedJob* job;
  std::size_t action;
};

struct Writing {
  const Recorded* next;
};

void note_row(uint8 segment, uint32 block, int members, void* arg) {
  auto* const writing = static_cast<Writing*>(arg);
  for (int i = 0; i < members; i++)
    runtime::transaction().note_claim_row((writing->next++)->action, segment, block);
}

int by_place(const void* a, const void* b) {
  const core::ClaimedJob& left = *static_cast<const Recorded*>(a)->job;
  const core::ClaimedJob& right = *static_cast<const Recorded*>(b)->job;
  if (left.segment != right.segment) return left.segment < right.segment ? -1 : 1;
  return left.id < right.id ? -1 : (left.id > right.id ? 1 : 0);
}

// The statement that the client sent, and not one inside of it.
bool is_statement_of_client(const EState* statement) {
  const Portal portal = ActivePortal;
  return portal != nullptr && portal->queryDesc != nullptr &&
         portal->queryDesc->estate == statement;
}

}  // namespace

void require_plain_statement(std::string_view queue, const EState* statement) {
  if (!is_statement_of_client(statement) || IsInTransactionBlock(true))
    pg::raise(DW_ACTIVE_SQL_TRANSACTION,
              psprintf("jobs of queue \"%s\" must be claimed in a transaction of their own",
                       pg::copy(queue)),
              "Each claim is recorded in the log, and on disk before the job is worked on.",
              "Call claim as a plain SELECT: outside of transaction blocks, functions, DO and "
              "pipelines.");
  /* The server commits a statement of the extended protocol at the next Sync, unless told so. */
  MyXactFlags |= XACT_FLAGS_NEEDIMMEDIATECOMMIT;
}

void record_claims(core::QueueId queue, std::string_view worker, const core::ClaimedJob* jobs,
                   uint32 n, std::size_t first) {
  auto* const recorded = pg::allocate<Recorded>(std::max(n, 1U));
  Size count = 0;
  for (uint32 i = 0; i < n; i++) {
    if (jobs[i].token != 0) recorded[count++] = {&jobs[i], first + i};
  }
  if (count == 0) return;
  qsort(recorded, count, sizeof(Recorded), by_place);
  auto* const members = pg::allocate<core::OutcomeMember>(count);
  const Datum detail = store::failure_detail(pg::copy(worker), Datum{0}, false, nullptr);
  const TimestampTz now = GetCurrentTimestamp();
  for (Size from = 0; from < count;) {
    const uint8 segment = recorded[from].job->segment;
    Size end = from;
    for (; end < count && recorded[end].job->segment == segment; end++) {
      const core::ClaimedJob& job = *recorded[end].job;
      members[end - from] = {job.id, job.token, job.attempt, 0};
    }
    Writing writing{&recorded[from]};
    store::insert_outcome(core::OutcomeKind::claimed, now, queue, segment, members,
                          static_cast<int>(end - from), detail, true, note_row, &writing);
    from = end;
  }
  /* Also under synchronous_commit = off. */
  ForceSyncCommit();
}

}  // namespace dw::worker
