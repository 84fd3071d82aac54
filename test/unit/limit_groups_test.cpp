/* Limits that several queues share: one sum, turns, and who is woken. */
#include "limits_fixture.hpp"

namespace dw::test {
namespace {

class LimitGroups : public LimitsTest {
 protected:
  void share(std::uint32_t most) {
    for (QueueId queue = 1; queue <= 3; queue++) limit(queue, shared_places("partner", most));
  }
};

TEST_F(LimitGroups, HaveOneSum) {
  share(4);
  EXPECT_EQ(take(1, 3), 3U);
  EXPECT_EQ(take(2, 3), 1U);
  EXPECT_EQ(take(3, 3), 0U);
  EXPECT_EQ(group_places(3).in_flight, 4U);
}

TEST_F(LimitGroups, OfOneNameAreOfOneDatabaseAndOneKind) {
  share(2);
  const Index other = d().attach_database(kOid + 1);
  d().open_database(other, kEpoch);
  const Index index =
      d().add_queue(other, 1, "elsewhere", QueueOptions{}, QueueState::active, LoadMode::live);
  d().set_queue_limits(other, 1, shared_places("partner", 7));
  limit(3, shared_tokens("partner", 5, 5));
  EXPECT_EQ(take(1, 5), 2U);
  EXPECT_EQ(group_places(1).max_in_flight, 2U);
  QueueLimitFigures figures{};
  ASSERT_TRUE(d().see_limits(index, 1, &figures));
  EXPECT_EQ(figures.group[0].in_flight, 0U);
}

TEST_F(LimitGroups, TakeInWhatAQueueHasWhenItJoinsAndLetItGoWhenItLeaves) {
  EXPECT_EQ(take(1, 5), 5U);
  limit(2, shared_places("partner", 6));
  EXPECT_EQ(take(2, 2), 2U);
  limit(1, shared_places("partner", 6));
  EXPECT_EQ(group_places(2).in_flight, 7U);
  EXPECT_EQ(take(2), 0U);
  limit(1, QueueLimits{});
  EXPECT_EQ(group_places(2).in_flight, 2U);
  EXPECT_EQ(take(2, 9), 4U);
}

TEST_F(LimitGroups, MoveFromOneToAnother) {
  limit(1, shared_places("a", 2));
  limit(2, shared_places("b", 2));
  EXPECT_EQ(take(1, 2), 2U);
  limit(1, shared_places("b", 2));
  EXPECT_EQ(take(2), 0U);
  limit(3, shared_places("a", 2));
  EXPECT_EQ(take(3, 5), 2U);
}

TEST_F(LimitGroups, ShareTokensToo) {
  limit(1, shared_tokens("partner", 10, 3));
  limit(2, shared_tokens("partner", 10, 3));
  EXPECT_EQ(take(1), 0U);
  platform().advance(kMinute);
  EXPECT_EQ(take(1, 2), 2U);
  EXPECT_EQ(take(2, 9), 1U);
  EXPECT_EQ(take(1), 0U);
}

TEST_F(LimitGroups, KeepTheirTokensWhenAQueueComes) {
  limit(1, shared_tokens("partner", 10, 3));
  platform().advance(kMinute);
  limit(2, shared_tokens("partner", 10, 3));
  EXPECT_EQ(take(2, 9), 3U);
}

TEST_F(LimitGroups, TakeNothingForAClaimThatIsHeldBackElsewhere) {
  limit(1, shared_places("partner", 5, places(1)));
  limit(2, shared_places("partner", 5));
  EXPECT_EQ(take(1, 9), 1U);
  EXPECT_EQ(take(2, 9), 4U);
}

TEST_F(LimitGroups, TheEndOfALeaseWakesAQueueThatWaits) {
  share(1);
  const ClaimedJob job = claim_one(1);
  EXPECT_TRUE(wait(0, 2));
  EXPECT_TRUE(wait(1, 2));
  decide(job, Decision::finish);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_woken(0, 2), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{});
}

TEST_F(LimitGroups, QueuesTakeTurns) {
  share(1);
  std::vector<ClaimedJob> held = claim(1);
  wait(1, 1);
  wait(2, 2);
  wait(3, 3);
  std::vector<Index> order;
  for (int i = 0; i < 9; i++) {
    decide(held.at(0), Decision::finish);
    const std::vector<Index> woken = platform().take_woken();
    ASSERT_EQ(woken.size(), 1U);
    const auto queue = static_cast<QueueId>(woken[0]);
    order.push_back(woken[0]);
    held = jobs_of_woken(woken[0], queue);
    ASSERT_EQ(held.size(), 1U);
    wait(woken[0], queue);
  }
  EXPECT_EQ(order, (std::vector<Index>{2, 3, 1, 2, 3, 1, 2, 3, 1}));
}

TEST_F(LimitGroups, AQueueWhoseWorkersNeverSleepLeavesTheOthersTheirTurn) {
  share(1);
  ClaimedJob job = claim_one(1);
  wait(2, 2);
  decide(job, Decision::finish);
  EXPECT_EQ(take(1), 0U) << "the place is for the queue that waits";
  ASSERT_EQ(platform().take_woken(), Woken{2});
  job = jobs_of_woken(2, 2).at(0);
  wait(2, 2);
  decide(job, Decision::finish);
  EXPECT_EQ(take(1), 1U) << "and now it is the other one's turn";
}

TEST_F(LimitGroups, ATurnThatNobodyTakesPasses) {
  share(1);
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(take(2), 0U);
  decide(job, Decision::finish);
  EXPECT_EQ(take(1), 0U) << "the other queue may be about to ask again";
  platform().advance(kSecond);
  EXPECT_EQ(take(1), 1U);
}

TEST_F(LimitGroups, AWokenWaiterThatDoesNothingHoldsNobodyUp) {
  share(1);
  const ClaimedJob job = claim_one(1);
  wait(2, 2);
  wait(1, 1);
  decide(job, Decision::finish);
  ASSERT_EQ(platform().take_woken(), Woken{2});
  d().wake_idle(database_);
  EXPECT_EQ(platform().take_woken(), Woken{}) << "it may still come";
  platform().advance(kSecond);
  d().wake_idle(database_);
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(claim_woken(1, 1), 1U);
}

TEST_F(LimitGroups, AWokenWaiterThatGoesAwayGivesItsTurnUp) {
  share(1);
  const ClaimedJob job = claim_one(1);
  wait(2, 2);
  wait(1, 1);
  decide(job, Decision::finish);
  ASSERT_EQ(platform().take_woken(), Woken{2});
  d().wait_end(2);
  d().pass_wake_on(2);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(LimitGroups, WhatIsLeftIsDividedAmongThoseWhoAreThere) {
  share(6);
  const std::vector<ClaimedJob> held = claim(1, 6);
  ASSERT_EQ(held.size(), 6U);
  EXPECT_EQ(take(2), 0U);
  EXPECT_EQ(take(3), 0U);
  for (const ClaimedJob& job : held) decide(job, Decision::finish);
  EXPECT_EQ(take(1, 9), 2U);
  EXPECT_EQ(take(2, 9), 2U);
  EXPECT_EQ(take(3, 9), 2U);
}

TEST_F(LimitGroups, AQueueWithoutWorkHoldsNobodyUp) {
  add_queue(4);
  limit(4, shared_places("partner", 1));
  share(1);
  put(row_of(4, 1));
  const ClaimedJob job = claim_one(1);
  wait(4, 4);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 1, 0, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
  wait(1, 1);
  decide(job, Decision::finish);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(LimitGroups, APausedQueueHoldsNobodyUp) {
  share(1);
  const ClaimedJob job = claim_one(1);
  wait(2, 2);
  wait(1, 1);
  QueueOptions options;
  options.paused = true;
  d().set_queue_options(database_, 2, options);
  decide(job, Decision::finish);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(LimitGroups, PollingDoesNotWakeMoreThanThereIsFor) {
  share(1);
  const ClaimedJob job = claim_one(1);
  for (Index waiter = 4; waiter < 8; waiter++) wait(waiter, 2);
  decide(job, Decision::finish);
  for (int i = 0; i < 20; i++) EXPECT_EQ(take(1), 0U);
  EXPECT_EQ(platform().take_woken(), Woken{4});
}

TEST_F(LimitGroups, ARaisedLimitWakesThemOneAfterTheOther) {
  share(0);
  wait(1, 1);
  wait(2, 2);
  wait(3, 3);
  share(2);
  std::size_t taken = 0;
  for (std::vector<Index> woken = platform().take_woken(); !woken.empty();
       woken = platform().take_woken()) {
    for (const Index waiter : woken) taken += claim_woken(waiter, static_cast<QueueId>(waiter));
  }
  EXPECT_EQ(taken, 2U);
}

TEST_F(LimitGroups, ADropWakesTheOthersOfItsGroup) {
  share(1);
  EXPECT_EQ(take(1), 1U);
  wait(2, 2);
  d().remove_queue(ref_of(1));
  EXPECT_EQ(platform().take_woken(), Woken{2});
}

TEST_F(LimitGroups, TokensWakeQueuesInTurn) {
  for (QueueId queue = 1; queue <= 3; queue++) limit(queue, shared_tokens("partner", 10, 1));
  for (Index waiter = 1; waiter <= 3; waiter++) wait(waiter, static_cast<QueueId>(waiter));
  std::vector<Index> order;
  for (int i = 0; i < 6; i++) {
    platform().advance(100 * kMillisecond);
    d().wake_idle(database_);
    const std::vector<Index> woken = platform().take_woken();
    ASSERT_EQ(woken.size(), 1U) << i;
    order.push_back(woken[0]);
    ASSERT_EQ(claim_woken(woken[0], static_cast<QueueId>(woken[0])), 1U);
    wait(woken[0], static_cast<QueueId>(woken[0]));
  }
  EXPECT_EQ(order, (std::vector<Index>{1, 2, 3, 1, 2, 3}));
}

/* A place comes back while a waiter of another queue is about to lie down: either it sees the
 * place, or whoever brings it sees the waiter. */
TEST_F(LimitGroups, NoWakeIsLostWhileAWaiterLiesDown) {
  for (std::uint32_t moment = 0; moment < 40; moment++) {
    SetUp();
    share(1);
    const ClaimedJob job = claim_one(1);
    std::uint32_t seen = 0;
    bool done = false;
    const auto act = [&](std::uint32_t) {
      if (done || seen++ != moment) return;
      done = true;
      decide(job, Decision::finish);
    };
    platform().on_locking = act;
    platform().on_unlocked = act;
    const bool sleeps = wait(2, 2);
    platform().on_locking = nullptr;
    platform().on_unlocked = nullptr;
    if (!done) decide(job, Decision::finish);
    EXPECT_TRUE(!sleeps || d().woken(2)) << "moment " << moment;
    EXPECT_EQ(claim_woken(2, 2), 1U);
  }
}

}  // namespace
}  // namespace dw::test
