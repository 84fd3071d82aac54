// Jobs of one topic with ids in a range, read out of the log for whoever changes many of them.
//
// Rows are read with a snapshot and say nothing of what became of the jobs: see sum_outcomes().
#pragma once

#include "core/outcome_sum.hpp"
#include "core/store.hpp"

#include "pg/headers.hpp"

#include "store/job_log.hpp"

namespace dw::store {

struct JobRange {
  core::JobId first;
  core::JobId last;
  int32 topic;
  bool one_key;  // only of this hash
  uint32 key_hash;
  bool whole;  // with the columns that are for people
};

// Takes a row while no page is locked; `whole` is nullptr unless it was asked for, and lives until
// the next one.
using RangeSink = void (*)(const core::StoredJob& job, const JobTuple* whole, void* arg);

// Rows of one slot; ids in no order. Jobs that this transaction enqueued are left out.
void read_slot_range(const JobRange& range, uint8 segment, Snapshot snapshot, RangeSink sink,
                     void* arg);
// Rows of parked, in order of their ids, at most so many. Returns the id up to which all were read.
core::JobId read_parked_range(const JobRange& range, int most, Snapshot snapshot, RangeSink sink,
                              void* arg);

// The segments that ids from first to last may lie in, in the order of their ids; how many.
int segments_between(core::JobId first, core::JobId last, uint8* segments);

// What the outcomes of these jobs say. Ids in rising order, all of rows in that segment. The cost
// is that of all outcomes between the first and the last.
void sum_outcomes(core::QueueId queue, uint8 segment, const core::JobId* ids, int n,
                  Snapshot snapshot, core::OutcomeSum* sums);

}  // namespace dw::store
