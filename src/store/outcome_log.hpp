/*
 * Outcome rows: appended through the table access method, found by id through the block range
 * index.
 */
#pragma once

#include "core/outcome.hpp"
#include "pg/headers.hpp"
#include "store/catalog.hpp"

namespace dw::store {

/*
 * Appends the outcome of one or several jobs of one queue in one segment, in as few rows as the
 * format allows; members sorted by id. detail is a jsonb or 0; it is stored with each row.
 * `wrote(segment, block, arg)` is called for each row with where it went and how many members it
 * covers. Takes and keeps RowExclusiveLock.
 */
void insert_outcome(core::OutcomeKind kind, TimestampTz at, core::QueueId queue, uint8 segment,
                    const core::OutcomeMember* members, int n, Datum detail, bool has_detail,
                    void (*wrote)(uint8 segment, uint32 block, int members, void* arg), void* arg);

/* One outcome of one job. detail is a copy in the current memory context. */
struct FoundOutcome {
  core::OutcomeKind kind;
  core::QueueId queue;
  core::JobId id;
  core::Token token;
  int32 attempt;
  TimestampTz at;
  TimestampTz next_due; /* 0: none */
  bool has_detail;
  Datum detail;
};

/*
 * Calls each for every outcome of the job in that segment that the snapshot (nullptr: the latest)
 * sees, in no particular order; queue 0: of every queue.
 */
void find_outcomes(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
                   void (*each)(const FoundOutcome& outcome, void* arg), void* arg);

/* The same for all jobs with ids from first to last, without details. */
void find_outcomes_in(core::JobId first, core::JobId last, core::QueueId queue, uint8 segment,
                      Snapshot snapshot, void (*each)(const FoundOutcome& outcome, void* arg),
                      void* arg);

/* The final outcome of a job whose row lies, or lay before it was moved to parked, in that segment;
 * false: it is not finished. */
bool find_final_outcome(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
                        FoundOutcome* out);

/* What an outcome `redriven`, `payload_replaced` or `relocated` took along from where the job had
 * been before: an array of objects like those of failure_history(). False: nothing. */
bool carried_history(const FoundOutcome& outcome, Datum* history);
/* The same of such an outcome's detail. */
bool carried_history(Datum detail, Datum* history);
/* Its detail without that. */
Datum without_history(Datum detail);

/* Failed attempts, deferrals, changes, earlier deaths and redrives as a jsonb array in order of
 * time. Adds `last`, an object, at the end if there is one; what it tells has the token `ending`.
 */
Datum failure_history(core::JobId id, core::QueueId queue, uint8 segment, core::Token ending,
                      std::optional<Datum> last);

/* Detail object of a failed attempt: {"worker": …, "error": …, "reason": …}. Any part may be
 * absent. */
Datum failure_detail(const char* worker, Datum error, bool has_error, const char* reason);

/* A decision on a queue that promises durability, whatever the session's synchronous_commit. */
inline void obey_strict(const core::QueueOptions& options) {
  if (options.strict) ForceSyncCommit();
}

}  // namespace dw::store
