/* Claims: order, tokens, attempts, and what happens to a claim whose statement or transaction
 * fails. */
#include "arena_fixture.hpp"

#include "core/token.hpp"

#include <set>

namespace dw::test {
namespace {

class Claim : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
  }
  void put_with(JobId id, std::uint8_t priority, Micros due = kAlways) {
    JobRow row = row_of(1, id);
    row.priority = priority;
    row.due = due;
    put(row);
  }
  /* Claims with a backoff of exactly one second and this many attempts. */
  void use_short_backoff(std::int32_t max_attempts) {
    QueueOptions options;
    options.backoff = Backoff::fixed;
    options.backoff_base = kSecond;
    options.jitter = 0;
    options.max_attempts = max_attempts;
    d().set_queue_options(database_, 1, options);
  }
  Index queue_ = kNone;
};

TEST_F(Claim, HandsOutByIdWithinAPriority) {
  for (const JobId id : {5, 3, 4, 1, 2}) put(row_of(1, id));
  EXPECT_EQ(claim_ids(1, 5), (std::vector<JobId>{1, 2, 3, 4, 5}));
}

TEST_F(Claim, HandsOutTheLowerPriorityNumberFirst) {
  put_with(1, 9);
  put_with(2, 4);
  put_with(3, 0);
  put_with(4, 4);
  EXPECT_EQ(claim_ids(1, 4), (std::vector<JobId>{3, 2, 4, 1}));
}

TEST_F(Claim, PutsADelayedJobIntoItsPlaceWhenItIsDue) {
  put_with(1, 4, platform().wall + kSecond);
  put_with(2, 4);
  put_with(3, 0, platform().wall + kSecond);
  platform().advance(kSecond);
  EXPECT_EQ(claim_ids(1, 3), (std::vector<JobId>{3, 1, 2}));
}

TEST_F(Claim, TakesAtMostWhatIsAskedFor) {
  put_many(1, 1, 10);
  EXPECT_EQ(claim(1, 3).size(), 3U);
  EXPECT_EQ(figures(1).ready, 7U);
  EXPECT_EQ(figures(1).leased, 3U);
}

TEST_F(Claim, OfAnEmptyQueueIsEmpty) { EXPECT_TRUE(claim(1, 5).empty()); }

TEST_F(Claim, NeverHandsOutOneJobTwice) {
  put_many(1, 1, 20);
  std::set<JobId> seen;
  for (int i = 0; i < 20; i++) EXPECT_TRUE(seen.insert(claim_one(1).id).second);
  EXPECT_TRUE(claim(1).empty());
}

TEST_F(Claim, GivesRisingTokensOfTheDatabasesEpoch) {
  put_many(1, 1, 20);
  Token last = 0;
  for (int i = 0; i < 5; i++) {
    for (const ClaimedJob& job : claim(1, 4)) {
      EXPECT_EQ(epoch_of(job.token), kEpoch);
      EXPECT_GT(job.token, last);
      last = job.token;
    }
  }
}

TEST_F(Claim, SharesTheTokensOfAllQueuesOfADatabase) {
  add_queue(2);
  put(row_of(1, 1));
  put(row_of(2, 2));
  put(row_of(1, 3));
  const Token first = claim_one(1).token;
  const Token second = claim_one(2).token;
  EXPECT_GT(second, first);
  EXPECT_GT(claim_one(1).token, second);
}

TEST_F(Claim, ReturnsNothingBeforeTheEpochIsRaised) {
  const Index other = d().attach_database(kOid + 1);
  const Index queue =
      d().add_queue(other, 5, "other", QueueOptions{}, QueueState::active, LoadMode::live);
  const JobRow row = row_of(5, 1);
  const JobRow* pointer = &row;
  EntryRef reference{};
  d().link_pending(ref(queue), &pointer, &reference, 1);
  d().publish(other, 5, ref(queue), &pointer, &reference, 1);
  ClaimedJob job{};
  EXPECT_EQ(d().claim(ref(queue), d().worker_slot(other, "w", 0), 0, &job, 1), 0U);
  d().open_database(other, 3);
  EXPECT_EQ(d().claim(ref(queue), d().worker_slot(other, "w", 0), 0, &job, 1), 1U);
  EXPECT_EQ(epoch_of(job.token), 3);
}

TEST_F(Claim, ContinuesTheCounterWhenTheEpochIsTheSame) {
  put_many(1, 1, 2);
  const Token first = claim_one(1).token;
  d().open_database(database_, kEpoch);
  EXPECT_GT(claim_one(1).token, first);
}

TEST_F(Claim, IgnoresAnEpochBelowTheCurrentOne) {
  put_many(1, 1, 2);
  const Token first = claim_one(1).token;
  d().open_database(database_, kEpoch - 1);
  EXPECT_GT(claim_one(1).token, first);
}

TEST_F(Claim, WakesTheHousekeeperWhenHalfOfTheEpochIsUsed) {
  put_many(1, 1, 2);
  d().arena().databases[database_].last_token.store(make_token(kEpoch, kCounterRaise - 2));
  platform().woken_housekeepers.clear();
  d().arena().databases[database_].planned_deadline.store(kAlways);
  claim_one(1);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  claim_one(1);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Claim, StopsAtTheEndOfTheEpochAndGoesOnAfterTheRaise) {
  put_many(1, 1, 10);
  d().arena().databases[database_].last_token.store(make_token(kEpoch, kCounterEnd - 4));
  EXPECT_TRUE(claim(1, 10).empty());
  for (int i = 0; i < 5; i++) {
    for (const ClaimedJob& job : claim(1)) EXPECT_EQ(epoch_of(job.token), kEpoch);
  }
  EXPECT_TRUE(claim(1, 10).empty());
  d().open_database(database_, kEpoch + 1);
  EXPECT_EQ(epoch_of(claim_one(1).token), kEpoch + 1);
}

TEST_F(Claim, OfAPausedQueueIsEmpty) {
  put(row_of(1, 1));
  QueueOptions options;
  options.paused = true;
  d().set_queue_options(database_, 1, options);
  EXPECT_TRUE(claim(1).empty());
  options.paused = false;
  d().set_queue_options(database_, 1, options);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Claim, CountsTheAttempt) {
  JobRow row = row_of(1, 1);
  row.attempts = 4;
  put(row);
  EXPECT_EQ(claim_one(1).attempt, 5);
}

TEST_F(Claim, NeverCountsBeyondTheHighestAttempt) {
  JobRow row = row_of(1, 1);
  row.attempts = kMostAttempts;
  row.max_attempts = kMostAttempts;
  put(row);
  EXPECT_EQ(claim_one(1).attempt, kMostAttempts);
}

TEST_F(Claim, SaysWhereTheRowLies) {
  JobRow row = row_of(1, 1);
  row.segment = 3;
  row.block = 99;
  row.offset = 17;
  put(row);
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(job.segment, 3);
  EXPECT_EQ(job.block, 99U);
  EXPECT_EQ(job.offset, 17);
}

TEST_F(Claim, TellsAWorkerThatItsSlotWentToAnother) {
  put(row_of(1, 1));
  WorkerRef gone = worker();
  gone.incarnation--;
  ClaimedJob job{};
  EXPECT_EQ(d().claim(ref(queue_), gone, 0, &job, 1), kWorkerGone);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Claim, OfALoadingQueueThatRunsDryWakesTheHousekeeper) {
  slot(queue_).mode = LoadMode::loading;
  claim(1);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Claim, ARefundGivesTheAttemptBackAfterAPause) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().refund_claim(job.ref, job.token);
  EXPECT_EQ(state_of(1), EntryState::delayed);
  EXPECT_TRUE(claim(1).empty());
  platform().advance(kMinute);
  EXPECT_EQ(claim_one(1).attempt, 1);
}

TEST_F(Claim, ARefundedTokenIsStale) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().refund_claim(job.ref, job.token);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::stale);
}

TEST_F(Claim, ChargesTheAttemptAfterAsManyRefundsAsAttemptsAreAllowed) {
  use_short_backoff(3);
  put(row_of(1, 1));
  for (int i = 0; i < 3; i++) {
    const ClaimedJob job = claim_one(1);
    ASSERT_EQ(job.attempt, 1);
    d().refund_claim(job.ref, job.token);
    platform().advance(kMinute);
  }
  const ClaimedJob job = claim_one(1);
  ASSERT_EQ(job.attempt, 1);
  d().refund_claim(job.ref, job.token);
  platform().advance(kMinute);
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Claim, AJobWhoseStatementsAlwaysFailRunsOutOfAttempts) {
  use_short_backoff(2);
  put(row_of(1, 1));
  int claims = 0;
  for (; claims < 50; claims++) {
    const std::vector<ClaimedJob> jobs = claim(1);
    if (jobs.empty()) break;
    EXPECT_LE(jobs[0].attempt, 2);
    d().refund_claim(jobs[0].ref, jobs[0].token);
    platform().advance(kMinute);
  }
  /* Twice: two refunds and a charge. Then the sweep finds it, lapsed and past its deadline. */
  EXPECT_EQ(claims, 6);
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Claim, CountsRefundsOnlyInARow) {
  use_short_backoff(2);
  put(row_of(1, 1));
  ClaimedJob job = claim_one(1);
  d().refund_claim(job.ref, job.token);
  platform().advance(kMinute);
  job = claim_one(1);
  ASSERT_EQ(decide(job, Decision::retry, kAlways), Verdict::ok);
  for (int i = 0; i < 2; i++) {
    job = claim_one(1);
    d().refund_claim(job.ref, job.token);
    platform().advance(kMinute);
  }
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Claim, ARollbackKeepsTheAttemptChargedAndBacksOff) {
  use_short_backoff(3);
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(kSecond - 1);
  EXPECT_TRUE(claim(1).empty());
  platform().advance(1);
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Claim, ARollbackOfTheLastAttemptLeavesAVoidLeaseForTheSweep) {
  use_short_backoff(1);
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  platform().woken_housekeepers.clear();
  d().roll_back_claim(job.ref, job.token);
  EXPECT_EQ(entry(job.ref).lapsed, Lapse::claim_rolled_back);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(decide(job, Decision::finish), Verdict::stale);
  Verdict verdict = Verdict::ok;
  d().extend(database_, 1, job.token, kSecond, &verdict);
  EXPECT_EQ(verdict, Verdict::stale);
}

TEST_F(Claim, TheJobsOwnLimitOfAttemptsComesBeforeTheQueues) {
  use_short_backoff(20);
  JobRow row = row_of(1, 1);
  row.max_attempts = 1;
  put(row);
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  EXPECT_EQ(entry(job.ref).lapsed, Lapse::claim_rolled_back);
}

TEST_F(Claim, AQuarantinedJobIsForgottenAndItsPagesAreLoadedAgain) {
  d().arena().databases[database_].tail_block[0] = 40;
  put(row_of(1, 7));
  const ClaimedJob job = claim_one(1);
  d().quarantine(job.ref, job.token);
  EXPECT_EQ(state_of(7), EntryState::free);
  EXPECT_EQ(slot(queue_).mode, LoadMode::handover);
  ASSERT_EQ(slot(queue_).dirty.size(), 1U);
  EXPECT_EQ(slot(queue_).dirty.at(0).first, 0U);
  EXPECT_EQ(slot(queue_).dirty.at(0).last, 40U);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Claim, AQuarantinedSleeperIsLookedForInParked) {
  slot(queue_).mode = LoadMode::live;
  JobRow row = row_of(1, 7);
  const EntryRef reference = put(row);
  entry(reference).segment = kParkedSegment;
  const ClaimedJob job = claim_one(1);
  d().quarantine(job.ref, job.token);
  EXPECT_EQ(slot(queue_).parked_left, ParkedLeft::some);
  EXPECT_TRUE(slot(queue_).dirty.empty());
  EXPECT_EQ(slot(queue_).mode, LoadMode::handover);
}

TEST_F(Claim, PromotesAThousandJobsThatFallDueTogether) {
  start(8192);
  queue_ = add_queue(1);
  for (JobId id = 1; id <= 1500; id++) {
    JobRow row = row_of(1, id);
    row.due = platform().wall + kSecond;
    put(row);
  }
  platform().advance(kSecond);
  EXPECT_EQ(figures(1).ready + figures(1).delayed, 1500U);
  std::size_t taken = 0;
  for (int i = 0; i < 3; i++) taken += claim(1, 1000).size();
  EXPECT_EQ(taken, 1500U);
}

}  // namespace
}  // namespace dw::test
