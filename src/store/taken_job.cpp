// A resident job is taken in the dispatcher. One that is not in memory is first given a placeholder
// entry, which keeps the loader from making it claimable, and only then the log is read, with a
// snapshot taken after that: whatever was decided before the placeholder is seen, and nothing is
// decided behind it.
#include "core/open_claim.hpp"
#include "core/outcome_sum.hpp"

#include "pg/headers.hpp"

#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "store/outcome_log.hpp"
#include "store/taken_job.hpp"

namespace dw::store {

namespace {

// How often a job may become resident between the two looks at it. Each try notes two actions.
constexpr int kTries = 16;
static_assert(kActionsOfOneJob >= 2 * kTries);

core::OutcomeSum read_log(const JobTuple& job, core::QueueId queue) {
  core::OutcomeSum sum;
  find_outcomes(
      job.id, queue, job.segment, nullptr,
      [](const FoundOutcome& outcome, void* arg) {
        static_cast<core::OutcomeSum*>(arg)->add(
            outcome.kind, {outcome.id, outcome.token, outcome.attempt, outcome.next_due});
      },
      &sum);
  return sum;
}

core::JobRow row_of(const JobTuple& job, core::QueueId queue, const core::OutcomeSum& sum) {
  core::JobRow row = job_row(job, queue);
  if (sum.due() != 0) row.due = sum.due();
  row.attempts = static_cast<std::uint16_t>(sum.attempts());
  row.claim_is_open = sum.claim_is_open();
  return row;
}

// False: for this user there is no such job.
bool is_visible(const Wanted& wanted, const QueueInfo& queue) {
  if (wanted.right == Right::none) return true;
  const Right rights = rights_on(queue.id);
  if (has(rights, wanted.right)) return true;
  if (rights != Right::none) raise_no_right(queue.name, wanted.right);
  return false;
}

// In whatever queue the job is that the dispatcher has it in: in this one from here on. False: it
// is one that the user has no right on.
bool choose_queue(core::JobId id, const Wanted& wanted, core::QueueId* queue) {
  if (*queue != 0 || wanted.right == Right::none || is_owner()) return true;
  const core::Index database = runtime::database();
  const core::QueueId found =
      database != core::kNone ? runtime::dispatcher().queue_of(database, id, 0) : 0;
  const QueueInfo* const info = found != 0 ? find_queue_by_id(found) : nullptr;
  if (info == nullptr) return true; /* the log knows */
  *queue = info->id;
  return is_visible(wanted, *info);
}

// What the log says; `taken` if the job is as wanted.
Taking judge(const core::OutcomeSum& sum, const Wanted& wanted, TakenJob* job) {
  if (wanted.dead) {
    if (sum.is_dead()) return Taking::taken;
    if (!sum.finished()) return Taking::waits;
  }
  if (!sum.finished()) return Taking::taken;
  job->end = sum.end();
  return Taking::finished;
}

// The row that was read has been moved to parked. nullopt: just now. Otherwise the job has ended
// there, its retention is over, and this row is all that is left of it until its segment goes.
std::optional<Taking> follow(core::JobId id) {
  JobTuple tuple;
  if (find_job(id, &tuple) && tuple.segment == core::kParkedSegment) return std::nullopt;
  return Taking::unknown;
}

// nullopt: it became resident meanwhile, or was moved.
std::optional<Taking> take_logged(core::JobId id, core::QueueId wanted_queue, const Wanted& wanted,
                                  TakenJob* job) {
  core::Transaction& transaction = runtime::transaction();
  if (transaction.enqueued_here(id)) return Taking::enqueued_here;
  JobTuple tuple;
  if (!find_job(id, &tuple)) return Taking::unknown;
  const QueueInfo* const queue = find_queue_by_topic(tuple.topic);
  if (queue == nullptr || (wanted_queue != 0 && queue->id != wanted_queue)) return Taking::unknown;
  if (!is_visible(wanted, *queue)) return Taking::unknown;
  const core::QueueId queue_id = queue->id;
  const core::QueueOptions options = queue->options;

  // Most that are neither in memory nor waiting on disk are finished: no entry for those.
  core::OutcomeSum sum = read_log(tuple, queue_id);
  if (sum.moved()) return follow(id);
  Taking taking = judge(sum, wanted, job);
  if (taking != Taking::taken) return taking;

  switch (add_placeholder(queue_id, id, wanted.wait_for_room, &job->action)) {
    case core::Verdict::ok:
      break;
    case core::Verdict::no_room:
    case core::Verdict::not_open:
      return Taking::no_room;
    default:
      return std::nullopt;
  }
  // An error from here on drops the placeholder with the transaction.
  const bool found = find_job(id, &tuple);
  if (found) sum = read_log(tuple, queue_id);
  if (found && sum.moved()) {
    transaction.drop_placeholder(job->action);
    return follow(id);
  }
  taking = found ? judge(sum, wanted, job) : Taking::unknown;
  if (taking != Taking::taken) {
    transaction.drop_placeholder(job->action);
    return taking;
  }
  const core::JobRow row = row_of(tuple, queue_id, sum);
  if (!wanted.dead && !wanted.leased && core::end_of_claim(options, row) != core::Lapse::none) {
    // It is about to become a dead letter: a change would look as if its last claim had been told
    // of.
    transaction.drop_placeholder(job->action);
    return Taking::in_doubt;
  }
  if (!transaction.fill_placeholder(job->action, row, !wanted.dead, sum.redriven(), &job->decided))
    return Taking::in_doubt;
  return Taking::taken;
}

// nullopt: the dispatcher does not know the job.
std::optional<Taking> take_resident(core::JobId id, core::QueueId queue, const Wanted& wanted,
                                    TakenJob* job) {
  core::Transaction& transaction = runtime::transaction();
  const int level = runtime::level();
  const core::Verdict verdict =
      wanted.leased
          ? transaction.begin_cancel(level, id, queue, &job->decided, &job->action)
          : transaction.begin_change(level, id, queue, wanted.again, &job->decided, &job->action);
  switch (verdict) {
    case core::Verdict::ok:
      return Taking::taken;
    case core::Verdict::not_resident:
      return std::nullopt;
    case core::Verdict::leased:
      return Taking::leased;
    case core::Verdict::cancelled:
      job->end = core::OutcomeKind::cancelled;
      return Taking::finished;
    case core::Verdict::own_duplicate:
      return Taking::decided_here;
    case core::Verdict::not_open:
      return Taking::no_room;
    default:
      return Taking::in_doubt;
  }
}

const char* end_name(core::OutcomeKind end) {
  switch (end) {
    case core::OutcomeKind::completed:
      return "The job is completed.";
    case core::OutcomeKind::dead_lettered:
      return "The job is a dead letter.";
    case core::OutcomeKind::cancelled:
      return "The job is cancelled.";
    default:
      return "The job was removed.";
  }
}

}  // namespace

core::Verdict add_placeholder(core::QueueId queue, core::JobId id, bool wait_for_room,
                              std::size_t* action) {
  constexpr long kPause = 1000;
  const int looks = wait_for_room ? 50 : 1;
  core::Verdict verdict = core::Verdict::no_room;
  for (int i = 0; i < looks && verdict == core::Verdict::no_room; i++) {
    if (i > 0) pg_usleep(kPause);
    CHECK_FOR_INTERRUPTS();
    verdict = runtime::transaction().add_placeholder(runtime::level(), queue, id, action);
  }
  return verdict;
}

Taking take_job(core::JobId id, core::QueueId queue, const Wanted& wanted, TakenJob* job) {
  if (!choose_queue(id, wanted, &queue)) return Taking::unknown;
  for (int tries = 0; tries < kTries; tries++) {
    CHECK_FOR_INTERRUPTS();
    if (!wanted.dead) {
      if (const auto taking = take_resident(id, queue, wanted, job)) return *taking;
    }
    if (const auto taking = take_logged(id, queue, wanted, job)) return *taking;
    // A dead letter is in memory only while somebody else redrives it.
    if (wanted.dead) return Taking::in_doubt;
  }
  return Taking::in_doubt;
}

void raise_not_taken(core::JobId id, Taking taking, const TakenJob& job, const char* change) {
  const char* const title = psprintf("job " INT64_FORMAT, id);
  switch (taking) {
    case Taking::unknown:
      pg::raise(DW_UNKNOWN_OBJECT, psprintf("%s does not exist", title),
                "It never existed, or it finished and its retention is over.");
    case Taking::finished:
      pg::raise(DW_WRONG_STATE, psprintf("%s can no longer be %s", title, change),
                end_name(job.end));
    case Taking::waits:
      pg::raise(DW_WRONG_STATE, psprintf("%s cannot be %s", title, change),
                "The job is not a dead letter.");
    case Taking::leased:
      pg::raise(DW_WRONG_STATE, psprintf("%s cannot be %s now", title, change),
                "A worker is processing the job.", "Only a job that waits can be changed.");
    case Taking::enqueued_here:
      pg::raise(DW_WRONG_STATE, psprintf("%s was enqueued by this transaction", title),
                psprintf("Its own transaction has not committed, so it cannot be %s yet.", change),
                "Do it after the commit, or roll back to a savepoint before the enqueue.");
    case Taking::decided_here:
      pg::raise(DW_WRONG_STATE, psprintf("%s cannot be %s now", title, change),
                "This transaction has decided the job before.");
    case Taking::no_room:
      pg::raise(DW_WRONG_STATE, psprintf("%s cannot be %s now", title, change),
                "The queue is not loaded yet, or all memory it may use is taken by jobs that are "
                "leased or being decided.",
                "Try again in a moment, and change fewer jobs in one transaction.");
    case Taking::in_doubt:
    case Taking::taken:
      break;
  }
  pg::raise(DW_WRONG_STATE, psprintf("%s is being decided", title),
            "A transaction that is still open is deciding the job.",
            "Try again when that transaction has ended.");
}

}  // namespace dw::store
