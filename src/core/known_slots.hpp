/*
 * What the table of segments and the tables of the log, read together, say of the slots of the
 * ring: after a start, and when rows came past the engine.
 */
#pragma once

#include "core/segment.hpp"

namespace dw::core {

struct SlotFacts {
  JobId first;   /* as its row of the table of segments says; kNever: it has none */
  bool has_jobs; /* its table of jobs has pages */
};

enum class SlotStanding : std::uint8_t {
  unused,
  in_use,         /* its first id is what its row says */
  only_announced, /* and not used before the server stopped: ids behind its first may have been
                   * written to the segment before; its row is to be deleted */
  without_row,    /* its jobs came without their row, which may still come */
};

/* at_start: nobody can have written to a segment that is not known yet. */
SlotStanding judge_slot(const SlotFacts (&slots)[kSegments], std::uint8_t segment, bool at_start);

}  // namespace dw::core
