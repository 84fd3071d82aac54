/* All jobs of a queue that end in one transaction, those in memory and those on disk, while
 * everything else goes on. */
#include "withhold_fixture.hpp"

namespace dw::test {
namespace {

/* --- what ends -------------------------------------------------------------------------------- */

TEST_F(Withhold, APurgeEndsWhatWaitsWhatIsHeldAndWhatIsOnDisk) {
  begin(64, LoadMode::loading);
  log_jobs(1, 200);
  log_job(300, 1, kParkedSegment, platform().wall + 1000 * kMinute);
  load();
  const ClaimedJob held = claim_one(1);
  Client mine = client();
  EXPECT_EQ(mine.purge(1), 201U);
  mine.commit();
  EXPECT_EQ(decide(held, Decision::finish), Verdict::cancelled);
  platform().advance(1000 * kMinute);
  sweep();
  EXPECT_TRUE(drain().empty());
  expect_each_ended_once(1, 200);
  expect_each_ended_once(300, 300);
  EXPECT_EQ(figures(1).counters.cancelled, 201U);
  restart();
  EXPECT_TRUE(drain().empty());
}

TEST_F(Withhold, AnAbortLetsEverythingGoOn) {
  begin(64, LoadMode::loading);
  log_jobs(1, 200);
  load();
  Client mine = client();
  EXPECT_EQ(mine.purge(1), 200U);
  EXPECT_TRUE(claim(1).empty());
  platform().woken_housekeepers.clear();
  mine.abort();
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(drain(), range(1, 200));
  expect_each_ended_once(1, 200);
}

TEST_F(Withhold, ASavepointThatRollsBackLetsEverythingGoOn) {
  begin(64, LoadMode::loading);
  log_jobs(1, 100);
  load();
  Client mine = client();
  mine.savepoint();
  EXPECT_EQ(mine.purge(1), 100U);
  mine.roll_back();
  EXPECT_EQ(q().withheld, Withheld::no);
  mine.commit();
  EXPECT_EQ(drain(), range(1, 100));
}

TEST_F(Withhold, AReleasedSavepointKeepsTheQueueWithheldUntilTheEnd) {
  log_jobs(1, 10);
  Client mine = client();
  mine.savepoint();
  mine.purge(1);
  mine.release();
  EXPECT_EQ(q().withheld, Withheld::deciding);
  mine.commit();
  EXPECT_EQ(q().withheld, Withheld::no);
}

TEST_F(Withhold, JobsOnDiskEndOnceAlthoughTheLoaderRunsBetweenAnyTwoSteps) {
  for (const std::uint32_t entries : {32U, 64U, 512U}) {
    begin(entries, LoadMode::loading);
    log_jobs(1, 150);
    load();
    Client mine = client();
    purge_with(mine, [this] {
      loader().reset();
      load_later();
    });
    mine.pre_commit();
    mine.show();
    loader().reset();
    load();
    EXPECT_TRUE(claim(1).empty());
    mine.call_back();
    EXPECT_TRUE(drain().empty());
    expect_each_ended_once(1, 150);
  }
}

/* Whose snapshot does not see what the purge wrote. */
TEST_F(Withhold, AChunkThatRunsAtTheCommitDoesNotBringBackWhatEnded) {
  for (const Call call : {Call::after_snapshot, Call::scan_outcomes, Call::scan_jobs}) {
    begin(64, LoadMode::loading);
    log_jobs(1, 40);
    enqueue(99);
    log_outcome(OutcomeKind::completed, row_of(1, 99), 1);
    without_sleepers();
    Client mine = client();
    mine.purge(1);
    once_at(call, [&mine] { mine.commit(); });
    loader().step(kMinute);
    EXPECT_EQ(figures(1).resident, 0U) << "at call " << static_cast<int>(call);
    EXPECT_TRUE(drain().empty());
    expect_each_ended_once(1, 40);
  }
}

TEST_F(Withhold, NorDoesOneThatBeganBeforeThePurge) {
  for (const Call call : {Call::after_snapshot, Call::scan_jobs}) {
    begin(64, LoadMode::loading);
    log_jobs(1, 40);
    without_sleepers();
    once_at(call, [this] {
      Client mine = client();
      mine.purge(1);
      mine.commit();
    });
    loader().step(kMinute);
    EXPECT_EQ(figures(1).resident, 0U) << "at call " << static_cast<int>(call);
    EXPECT_TRUE(drain().empty());
    expect_each_ended_once(1, 40);
  }
}

TEST_F(Withhold, NorDoesTheReadingOfLongSleepers) {
  log_job(1, 1, kParkedSegment, platform().wall);
  once_at(Call::scan_parked, [this] {
    Client mine = client();
    EXPECT_EQ(mine.purge(1), 1U);
    mine.commit();
  });
  load();
  EXPECT_TRUE(drain().empty());
  expect_each_ended_once(1, 1);
}

TEST_F(Withhold, AnotherPurgeMayFollowWhileSuchAChunkRuns) {
  begin(64, LoadMode::loading);
  log_jobs(1, 40);
  without_sleepers();
  once_at(Call::after_snapshot, [this] {
    Client mine = client();
    mine.purge(1);
    mine.commit();
    log_jobs(41, 50);
    Client again = client();
    EXPECT_EQ(again.purge(1), 10U);
    again.commit();
  });
  load();
  EXPECT_TRUE(drain().empty());
  expect_each_ended_once(1, 50);
}

TEST_F(Withhold, AQueueIsLoadedAgainAfterAHousekeeperWasKilledInSuchAChunk) {
  begin(64, LoadMode::loading);
  log_jobs(1, 40);
  without_sleepers();
  once_at(Call::scan_jobs, [this] {
    Client mine = client();
    mine.purge(1);
    mine.abort();
    throw StoreError();
  });
  EXPECT_THROW(loader().step(kMinute), StoreError);
  store().abort();
  /* It would have unwound nothing. */
  q().chunk_active = 1;
  q().withheld = Withheld::ended;
  loader().reset();
  EXPECT_EQ(drain(), range(1, 40));
}

/* --- what does not end, or not by it ---------------------------------------------------------- */

TEST_F(Withhold, AJobFinishedWhileItReadsIsNotEndedAgain) {
  enqueue(1);
  enqueue(2);
  const ClaimedJob job = claim_one(1);
  Client theirs = client(2);
  theirs.transaction().reserve(1);
  Decided decided{};
  std::size_t action = 0;
  ASSERT_EQ(theirs.transaction().begin_decision(1, 1, job.token, &decided, &action), Verdict::ok);
  const auto blocks = log().insert_outcome(theirs.xid(), 2, 0, OutcomeKind::completed,
                                           platform().wall, 1, {{1, job.token, 1, 0}});
  theirs.transaction().settle(action, Decision::finish, OutcomeKind::completed, 0);
  theirs.transaction().note_outcome_row(action, 0, blocks.at(0));
  Client mine = client();
  ASSERT_TRUE(mine.withhold(1));
  EXPECT_EQ(mine.purge_resident(), (Ids{2}));
  mine.look();
  theirs.commit();
  EXPECT_TRUE(mine.purge_on_disk(0).empty());
  mine.stop_reading();
  EXPECT_EQ(figures(1).resident, 1U) << "the tombstone is gone";
  mine.commit();
  expect_each_ended_once(1, 2);
}

/* The end of a chunk does not take the tombstone away, nor does another housekeeper. */
TEST_F(Withhold, AJobFinishedWhileItReadsLeavesItsTombstoneUntilItHasRead) {
  enqueue(1);
  log_jobs(2, 3);
  const ClaimedJob job = claim_one(1);
  Client mine = client();
  ASSERT_TRUE(mine.withhold(1));
  mine.look();
  ASSERT_EQ(complete(job), Verdict::ok);
  loader().reset();
  load();
  EXPECT_EQ(mine.purge_on_disk(0), (Ids{2, 3}));
  mine.stop_reading();
  EXPECT_EQ(figures(1).resident, 0U);
  mine.commit();
  expect_each_ended_once(1, 3);
}

TEST_F(Withhold, AJobOfAnOpenTransactionSurvives) {
  Client before = client(2);
  before.enqueue(row_of(1, 1));
  Client mine = client();
  ASSERT_TRUE(mine.withhold(1));
  mine.purge_resident();
  mine.look();
  Client between = client(3);
  between.enqueue(row_of(1, 2));
  between.commit();
  mine.purge_on_disk(0);
  before.pre_commit();
  mine.purge_on_disk(kParkedSegment);
  mine.stop_reading();
  mine.commit();
  before.show();
  before.call_back();
  EXPECT_EQ(drain(), (Ids{1, 2}));
}

TEST_F(Withhold, AJobThatATransactionOfItsOwnQueueEnqueuesWhilePurgingSurvives) {
  begin(64, LoadMode::loading);
  log_jobs(1, 5);
  Client mine = client();
  mine.enqueue(row_of(1, 6));
  EXPECT_EQ(mine.purge(1), 5U);
  mine.enqueue(row_of(1, 7));
  mine.commit();
  EXPECT_EQ(drain(), (Ids{6, 7}));
}

TEST_F(Withhold, AJobThatAnOpenTransactionDecidesIsLeftToIt) {
  for (const bool aborts : {false, true}) {
    begin(64, LoadMode::live);
    enqueue(1);
    Client theirs = client(2);
    ASSERT_EQ(theirs.change(1, version(2)), Verdict::ok);
    Client mine = client();
    EXPECT_EQ(mine.purge(1), 0U);
    if (aborts) {
      theirs.abort();
    } else {
      theirs.commit();
    }
    mine.commit();
    const ClaimedJob job = claim_one(1);
    EXPECT_EQ(row_at(job).key_hash, aborts ? 0U : 2U);
    ASSERT_EQ(complete(job), Verdict::ok);
    expect_each_ended_once(1, 1);
  }
}

TEST_F(Withhold, AJobThatThisTransactionChangedEndsInItsNewPlace) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  EXPECT_EQ(mine.purge(1), 1U);
  mine.commit();
  expect_each_ended_once(1, 1);
  restart();
  EXPECT_TRUE(drain().empty());
}

TEST_F(Withhold, AJobBehindAPlaceholderFromBeforeIsLeftToItsOwner) {
  begin(64, LoadMode::loading);
  log_jobs(1, 2);
  Client theirs = client(2);
  ASSERT_EQ(theirs.take_from_disk(1, 1), Verdict::ok);
  Client mine = client();
  EXPECT_EQ(mine.purge(1), 1U);
  mine.commit();
  theirs.abort();
  EXPECT_EQ(drain(), (Ids{1}));
  expect_each_ended_once(1, 2);
}

}  // namespace
}  // namespace dw::test
