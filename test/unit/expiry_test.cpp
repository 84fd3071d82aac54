/* Jobs whose expires_at passes: they are not handed out, and become dead letters without a claim.
 */
#include "log_fixture.hpp"

#include "core/expiry_walk.hpp"
#include "core/token.hpp"

namespace dw::test {
namespace {

using Call = FakeStore::Call;

constexpr Micros kLifetime = 30 * kSecond;

class Expires : public LogTest {
 protected:
  void SetUp() override { start_with(256); }
  void start_with(std::uint32_t entries) {
    QueueOptions options;
    options.lease = 10 * kSecond;
    options.max_attempts = 3;
    options.backoff = Backoff::fixed;
    options.backoff_base = kSecond;
    options.jitter = 0;
    begin(entries, LoadMode::live, options);
    walk_ = std::make_unique<ExpiryWalk>(&d(), database_);
    store().on_expiry = [this](const Expiry& expiry) { expiries_.push_back(expiry); };
  }
  [[nodiscard]] std::uint32_t later() { return expiry_seconds(platform().wall + kLifetime); }
  JobRow write(JobId id, Micros due = kAlways) {
    JobRow row = row_of(1, id);
    row.due = due;
    row.expires_at = later();
    const Xid xid = log().begin();
    log().insert_job(xid, kClient, 1, &row);
    log().commit(xid);
    return row;
  }
  void enqueue_expiring(JobId id, Micros due = kAlways) { put(write(id, due)); }
  void let_expire() { platform().advance(kLifetime + kSecond); }
  /* Everything the housekeeper does about it. */
  void tidy() {
    walk_->step();
    sweep();
  }
  void expect_dead(JobId id, std::int32_t attempts) {
    EXPECT_EQ(state_of(id), EntryState::free);
    EXPECT_TRUE(logged(id).finished);
    ASSERT_FALSE(expiries_.empty());
    EXPECT_EQ(expiries_.back().id, id);
    EXPECT_EQ(expiries_.back().reason, Lapse::expired);
    EXPECT_EQ(expiries_.back().outcome, OutcomeKind::dead_lettered);
    EXPECT_EQ(expiries_.back().attempt, attempts);
    EXPECT_EQ(expiries_.back().worker[0], '\0');
  }
  Micros next_expiry() { return d().arena().databases[database_].next_expiry.load(); }

  std::unique_ptr<ExpiryWalk> walk_;
  std::vector<Expiry> expiries_;
};

TEST(ExpirySeconds, AreRoundedUpAndReachTo2136) {
  EXPECT_EQ(expiry_seconds(5 * kSecond), 5U);
  EXPECT_EQ(expiry_seconds(5 * kSecond + 1), 6U);
  EXPECT_EQ(expiry_seconds(kNever), 0U);
  EXPECT_EQ(expiry_seconds(kAlways), 1U);
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  EXPECT_EQ(expiry_seconds(kMost * kSecond), kMost);
  EXPECT_EQ(expiry_seconds(kMost * kSecond + 1), 0U);
  EXPECT_FALSE(has_expired(0, kNever));
  EXPECT_FALSE(has_expired(5, 5 * kSecond - 1));
  EXPECT_TRUE(has_expired(5, 5 * kSecond));
}

TEST_F(Expires, AJobIsHandedOutUntilItsTimeAndNotAfter) {
  enqueue_expiring(1);
  enqueue_expiring(2);
  platform().wall = expiry_time(later()) - 1;
  EXPECT_EQ(claim_one(1).id, 1);
  platform().wall++;
  EXPECT_TRUE(claim(1, 5).empty());
  EXPECT_EQ(state_of(2), EntryState::overdue);
  sweep();
  expect_dead(2, 0);
}

TEST_F(Expires, AClaimTakesWhatStandsBehindExpiredJobs) {
  for (JobId id = 1; id <= 5; id++) enqueue_expiring(id);
  put_many(1, 6, 7);
  let_expire();
  EXPECT_EQ(claim_ids(1, 2), (std::vector<JobId>{6, 7}));
  EXPECT_EQ(figures(1).ready, 0U);
}

TEST_F(Expires, NobodyNeedsToClaim) {
  enqueue_expiring(1);
  enqueue_expiring(2, platform().wall + kLifetime / 2);
  let_expire();
  tidy();
  EXPECT_EQ(expiries_.size(), 2U);
  EXPECT_TRUE(logged(1).finished);
  EXPECT_TRUE(logged(2).finished);
  EXPECT_EQ(figures(1).counters.dead_lettered, 2U);
  EXPECT_EQ(figures(1).counters.expired, 0U) << "no lease ran out";
}

TEST_F(Expires, ADeadLetterHasATokenOfItsOwn) {
  enqueue_expiring(1);
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  let_expire();
  tidy();
  expect_dead(1, 1);
  EXPECT_GT(expiries_.back().token, job.token);
}

TEST_F(Expires, ALeasedJobMayStillBeCompleted) {
  enqueue_expiring(1);
  const ClaimedJob job = claim(1, 1, kMinute * 10).at(0);
  let_expire();
  tidy();
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_TRUE(expiries_.empty());
}

TEST_F(Expires, AFailedJobDiesInPlaceOfARetry) {
  enqueue_expiring(1);
  const ClaimedJob job = claim(1, 1, kMinute * 10).at(0);
  let_expire();
  tidy();
  EXPECT_EQ(decide(job, Decision::retry, platform().wall), Verdict::ok);
  EXPECT_EQ(state_of(1), EntryState::overdue);
  tidy();
  expect_dead(1, 1);
}

TEST_F(Expires, AReleasedJobDiesWithItsAttemptRefunded) {
  enqueue_expiring(1);
  const ClaimedJob job = claim(1, 1, kMinute * 10).at(0);
  let_expire();
  EXPECT_EQ(decide(job, Decision::put_back, platform().wall), Verdict::ok);
  tidy();
  expect_dead(1, 0);
}

TEST_F(Expires, ALeaseThatRunsOutIsRecordedBeforeTheJobDies) {
  enqueue_expiring(1);
  claim(1, 1, kMinute);
  platform().advance(kMinute);
  tidy();
  EXPECT_EQ(state_of(1), EntryState::overdue);
  tidy();
  ASSERT_EQ(expiries_.size(), 2U);
  EXPECT_EQ(expiries_[0].reason, Lapse::lease_expired);
  EXPECT_EQ(expiries_[0].outcome, OutcomeKind::attempt_failed);
  expect_dead(1, 1);
}

TEST_F(Expires, ARetryThatWouldComeTooLateDiesAtItsTime) {
  enqueue_expiring(1);
  const ClaimedJob job = claim_one(1);
  decide(job, Decision::retry, platform().wall + kMinute * 10);
  tidy();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  let_expire();
  tidy();
  expect_dead(1, 1);
}

TEST_F(Expires, ACommitThatComesTooLateGoesTheSameWay) {
  const JobRow row = write(1);
  const EntryRef reference = link(row);
  let_expire();
  walk_->step();
  EXPECT_EQ(state_of(1), EntryState::pending);
  publish(row, reference);
  tidy();
  expect_dead(1, 0);
}

TEST_F(Expires, ATransactionThatGaveUpItsDecisionGivesItToTheSweep) {
  enqueue_expiring(1);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 1, 0, &decided), Verdict::ok);
  let_expire();
  tidy();
  EXPECT_EQ(state_of(1), EntryState::completing);
  d().abort_decision(decided.ref, decided.token, decided.before);
  tidy();
  expect_dead(1, 0);
}

TEST_F(Expires, AnOverdueJobIsInDoubtForACanceller) {
  enqueue_expiring(1);
  let_expire();
  walk_->step();
  Decided decided{};
  EXPECT_EQ(d().begin_cancel(database_, 1, 0, &decided), Verdict::in_doubt);
  ResidentRow row{};
  ASSERT_TRUE(d().see_job(database_, 1, 1, &row));
  EXPECT_EQ(row.lapsed, Lapse::expired);
  EXPECT_EQ(d().see_leases(d().find_queue(database_, 1), 1, nullptr, 0), 0U);
}

TEST_F(Expires, AClaimedRowThatIsPastItsTimeWasNotHandedOut) {
  enqueue_expiring(1);
  const ClaimedJob job = claim_one(1);
  d().expire_claim(job.ref, job.token);
  EXPECT_EQ(figures(1).counters.claimed, 0U);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::stale);
  tidy();
  expect_dead(1, 0);
}

TEST_F(Expires, TheLoaderTakesItForWhatItIs) {
  begin(256, LoadMode::loading);
  write(1);
  write(2, platform().wall + kLifetime / 2);
  store().on_expiry = [this](const Expiry& expiry) { expiries_.push_back(expiry); };
  let_expire();
  load();
  EXPECT_EQ(state_of(1), EntryState::overdue);
  EXPECT_EQ(state_of(2), EntryState::overdue);
  sweep();
  EXPECT_EQ(expiries_.size(), 2U);
}

TEST_F(Expires, WhatSleepsOnDiskIsLookedAtAgainInTime) {
  begin(256, LoadMode::loading);
  const JobRow row = write(1);
  log_outcome(OutcomeKind::attempt_failed, row, 1, 1, platform().wall + 60 * kMinute);
  load();
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_EQ(loader().next_wake(), expiry_time(row.expires_at));
  let_expire();
  load();
  EXPECT_EQ(state_of(1), EntryState::overdue);
}

TEST_F(Expires, AFailedSweepLeavesItOverdue) {
  enqueue_expiring(1);
  let_expire();
  walk_->step();
  store().on_call = [](Call call) {
    if (call == Call::written) throw StoreError();
  };
  EXPECT_THROW(sweep(), StoreError);
  store().abort();
  EXPECT_EQ(state_of(1), EntryState::overdue);
  store().on_call = nullptr;
  platform().advance(kMinute);
  sweep();
  expect_dead(1, 0);
}

TEST_F(Expires, ANewHousekeeperFindsWhatTheOldOneWasWriting) {
  enqueue_expiring(1);
  let_expire();
  walk_->step();
  store().on_call = [this](Call call) {
    if (call == Call::before_commit) {
      EXPECT_EQ(state_of(1), EntryState::expiring);
      loader().reset();
      EXPECT_EQ(state_of(1), EntryState::overdue);
    }
  };
  sweeper().step();
}

TEST_F(Expires, WithoutATokenItWaits) {
  enqueue_expiring(1);
  let_expire();
  walk_->step();
  d().arena().databases[database_].last_token.store(make_token(kEpoch, kCounterEnd));
  EXPECT_FALSE(sweeper().step());
  EXPECT_EQ(state_of(1), EntryState::overdue);
  d().open_database(database_, kEpoch + 1);
  sweep();
  expect_dead(1, 0);
}

/* --- the walk ----------------------------------------------------------------------------------
 */

TEST_F(Expires, TheHousekeeperSleepsUntilTheFirstOne) {
  EXPECT_EQ(walk_->pause(), kNever);
  put_many(1, 1, 3);
  EXPECT_EQ(walk_->pause(), kNever);
  const Micros at = expiry_time(later());
  enqueue_expiring(4);
  EXPECT_EQ(next_expiry(), at);
  EXPECT_EQ(walk_->pause(), at - platform().wall);
}

TEST_F(Expires, AnEarlierOneWakesTheHousekeeperAndALaterOneDoesNot) {
  Database& database = d().arena().databases[database_];
  database.planned_due.store(platform().wall + kMinute);
  enqueue_expiring(1);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  platform().advance(kSecond);
  enqueue_expiring(2);
  EXPECT_FALSE(platform().housekeeper_was_woken());
}

TEST_F(Expires, AWalkFindsTheNextTime) {
  enqueue_expiring(1);
  platform().advance(10 * kSecond);
  const Micros second = expiry_time(later());
  enqueue_expiring(2);
  platform().advance(kLifetime - 10 * kSecond + kSecond);
  tidy();
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_EQ(state_of(2), EntryState::ready);
  EXPECT_EQ(next_expiry(), second);
}

TEST_F(Expires, AJobThatIsLinkedBehindTheWalkLowersTheTimeAgain) {
  start_with(100'000);
  enqueue_expiring(1);
  let_expire();
  walk_->step();
  EXPECT_EQ(walk_->pause(), 0) << "one step does not see all entries";
  EXPECT_EQ(next_expiry(), kNever);
  const Micros at = expiry_time(later());
  enqueue_expiring(2);
  EXPECT_EQ(next_expiry(), at);
  for (int i = 0; i < 4; i++) walk_->step();
  EXPECT_EQ(next_expiry(), at);
}

TEST_F(Expires, AFreedEntryIsNothingToAWalk) {
  enqueue_expiring(1);
  ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
  let_expire();
  tidy();
  EXPECT_TRUE(expiries_.empty());
  EXPECT_EQ(next_expiry(), kNever);
}

TEST_F(Expires, AnotherDatabasesJobsAreLeftToItsOwnHousekeeper) {
  const Index other = d().attach_database(kOid + 1);
  d().open_database(other, kEpoch);
  d().add_queue(other, 9, "elsewhere", QueueOptions{}, QueueState::active, LoadMode::live);
  enqueue_expiring(1);
  let_expire();
  ExpiryWalk elsewhere(&d(), other);
  elsewhere.reset();
  elsewhere.step();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Expires, ANewHousekeeperWalksOnce) {
  enqueue_expiring(1);
  let_expire();
  d().arena().databases[database_].next_expiry.store(kNever); /* the old one had begun */
  ExpiryWalk successor(&d(), database_);
  EXPECT_EQ(successor.pause(), kNever);
  successor.reset();
  EXPECT_EQ(successor.pause(), 0);
  successor.step();
  EXPECT_EQ(state_of(1), EntryState::overdue);
}

TEST_F(Expires, AStepThatTookLongIsFollowedByALongerRest) {
  enqueue_expiring(1);
  let_expire();
  platform().on_locking = [this](std::uint32_t) { platform().advance(3 * kMillisecond); };
  walk_->step();
  platform().on_locking = nullptr;
  EXPECT_EQ(state_of(1), EntryState::overdue);
  platform().wall -= kMinute;
  enqueue_expiring(2);
  platform().wall += 10 * kMinute;
  EXPECT_EQ(walk_->pause(), 27 * kMillisecond);
  walk_->step();
  EXPECT_EQ(state_of(2), EntryState::ready);
  platform().advance(27 * kMillisecond);
  walk_->step();
  EXPECT_EQ(state_of(2), EntryState::overdue);
}

}  // namespace
}  // namespace dw::test
