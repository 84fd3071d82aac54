/*
 * Moving the unfinished jobs of a segment to parked, so that the segment can be emptied.
 *
 * A job is taken as whoever changes it would take it: nobody claims, loads or decides it until the
 * transaction ends. Its row is written to parked with what is known of its attempts and failures,
 * and the segment gets `moved`. It keeps its id, its place in the order, and its idempotency key,
 * which lies elsewhere.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "pg/subtransaction.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/new_row.hpp"
#include "store/segment_tables.hpp"
#include "store/taken_job.hpp"

namespace dw::store {

namespace {

core::Relocation relocate_job(uint8 segment, const core::Straggler& straggler) {
  Wanted wanted;
  wanted.wait_for_room = false;
  TakenJob taken{};
  switch (take_job(straggler.id, straggler.queue, wanted, &taken)) {
    case Taking::taken:
      break;
    case Taking::finished:
    case Taking::unknown:
      return core::Relocation::finished;
    case Taking::no_room:
      return core::Relocation::no_room;
    default:
      return core::Relocation::held;
  }
  /* It went to parked before: the commit gives it back as it was. */
  if (taken.decided.segment != segment) return core::Relocation::finished;
  JobTuple job;
  read_taken_row(taken, &job);
  NewRow row{columns_of(job, taken.decided.queue_id), core::OutcomeKind::relocated, "relocated",
             taken.decided.due, taken.decided.attempts};
  write_new_row(taken, &row);
  return core::Relocation::moved;
}

/* What is wrong with this job, and not with the disk, a lock or the server. */
bool is_of_the_job(int sqlstate) {
  const int category = ERRCODE_TO_CATEGORY(sqlstate);
  return category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
         category == ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION) ||
         category == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED) ||
         sqlstate == ERRCODE_DATA_CORRUPTED || sqlstate == ERRCODE_INDEX_CORRUPTED;
}

}  // namespace

void relocate_jobs(uint8 segment, const core::Straggler* jobs, std::size_t n,
                   core::Relocation* results) {
  runtime::transaction().reserve(n * kActionsOfOneJob);
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work relocation");
  for (std::size_t i = 0; i < n; i++) {
    CHECK_FOR_INTERRUPTS();
    core::Relocation* const result = &results[i];
    const core::Straggler* const job = &jobs[i];
    pg::error_report report{};
    /* One that fails does not keep the others. */
    const bool good = pg::in_context(scratch, [&report, segment, job, result] {
      return pg::subtransaction(&report,
                                [segment, job, result] { *result = relocate_job(segment, *job); });
    });
    if (!good && !is_of_the_job(report.sqlstate)) {
      ereport(ERROR, (errcode(report.sqlstate), errmsg_internal("%s", report.message)));
    } else if (!good) {
      *result = core::Relocation::held;
      ereport(LOG, (errcode(report.sqlstate),
                    errmsg("durable_work: job " INT64_FORMAT " cannot be moved to parked", job->id),
                    errdetail_internal("%s", report.message != nullptr ? report.message : "")));
    }
    MemoryContextReset(scratch);
  }
  MemoryContextDelete(scratch);
}

}  // namespace dw::store
