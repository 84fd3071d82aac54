/*
 * Why the jobs of a queue are not being worked on now, in numbers; what explain_waiting is made of.
 */
#pragma once

#include "core/dispatcher.hpp"

namespace dw::core {

struct QueueWaits {
  LoadMode mode;
  bool paused;
  bool open;    /* the epoch is raised: claims return jobs */
  bool counted; /* on_disk is known */
  std::uint32_t ready;
  std::uint32_t unowned;  /* of them: in buckets that no registered worker owns */
  std::uint32_t later;    /* due later, not tried yet */
  std::uint32_t retrying; /* due later, after an attempt */
  std::uint32_t held;     /* by workers */
  std::uint32_t deciding; /* in the hands of transactions that are open */
  std::uint32_t ending;   /* lease over, or overdue: the sweep is about to record it */
  std::uint32_t waiters;  /* sleeping workers */
  std::int64_t on_disk;   /* unfinished and not in memory */
  Micros next_due;        /* wall; kNever: none of them is among the first due */
  Micros next_retry;
  Micros last_claim; /* wall; 0: none since the server started */
  LeaseRow first_to_end;
};

}  // namespace dw::core
