// Redrive: dead letters become jobs again.
//
// In one transaction for each dead letter: its row of dead_letter goes, its job's row is written to
// parked (under the topic of the queue it goes to), parked_outcome gets `redriven` under a fresh
// token, with what happened so far, and the slot that had the job's row gets `moved`. Whoever
// deletes the row of dead_letter has the job: the row's lock decides between redrives and discards.
//
// The dead letters of a queue are walked in the order (dead_at, job_id), a window at a time, each
// with a snapshot of its own and its locks taken in that order, so that two redrives wait for each
// other and never in a circle. Nothing is kept from one window to the next but the position: memory
// does not depend on how many there are.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "store/catalog.hpp"

namespace dw::store {

// Which dead letters, and where they go.
struct Redrive {
  core::QueueId from;
  core::QueueId to;
  int32 to_topic;
  char from_name[core::kQueueNameSize];
  const core::JobId* job_ids;  // in rising order; nullptr: any
  int job_id_count;
  Datum error_like;  // text: pattern on the reason or the last error; 0: any
  TimestampTz since;
  TimestampTz until;  // exclusive
  bool wait;          // for others who are deciding a dead letter; otherwise it is left out
};

// Everything up to here has been looked at. With job_ids in the order of the ids, otherwise in that
// of (dead_at, job_id).
struct RedrivePosition {
  TimestampTz dead_at;
  core::JobId job_id;
};
constexpr RedrivePosition kRedriveStart = {DT_NOBEGIN, 0};

struct Redriven {
  int moved;
  bool left_out;  // others were deciding some
  bool more;      // there may be more behind the position
};

// Dead letters looked at in one window.
constexpr int kRedriveWindow = 1000;

// Redrives up to `most` of the next window and moves the position. Raises DW006 while the database
// is not open for new tokens.
Redriven redrive_some(const Redrive& redrive, RedrivePosition* position, int most);

// How many there are now, at most `most`.
int64 count_matching(const Redrive& redrive, int64 most);

}  // namespace dw::store
