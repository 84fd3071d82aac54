// Decisions of one statement, gathered and written as few outcome rows.
#pragma once

#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

namespace dw::worker {

// A job that begin_decision() or begin_cancel() accepted. Its row is written after that, never
// before.
struct DecidedJob {
  core::OutcomeMember member;
  std::size_t action;
  core::QueueId queue;
  uint8 segment;
  core::Decision decision;
  core::Micros due;  // of a decision to wait
};

// To be finished; the caller may set another decision.
DecidedJob decided_job(const core::Decided& decided, std::size_t action, int32 attempt,
                       core::Micros next_due);

// One row for one job, with its detail if there is one, and what becomes of the job at commit.
void write_outcome(core::OutcomeKind kind, TimestampTz at, const DecidedJob& job,
                   std::optional<Datum> detail, core::Decision decision, core::Micros due);

// Several jobs the same way, each with its decision: sorted and packed by queue and segment.
void write_outcomes(core::OutcomeKind kind, TimestampTz at, DecidedJob* jobs, int n,
                    std::optional<Datum> detail);

}  // namespace dw::worker
