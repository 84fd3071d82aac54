/* complete, fail, release: what the token decides, and what commit and abort leave behind. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

class Decide : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
    put(row_of(1, 1));
    job_ = claim_one(1);
  }
  Verdict begin(Token token) { return d().begin_decision(database_, 1, token, &decided_); }
  void commit(Decision decision, Micros due = kAlways,
              OutcomeKind outcome = OutcomeKind::completed) {
    d().commit_decision(decided_.ref, decided_.token, decision, outcome, due);
  }
  void abort() { d().abort_decision(decided_.ref, decided_.token, decided_.before); }

  Index queue_ = kNone;
  ClaimedJob job_{};
  Decided decided_{};
};

TEST_F(Decide, ACommittedCompletionFreesTheEntry) {
  ASSERT_EQ(begin(job_.token), Verdict::ok);
  EXPECT_EQ(state_of(1), EntryState::completing);
  commit(Decision::finish);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
  EXPECT_EQ(figures(1).counters.completed, 1U);
}

TEST_F(Decide, AnAbortedCompletionGivesTheLeaseBackAsItWas) {
  const Micros deadline = entry(job_.ref).at;
  begin(job_.token);
  platform().advance(kSecond);
  abort();
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(entry(job_.ref).at, deadline);
  EXPECT_EQ(begin(job_.token), Verdict::ok);
}

TEST_F(Decide, WithAnotherTokenIsStale) {
  EXPECT_EQ(begin(job_.token + 1), Verdict::stale);
  EXPECT_EQ(begin(job_.token - 1), Verdict::stale);
  EXPECT_EQ(begin(0), Verdict::stale);
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Decide, WithTheTokenOfAnEarlierClaimIsStale) {
  begin(job_.token);
  commit(Decision::retry);
  const ClaimedJob again = claim_one(1);
  EXPECT_EQ(begin(job_.token), Verdict::stale);
  EXPECT_EQ(begin(again.token), Verdict::ok);
  abort();
}

TEST_F(Decide, WithTheLastTokenOfAJobThatWaitsAgainIsStale) {
  begin(job_.token);
  commit(Decision::retry);
  EXPECT_EQ(begin(job_.token), Verdict::stale);
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Decide, ASecondTimeWhileTheFirstIsOpenIsInDoubt) {
  Decided other{};
  begin(job_.token);
  EXPECT_EQ(d().begin_decision(database_, 1, job_.token, &other), Verdict::in_doubt);
  EXPECT_EQ(d().begin_decision(database_, 1, job_.token + 1, &other), Verdict::stale);
  abort();
}

TEST_F(Decide, OfAQueueThatIsNotPermittedIsLeftAlone) {
  add_queue(2);
  for (const Token token : {job_.token, job_.token + 1, Token{0}}) {
    decided_ = Decided{};
    EXPECT_EQ(d().begin_decision(database_, 1, token, &decided_, 2), Verdict::other_queue);
    EXPECT_EQ(decided_.queue_id, 1);
    EXPECT_EQ(d().begin_decision(database_, 1, token, &decided_, -1), Verdict::other_queue);
  }
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(d().begin_decision(database_, 1, job_.token + 1, &decided_, 1), Verdict::stale);
  EXPECT_EQ(d().begin_decision(database_, 1, job_.token, &decided_, 1), Verdict::ok);
  abort();
}

TEST_F(Decide, TheQueueOfAJobIsToldAsLongAsItIsResident) {
  EXPECT_EQ(d().queue_of(database_, 1, job_.token), 1);
  EXPECT_EQ(d().queue_of(database_, 1, 0), 1);
  EXPECT_EQ(d().queue_of(job_.ref), 1);
  EXPECT_EQ(d().queue_of(database_, 99, 0), 0);
  begin(job_.token);
  commit(Decision::finish);
  EXPECT_EQ(d().queue_of(database_, 1, job_.token), 0);
  EXPECT_EQ(d().queue_of(job_.ref), 0);
}

TEST_F(Decide, OfAJobThatIsNotResidentAsksTheLog) {
  EXPECT_EQ(d().begin_decision(database_, 99, job_.token, &decided_), Verdict::not_resident);
}

TEST_F(Decide, OfAJobOfAnotherDatabaseAsksTheLog) {
  const Index other = d().attach_database(kOid + 1);
  EXPECT_EQ(d().begin_decision(other, 1, job_.token, &decided_), Verdict::not_resident);
}

TEST_F(Decide, TellsWhatTheOutcomeNeedsToKnow) {
  ASSERT_EQ(begin(job_.token), Verdict::ok);
  EXPECT_EQ(decided_.id, 1);
  EXPECT_EQ(decided_.queue_id, 1);
  EXPECT_EQ(decided_.before, EntryState::leased);
  EXPECT_EQ(decided_.attempts, 1);
  EXPECT_EQ(decided_.max_attempts, 20);
  EXPECT_EQ(decided_.block, 1U);
  EXPECT_STREQ(decided_.worker_name, "worker");
  abort();
}

TEST_F(Decide, AFailureMakesTheJobWaitUntilItsNextTime) {
  begin(job_.token);
  commit(Decision::retry, platform().wall + kSecond, OutcomeKind::attempt_failed);
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(kSecond);
  EXPECT_EQ(claim_one(1).attempt, 2);
  EXPECT_EQ(figures(1).counters.failed, 1U);
}

TEST_F(Decide, AReleaseRefundsTheAttempt) {
  begin(job_.token);
  commit(Decision::put_back, kAlways, OutcomeKind::rescheduled);
  const ClaimedJob again = claim_one(1);
  EXPECT_EQ(again.attempt, 1);
  EXPECT_GT(again.token, job_.token);
}

TEST_F(Decide, ADeadLetterIsGoneAndCounted) {
  begin(job_.token);
  commit(Decision::finish, 0, OutcomeKind::dead_lettered);
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_EQ(figures(1).counters.dead_lettered, 1U);
  EXPECT_EQ(figures(1).counters.completed, 0U);
}

TEST_F(Decide, ACommitThatComesTwiceDoesNothingTheSecondTime) {
  begin(job_.token);
  commit(Decision::retry);
  const ClaimedJob again = claim_one(1);
  commit(Decision::finish);
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(entry(again.ref).token, again.token);
}

TEST_F(Decide, AnEndThatComesTwiceLeavesTheDecisionUnderANewerTokenAlone) {
  begin(job_.token);
  commit(Decision::retry);
  const Decided old = decided_;
  const ClaimedJob again = claim_one(1);
  ASSERT_EQ(begin(again.token), Verdict::ok);
  d().commit_decision(old.ref, old.token, Decision::finish, OutcomeKind::completed, 0);
  d().abort_decision(old.ref, old.token, old.before);
  EXPECT_EQ(state_of(1), EntryState::completing);
  abort();
}

TEST_F(Decide, ADecisionIsNotTakenBackAfterItsCommit) {
  begin(job_.token);
  commit(Decision::retry);
  abort();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Decide, AJobBeingDecidedIsNotClaimed) {
  begin(job_.token);
  EXPECT_TRUE(claim(1).empty());
  abort();
}

TEST_F(Decide, AJobFinishedWhileAChunkRunsStaysAsATombstone) {
  slot(queue_).chunk_active = 1;
  begin(job_.token);
  commit(Decision::finish);
  EXPECT_EQ(figures(1).resident, 1U);
  EXPECT_EQ(entry(job_.ref).state, EntryState::tombstone);
  EXPECT_EQ(begin(job_.token), Verdict::not_resident);
}

TEST_F(Decide, AJobThatRetriesWhileAChunkRunsIsNoTombstone) {
  slot(queue_).chunk_active = 1;
  begin(job_.token);
  commit(Decision::retry);
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Decide, AnAbortAfterTheDeadlineWakesTheHousekeeper) {
  begin(job_.token);
  platform().advance(3600 * kSecond);
  platform().woken_housekeepers.clear();
  abort();
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Decide, FindsTheQueueThatGaveTheTokenWhenAnIdIsInSeveral) {
  for (QueueId queue = 2; queue <= 4; queue++) {
    add_queue(queue);
    put(row_of(queue, 1));
  }
  const ClaimedJob third = claim_one(3);
  EXPECT_EQ(begin(third.token), Verdict::ok);
  EXPECT_EQ(decided_.queue_id, 3);
  abort();
  EXPECT_EQ(begin(job_.token), Verdict::ok);
  EXPECT_EQ(decided_.queue_id, 1);
  abort();
}

}  // namespace
}  // namespace dw::test
