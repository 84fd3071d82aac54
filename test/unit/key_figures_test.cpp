/* What is told of a key: the job that comes next, those behind it, and what its limits let start.
 */
#include "key_limits_fixture.hpp"

namespace dw::test {
namespace {

class KeyFiguresTest : public KeyLimits {
 protected:
  KeyFigures key(std::uint32_t key = 1) { return key_figures(kQueue, key, key + 1000); }
  void put_later(JobId id, std::uint32_t key, Micros delay) {
    JobRow later = row(id, key);
    later.due = platform().wall + delay;
    put(later);
  }
};

TEST_F(KeyFiguresTest, NothingIsKnownOfAKeyWithoutJobs) {
  limit(key_places(2));
  put_jobs(1, 3, 2);
  EXPECT_EQ(key().first, 0);
  EXPECT_EQ(key().waiting, 0U);
  EXPECT_EQ(key().in_flight, 0U);
  EXPECT_EQ(key().available, 2U);
  EXPECT_EQ(key().hindrance, KeyHindrance::none);
}

TEST_F(KeyFiguresTest, OfAnotherQueueNothingCounts) {
  limit(key_places(2));
  add_queue(6);
  JobRow other = row(1, 1);
  other.queue = 6;
  put(other);
  EXPECT_EQ(key().first, 0);
  EXPECT_EQ(claim(6, 1).size(), 1U);
  EXPECT_EQ(key().in_flight, 0U);
}

TEST_F(KeyFiguresTest, TheFirstByPriorityAndIdComesNext) {
  limit(key_places(2));
  put_jobs(1, 3, 1);
  put(row(4, 1, 0));
  put(row(5, 1, 0));
  put_jobs(6, 9, 2);
  EXPECT_EQ(key().first, 4);
  EXPECT_TRUE(key().first_is_due);
  EXPECT_EQ(key().waiting, 4U);
  EXPECT_EQ(key().available, 2U);
}

TEST_F(KeyFiguresTest, AtItsLimitTheNextWaitsForAnEnd) {
  limit(key_places(2));
  put_jobs(1, 5, 1);
  const std::vector<ClaimedJob> held = claim(kQueue, 10);
  ASSERT_EQ(held.size(), 2U);
  EXPECT_EQ(key().first, 3);
  EXPECT_TRUE(key().first_is_due);
  EXPECT_EQ(key().waiting, 2U);
  EXPECT_EQ(key().in_flight, 2U);
  EXPECT_EQ(key().max_in_flight, 2U);
  EXPECT_EQ(key().available, 0U);
  EXPECT_EQ(key().hindrance, KeyHindrance::place);
  EXPECT_EQ(key().next, kNever);
  decide(held[0], Decision::finish);
  EXPECT_EQ(key().first, 3);
  EXPECT_EQ(key().in_flight, 1U);
  EXPECT_EQ(key().available, 1U);
  EXPECT_EQ(key().hindrance, KeyHindrance::none);
}

TEST_F(KeyFiguresTest, ALimitOfNoneIsAHindranceWithNothingInFlight) {
  limit(key_places(0));
  put_jobs(1, 2, 1);
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(key().hindrance, KeyHindrance::place);
  EXPECT_EQ(key().max_in_flight, 0U);
  EXPECT_EQ(key().in_flight, 0U);
}

TEST_F(KeyFiguresTest, WithoutATokenTheTimeOfTheNextIsKnown) {
  limit(key_tokens(10, 2));
  platform().advance(kMinute);
  put_jobs(1, 5, 1);
  EXPECT_EQ(key().available, 2U);
  EXPECT_EQ(ids(), (Ids{1, 2}));
  EXPECT_EQ(key().first, 3);
  EXPECT_TRUE(key().first_is_due);
  EXPECT_EQ(key().waiting, 2U);
  EXPECT_EQ(key().in_flight, 2U);
  EXPECT_EQ(key().available, 0U);
  EXPECT_EQ(key().hindrance, KeyHindrance::token);
  EXPECT_EQ(key().next, platform().wall + 100 * kMillisecond);
  EXPECT_EQ(key(2).available, 2U) << "another key has a bucket of its own";
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(key().available, 1U);
  EXPECT_EQ(key().hindrance, KeyHindrance::none);
}

TEST_F(KeyFiguresTest, WithoutAPlaceATokenHelpsNobody) {
  limit(key_tokens(10, 2, key_places(1)));
  platform().advance(kMinute);
  put_jobs(1, 5, 1);
  EXPECT_EQ(ids(), Ids{1});
  EXPECT_EQ(key().hindrance, KeyHindrance::place);
  EXPECT_EQ(key().next, kNever);
}

TEST_F(KeyFiguresTest, WhatWaitsForATokenComesBeforeABetterPriority) {
  limit(key_tokens(10, 1));
  put_jobs(1, 2, 1);
  EXPECT_EQ(ids(), Ids{});
  put(row(3, 1, 0));
  EXPECT_EQ(key().first, 1);
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(ids(), Ids{1});
}

TEST_F(KeyFiguresTest, OfWhatIsDelayedTheFirstDueComesNext) {
  limit(key_places(1));
  put_later(1, 1, kMinute);
  put_later(2, 1, kSecond);
  EXPECT_EQ(key().first, 2);
  EXPECT_EQ(key().state, EntryState::delayed);
  EXPECT_FALSE(key().first_is_due);
  EXPECT_EQ(key().at, platform().wall + kSecond);
  EXPECT_EQ(key().waiting, 1U);
  put_jobs(3, 3, 1);
  EXPECT_EQ(key().first, 3) << "it is due already";
  EXPECT_EQ(key().waiting, 2U);
}

TEST_F(KeyFiguresTest, WhenNothingWaitsTheLeaseThatEndsFirstIsShown) {
  limit(key_places(3));
  put_jobs(1, 2, 1);
  const std::vector<ClaimedJob> longer = claim(kQueue, 1, kMinute);
  const std::vector<ClaimedJob> shorter = claim(kQueue, 1, kSecond);
  ASSERT_EQ(shorter.size(), 1U);
  EXPECT_EQ(key().first, shorter[0].id);
  EXPECT_EQ(key().state, EntryState::leased);
  EXPECT_EQ(key().at, platform().wall + kSecond);
  EXPECT_EQ(key().waiting, 0U);
  EXPECT_EQ(key().in_flight, 2U);
}

TEST_F(KeyFiguresTest, ACompletionThatIsNotCommittedIsInFlight) {
  limit(key_places(1));
  put_jobs(1, 1, 1);
  const ClaimedJob job = claim_one(kQueue);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::ok);
  EXPECT_EQ(key().state, EntryState::completing);
  EXPECT_EQ(key().in_flight, 1U);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::completed, 0);
  EXPECT_EQ(key().first, 0);
  EXPECT_EQ(key().in_flight, 0U);
}

TEST_F(KeyFiguresTest, NothingStartsWhileLeasesAreBeingCounted) {
  begin_queue(QueueOptions{}, 4096);
  put_jobs(1, 3000, 1);
  ASSERT_EQ(claim(kQueue, 2500).size(), 2500U);
  std::size_t looks = 0;
  std::size_t told = 0;
  platform().on_unlocked = [&](std::uint32_t number) {
    if (number < kFirstQueueLock || q().counted_places == q().in_flight || q().counts_keys == 0)
      return;
    looks++;
    const KeyFigures figures = key();
    if (figures.hindrance == KeyHindrance::counting && figures.available == 0) told++;
  };
  limit(key_places(5000));
  platform().on_unlocked = nullptr;
  EXPECT_GT(looks, 0U);
  EXPECT_EQ(told, looks);
  EXPECT_EQ(key().in_flight, 2500U);
  EXPECT_EQ(key().waiting, 499U);
  EXPECT_EQ(key().available, 2500U);
}

TEST_F(KeyFiguresTest, WithoutARecordTheJobIsTriedAgain) {
  begin_queue(QueueOptions{}, 8192);
  limit(key_places(1));
  for (JobId id = 1; id <= 1100; id++) put(row(id, static_cast<std::uint32_t>(id)));
  ASSERT_EQ(claim(kQueue, 2000).size(), 1024U);
  EXPECT_EQ(key(1050).first, 1050);
  EXPECT_TRUE(key(1050).first_is_due);
  EXPECT_EQ(key(1050).hindrance, KeyHindrance::record);
  EXPECT_EQ(key(1050).next, platform().wall + kSecond);
  EXPECT_EQ(key(1050).available, 0U);
}

TEST_F(KeyFiguresTest, InAFairQueueTheOneWithTheTurnComesNextAndAllLeasesCount) {
  begin_queue(fair());
  put_jobs(1, 5, 1);
  put_jobs(6, 7, 2);
  ASSERT_EQ(claim(kQueue, 4).size(), 4U);
  EXPECT_EQ(key().first, 3);
  EXPECT_EQ(key().state, EntryState::ready);
  EXPECT_EQ(key().waiting, 2U);
  EXPECT_EQ(key().in_flight, 2U);
  EXPECT_FALSE(key().limited);
  put(row(8, 1, 0));
  EXPECT_EQ(key().first, 3) << "it keeps the turn";
  EXPECT_EQ(claim_one(kQueue).id, 3);
}

TEST_F(KeyFiguresTest, AnOrderedKeyThatWaitsForATokenIsHeldBack) {
  begin_queue(ordered());
  limit(key_tokens(10, 1));
  put_jobs(1, 3, 1);
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(key().first, 1);
  EXPECT_TRUE(key().first_is_due);
  EXPECT_EQ(key().waiting, 2U);
  EXPECT_EQ(key().hindrance, KeyHindrance::token);
  EXPECT_EQ(key().next, platform().wall + 100 * kMillisecond);
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(ids(), Ids{1});
  EXPECT_EQ(key().in_flight, 1U);
  EXPECT_FALSE(key().first_is_due);
}

TEST_F(KeyFiguresTest, AnOrderedKeyThatIsStoppedIsHeldBack) {
  begin_queue(ordered());
  limit(key_places(0));
  put_jobs(1, 2, 1);
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(key().first, 1);
  EXPECT_TRUE(key().first_is_due);
  EXPECT_EQ(key().hindrance, KeyHindrance::place);
}

TEST_F(KeyFiguresTest, ManyAreCountedUnderSeveralHolds) {
  for (const QueueOptions& options : {QueueOptions{}, fair(), ordered()}) {
    begin_queue(options, 8192);
    limit(key_places(1));
    for (JobId id = 1; id <= 6000; id++) put(row(id, id % 2 == 1 ? 1 : 2));
    ASSERT_EQ(claim(kQueue, 2).size(), 2U);
    EXPECT_EQ(key().in_flight, 1U);
    EXPECT_EQ(key().waiting, options.ordered ? 2999U : 2998U);
    EXPECT_EQ(key().first, options.ordered ? 1 : 3);
  }
}

}  // namespace
}  // namespace dw::test
