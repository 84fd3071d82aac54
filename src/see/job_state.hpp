/*
 * What one queue knows of one job, out of the dispatcher and the log.
 *
 * A final outcome that the snapshot sees wins: it never changes again. A job that the dispatcher
 * knows waits or is leased, whatever the log still says. A job that neither knows waits on disk.
 * The dispatcher is always asked as it is now, so what is shown of waiting and leased jobs may be
 * newer than the snapshot, while completed jobs are those that the snapshot sees. On a standby, and
 * until the database is attached, there is the log only: leases are unknown.
 */
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "see/job_outcomes.hpp"

namespace dw::see {

enum class Status : uint8 { pending, processing, completed, dead_letter, cancelled, moved };

const char* status_name(Status status);

/* How the dispatcher has it. */
struct Resident {
  bool found;
  bool all_resident; /* the queue keeps every unfinished job in memory, except long sleepers */
  core::ResidentRow row;
};

struct JobState {
  Status status;
  Resident resident;
  bool behind_others;  /* of its key */
  bool deciding;       /* an open transaction is about to decide it */
  bool dying;          /* the sweep is about to make a dead letter of it */
  bool unknown_leases; /* there is no dispatcher for this database here */
  const char* worker;  /* nullptr: none */
  core::Token token;   /* 0: never claimed */
  int32 attempts;
  TimestampTz lease_expires_at; /* 0: none */
  TimestampTz next_due;         /* 0: none */
  TimestampTz final_at;         /* 0: none */
  Detail result;
  Detail failure;     /* of the last failed attempt */
  const char* reason; /* nullptr: none */
};

/* The two halves, for callers that choose how to read the log. */
Resident ask_dispatcher(core::JobId id, core::QueueId queue);
bool needs_log(const Resident& resident, uint8 segment);
/* outcomes: all zero when the log was not needed. */
void judge(const Resident& resident, const JobOutcomes& outcomes, uint8 segment, JobState* state);

/* The reason of what lies in parked, once it is known when it is due. */
void heed_due(uint8 segment, TimestampTz due, JobState* state);

/* Both, with the log read by id. */
void job_state(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
               JobState* state);

}  // namespace dw::see
