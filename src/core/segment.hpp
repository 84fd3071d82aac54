/*
 * Segments of the log: slots of a ring of tables that are filled, drained and emptied as a whole.
 *
 * An id belongs to the segment with the highest first id that is not above it. The segment with the
 * highest first id of all is the current one. See ring.cpp for the steps between the states.
 */
#pragma once

#include "core/types.hpp"

namespace dw::core {

/*
 * empty: no rows; or, before the table of segments was read, not known. -> open
 * open:  jobs whose ids belong to it may be written. -> quiet
 * quiet: no job is written any more, and whoever wrote one has ended. What is in it only finishes.
 *        -> empty
 */
enum class SegmentState : std::uint8_t { empty, open, quiet };

/* Why a segment that is not the current one is not emptied yet. */
enum class Hold : std::uint8_t {
  none,
  writers,         /* transactions that write to it are open */
  not_checked,     /* whether its jobs are finished is still to be looked at, or being looked at */
  loading,         /* jobs of it are on disk only: the backlog is deeper than memory */
  jobs,            /* more unfinished jobs than are moved */
  stragglers,      /* a few unfinished jobs, which are being moved */
  retention,       /* finished, and kept for a while */
  snapshot,        /* an old snapshot may still want to read it */
  lock,            /* somebody holds a lock on its tables */
  prepared,        /* a prepared transaction has used it */
  counting,        /* the unfinished jobs of the database are being counted */
  no_free_segment, /* of the current one: it is due to be followed by another, and all are in use */
};

struct SegmentHold {
  Hold reason;
  QueueId queue;     /* whose; 0: no particular one */
  JobId job;         /* the oldest of them; 0: not known */
  std::int64_t jobs; /* unfinished, as far as known */
  std::int32_t pid;  /* of the process; 0: not known, or a prepared transaction */
  Micros until;      /* wall: when it ends; 0: not known */
  Micros since;      /* wall */
};

}  // namespace dw::core
