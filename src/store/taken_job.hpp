// Taking a job that nobody works on, to cancel it or to change it.
//
// From take_job() on nobody else can claim, load or decide the job; the caller writes an outcome
// under the token it was given, settles, and the end of the transaction does the rest. Without an
// outcome the commit gives the job back as it was.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/errors.h"
#include "pg/error.hpp"
#include "store/rights.hpp"

namespace dw::store {

struct Wanted {
  bool leased = false;        // also one that a worker holds
  bool dead = false;          // only a dead letter
  bool again = false;         // also one that this transaction has changed, and that still waits
  bool wait_for_room = true;  // a few milliseconds, when memory for its entry is not to be had
  Right right = Right::none;  // that the current user must have on the job's queue; none: any user
};

enum class Taking : uint8 {
  taken,
  leased,         // a worker has it
  in_doubt,       // a transaction that is still open is deciding it
  decided_here,   // this transaction has decided it
  enqueued_here,  // this transaction has enqueued it
  finished,       // TakenJob.end says how
  waits,          // it is no dead letter, and one was wanted
  unknown,        // no such job, or not in that queue
  no_room,        // no memory for its entry, or the queue is not loaded yet
};

struct TakenJob {
  core::Decided decided;
  std::size_t action;     // for settle() and note_outcome_row()
  core::OutcomeKind end;  // if finished
};

// queue 0: the one that sees the job. Room for the actions is the caller's to reserve before:
// kActionsOfOneJob for each. A job of a queue that the user has no right on is unknown; 42501 if it
// has another right on it.
constexpr std::size_t kActionsOfOneJob = 32;
Taking take_job(core::JobId id, core::QueueId queue, const Wanted& wanted, TakenJob* job);

// A placeholder for a job that is on disk only. Room that another job of the queue gives up is free
// when the loader's chunk is over, which takes milliseconds: it is waited for.
core::Verdict add_placeholder(core::QueueId queue, core::JobId id, bool wait_for_room,
                              std::size_t* action);

// What to tell the person who asked for this job: DW002 or DW006. change: "cancelled",
// "rescheduled", …
[[noreturn]] void raise_not_taken(core::JobId id, Taking taking, const TakenJob& job,
                                  const char* change);

}  // namespace dw::store
