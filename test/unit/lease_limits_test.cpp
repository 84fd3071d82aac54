/* max_runtime, claims that are recorded in the log, and delivery at most once. */
#include "log_fixture.hpp"

#include "core/token.hpp"

namespace dw::test {
namespace {

class LeaseLimits : public LogTest {
 protected:
  static QueueOptions options() {
    QueueOptions options;
    options.lease = 10 * kSecond;
    options.max_attempts = 3;
    options.backoff = Backoff::fixed;
    options.backoff_base = kSecond;
    options.jitter = 0;
    return options;
  }
  void use(const QueueOptions& options, LoadMode mode = LoadMode::live) {
    begin(64, mode, options);
    store().on_expiry = [this](const Expiry& expiry) { expiries_.push_back(expiry); };
  }
  void use_max_runtime(Micros span) {
    QueueOptions limited = options();
    limited.max_runtime = span;
    use(limited);
  }
  void use_at_most_once(LoadMode mode = LoadMode::live) {
    QueueOptions once = options();
    once.at_most_once = true;
    use(once, mode);
  }
  Verdict extend(const ClaimedJob& job, Micros lease, Micros* until = nullptr) {
    Verdict verdict = Verdict::ok;
    const Micros end = d().extend(database_, job.id, job.token, lease, &verdict);
    if (until != nullptr) *until = end;
    return verdict;
  }
  Micros deadline(const ClaimedJob& job) { return entry(job.ref).at; }
  Micros claimed_at(const ClaimedJob& job) { return entry(job.ref).leased_at; }
  void expect_dead(JobId id, Lapse reason) {
    EXPECT_EQ(state_of(id), EntryState::free);
    EXPECT_TRUE(logged(id).finished);
    ASSERT_EQ(expiries_.size(), 1U);
    EXPECT_EQ(expiries_[0].reason, reason);
    EXPECT_EQ(expiries_[0].outcome, OutcomeKind::dead_lettered);
    EXPECT_EQ(expiries_[0].attempt, 1);
  }
  std::vector<Expiry> expiries_;
};

/* --- max_runtime -------------------------------------------------------------------------------
 */

TEST_F(LeaseLimits, AClaimAsksForNoMoreThanMaxRuntime) {
  use_max_runtime(25 * kSecond);
  enqueue(1);
  const ClaimedJob job = claim(1, 1, kMinute).at(0);
  EXPECT_EQ(deadline(job), platform().monotonic + 25 * kSecond);
  EXPECT_EQ(job.deadline, platform().wall + 25 * kSecond);
}

TEST_F(LeaseLimits, AnExtensionEndsWithMaxRuntimeAndThenIsRefused) {
  use_max_runtime(25 * kSecond);
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  const Micros end = claimed_at(job) + 25 * kSecond;
  platform().advance(9 * kSecond);
  EXPECT_EQ(extend(job, 0), Verdict::ok);
  EXPECT_EQ(deadline(job), platform().monotonic + 10 * kSecond);
  Micros until = 0;
  EXPECT_EQ(extend(job, kMinute, &until), Verdict::ok);
  EXPECT_EQ(deadline(job), end);
  EXPECT_EQ(until, platform().wall + 16 * kSecond);
  EXPECT_EQ(extend(job, kMinute), Verdict::used_up);
  EXPECT_EQ(deadline(job), end);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok) << "the lease is still good";
}

TEST_F(LeaseLimits, AShorterLeaseCanBeAskedForAtAnyTime) {
  use_max_runtime(25 * kSecond);
  enqueue(1);
  const ClaimedJob job = claim(1, 1, kMinute).at(0);
  EXPECT_EQ(extend(job, kSecond), Verdict::ok);
  EXPECT_EQ(deadline(job), platform().monotonic + kSecond);
}

TEST_F(LeaseLimits, AHeartbeatShowsTheEndThatStays) {
  use_max_runtime(15 * kSecond);
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  const Index who = d().find_worker(database_, "worker", 0);
  for (const Micros step : {9 * kSecond, 3 * kSecond}) {
    platform().advance(step);
    LeaseRow row{};
    HeartbeatState state = HeartbeatState::lost;
    ASSERT_TRUE(d().heartbeat(job.ref, who, 0, &row, &state));
    EXPECT_EQ(state, HeartbeatState::leased);
    EXPECT_EQ(deadline(job), claimed_at(job) + 15 * kSecond);
  }
  platform().advance(3 * kSecond);
  sweep();
  EXPECT_EQ(state_of(1), EntryState::ready) << "a worker that hangs but beats loses the job";
}

/* A process may be stopped between two looks at the clocks. */
TEST_F(LeaseLimits, NobodyIsToldThatALeaseLastsLongerThanItDoes) {
  use(options());
  enqueue(1);
  const auto left = [this](const ClaimedJob& job) { return deadline(job) - platform().monotonic; };
  platform().look_takes = kSecond;
  const ClaimedJob job = claim_one(1);
  EXPECT_LE(job.deadline - platform().wall, left(job));
  Micros until = 0;
  EXPECT_EQ(extend(job, 0, &until), Verdict::ok);
  EXPECT_LE(until - platform().wall, left(job));
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::lost;
  const Index who = d().find_worker(database_, "worker", 0);
  ASSERT_TRUE(d().heartbeat(job.ref, who, 0, &row, &state));
  EXPECT_LE(row.deadline - platform().wall, left(job));
  ClaimedJob again{};
  ASSERT_TRUE(d().see_claimed(LeaseRef{job.ref, job.token}, &again));
  EXPECT_LE(again.deadline - platform().wall, left(job));
  ASSERT_TRUE(d().see_lease(job.ref, who, &row));
  EXPECT_LE(row.deadline - platform().wall, left(job));
}

TEST_F(LeaseLimits, AShorterMaxRuntimeCountsAtTheNextExtension) {
  use_max_runtime(kMinute);
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  QueueOptions shorter = options();
  shorter.max_runtime = 5 * kSecond;
  d().set_queue_options(database_, 1, shorter);
  EXPECT_EQ(deadline(job), claimed_at(job) + 10 * kSecond) << "what it has it keeps";
  EXPECT_EQ(extend(job, 0), Verdict::ok) << "as long as now";
  EXPECT_EQ(extend(job, 9 * kSecond), Verdict::ok) << "and shorter";
  EXPECT_EQ(deadline(job), claimed_at(job) + 9 * kSecond);
  platform().advance(kSecond);
  EXPECT_EQ(extend(job, 0), Verdict::used_up);
  shorter.max_runtime = 0;
  d().set_queue_options(database_, 1, shorter);
  EXPECT_EQ(extend(job, 0), Verdict::ok);
}

TEST_F(LeaseLimits, AStepOfTheClockNeitherEndsNorProlongsAnAttempt) {
  use_max_runtime(25 * kSecond);
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  platform().wall += 3600 * kSecond;
  EXPECT_EQ(extend(job, kMinute), Verdict::ok);
  EXPECT_EQ(deadline(job), claimed_at(job) + 25 * kSecond);
  LeaseRow row{};
  ASSERT_EQ(d().see_leases(d().find_queue(database_, 1), 1, &row, 1), 1U);
  EXPECT_EQ(row.leased_at, platform().wall);
}

/* --- at most once ------------------------------------------------------------------------------
 */

TEST_F(LeaseLimits, AtMostOnceALeaseThatRunsOutIsTheEnd) {
  use_at_most_once();
  enqueue(1);
  EXPECT_EQ(claim_one(1).attempt, 1);
  platform().advance(10 * kSecond);
  sweep();
  expect_dead(1, Lapse::outcome_unknown);
}

TEST_F(LeaseLimits, AtMostOnceARollbackAfterTheRowsWentOutIsTheEnd) {
  use_at_most_once();
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  EXPECT_TRUE(claim(1).empty());
  sweep();
  expect_dead(1, Lapse::outcome_unknown);
}

TEST_F(LeaseLimits, AtMostOnceAStatementThatFailedHandedNothingOut) {
  use_at_most_once();
  enqueue(1);
  for (int i = 0; i < 3; i++) {
    const ClaimedJob job = claim_one(1);
    d().refund_claim(job.ref, job.token);
    EXPECT_EQ(state_of(1), EntryState::delayed);
    platform().advance(kMinute);
  }
  const ClaimedJob job = claim_one(1);
  d().refund_claim(job.ref, job.token);
  sweep();
  expect_dead(1, Lapse::claim_rolled_back);
}

TEST_F(LeaseLimits, AtMostOnceThereIsOneAttemptWhateverTheJobSays) {
  use_at_most_once();
  JobRow row = row_of(1, 1);
  row.max_attempts = 7;
  put(row);
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, 1, job.token, &decided), Verdict::ok);
  EXPECT_EQ(decided.max_attempts, 1);
  d().abort_decision(decided.ref, decided.token, decided.before);
}

TEST_F(LeaseLimits, AtMostOnceIsHeldToByJobsFromBefore) {
  use(options());
  enqueue(1);
  decide(claim_one(1), Decision::retry, platform().wall);
  QueueOptions once = options();
  once.at_most_once = true;
  d().set_queue_options(database_, 1, once);
  EXPECT_TRUE(claim(1).empty());
  sweep();
  expect_dead(1, Lapse::attempts_exhausted);
}

/* --- records of claims -------------------------------------------------------------------------
 */

TEST_F(LeaseLimits, ARecordedClaimOutlivesTheServerAsAnEndAtMostOnce) {
  use_at_most_once(LoadMode::loading);
  const JobRow row = log_job(1);
  log_outcome(OutcomeKind::claimed, row, make_token(kEpoch - 1, 5), 1);
  log_job(2);
  load();
  EXPECT_EQ(state_of(1), EntryState::overdue);
  EXPECT_EQ(claim_ids(1, 5), std::vector<JobId>{2});
  sweep();
  expect_dead(1, Lapse::outcome_unknown);
  EXPECT_EQ(epoch_of(expiries_[0].token), kEpoch);
}

TEST_F(LeaseLimits, ARecordedClaimOutlivesTheServerAsAnAttempt) {
  use(options(), LoadMode::loading);
  const JobRow row = log_job(1);
  log_outcome(OutcomeKind::claimed, row, make_token(kEpoch - 1, 5), 1);
  load();
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(LeaseLimits, TheLastAttemptThatTookTheServerWithItIsTheEnd) {
  QueueOptions one = options();
  one.max_attempts = 1;
  use(one, LoadMode::loading);
  const JobRow row = log_job(1);
  log_outcome(OutcomeKind::claimed, row, make_token(kEpoch - 1, 5), 1);
  load();
  sweep();
  expect_dead(1, Lapse::attempts_exhausted);
}

TEST_F(LeaseLimits, AClaimWhoseEndIsRecordedIsNoOpenOne) {
  QueueOptions two = options();
  two.max_attempts = 1;
  use(two, LoadMode::loading);
  const JobRow row = log_job(1);
  log_outcome(OutcomeKind::claimed, row, make_token(kEpoch - 1, 5), 1);
  log_outcome(OutcomeKind::rescheduled, row, make_token(kEpoch - 1, 5), 0);
  load();
  EXPECT_EQ(claim_one(1).attempt, 1) << "it was released";
}

TEST_F(LeaseLimits, ACommittedRecordLetsTheEntryGoLater) {
  use(options());
  const JobRow row = enqueue(1);
  Transaction transaction(&d());
  transaction.set_database(database_, kOid);
  transaction.reserve(1);
  const ClaimedJob job = claim_one(1);
  const std::size_t first = transaction.size();
  transaction.note_claims(1, &job, 1);
  transaction.delivered(first);
  transaction.note_claim_row(first, row.segment, 3);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, 1, job.token, &decided), Verdict::ok);
  EXPECT_FALSE(decided.claim_is_recorded);
  d().abort_decision(decided.ref, decided.token, decided.before);
  transaction.commit(1);
  ASSERT_EQ(d().begin_decision(database_, 1, job.token, &decided), Verdict::ok);
  EXPECT_TRUE(decided.claim_is_recorded);
  EXPECT_FALSE(d().arena().databases[database_].outcome_pages.empty());
}

}  // namespace
}  // namespace dw::test
