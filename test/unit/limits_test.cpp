/* Limits of one queue: what takes a place and a token, and on which ways they come back. */
#include "limits_fixture.hpp"

#include <memory>

namespace dw::test {
namespace {

TEST_F(LimitsTest, AClaimTakesNoMoreThanThereArePlaces) {
  limit(1, places(3));
  EXPECT_EQ(take(1, 10), 3U);
  EXPECT_EQ(take(1, 10), 0U);
  EXPECT_EQ(take(2, 10), 10U) << "another queue is not limited";
}

TEST_F(LimitsTest, PlacesAreTakenByWhatWasOutBeforeTheLimit) {
  EXPECT_EQ(take(1, 5), 5U);
  limit(1, places(4));
  EXPECT_EQ(take(1), 0U);
  EXPECT_EQ(limits_of(1).in_flight, 5U);
}

TEST_F(LimitsTest, NoneAtAllIsALimitToo) {
  limit(1, places(0));
  EXPECT_EQ(take(1), 0U);
  limit(1, QueueLimits{});
  EXPECT_EQ(take(1), 1U);
}

TEST_F(LimitsTest, EachEndOfALeaseGivesThePlaceBack) {
  limit(1, places(1));
  const Decision ends[] = {Decision::finish, Decision::retry, Decision::put_back};
  for (const Decision end : ends) {
    const ClaimedJob job = claim_one(1);
    EXPECT_EQ(take(1), 0U);
    EXPECT_EQ(decide(job, end), Verdict::ok);
    EXPECT_EQ(limits_of(1).in_flight, 0U);
  }
}

TEST_F(LimitsTest, ACompletionHoldsItsPlaceUntilItIsCommitted) {
  limit(1, places(1));
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::ok);
  EXPECT_EQ(take(1), 0U);
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(take(1), 0U) << "the lease is the worker's again";
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
  EXPECT_EQ(take(1), 1U);
}

TEST_F(LimitsTest, ARolledBackClaimAndAFailedStatementGiveThePlaceBack) {
  limit(1, places(1));
  ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  job = claim_one(1);
  d().refund_claim(job.ref, job.token);
  job = claim_one(1);
  d().quarantine(job.ref, job.token);
  job = claim_one(1);
  d().expire_claim(job.ref, job.token);
  EXPECT_EQ(limits_of(1).in_flight, 0U);
}

TEST_F(LimitsTest, JobsThatExpiredInTheQueueTakeNoPlace) {
  add_queue(4);
  JobRow row = row_of(4, 1);
  row.expires_at = expiry_seconds(platform().wall + kSecond);
  put(row);
  put(row_of(4, 2));
  limit(4, shared_places("g", 2, tokens(10, 10)));
  platform().advance(2 * kSecond);
  EXPECT_EQ(claim_ids(4, 5), std::vector<JobId>{2});
  EXPECT_EQ(limits_of(4).in_flight, 1U);
  EXPECT_EQ(limits_of(4).own[1].available, 9U) << "the one that expired took no token either";
  EXPECT_EQ(take(4), 0U);
}

TEST_F(LimitsTest, ACancelledJobHoldsItsPlaceUntilItsHolderIsTold) {
  limit(1, places(1));
  for (int how = 0; how < 3; how++) {
    const ClaimedJob job = claim_one(1);
    Decided decided{};
    ASSERT_EQ(d().begin_cancel(database_, job.id, 0, &decided), Verdict::ok);
    d().commit_decision(decided.ref, decided.token, Decision::cancel_held, OutcomeKind::cancelled,
                        0);
    EXPECT_EQ(take(1), 0U);
    Verdict verdict = Verdict::ok;
    LeaseRow row{};
    HeartbeatState state{};
    switch (how) {
      case 0:
        EXPECT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::cancelled);
        break;
      case 1:
        d().extend(database_, job.id, job.token, kSecond, &verdict);
        EXPECT_EQ(verdict, Verdict::cancelled);
        break;
      default:
        ASSERT_TRUE(d().heartbeat(job.ref, worker().worker, kSecond, &row, &state));
        EXPECT_EQ(state, HeartbeatState::cancelled);
        /* Told again, it gives nothing back again. */
        ASSERT_TRUE(d().heartbeat(job.ref, worker().worker, kSecond, &row, &state));
    }
    EXPECT_EQ(limits_of(1).in_flight, 0U);
  }
}

TEST_F(LimitsTest, NobodyElseIsToldOfACancel) {
  limit(1, places(1));
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, job.id, 0, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::cancel_held, OutcomeKind::cancelled, 0);
  EXPECT_EQ(d().begin_decision(database_, job.id, job.token - 1, &decided), Verdict::stale);
  EXPECT_EQ(d().begin_cancel(database_, job.id, 0, &decided), Verdict::cancelled);
  EXPECT_EQ(limits_of(1).in_flight, 1U);
}

TEST_F(LimitsTest, ADropGivesEverythingBack) {
  limit(1, shared_places("g", 3));
  limit(2, shared_places("g", 3));
  EXPECT_EQ(take(1, 5), 3U);
  EXPECT_EQ(take(2), 0U);
  d().remove_queue(ref_of(1));
  EXPECT_EQ(group_places(2).in_flight, 0U);
  EXPECT_EQ(take(2, 5), 3U);
}

TEST_F(LimitsTest, AnUnlimitedQueueCountsToo) {
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(limits_of(1).in_flight, 1U);
  decide(job, Decision::finish);
  EXPECT_EQ(limits_of(1).in_flight, 0U);
}

/* --- tokens ----------------------------------------------------------------------------------- */

TEST_F(LimitsTest, ABucketBeginsEmptyAndFillsUpToItsBurst) {
  limit(1, tokens(10, 4));
  EXPECT_EQ(take(1, 10), 0U);
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(take(1, 10), 1U);
  platform().advance(kMinute);
  EXPECT_EQ(take(1, 10), 4U);
  EXPECT_EQ(take(1, 10), 0U);
}

TEST_F(LimitsTest, EachStartOfAJobTakesAToken) {
  limit(1, tokens(10, 2));
  platform().advance(kSecond);
  const ClaimedJob job = claim_one(1);
  decide(job, Decision::put_back, platform().wall);
  EXPECT_EQ(claim_one(1).id, job.id);
  EXPECT_EQ(take(1), 0U);
}

TEST_F(LimitsTest, AClaimThatComesToNothingHasUsedItsToken) {
  limit(1, tokens(10, 1));
  platform().advance(kSecond);
  const ClaimedJob job = claim_one(1);
  d().refund_claim(job.ref, job.token);
  EXPECT_EQ(take(1), 0U);
}

TEST_F(LimitsTest, TheSameRateAgainLeavesTheBucketAsItIs) {
  limit(1, tokens(10, 4));
  platform().advance(kSecond);
  limit(1, tokens(10, 4));
  EXPECT_EQ(limits_of(1).own[1].available, 4U);
  QueueOptions options;
  options.lease = 5 * kSecond;
  d().set_queue_options(database_, 1, options);
  EXPECT_EQ(limits_of(1).own[1].available, 4U);
  limit(1, tokens(11, 4));
  EXPECT_EQ(limits_of(1).own[1].available, 0U);
}

TEST_F(LimitsTest, PlacesAndTokensHoldTogether) {
  QueueLimits both = tokens(10, 10);
  both.max_in_flight = 2;
  limit(1, both);
  platform().advance(kSecond);
  EXPECT_EQ(take(1, 10), 2U);
  EXPECT_EQ(limits_of(1).own[1].available, 8U) << "no token was taken for what had no place";
}

TEST_F(LimitsTest, ASlotThatIsUsedAgainHasNoLimit) {
  limit(1, shared_tokens("g", 1, 1, places(0)));
  d().remove_queue(ref_of(1));
  add_queue(9);
  put(row_of(9, 1));
  EXPECT_EQ(take(9), 1U);
}

/* --- sleeping --------------------------------------------------------------------------------- */

TEST_F(LimitsTest, AWaiterSleepsBesideWorkThatHasNoPlaceAndTheEndOfALeaseWakesIt) {
  limit(1, places(1));
  const ClaimedJob job = claim_one(1);
  EXPECT_TRUE(wait(0, 1));
  EXPECT_TRUE(wait(1, 1));
  put(row_of(1, 5000));
  EXPECT_EQ(platform().take_woken(), Woken{}) << "a new job has no place either";
  decide(job, Decision::finish);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_woken(0, 1), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{}) << "and nothing is left for the next";
}

TEST_F(LimitsTest, AJobThatIsGivenBackWakesOneWaiterForItsPlace) {
  limit(1, places(1));
  const ClaimedJob job = claim_one(1);
  wait(0, 1);
  wait(1, 1);
  decide(job, Decision::put_back, platform().wall);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(LimitsTest, ARaisedLimitWakesAsManyAsThereArePlaces) {
  limit(1, places(0));
  for (Index waiter = 0; waiter < 4; waiter++) wait(waiter, 1);
  limit(1, places(2));
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
}

TEST_F(LimitsTest, NobodyIsWokenForAPlaceThatSomebodyIsAwakeFor) {
  limit(1, places(3));
  const std::vector<ClaimedJob> held = claim(1, 3);
  for (Index waiter = 0; waiter < 3; waiter++) wait(waiter, 1);
  decide(held[0], Decision::finish);
  decide(held[1], Decision::finish);
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
  EXPECT_EQ(claim_woken(0, 1), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{}) << "the other one comes for what is left";
  decide(held[2], Decision::finish);
  EXPECT_EQ(platform().take_woken(), Woken{2});
}

TEST_F(LimitsTest, AWaiterForTokensIsWokenByTheTimer) {
  limit(1, tokens(10, 4));
  EXPECT_TRUE(wait(0, 1));
  EXPECT_TRUE(platform().housekeeper_was_woken());
  FakeLog log(4);
  FakeStore store(&log, 0, &d(), database_);
  const Sweeper sweeper(&d(), database_, &store);
  EXPECT_EQ(sweeper.next_due(), platform().wall + 100 * kMillisecond);
  d().wake_idle(database_);
  EXPECT_EQ(platform().take_woken(), Woken{}) << "too early";
  platform().advance(100 * kMillisecond);
  d().wake_idle(database_);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(LimitsTest, WithoutPlacesItIsOnlyLookedNowAndThen) {
  limit(1, places(0));
  wait(0, 1);
  FakeLog log(4);
  FakeStore store(&log, 0, &d(), database_);
  const Sweeper sweeper(&d(), database_, &store);
  EXPECT_EQ(sweeper.next_due(), platform().wall + kIdleRound);
  d().wake_idle(database_);
  EXPECT_EQ(platform().take_woken(), Woken{});
}

TEST_F(LimitsTest, TheTimerIsSetByTheClaimThatTakesTheLastToken) {
  limit(1, tokens(10, 1));
  platform().advance(kSecond);
  EXPECT_FALSE(wait(0, 1)) << "there is a token";
  EXPECT_EQ(take(1), 1U);
  EXPECT_TRUE(wait(0, 1));
  EXPECT_TRUE(wait(1, 1));
  platform().advance(100 * kMillisecond);
  d().wake_idle(database_);
  ASSERT_EQ(platform().take_woken(), Woken{0});
  platform().woken_housekeepers.clear();
  EXPECT_EQ(claim_woken(0, 1), 1U);
  EXPECT_TRUE(platform().housekeeper_was_woken()) << "for the one that sleeps on";
}

TEST_F(LimitsTest, WhoComesForAPlaceThatIsGoneSleepsOn) {
  limit(1, places(1));
  const ClaimedJob job = claim_one(1);
  wait(0, 1);
  decide(job, Decision::finish);
  EXPECT_EQ(take(1), 1U) << "somebody else was faster";
  EXPECT_EQ(claim_woken(0, 1), 0U);
  EXPECT_TRUE(wait(0, 1));
}

TEST_F(LimitsTest, AWaiterThatGoesAwayPassesThePlaceOn) {
  limit(1, places(1));
  const ClaimedJob job = claim_one(1);
  wait(0, 1);
  wait(1, 1);
  decide(job, Decision::finish);
  ASSERT_EQ(platform().take_woken(), Woken{0});
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

/* --- transactions ----------------------------------------------------------------------------- */

class ChangedLimits : public LimitsTest {
 protected:
  void SetUp() override {
    LimitsTest::SetUp();
    mine_ = std::make_unique<Transaction>(&d());
    mine_->set_database(database_, kOid);
  }
  void commit() {
    QueueId gone = 0;
    ASSERT_TRUE(mine_->pre_commit(&gone));
    mine_->commit(1);
  }
  std::unique_ptr<Transaction> mine_;
};

TEST_F(ChangedLimits, AreInForceFromTheCommitOn) {
  mine_->note_limits(1, 1, places(1));
  mine_->note_limits(1, 2, places(2));
  mine_->note_limits(1, 1, places(3));
  EXPECT_EQ(take(1, 5), 5U);
  commit();
  EXPECT_EQ(limits_of(1).own[0].max_in_flight, 3U);
  EXPECT_EQ(take(1), 0U);
  EXPECT_EQ(take(2, 5), 2U);
  EXPECT_TRUE(d().take_catalog_stale(database_));
}

TEST_F(ChangedLimits, AreForgottenWithTheirSavepoint) {
  mine_->note_limits(1, 1, places(1));
  mine_->note_limits(2, 1, places(0));
  mine_->sub_abort(2);
  commit();
  EXPECT_EQ(take(1, 5), 1U);
}

TEST_F(ChangedLimits, AreForgottenWithAnAbort) {
  mine_->note_limits(1, 1, places(0));
  mine_->abort();
  EXPECT_EQ(take(1), 1U);
}

TEST_F(ChangedLimits, AreSetOnAQueueThatTheSameTransactionMakes) {
  const Index made =
      d().add_queue(database_, 7, "new", QueueOptions{}, QueueState::creating, LoadMode::live);
  mine_->reserve(1);
  mine_->note_queue(1, ActionKind::queue_created, ref(made), 7);
  mine_->note_limits(1, 7, places(1));
  commit();
  put_many(7, 1, 3);
  EXPECT_EQ(take(7, 3), 1U);
}

TEST_F(ChangedLimits, CannotBePrepared) {
  mine_->note_limits(1, 1, places(0));
  QueueId gone = 0;
  EXPECT_EQ(mine_->prepare(77, &gone), Preparation::has_queues);
  mine_->abort();
}

/* --- with a sweep ----------------------------------------------------------------------------- */

class SweptLimits : public LogTest {
 protected:
  void SetUp() override {
    QueueOptions options;
    options.lease = 10 * kSecond;
    options.max_attempts = 2;
    begin(256, LoadMode::live, options);
    d().set_queue_limits(database_, 1, places(1));
    for (JobId id = 1; id <= 3; id++) enqueue(id);
  }
};

TEST_F(SweptLimits, ALeaseThatRanOutHoldsItsPlaceUntilTheSweepHasWrittenItsEnd) {
  claim_one(1);
  platform().advance(10 * kSecond);
  EXPECT_TRUE(claim(1).empty());
  std::size_t meanwhile = 0;
  store().on_call = [&](FakeStore::Call call) {
    if (call != FakeStore::Call::committed) meanwhile += claim(1).size();
  };
  sweep();
  EXPECT_EQ(meanwhile, 0U);
  store().on_call = nullptr;
  EXPECT_EQ(claim(1).size(), 1U);
}

TEST_F(SweptLimits, ACancelledLeaseEndsAtItsDeadlineForThoseWhoNeverAsk) {
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, job.id, 0, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::cancel_held, OutcomeKind::cancelled, 0);
  EXPECT_TRUE(claim(1).empty());
  platform().advance(10 * kSecond);
  sweep();
  EXPECT_EQ(claim(1).size(), 1U);
}

TEST_F(SweptLimits, TheEndOfALeaseThatRanOutWakesAWaiter) {
  claim_one(1);
  const QueueRef queue = ref_of(1);
  ASSERT_TRUE(d().wait_begin(0, &queue, 1));
  platform().advance(10 * kSecond);
  sweep();
  EXPECT_EQ(platform().take_woken(), std::vector<Index>{0});
  d().wait_end(0);
  d().pass_wake_on(0);
}

}  // namespace
}  // namespace dw::test
