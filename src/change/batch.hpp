// Deciding many jobs in one transaction, the same way.
//
// Each is taken as by the call for one job: through its entry, or behind a placeholder if it is on
// disk only. What the log says of those is read for many at once: first without placeholders, which
// sorts out the finished ones; then, behind the placeholders, with a new snapshot.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "change/job_walk.hpp"
#include "change/reschedule.hpp"
#include "store/json_builder.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::change {

enum class Change : uint8 { cancel, reschedule, retry_now, purge };

struct Batch {
  Change change;
  core::QueueId queue;
  core::QueueOptions options;
  NewDue due;  // reschedule, retry_now
  int64 most;  // jobs
  int64 changed;
  int64 left_out;  // others were deciding them, or had them
  bool no_room;    // memory for an entry was not to be had
  // Of the slice that is being worked on.
  worker::DecidedJob* decided;
  int decided_count;
};

constexpr int kSlice = 1000;

// Of every outcome of a purge.
inline Datum purged_detail() {
  store::JsonBuilder json;
  json.begin_object();
  json.text("reason", "purged");
  json.end_object();
  return json.datum();
}

Batch begin_batch(Change change, const store::QueueInfo& queue, const NewDue& due, int64 most);

// Changes these jobs, at most kSlice, given in the order of their numbers, until there are `most`
// or memory ends. Returns the number of jobs in front of which nothing is left to do.
int change_jobs(Batch* batch, const Candidate* candidates, int n);

}  // namespace dw::change
