/* Enqueued jobs become claimable at their commit, through the entry that was linked before it. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

class Link : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
  }
  Index queue_ = kNone;
};

TEST_F(Link, AJobIsNotClaimableBeforeItsCommit) {
  link(row_of(1, 10));
  EXPECT_EQ(state_of(10), EntryState::pending);
  EXPECT_TRUE(claim(1).empty());
}

TEST_F(Link, AJobIsClaimableAfterItsCommit) {
  put(row_of(1, 10));
  EXPECT_EQ(state_of(10), EntryState::ready);
  EXPECT_EQ(claim_one(1).id, 10);
}

TEST_F(Link, AnAbortFreesThePendingEntry) {
  const JobRow row = row_of(1, 10);
  const EntryRef reference = link(row);
  d().unlink_pending(ref(queue_), &reference, 1);
  EXPECT_EQ(state_of(10), EntryState::free);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
}

TEST_F(Link, AJobDueLaterIsDelayed) {
  JobRow row = row_of(1, 10);
  row.due = platform().wall + kSecond;
  put(row);
  EXPECT_EQ(state_of(10), EntryState::delayed);
  EXPECT_TRUE(claim(1).empty());
}

TEST_F(Link, AClaimTakesADelayedJobOnceItIsDue) {
  JobRow row = row_of(1, 10);
  row.due = platform().wall + kSecond;
  put(row);
  platform().advance(kSecond - 1);
  EXPECT_TRUE(claim(1).empty());
  platform().advance(1);
  EXPECT_EQ(claim_one(1).id, 10);
}

TEST_F(Link, DueTimesFollowTheWallClock) {
  JobRow row = row_of(1, 10);
  row.due = platform().wall + 3600 * kSecond;
  put(row);
  platform().wall += 3600 * kSecond;
  EXPECT_EQ(claim_one(1).id, 10);
}

TEST_F(Link, ADueTimeThatPassedWhileCommittingCountsAtPublication) {
  JobRow row = row_of(1, 10);
  row.due = platform().wall + kSecond;
  const EntryRef reference = link(row);
  platform().advance(2 * kSecond);
  publish(row, reference);
  EXPECT_EQ(state_of(10), EntryState::ready);
}

TEST_F(Link, ALoadingQueueLinksNothingAndMarksThePageDirty) {
  start(64);
  queue_ = add_queue(1, QueueOptions{}, LoadMode::loading);
  const EntryRef reference = put(row_of(1, 10));
  EXPECT_EQ(reference.entry, kNone);
  EXPECT_EQ(state_of(10), EntryState::free);
  ASSERT_EQ(slot(queue_).dirty.size(), 1U);
  EXPECT_EQ(slot(queue_).dirty.at(0).first, 10U);
}

TEST_F(Link, ACommitWithoutAnEntryMarksDirtyEvenIfTheQueueIsLiveByThen) {
  start(64);
  queue_ = add_queue(1, QueueOptions{}, LoadMode::loading);
  const JobRow row = row_of(1, 10);
  const EntryRef reference = link(row);
  slot(queue_).mode = LoadMode::live;
  publish(row, reference);
  EXPECT_TRUE(claim(1).empty());
  EXPECT_EQ(slot(queue_).mode, LoadMode::handover);
  EXPECT_EQ(slot(queue_).dirty.size(), 1U);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Link, ACommitWithAnEntryPublishesItEvenIfTheQueueIsLoadingByThen) {
  const JobRow row = row_of(1, 10);
  const EntryRef reference = link(row);
  slot(queue_).mode = LoadMode::loading;
  publish(row, reference);
  EXPECT_EQ(claim_one(1).id, 10);
  EXPECT_TRUE(slot(queue_).dirty.empty());
}

TEST_F(Link, WhatFindsNoRoomStaysOnDiskAndIsMarkedDirty) {
  put_many(1, 1, 70);
  EXPECT_EQ(figures(1).resident, 64U);
  EXPECT_EQ(figures(1).mode, LoadMode::loading);
  ASSERT_EQ(slot(queue_).dirty.size(), 1U);
  EXPECT_EQ(slot(queue_).dirty.at(0).first, 65U);
  EXPECT_EQ(slot(queue_).dirty.at(0).last, 70U);
}

TEST_F(Link, ATransactionAfterOneWithoutRoomLinksNothing) {
  put_many(1, 1, 64);
  link_many({row_of(1, 65)});
  ASSERT_EQ(decide(claim_one(1), Decision::finish), Verdict::ok);
  EXPECT_EQ(link(row_of(1, 66)).entry, kNone);
}

TEST_F(Link, ASleeperForTheParkedTableIsNotLinked) {
  JobRow row = row_of(1, 10);
  row.segment = kParkedSegment;
  row.due = platform().wall + 86400 * kSecond;
  put(row);
  EXPECT_EQ(state_of(10), EntryState::free);
  EXPECT_TRUE(slot(queue_).dirty.empty());
}

TEST_F(Link, AParkedJobThatTheLoaderHasPassedIsLinked) {
  d().arena().databases[database_].parked_until.store(platform().wall);
  JobRow row = row_of(1, 10);
  row.segment = kParkedSegment;
  row.due = platform().wall;
  put(row);
  EXPECT_EQ(claim_one(1).segment, kParkedSegment);
}

TEST_F(Link, ALateCommitOfAParkedJobLowersTheTimeToLookFrom) {
  d().arena().databases[database_].parked_until.store(platform().wall - 2 * kSecond);
  JobRow row = row_of(1, 10);
  row.segment = kParkedSegment;
  row.due = platform().wall - kSecond;
  const EntryRef reference = link(row);
  EXPECT_EQ(reference.entry, kNone);
  d().arena().databases[database_].parked_until.store(platform().wall);
  publish(row, reference);
  EXPECT_EQ(d().arena().databases[database_].parked_from.load(), row.due);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Link, AParkedJobBehindTheHorizonWakesNobody) {
  d().arena().databases[database_].parked_until.store(platform().wall);
  JobRow row = row_of(1, 10);
  row.segment = kParkedSegment;
  row.due = platform().wall + 1;
  put(row);
  EXPECT_EQ(d().arena().databases[database_].parked_from.load(), kNever);
  EXPECT_FALSE(platform().housekeeper_was_woken());
}

TEST_F(Link, TheSameIdTwiceIsLinkedOnce) {
  put(row_of(1, 10));
  EXPECT_EQ(link(row_of(1, 10)).entry, kNone);
  EXPECT_EQ(figures(1).resident, 1U);
}

TEST_F(Link, TheSameIdInTwoQueuesIsTwoJobs) {
  add_queue(2);
  put(row_of(1, 10));
  put(row_of(2, 10));
  const ClaimedJob first = claim_one(1);
  const ClaimedJob second = claim_one(2);
  EXPECT_NE(first.token, second.token);
  EXPECT_EQ(decide(second, Decision::finish), Verdict::ok);
  EXPECT_EQ(state_of(10, 1), EntryState::leased);
  EXPECT_EQ(state_of(10, 2), EntryState::free);
}

TEST_F(Link, JobsDueLaterTakeAtMostHalfOfTheQueuesShare) {
  for (JobId id = 1; id <= 64; id++) {
    JobRow row = row_of(1, id);
    row.due = platform().wall + kSecond;
    put(row);
  }
  EXPECT_EQ(figures(1).delayed, 16U); /* of 32, the other 32 are lent */
  EXPECT_EQ(figures(1).mode, LoadMode::handover);
  EXPECT_EQ(link(row_of(1, 100)).entry != kNone, true);
}

TEST_F(Link, ThousandJobsGoInOneHold) {
  start(2048);
  queue_ = add_queue(1);
  put_many(1, 1, 1024);
  EXPECT_EQ(figures(1).ready, 1024U);
  EXPECT_EQ(figures(1).counters.enqueued, 1024U);
}

TEST_F(Link, AnOutcomePageIsNotedForTheHousekeeper) {
  d().note_outcome_page(database_, 2, 77);
  const BoundedRanges& noted = d().arena().databases[database_].outcome_pages;
  ASSERT_EQ(noted.size(), 1U);
  EXPECT_EQ(noted.at(0).segment, 2);
  EXPECT_EQ(noted.at(0).first, 77U);
}

TEST_F(Link, ACommitForAQueueWithoutASlotAsksForTheCatalogAndAReload) {
  const JobRow row = row_of(9, 10);
  const JobRow* pointer = &row;
  const EntryRef reference{kNone, 0};
  d().publish(database_, 9, QueueRef{kNone, 0}, &pointer, &reference, 1);
  EXPECT_TRUE(d().take_catalog_stale(database_));
  EXPECT_TRUE(d().take_reload(database_));
  EXPECT_FALSE(d().take_reload(database_));
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

}  // namespace
}  // namespace dw::test
