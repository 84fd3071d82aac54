// Dead letters: jobs that will not be tried again, kept with everything that is known of them.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "store/job_log.hpp"
#include "store/outcome_log.hpp"

namespace dw::store {

// The last attempt of a job as it stands at the end of its history: what failure_detail() makes of
// worker, error and reason, with the time and the number of the attempt.
Datum last_failure(TimestampTz at, int32 attempt, Datum detail);

// Writes the dead letter of a job whose row is at that address, with its whole history, and
// enqueues a job into the queue's dead_letter_queue if it has one. The caller writes the outcome
// dead_lettered with the same detail. Raises when the row is not there.
// while_held: the last of the attempts is the one that ends now; else all of them ended before.
// blocks: its key is blocked from here on, and followers below this id are to die too (0: none).
void bury(core::QueueId queue, const core::ClaimedJob& address, int32 attempts, const char* reason,
          TimestampTz at, Datum detail, bool while_held = true,
          const core::JobId* blocks = nullptr);

}  // namespace dw::store
