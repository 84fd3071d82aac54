// All jobs of a queue that fit a filter, in the order of their numbers.
//
// As long as the queue keeps every waiting job in memory, those come from there: one walk over the
// arena, and the cost does not depend on what is finished. Otherwise the log is read, a range of
// numbers at a time. Long sleepers are read from their table either way. What is found may be
// finished, or change, before anybody acts on it.
#pragma once

#include "core/dispatcher.hpp"
#include "core/store.hpp"

#include "pg/headers.hpp"

#include "change/job_filter.hpp"
#include "store/catalog.hpp"

namespace dw::change {

struct Candidate {
  core::StoredJob job;
  bool known_by_entry;  // then only its number and where its row lies
};

struct JobWalk {
  core::QueueId queue;
  int32 topic;
  core::QueueRef slot;
  JobFilter filter;
  core::JobId next;  // lower numbers have been looked at
  core::JobId end;   // this and higher ones are not for this walk
  bool from_memory;
  core::ListedJob* listed;  // in rising order
  int listed_count;
  int listed_place;
  Candidate* found;  // in rising order
  int found_count;
  int found_room;
};

// Jobs with numbers above `after` that were enqueued before now.
void begin_walk(JobWalk* walk, const store::QueueInfo& queue, const JobFilter& filter,
                const core::ListWish& wish, core::JobId after);
// Puts the next ones into walk->found. False: that was all.
bool next_window(JobWalk* walk);

}  // namespace dw::change
