/* Cancel: in every state of a resident job, under its holder, and through a placeholder. */
#include "arena_fixture.hpp"

#include "core/token.hpp"

namespace dw::test {
namespace {

class Cancel : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
  }
  Verdict begin(JobId id, QueueId queue = 0) {
    return d().begin_cancel(database_, id, queue, &decided_);
  }
  void commit(Decision decision) {
    d().commit_decision(decided_.ref, decided_.token, decision, OutcomeKind::cancelled, 0);
  }
  void abort() { d().abort_decision(decided_.ref, decided_.token, decided_.before); }
  void cancel_held(JobId id) {
    ASSERT_EQ(begin(id), Verdict::ok);
    commit(Decision::cancel_held);
  }

  Index queue_ = kNone;
  Decided decided_{};
};

TEST_F(Cancel, OfAReadyJobTakesItAway) {
  put(row_of(1, 1));
  ASSERT_EQ(begin(1), Verdict::ok);
  EXPECT_TRUE(claim(1).empty());
  commit(Decision::finish);
  EXPECT_EQ(figures(1).resident, 0U);
  EXPECT_EQ(figures(1).counters.cancelled, 1U);
}

TEST_F(Cancel, OfAReadyJobThatRollsBackPutsItBackInItsPlace) {
  put_many(1, 1, 3);
  ASSERT_EQ(begin(2), Verdict::ok);
  abort();
  EXPECT_EQ(claim_ids(1, 3), (std::vector<JobId>{1, 2, 3}));
}

TEST_F(Cancel, OfADelayedJobThatRollsBackLeavesItDelayed) {
  JobRow row = row_of(1, 1);
  row.due = platform().wall + kSecond;
  put(row);
  ASSERT_EQ(begin(1), Verdict::ok);
  abort();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(kSecond);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Cancel, OfADelayedJobThatRollsBackAfterItsTimeMakesItReady) {
  JobRow row = row_of(1, 1);
  row.due = platform().wall + kSecond;
  put(row);
  ASSERT_EQ(begin(1), Verdict::ok);
  platform().advance(kSecond);
  abort();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Cancel, OfAWaitingJobIsDecidedUnderANewToken) {
  put_many(1, 1, 2);
  const ClaimedJob first = claim_one(1);
  d().roll_back_claim(first.ref, first.token);
  const Token before = claim_one(1).token;
  platform().advance(3600 * kSecond);
  ASSERT_EQ(begin(1), Verdict::ok);
  EXPECT_GT(decided_.token, before);
  EXPECT_EQ(entry(decided_.ref).token, decided_.token);
  abort();
  EXPECT_EQ(entry(decided_.ref).token, decided_.token);
  EXPECT_GT(claim_one(1).token, decided_.token);
}

TEST_F(Cancel, OfAHeldJobIsDecidedUnderItsLeasesToken) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  ASSERT_EQ(begin(1), Verdict::ok);
  EXPECT_EQ(decided_.token, job.token);
  abort();
}

TEST_F(Cancel, OfAWaitingJobBeforeTheEpochIsRaisedIsRefused) {
  put(row_of(1, 1));
  d().arena().databases[database_].state = DatabaseState::attaching;
  EXPECT_EQ(begin(1), Verdict::not_open);
  EXPECT_EQ(state_of(1), EntryState::ready);
  EntryRef busy{};
  EXPECT_EQ(d().add_placeholder(database_, 1, 5, &busy), Verdict::not_open);
  EXPECT_EQ(figures(1).resident, 1U);
}

TEST_F(Cancel, OfAWaitingJobWhenTheTokensAreUsedUpIsRefused) {
  put(row_of(1, 1));
  d().arena().databases[database_].last_token.store(make_token(kEpoch, kCounterEnd - 2));
  EXPECT_EQ(begin(1), Verdict::not_open);
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Cancel, AChangeTakesAWaitingJobOnly) {
  put_many(1, 1, 3);
  const ClaimedJob held = claim_one(1);
  EXPECT_EQ(d().begin_change(database_, held.id, 0, &decided_), Verdict::leased);
  cancel_held(held.id);
  EXPECT_EQ(d().begin_change(database_, held.id, 0, &decided_), Verdict::cancelled);
  EXPECT_EQ(d().begin_change(database_, 9, 0, &decided_), Verdict::not_resident);
  ASSERT_EQ(d().begin_change(database_, 2, 0, &decided_), Verdict::ok);
  EXPECT_EQ(d().begin_change(database_, 2, 0, &decided_), Verdict::in_doubt);
}

TEST_F(Cancel, ARescheduledJobWaitsUntilItsNewTime) {
  put_many(1, 1, 2);
  ASSERT_EQ(d().begin_change(database_, 1, 0, &decided_), Verdict::ok);
  d().commit_decision(decided_.ref, decided_.token, Decision::reschedule, OutcomeKind::rescheduled,
                      platform().wall + kSecond);
  EXPECT_EQ(claim_ids(1, 5), (std::vector<JobId>{2}));
  platform().advance(kSecond - 1);
  EXPECT_TRUE(claim(1).empty());
  platform().advance(1);
  EXPECT_EQ(claim_one(1).attempt, 1);
}

TEST_F(Cancel, ARescheduledJobMayBeEvictedWithItsAttempts) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  ASSERT_EQ(d().begin_change(database_, 1, 0, &decided_), Verdict::ok);
  EXPECT_EQ(decided_.attempts, 1);
  d().commit_decision(decided_.ref, decided_.token, Decision::reschedule, OutcomeKind::rescheduled,
                      platform().wall);
  EXPECT_TRUE(entry(decided_.ref).is_recorded());
}

TEST_F(Cancel, OfAPendingJobIsInDoubt) {
  const EntryRef reference = link(row_of(1, 1));
  EXPECT_EQ(begin(1), Verdict::in_doubt);
  EXPECT_EQ(entry(reference).state, EntryState::pending);
}

TEST_F(Cancel, OfAJobBeingCompletedIsInDoubt) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  Decided completing{};
  d().begin_decision(database_, 1, job.token, &completing);
  EXPECT_EQ(begin(1), Verdict::in_doubt);
  d().abort_decision(completing.ref, completing.token, completing.before);
}

TEST_F(Cancel, OfAJobWithoutAnEntryAsksTheLog) { EXPECT_EQ(begin(1), Verdict::not_resident); }

TEST_F(Cancel, OfAJobInAnotherQueueAsksTheLog) {
  put(row_of(1, 1));
  EXPECT_EQ(begin(1, 2), Verdict::not_resident);
  EXPECT_EQ(begin(1, 1), Verdict::ok);
  abort();
}

TEST_F(Cancel, OfAHeldJobLeavesTheHolderAChanceToHear) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  cancel_held(1);
  EXPECT_EQ(state_of(1), EntryState::cancelled);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::cancelled);
  Verdict verdict = Verdict::ok;
  d().extend(database_, 1, job.token, 0, &verdict);
  EXPECT_EQ(verdict, Verdict::cancelled);
}

TEST_F(Cancel, OfAHeldJobShowsInTheHoldersHeartbeatAndIsNotExtended) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  cancel_held(1);
  const Micros deadline = entry(job.ref).at;
  platform().advance(kSecond);
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::leased;
  ASSERT_TRUE(d().heartbeat(job.ref, d().find_worker(database_, "worker", 0), 0, &row, &state));
  EXPECT_EQ(state, HeartbeatState::cancelled);
  EXPECT_EQ(entry(job.ref).at, deadline);
}

TEST_F(Cancel, OfAHeldJobIsNotListedAsALeaseAnyMore) {
  put(row_of(1, 1));
  claim_one(1);
  cancel_held(1);
  LeaseRow row{};
  EXPECT_EQ(d().see_leases(queue_, 1, &row, 1), 0U);
}

TEST_F(Cancel, OfAHeldJobIsRefusedToOthersTokens) {
  put(row_of(1, 1));
  ClaimedJob job = claim_one(1);
  cancel_held(1);
  job.token++;
  EXPECT_EQ(decide(job, Decision::finish), Verdict::stale);
}

TEST_F(Cancel, OfAHeldJobThatRollsBackGivesTheLeaseBack) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  ASSERT_EQ(begin(1), Verdict::ok);
  abort();
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
}

TEST_F(Cancel, ASecondTimeSaysThatItIsCancelled) {
  put(row_of(1, 1));
  claim_one(1);
  cancel_held(1);
  EXPECT_EQ(begin(1), Verdict::cancelled);
}

TEST_F(Cancel, OfAJobThatIsNeverHandedOutAgain) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  cancel_held(1);
  d().roll_back_claim(job.ref, job.token);
  d().refund_claim(job.ref, job.token);
  platform().advance(86400 * kSecond);
  EXPECT_TRUE(claim(1).empty());
}

TEST_F(Cancel, WhileTheHoldersTransactionRollsBackLeavesTheLeaseToTheSweep) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  ASSERT_EQ(begin(1), Verdict::ok);
  d().roll_back_claim(job.ref, job.token);
  abort();
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Cancel, OfAVoidLeaseIsInDoubtUntilTheSweepHasWritten) {
  QueueOptions options;
  options.max_attempts = 1;
  d().set_queue_options(database_, 1, options);
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  EXPECT_EQ(begin(1), Verdict::in_doubt);
}

TEST_F(Cancel, APlaceholderKeepsTheJobFromBeingLinked) {
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 5, &busy), Verdict::ok);
  EXPECT_EQ(state_of(5), EntryState::busy);
  EXPECT_EQ(link(row_of(1, 5)).entry, kNone);
  EXPECT_EQ(begin(5), Verdict::in_doubt);
  d().drop_placeholder(busy);
  EXPECT_EQ(state_of(5), EntryState::free);
}

TEST_F(Cancel, APlaceholderOfAResidentJobIsRefused) {
  put(row_of(1, 5));
  EntryRef busy{};
  EXPECT_EQ(d().add_placeholder(database_, 1, 5, &busy), Verdict::in_doubt);
}

TEST_F(Cancel, APlaceholderOfAJobThatIsATombstoneIsRefused) {
  put(row_of(1, 5));
  slot(queue_).chunk_active = 1;
  decide(claim_one(1), Decision::finish);
  EntryRef busy{};
  EXPECT_EQ(d().add_placeholder(database_, 1, 5, &busy), Verdict::in_doubt);
}

TEST_F(Cancel, APlaceholderOfAnUnknownQueueIsRefused) {
  EntryRef busy{};
  EXPECT_EQ(d().add_placeholder(database_, 9, 5, &busy), Verdict::no_room);
}

TEST_F(Cancel, AFilledPlaceholderThatCommitsIsGone) {
  EntryRef busy{};
  d().add_placeholder(database_, 1, 5, &busy);
  ASSERT_TRUE(d().fill_placeholder(busy, row_of(1, 5), true, &decided_));
  commit(Decision::finish);
  EXPECT_EQ(figures(1).resident, 0U);
}

TEST_F(Cancel, AFilledPlaceholderThatRollsBackWaits) {
  EntryRef busy{};
  d().add_placeholder(database_, 1, 5, &busy);
  JobRow row = row_of(1, 5);
  row.attempts = 3;
  ASSERT_TRUE(d().fill_placeholder(busy, row, true, &decided_));
  abort();
  EXPECT_EQ(claim_one(1).attempt, 4);
}

TEST_F(Cancel, AFilledPlaceholderIsDecidedUnderATokenFromAfterTheLogWasRead) {
  EntryRef busy{};
  d().add_placeholder(database_, 1, 5, &busy);
  const Token redriven = d().take_tokens(database_, 1);
  ASSERT_TRUE(d().fill_placeholder(busy, row_of(1, 5), true, &decided_));
  EXPECT_GT(decided_.token, redriven);
  EXPECT_EQ(entry(busy).token, decided_.token);
  commit(Decision::finish);
}

TEST_F(Cancel, APlaceholderFindsRoomByEvictingTheLastJob) {
  put_many(1, 1, 64);
  slot(queue_).dirty.clear();
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 500, &busy), Verdict::ok);
  EXPECT_EQ(state_of(64), EntryState::free);
  EXPECT_EQ(slot(queue_).mode, LoadMode::loading);
  ASSERT_EQ(slot(queue_).dirty.size(), 1U);
  EXPECT_EQ(slot(queue_).dirty.at(0).first, 64U);
  d().drop_placeholder(busy);
}

TEST_F(Cancel, APlaceholderEvictsNoJobThatSomebodyHolds) {
  put_many(1, 1, 64);
  ASSERT_EQ(claim(1, 64).size(), 64U);
  EntryRef busy{};
  EXPECT_EQ(d().add_placeholder(database_, 1, 500, &busy), Verdict::no_room);
}

TEST_F(Cancel, APlaceholderEvictsNoJobWhoseAttemptsAreKnownInMemoryOnly) {
  put_many(1, 1, 64);
  for (const ClaimedJob& job : claim(1, 64)) d().roll_back_claim(job.ref, job.token);
  EntryRef busy{};
  EXPECT_EQ(d().add_placeholder(database_, 1, 500, &busy), Verdict::no_room);
}

}  // namespace
}  // namespace dw::test
