/* A waiting job that gets another row: what the entry is after the commit and after a rollback,
 * which token counts, and deciding the same job again in one transaction. */
#include "client_fixture.hpp"

namespace dw::test {
namespace {

class Change : public ClientTest {
 protected:
  std::uint32_t claimed_version() { return row_at(claim_one(1)).key_hash; }
  /* An attempt of job 1 that rolled back, and is charged in memory only. */
  Token charge() {
    const ClaimedJob job = claim_one(1);
    d().roll_back_claim(job.ref, job.token);
    return job.token;
  }
};

TEST_F(Change, HandsTheJobOutWithItsNewRowFromTheCommitOn) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.pre_commit();
  EXPECT_TRUE(claim(1).empty());
  mine.show();
  EXPECT_TRUE(claim(1).empty()) << "visible, but its callback has not run";
  mine.call_back();
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(job.segment, kParkedSegment);
  EXPECT_EQ(row_at(job).id, 1);
  EXPECT_EQ(row_at(job).key_hash, 2U);
}

TEST_F(Change, GivesTheEntryAllThatTheNewRowSays) {
  enqueue(1);
  const Token token = charge();
  Client mine = client();
  const Micros due = platform().wall + 5 * kSecond;
  ASSERT_EQ(mine.change(1,
                        [due](JobRow& row) {
                          row.due = due;
                          row.priority = 7;
                          row.attempts = 0;
                          row.max_attempts = 9;
                          row.key_hash = 77;
                          row.expires_at = expiry_seconds(due + kMinute);
                        }),
            Verdict::ok);
  EXPECT_EQ(mine.decided().attempts, 1);
  mine.commit();
  const Entry& e = entry(mine.decided().ref);
  EXPECT_EQ(e.state, EntryState::delayed);
  EXPECT_EQ(e.at, due);
  EXPECT_EQ(e.priority, 7);
  EXPECT_EQ(e.attempts, 0);
  EXPECT_TRUE(e.is_recorded());
  EXPECT_EQ(e.max_attempts, 9);
  EXPECT_EQ(e.key_hash, 77U);
  EXPECT_EQ(e.expires_at, expiry_seconds(due + kMinute));
  EXPECT_LE(d().arena().databases[database_].next_expiry.load(), expiry_time(e.expires_at));
  platform().advance(5 * kSecond);
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.priority, 7);
  EXPECT_GT(job.token, token);
}

TEST_F(Change, KeepsAttemptsThatTheNewRowKeeps) {
  enqueue(1);
  charge();
  Client mine = client();
  ASSERT_EQ(mine.change(1, at_once, false, OutcomeKind::rescheduled), Verdict::ok);
  mine.commit();
  EXPECT_TRUE(entry(mine.decided().ref).is_recorded());
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Change, TakesAnExpiryOffThatTheNewRowDoesNotHave) {
  JobRow row = row_of(1, 1);
  row.expires_at = expiry_seconds(platform().wall + 10 * kSecond);
  Client first = client();
  first.enqueue(row);
  first.commit();
  Client mine = client();
  ASSERT_EQ(mine.change(1, [](JobRow& now) { now.expires_at = 0; }), Verdict::ok);
  mine.commit();
  platform().advance(kMinute);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Change, ThatRollsBackLeavesTheOldRowAndItsAttempts) {
  const JobRow old = enqueue(1);
  charge();
  platform().advance(3600 * kSecond);
  Client mine = client();
  ASSERT_EQ(mine.change(1,
                        [](JobRow& row) {
                          row.attempts = 0;
                          row.priority = 9;
                          row.expires_at = 1;
                        }),
            Verdict::ok);
  mine.abort();
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(job.segment, old.segment);
  EXPECT_EQ(job.block, old.block);
  EXPECT_EQ(job.offset, old.offset);
  EXPECT_EQ(job.priority, old.priority);
  EXPECT_EQ(job.attempt, 2);
  EXPECT_GT(job.token, mine.decided().token) << "the token of the change is used up";
}

TEST_F(Change, ThatRollsBackToASavepointLeavesTheOldRow) {
  enqueue(1);
  Client mine = client();
  mine.savepoint();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.roll_back();
  EXPECT_EQ(claimed_version(), 0U);
  mine.commit();
}

TEST_F(Change, OfAReleasedSavepointSharesTheFateOfTheLevelAround) {
  enqueue(1);
  enqueue(2);
  Client mine = client();
  mine.savepoint();
  mine.savepoint();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.release();
  mine.roll_back();
  EXPECT_EQ(claimed_version(), 0U);
  mine.savepoint();
  ASSERT_EQ(mine.change(2, version(2)), Verdict::ok);
  mine.release();
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

TEST_F(Change, IsDecidedUnderTokensThatRise) {
  enqueue(1);
  const Token first = charge();
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  const Token second = mine.decided().token;
  EXPECT_GT(second, first);
  ASSERT_EQ(mine.change(1, version(3), true), Verdict::ok);
  const Token third = mine.decided().token;
  EXPECT_GT(third, second);
  ASSERT_EQ(mine.cancel(1), Verdict::ok);
  EXPECT_GT(mine.decided().token, third);
  mine.abort();
  platform().advance(3600 * kSecond);
  EXPECT_GT(claim_one(1).token, mine.decided().token);
}

TEST_F(Change, MakesEarlierTokensStale) {
  enqueue(1);
  ClaimedJob lost = claim_one(1);
  d().roll_back_claim(lost.ref, lost.token);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  EXPECT_EQ(decide(lost, Decision::finish), Verdict::stale);
  const Decided first = mine.decided();
  lost.token = first.token;
  EXPECT_EQ(decide(lost, Decision::finish), Verdict::stale) << "nobody holds it";
  ASSERT_EQ(mine.change(1, version(3), true), Verdict::ok);
  d().commit_decision(first.ref, first.token, Decision::finish, OutcomeKind::cancelled, 0);
  EXPECT_EQ(state_of(1), EntryState::completing);
  d().abort_decision(first.ref, first.token, EntryState::ready);
  EXPECT_EQ(state_of(1), EntryState::completing);
  mine.commit();
  d().abort_decision(first.ref, first.token, EntryState::ready);
  EXPECT_EQ(decide(lost, Decision::finish), Verdict::stale);
  EXPECT_EQ(claimed_version(), 3U);
}

TEST_F(Change, KeepsOthersOut) {
  enqueue(1);
  Client mine = client();
  Client theirs = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  EXPECT_EQ(theirs.change(1, version(3), true), Verdict::in_doubt);
  EXPECT_EQ(theirs.cancel(1), Verdict::in_doubt);
  ASSERT_EQ(mine.change(1, version(4), true), Verdict::ok);
  EXPECT_EQ(theirs.change(1, version(3), true), Verdict::in_doubt);
  theirs.abort();
  mine.commit();
  EXPECT_EQ(claimed_version(), 4U);
}

TEST_F(Change, OfAJobOnDiskGivesItsNewRowAnEntry) {
  log_job(1);
  Client mine = client();
  ASSERT_EQ(mine.take_from_disk(1, 1), Verdict::ok);
  mine.put_row(version(2));
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

TEST_F(Change, OfAJobOnDiskThatRollsBackLeavesItWaitingWithItsOldRow) {
  log_job(1);
  Client mine = client();
  ASSERT_EQ(mine.take_from_disk(1, 1), Verdict::ok);
  mine.put_row(version(2));
  mine.abort();
  EXPECT_EQ(claimed_version(), 0U);
}

/* --- again ------------------------------------------------------------------------------------ */

TEST_F(Change, AgainIsADuplicateUnlessItIsAskedFor) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  EXPECT_EQ(mine.change(1, version(3)), Verdict::own_duplicate);
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

TEST_F(Change, AgainStartsFromWhatWasDecidedBefore) {
  enqueue(1);
  Client mine = client();
  const Micros due = platform().wall + kMinute;
  ASSERT_EQ(mine.change(1,
                        [due](JobRow& row) {
                          row.due = due;
                          row.attempts = 3;
                          row.max_attempts = 6;
                          row.expires_at = expiry_seconds(due + kMinute);
                        }),
            Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  EXPECT_EQ(mine.decided().before, EntryState::completing);
  EXPECT_EQ(mine.decided().segment, kParkedSegment);
  EXPECT_EQ(mine.decided().due, due);
  EXPECT_EQ(mine.decided().attempts, 3);
  EXPECT_EQ(mine.decided().max_attempts, 6);
  EXPECT_EQ(mine.decided().expires_at, expiry_seconds(due + kMinute));
  mine.abort();
}

TEST_F(Change, OnlyTheLastOneCountsAtTheCommit) {
  enqueue(1);
  Client mine = client();
  for (std::uint32_t number = 2; number <= 5; number++)
    ASSERT_EQ(mine.change(1, version(number), true), Verdict::ok);
  mine.commit();
  EXPECT_EQ(claimed_version(), 5U);
  EXPECT_TRUE(claim(1).empty());
}

TEST_F(Change, ARescheduledRowOfASegmentIsChangedAgainWithTheNewTime) {
  enqueue(1);
  Client mine = client();
  const Micros due = platform().wall + kMinute;
  ASSERT_EQ(mine.reschedule(1, due), Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  EXPECT_EQ(mine.decided().due, due);
  EXPECT_EQ(mine.decided().segment, 0);
  mine.abort();
}

TEST_F(Change, ASavepointThatRollsBackRestoresWhatWasDecidedBefore) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.savepoint();
  ASSERT_EQ(mine.change(1, version(3), true), Verdict::ok);
  mine.savepoint();
  ASSERT_EQ(mine.cancel(1), Verdict::ok);
  mine.roll_back();
  mine.roll_back();
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

TEST_F(Change, AfterASavepointThatRolledBackTheJobIsDecidedOnceMore) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.savepoint();
  ASSERT_EQ(mine.change(1, version(3), true), Verdict::ok);
  mine.release();
  mine.savepoint();
  ASSERT_EQ(mine.change(1, version(4), true), Verdict::ok);
  mine.roll_back();
  ASSERT_EQ(mine.change(1, version(5), true), Verdict::ok);
  mine.commit();
  EXPECT_EQ(claimed_version(), 5U);
  restart();
  load();
  EXPECT_EQ(claimed_version(), 5U);
}

TEST_F(Change, DecidedManyTimesAndRolledBackIsTheJobThatItWas) {
  enqueue(1);
  Client mine = client();
  mine.change(1, version(2));
  mine.change(1, version(3), true);
  mine.savepoint();
  mine.hold(1, true);
  mine.cancel(1);
  mine.abort();
  EXPECT_EQ(claimed_version(), 0U);
}

TEST_F(Change, HeldBackAndNotDecidedCountsAsItWasDecidedBefore) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

TEST_F(Change, OnlyHeldBackGoesOnAsItWas) {
  const JobRow old = enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.hold(1), Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  EXPECT_TRUE(claim(1).empty());
  mine.commit();
  EXPECT_EQ(claim_one(1).block, old.block);
}

TEST_F(Change, IsDecidedOverWhatWasOnlyHeldBack) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.hold(1), Verdict::ok);
  ASSERT_EQ(mine.change(1, version(2), true), Verdict::ok);
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

/* Somebody looks at the job and leaves it, in between. */
TEST_F(Change, OverAChangeThatWasHeldBackSinceStartsFromTheChange) {
  enqueue(1);
  Client mine = client();
  const Micros due = platform().wall + kMinute;
  ASSERT_EQ(mine.change(1, version(2, due)), Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  ASSERT_EQ(mine.hold(1, true), Verdict::ok);
  EXPECT_EQ(mine.decided().segment, kParkedSegment);
  EXPECT_EQ(mine.decided().due, due);
  ASSERT_EQ(mine.cancel(1), Verdict::ok);
  mine.commit();
  restart();
  EXPECT_TRUE(drain().empty());
}

TEST_F(Change, CancelledInTheSameTransactionEndsInTheNewPlace) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  ASSERT_EQ(mine.cancel(1), Verdict::ok);
  EXPECT_EQ(mine.decided().segment, kParkedSegment);
  EXPECT_EQ(mine.cancel(1), Verdict::cancelled);
  EXPECT_EQ(mine.change(1, version(3), true), Verdict::own_duplicate);
  EXPECT_TRUE(mine.transaction().ended_here(1));
  mine.commit();
  EXPECT_EQ(state_of(1), EntryState::free);
  restart();
  EXPECT_TRUE(drain().empty());
}

TEST_F(Change, ACompletionIsNotDecidedAgain) {
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  Client mine = client();
  mine.transaction().reserve(1);
  Decided decided{};
  std::size_t action = 0;
  ASSERT_EQ(mine.transaction().begin_decision(1, 1, job.token, &decided, &action), Verdict::ok);
  EXPECT_EQ(mine.change(1, version(2), true), Verdict::own_duplicate);
  EXPECT_EQ(mine.cancel(1), Verdict::in_doubt);
  mine.abort();
}

TEST_F(Change, AgainWhenTheTokensAreUsedUpIsRefusedAndTheEarlierOneCounts) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  Database& database = d().arena().databases[database_];
  database.state = DatabaseState::attaching;
  EXPECT_EQ(mine.change(1, version(3), true), Verdict::not_open);
  database.state = DatabaseState::open;
  mine.commit();
  EXPECT_EQ(claimed_version(), 2U);
}

}  // namespace
}  // namespace dw::test
