// Another row for a job that waits.
//
// The log is only appended to, so the new row goes to parked, under the same id, and the slot that
// had the old one gets `moved`, as when a dead letter is redriven. In parked the job may be changed
// again: there its row is updated.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "store/job_log.hpp"
#include "store/taken_job.hpp"

namespace dw::store {

struct NewRow {
  NewJob job;              // with the old one's id, topic and enqueued_at; `due` counts
  core::OutcomeKind kind;  // payload_replaced or rescheduled
  const char* reason;
  TimestampTz due;  // core::kAlways: at once, as from the beginning
  int32 attempts;
};

// Of a job that this transaction has taken: writes the row and the outcomes, and settles.
void write_new_row(const TakenJob& taken, NewRow* row);
// Of a job that this transaction has enqueued itself. Nobody else will ever have seen the old row,
// so it is removed from its slot: an outcome `moved` would become visible together with the row,
// but known to the loader only later.
void write_new_enqueued_row(NewRow* row);

// The columns that a job has, to be changed.
NewJob columns_of(const JobTuple& job, core::QueueId queue);
// The row of a job that was taken, wherever it lies.
void read_taken_row(const TakenJob& taken, JobTuple* job);

}  // namespace dw::store
