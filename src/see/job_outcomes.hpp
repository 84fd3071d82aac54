/*
 * What the log says of one job in one queue: all its outcomes, summed up.
 *
 * They are found either by id, through the block range index (milliseconds in a log of millions),
 * or in a copy of one segment's outcomes that was read from end to end (microseconds). Whoever
 * looks up many jobs switches to the copy.
 */
#pragma once

#include "core/outcome_sum.hpp"

#include "pg/headers.hpp"

namespace dw::see {

/* A detail that is here, or the address of the row that has it. */
struct Detail {
  bool there;
  bool here;
  Datum value; /* if here */
  BlockNumber block;
  OffsetNumber offset;
};

struct JobOutcomes {
  core::OutcomeSum sum;
  core::Token token;   /* highest of all */
  TimestampTz end_at;  /* of the completion or cancellation, if there is one */
  TimestampTz died_at; /* of the last dead letter, if there is one */
  core::Token died_token;
  core::Token failed_token;
  Detail result;  /* of a completion */
  Detail failure; /* of the last failed attempt, or of the dead letter; see read_failure() */
};

/* Through the index. Details are here. */
void find_job_outcomes(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
                       JobOutcomes* found);

/* All outcomes of one segment that the snapshot sees, sorted by job, in the memory context. 48
 * bytes for each. */
struct SegmentOutcomes;
SegmentOutcomes* read_segment_outcomes(MemoryContext context, uint8 segment, Snapshot snapshot);
void forget_segment_outcomes(SegmentOutcomes* outcomes);
/* Details are addresses. */
void find_in_segment(SegmentOutcomes* outcomes, core::JobId id, core::QueueId queue,
                     JobOutcomes* found);

/* The detail itself, a copy in the current memory context; false if there is none. */
bool read_detail(const Detail& detail, uint8 segment, Snapshot snapshot, Datum* value);
/* The same of a failure, which may be told of in what a relocation carried. */
bool read_failure(const Detail& detail, uint8 segment, Snapshot snapshot, Datum* value);

}  // namespace dw::see
