/*
 * Judging a job from what the dispatcher and the log know.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "see/job_state.hpp"
#include "store/catalog.hpp"

namespace dw::see {

namespace {

constexpr char kNotInMemory[] = "on disk, not in memory yet";

/* 0 for what is no point in time. */
TimestampTz time_or_none(core::Micros time) {
  return time == core::kAlways || time == core::kNever || !IS_VALID_TIMESTAMP(time) ? 0 : time;
}

bool keeps_all_resident(const store::QueueInfo* queue) {
  if (queue == nullptr || queue->slot.queue == core::kNone) return false;
  const core::Dispatcher& dispatcher = runtime::dispatcher();
  return dispatcher.keeps_all_resident(dispatcher.arena().queues[queue->slot.queue]);
}

void take_final(const JobOutcomes& outcomes, JobState* state) {
  const core::OutcomeSum& sum = outcomes.sum;
  state->token = outcomes.token;
  state->attempts = sum.attempts();
  switch (sum.end()) {
    case core::OutcomeKind::completed:
      state->status = Status::completed;
      state->final_at = outcomes.end_at;
      /* A claim that was recorded counts already. */
      if (sum.claimed() != sum.end_token()) state->attempts++;
      state->result = outcomes.result;
      return;
    case core::OutcomeKind::dead_lettered:
      state->status = Status::dead_letter;
      state->final_at = outcomes.died_at;
      return;
    default:
      state->status = Status::cancelled;
      state->final_at = outcomes.end_at;
      if (state->resident.found) state->attempts = state->resident.row.attempts;
      return;
  }
}

const char* reason_of_end(core::Lapse lapsed) {
  switch (lapsed) {
    case core::Lapse::claim_rolled_back:
      return "its claim was rolled back";
    case core::Lapse::expired:
      return "expires_at has passed";
    case core::Lapse::outcome_unknown:
      return "nobody knows what became of its only attempt";
    case core::Lapse::attempts_exhausted:
      return "its attempts are used up";
    case core::Lapse::key_dead:
      return "an earlier job of its key is a dead letter";
    case core::Lapse::none:
    case core::Lapse::lease_expired:
      break;
  }
  return "its lease has run out";
}

void take_waiting(const core::ResidentRow& row, JobState* state) {
  state->status = Status::pending;
  state->next_due = time_or_none(row.due);
  if (row.key_is_limited) state->reason = "a limit of the queue for each key holds it back";
  if (row.paused) state->reason = "queue is paused";
  if (runtime::starts_paused()) state->reason = "durable_work.start_paused holds the database back";
}

void take_leased(const core::ResidentRow& row, JobState* state) {
  state->status = Status::processing;
  state->lease_expires_at = time_or_none(row.deadline);
  if (row.worker[0] != '\0') state->worker = pg::copy(row.worker);
}

void take_resident(const JobOutcomes& outcomes, JobState* state) {
  const core::ResidentRow& row = state->resident.row;
  const bool held = row.deadline != 0;
  state->token = row.token;
  state->attempts = row.attempts;
  state->next_due = outcomes.sum.due(); /* of a leased job: when its retry was due */
  switch (row.state) {
    case core::EntryState::leased:
      take_leased(row, state);
      return;
    case core::EntryState::completing:
      if (held && outcomes.sum.scheduled() == row.token) {
        /* This very transaction has given it back. */
        state->status = Status::pending;
        return;
      }
      state->deciding = true;
      state->reason = "an open transaction is deciding it";
      if (held) {
        take_leased(row, state);
      } else {
        state->status = Status::pending;
        state->next_due = time_or_none(row.due);
      }
      return;
    case core::EntryState::overdue:
    case core::EntryState::expiring:
      state->status = Status::pending;
      state->dying = core::ends_job(row.lapsed);
      state->reason = reason_of_end(row.lapsed);
      return;
    case core::EntryState::cancelled:
    case core::EntryState::tombstone:
      state->status = Status::processing;
      state->reason = "finished after this snapshot was taken";
      return;
    case core::EntryState::gated:
      take_waiting(row, state);
      state->behind_others = !row.key_is_limited;
      if (state->reason == nullptr) state->reason = "an earlier job of its key is not finished";
      return;
    case core::EntryState::blocked:
      state->status = Status::processing;
      state->reason = "finished after this snapshot was taken";
      return;
    default:
      take_waiting(row, state);
      return;
  }
}

void take_absent(const JobOutcomes& outcomes, uint8 segment, JobState* state) {
  state->token = outcomes.token;
  state->attempts = outcomes.sum.attempts();
  state->next_due = outcomes.sum.due();
  state->status = Status::pending;
  if (state->unknown_leases) {
    state->reason = "leases are not known here";
  } else if (segment == core::kParkedSegment) {
    state->reason = "due later than the timer horizon";
  } else if (outcomes.sum.due() > GetCurrentTimestamp()) {
    state->reason = "due later, on disk until then";
  } else if (!state->resident.all_resident) {
    state->reason = kNotInMemory;
  } else if (!runtime::transaction().has_work()) {
    state->status = Status::processing;
    state->reason = "finished after this snapshot was taken";
  }
}

}  // namespace

void heed_due(uint8 segment, TimestampTz due, JobState* state) {
  const bool on_disk = state->status == Status::pending && !state->resident.found;
  if (on_disk && segment == core::kParkedSegment && due <= GetCurrentTimestamp())
    state->reason = kNotInMemory;
}

const char* status_name(Status status) {
  switch (status) {
    case Status::pending:
      return "pending";
    case Status::processing:
      return "processing";
    case Status::completed:
      return "completed";
    case Status::dead_letter:
      return "dead_letter";
    case Status::cancelled:
      return "cancelled";
    case Status::moved:
      break;
  }
  return "moved";
}

Resident ask_dispatcher(core::JobId id, core::QueueId queue_id) {
  Resident resident{};
  const core::Index database = runtime::database();
  if (database == core::kNone) return resident;
  /* Before and after: a job that is evicted or loaded meanwhile is not taken for a finished one. */
  const bool before = keeps_all_resident(store::find_queue_by_id(queue_id));
  resident.found = runtime::dispatcher().see_job(database, queue_id, id, &resident.row);
  resident.all_resident = before && keeps_all_resident(store::find_queue_by_id(queue_id));
  return resident;
}

/* A job that waits or is leased is not final, and one that never failed has nothing to show. A row
 * that is not the one in memory was moved, or the snapshot is older than the move. */
bool needs_log(const Resident& resident, uint8 segment) {
  if (!resident.found || resident.row.segment != segment) return true;
  switch (resident.row.state) {
    case core::EntryState::pending:
    case core::EntryState::ready:
    case core::EntryState::delayed:
    case core::EntryState::gated:
      return resident.row.attempts > 0;
    case core::EntryState::leased:
      return resident.row.attempts > 1;
    default:
      return true;
  }
}

void judge(const Resident& resident, const JobOutcomes& outcomes, uint8 segment, JobState* state) {
  *state = JobState{};
  state->resident = resident;
  state->unknown_leases = runtime::database() == core::kNone;
  state->failure = outcomes.failure;
  if (outcomes.sum.moved()) {
    state->status = Status::moved;
  } else if (outcomes.sum.finished()) {
    take_final(outcomes, state);
  } else if (resident.found) {
    take_resident(outcomes, state);
  } else {
    take_absent(outcomes, segment, state);
  }
}

void job_state(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
               JobState* state) {
  const Resident resident = ask_dispatcher(id, queue);
  JobOutcomes outcomes{};
  if (needs_log(resident, segment)) find_job_outcomes(id, queue, segment, snapshot, &outcomes);
  judge(resident, outcomes, segment, state);
}

}  // namespace dw::see
