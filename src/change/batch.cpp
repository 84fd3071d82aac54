#include "change/batch.hpp"

#include <algorithm>

#include "core/open_claim.hpp"
#include "core/outcome.hpp"
#include "core/outcome_sum.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/job_log.hpp"
#include "store/job_range.hpp"
#include "store/new_row.hpp"
#include "store/outcome_log.hpp"
#include "store/taken_job.hpp"

namespace dw::change {

namespace {

enum class Step : uint8 { taken, absent, left_out, passed_over };

// --- one job ------------------------------------------------------------------------------------

bool waits_for_retry(int32 attempts, core::Micros due, TimestampTz now) {
  return attempts > 0 && due > now;
}

bool entry_waits_for_retry(const Batch& batch, core::JobId id) {
  core::ResidentRow row;
  if (!runtime::dispatcher().see_job(runtime::database(), batch.queue, id, &row)) return true;
  return waits_for_retry(row.attempts, row.due, batch.due.now);
}

bool ends_jobs(const Batch& batch) {
  return batch.change == Change::cancel || batch.change == Change::purge;
}

void add(Batch* batch, const worker::DecidedJob& job) {
  batch->decided[batch->decided_count++] = job;
}

void add_ended(Batch* batch, const core::Decided& job, std::size_t action) {
  worker::DecidedJob ended = worker::decided_job(job, action, 0, 0);
  if (job.before == core::EntryState::leased) ended.decision = core::Decision::cancel_held;
  add(batch, ended);
}

// False: it would expire before; it goes on as it was.
bool add_rescheduled(Batch* batch, const core::Decided& job, std::size_t action) {
  if (core::expiry_time(job.expires_at) <= batch->due.at) return false;
  if (job.segment == core::kParkedSegment) {
    write_rescheduled(store::TakenJob{job, action, core::OutcomeKind::completed}, batch->due);
    batch->changed++;
    return true;
  }
  worker::DecidedJob waiting = worker::decided_job(
      job, action, job.attempts, core::explicit_due(batch->due.at, batch->due.now));
  waiting.decision = core::Decision::reschedule;
  waiting.due = batch->due.at;
  add(batch, waiting);
  return true;
}

Step put(Batch* batch, const core::Decided& job, std::size_t action) {
  store::obey_strict(job.options);
  if (ends_jobs(*batch)) {
    add_ended(batch, job, action);
    return Step::taken;
  }
  return add_rescheduled(batch, job, action) ? Step::taken : Step::left_out;
}

Step take_entry(Batch* batch, core::JobId id) {
  if (batch->change == Change::retry_now && !entry_waits_for_retry(*batch, id))
    return Step::passed_over;
  core::Transaction& transaction = runtime::transaction();
  core::Decided job;
  std::size_t action = 0;
  const core::Verdict verdict =
      ends_jobs(*batch)
          ? transaction.begin_cancel(runtime::level(), id, batch->queue, &job, &action)
          : transaction.begin_change(runtime::level(), id, batch->queue, true, &job, &action);
  switch (verdict) {
    case core::Verdict::ok:
      return put(batch, job, action);
    case core::Verdict::not_resident:
      return Step::absent;
    case core::Verdict::cancelled:
      return Step::passed_over;
    default:
      return Step::left_out;
  }
}

// --- jobs on disk -------------------------------------------------------------------------------

struct Absent {
  Candidate job;
  int place;  // in the slice
  core::OutcomeSum sum;
  std::size_t action;
  bool placed;
};

void sum_up(const Batch& batch, Absent* absent, int n) {
  auto* const ids = pg::allocate<core::JobId>(static_cast<Size>(n));
  auto* const places = pg::allocate<int>(static_cast<Size>(n));
  auto* const sums = pg::allocate<core::OutcomeSum>(static_cast<Size>(n));
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  for (uint8 segment = 0; segment < core::kStores; segment++) {
    int count = 0;
    for (int i = 0; i < n; i++) {
      if (absent[i].job.job.row.segment != segment) continue;
      ids[count] = absent[i].job.job.row.id;
      places[count++] = i;
    }
    store::sum_outcomes(batch.queue, segment, ids, count, snapshot, sums);
    for (int i = 0; i < count; i++) absent[places[i]].sum = sums[i];
  }
  UnregisterSnapshot(snapshot);
  pfree(ids);
  pfree(places);
  pfree(sums);
}

core::JobRow row_of(const Batch& batch, const Absent& absent) {
  core::JobRow row = absent.job.job.row;
  row.queue = batch.queue;
  row.expires_at = core::expiry_seconds(absent.job.job.expires_at);
  if (absent.sum.due() != 0) row.due = absent.sum.due();
  row.attempts = static_cast<std::uint16_t>(absent.sum.attempts());
  row.claim_is_open = absent.sum.claim_is_open();
  return row;
}

bool is_wanted(const Batch& batch, const Absent& absent) {
  if (absent.sum.finished() || absent.sum.moved()) return false;
  if (ends_jobs(batch)) return true;
  const core::JobRow row = row_of(batch, absent);
  // It is about to become a dead letter: a change would look as if its last claim had been told of.
  if (core::end_of_claim(batch.options, row) != core::Lapse::none) return false;
  if (batch.change != Change::retry_now) return true;
  return waits_for_retry(row.attempts, row.due, batch.due.now);
}

// A row that lies in parked may be another one by now, and the row of an entry that has gone is not
// known yet. False: there is none.
bool read_row(const Batch& batch, Absent* absent) {
  core::StoredJob* const job = &absent->job.job;
  if (!absent->job.known_by_entry && job->row.segment != core::kParkedSegment) return true;
  store::JobTuple row;
  if (!store::find_job(job->row.id, &row)) return false;
  job->row = store::job_row(row, batch.queue);
  job->topic = row.topic;
  job->expires_at = row.has_expires_at ? row.expires_at : core::kNever;
  absent->job.known_by_entry = false;
  return true;
}

// nullopt: no room.
std::optional<Step> place(Batch* batch, Absent* absent) {
  core::Transaction& transaction = runtime::transaction();
  const core::JobId id = absent->job.job.row.id;
  const core::Verdict verdict = store::add_placeholder(batch->queue, id, true, &absent->action);
  switch (verdict) {
    case core::Verdict::ok:
      absent->placed = true;
      return Step::taken;
    case core::Verdict::in_doubt: {
      transaction.reserve(store::kActionsOfOneJob);
      const Step step = take_entry(batch, id);
      return step == Step::absent ? Step::left_out : step;
    }
    default:
      return std::nullopt;
  }
}

// Behind the placeholders.
void fill(Batch* batch, Absent* absent, int n) {
  core::Transaction& transaction = runtime::transaction();
  for (int i = 0; i < n; i++)
    if (absent[i].placed && !read_row(*batch, &absent[i])) absent[i].job.job.row.id = 0;
  sum_up(*batch, absent, n);
  for (int i = 0; i < n; i++) {
    Absent* const job = &absent[i];
    if (!job->placed) continue;
    core::Decided decided;
    if (job->job.job.row.id == 0 || !is_wanted(*batch, *job)) {
      transaction.drop_placeholder(job->action);
    } else if (!transaction.fill_placeholder(job->action, row_of(*batch, *job), true,
                                             job->sum.redriven(), &decided) ||
               put(batch, decided, job->action) != Step::taken) {
      batch->left_out++;
    }
  }
}

// Returns the number of jobs dealt with; fewer than n: there was no room for the next one.
int take_absent(Batch* batch, Absent* absent, int n) {
  int known = 0;
  for (int i = 0; i < n; i++)
    if (!absent[i].job.known_by_entry || read_row(*batch, &absent[i])) absent[known++] = absent[i];
  n = known;
  std::sort(absent, absent + n,
            [](const Absent& a, const Absent& b) { return a.job.job.row.id < b.job.job.row.id; });
  sum_up(*batch, absent, n);
  int done = 0;
  for (; done < n; done++) {
    if (!is_wanted(*batch, absent[done])) continue;
    const std::optional<Step> step = place(batch, &absent[done]);
    if (!step) {
      batch->no_room = true;
      break;
    }
    if (*step == Step::left_out) batch->left_out++;
  }
  fill(batch, absent, done);
  return done;
}

// --- what is written ----------------------------------------------------------------------------

void write(Batch* batch) {
  const TimestampTz now = GetCurrentTimestamp();
  worker::DecidedJob* const jobs = batch->decided;
  const int n = batch->decided_count;
  if (n == 0) return;
  runtime::transaction().reserve_rows(static_cast<std::size_t>(n));
  switch (batch->change) {
    case Change::cancel:
      worker::write_outcomes(core::OutcomeKind::cancelled, now, jobs, n, std::nullopt);
      break;
    case Change::purge:
      worker::write_outcomes(core::OutcomeKind::purged, now, jobs, n, purged_detail());
      break;
    case Change::reschedule:
    case Change::retry_now:
      worker::write_outcomes(core::OutcomeKind::rescheduled, batch->due.now, jobs, n,
                             rescheduled_detail());
      break;
  }
  batch->changed += n;
  batch->decided_count = 0;
}

}  // namespace

Batch begin_batch(Change change, const store::QueueInfo& queue, const NewDue& due, int64 most) {
  Batch batch{};
  batch.change = change;
  batch.queue = queue.id;
  batch.options = queue.options;
  batch.due = due;
  batch.most = most;
  batch.decided = pg::allocate<worker::DecidedJob>(kSlice);
  return batch;
}

int change_jobs(Batch* batch, const Candidate* candidates, int n) {
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work batch");
  const int dealt_with = pg::in_context(scratch, [&] {
    /* Each may need a placeholder, and room for what it becomes. */
    runtime::transaction().reserve(2 * kSlice + store::kActionsOfOneJob);
    auto* const absent = pg::allocate<Absent>(kSlice);
    int absent_count = 0;
    int done = 0;
    for (; done < n && batch->changed + batch->decided_count + absent_count < batch->most; done++) {
      CHECK_FOR_INTERRUPTS();
      switch (take_entry(batch, candidates[done].job.row.id)) {
        case Step::absent:
          absent[absent_count++] = {candidates[done], done, core::OutcomeSum(), 0, false};
          break;
        case Step::left_out:
          batch->left_out++;
          break;
        case Step::taken:
        case Step::passed_over:
          break;
      }
    }
    if (absent_count > 0) {
      const int taken = take_absent(batch, absent, absent_count);
      if (batch->no_room) done = absent[taken].place;
    }
    write(batch);
    return done;
  });
  MemoryContextDelete(scratch);
  return dealt_with;
}

}  // namespace dw::change
