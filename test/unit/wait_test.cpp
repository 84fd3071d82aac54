/* Sleeping for work: who is woken, who passes a wake on, that nobody is woken for what another is
 * about to take, and that nobody is forgotten. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

using Woken = std::vector<Index>;

class Wait : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    add_queue(1);
    add_queue(2);
    add_queue(3);
  }
  bool wait(Index waiter, std::vector<QueueId> queues) {
    std::vector<QueueRef> refs;
    for (const QueueId queue : queues) refs.push_back(ref_of(queue));
    return d().wait_begin(waiter, refs.data(), static_cast<std::uint32_t>(refs.size()));
  }
  /* The claim of a process that may have been woken, as the SQL function makes it. */
  std::size_t claim_as(Index waiter, std::vector<QueueId> queues, std::uint32_t n = 1) {
    std::size_t got = 0;
    std::vector<ClaimedJob> jobs(n + 1);
    for (const QueueId queue : queues) {
      if (got == n && n > 0) break;
      got += d().claim(ref_of(queue), worker(), 0, jobs.data(), n - static_cast<std::uint32_t>(got),
                       nullptr, waiter);
    }
    d().pass_wake_on(waiter);
    return got;
  }
  QueueCounters counters(QueueId queue) { return figures(queue).counters; }
  std::uint32_t owed(QueueId queue) { return slot(d().find_queue(database_, queue)).owed; }
  void put_delayed(QueueId queue, JobId id, Micros delay) {
    JobRow row = row_of(queue, id);
    row.due = platform().wall + delay;
    put(row);
  }
};

TEST_F(Wait, ForAnEmptyQueueSleeps) {
  EXPECT_TRUE(wait(0, {1}));
  EXPECT_FALSE(d().woken(0));
  EXPECT_EQ(figures(1).waiters, 1U);
}

TEST_F(Wait, ForAQueueWithWorkReturnsAtOnceAndRegistersNothing) {
  put(row_of(2, 1));
  EXPECT_FALSE(wait(0, {1, 2}));
  EXPECT_EQ(figures(1).waiters, 0U);
  EXPECT_EQ(figures(2).waiters, 0U);
}

TEST_F(Wait, ForAQueueWithAJobThatHasComeDueReturnsAtOnce) {
  put_delayed(1, 1, kSecond);
  platform().advance(kSecond);
  EXPECT_FALSE(wait(0, {1}));
}

TEST_F(Wait, ForAPausedQueueWithWorkSleepsUntilItIsResumed) {
  QueueOptions options;
  options.paused = true;
  d().set_queue_options(database_, 1, options);
  put(row_of(1, 1));
  EXPECT_TRUE(wait(0, {1}));
  options.paused = false;
  d().set_queue_options(database_, 1, options);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, InADatabaseThatStartsPausedSleepsUntilThatIsOver) {
  d().detach_database(database_);
  database_ = d().attach_database(kOid);
  d().pause_database(database_);
  d().open_database(database_, 5);
  add_queue(1);
  put(row_of(1, 1));
  EXPECT_TRUE(claim(1, 1).empty());
  EXPECT_TRUE(wait(0, {1}));
  put(row_of(1, 2));
  EXPECT_TRUE(platform().take_woken().empty());
  d().unpause_database(database_);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim(1, 1).size(), 1U);
}

TEST_F(Wait, EndsWithACommit) {
  wait(0, {1});
  put(row_of(1, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_TRUE(d().woken(0));
}

TEST_F(Wait, IsNotEndedByACommitToAnotherQueue) {
  wait(0, {1});
  put(row_of(2, 1));
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, IsNotEndedByAJobDueLater) {
  wait(0, {1});
  put_delayed(1, 1, kSecond);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, IsNotEndedByAnAbort) {
  wait(0, {1});
  const EntryRef reference = link(row_of(1, 1));
  d().unlink_pending(ref_of(1), &reference, 1);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, OneJobWakesOneWaiterTheLongestWaitingFirst) {
  for (Index waiter = 0; waiter < 3; waiter++) wait(waiter, {1});
  put(row_of(1, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  put(row_of(1, 2));
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(Wait, ManyJobsWakeAsManyWaiters) {
  for (Index waiter = 0; waiter < 5; waiter++) wait(waiter, {1});
  put_many(1, 1, 3);
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1, 2}));
}

TEST_F(Wait, AWaiterOnSeveralQueuesIsWokenOnce) {
  wait(0, {1, 2, 3});
  put(row_of(1, 1));
  put(row_of(2, 2));
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, AWaiterThatIsAwakeDoesNotTakeTheNextJobsWake) {
  wait(0, {1, 2});
  wait(1, {2});
  put(row_of(1, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  put(row_of(2, 2));
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(Wait, TheEndTakesTheWaiterOffEveryList) {
  wait(0, {1, 2, 3});
  d().wait_end(0);
  for (QueueId queue = 1; queue <= 3; queue++) EXPECT_EQ(figures(queue).waiters, 0U);
  put(row_of(1, 1));
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, TheEndLeavesTheOthersInTheirOrder) {
  for (Index waiter = 0; waiter < 4; waiter++) wait(waiter, {1});
  d().wait_end(1);
  put_many(1, 1, 4);
  EXPECT_EQ(platform().take_woken(), (Woken{0, 2, 3}));
}

TEST_F(Wait, TheEndTwiceIsHarmless) {
  wait(0, {1});
  d().wait_end(0);
  d().wait_end(0);
  EXPECT_EQ(figures(1).waiters, 0U);
}

TEST_F(Wait, WhoLeavesWithoutTakingPassesTheWakeOn) {
  wait(0, {1});
  wait(1, {1});
  put(row_of(1, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(Wait, WhoLeavesWithoutHavingBeenWokenPassesNothingOn) {
  wait(0, {1});
  wait(1, {2});
  put(row_of(2, 1));
  platform().take_woken();
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, NothingIsPassedOnWhenTheJobWasTaken) {
  wait(0, {1});
  wait(1, {1});
  put(row_of(1, 1));
  platform().take_woken();
  claim_one(1);
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, AWakeIsPassedOnOnlyOnce) {
  for (Index waiter = 0; waiter < 3; waiter++) wait(waiter, {1});
  put(row_of(1, 1));
  platform().take_woken();
  d().wait_end(0);
  d().pass_wake_on(0);
  d().pass_wake_on(0);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(Wait, AWakeIsSettledByTheClaimAndNotPassedOn) {
  wait(0, {1});
  wait(1, {1});
  put(row_of(1, 1));
  platform().take_woken();
  d().wait_end(0);
  EXPECT_EQ(owed(1), 1U);
  EXPECT_EQ(claim_as(0, {1}), 1U);
  EXPECT_EQ(owed(1), 0U);
  EXPECT_TRUE(platform().take_woken().empty());
}

/* The herd: each claim finds the next job behind its own, for which somebody is awake already. */
TEST_F(Wait, NobodyIsWokenForAJobThatAnotherIsAboutToClaim) {
  for (Index waiter = 0; waiter < 6; waiter++) wait(waiter, {1});
  for (JobId job = 1; job <= 3; job++) put(row_of(1, job));
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1, 2}));
  for (Index waiter = 0; waiter < 3; waiter++) {
    d().wait_end(waiter);
    EXPECT_EQ(claim_as(waiter, {1}), 1U);
  }
  EXPECT_TRUE(platform().take_woken().empty());
  EXPECT_EQ(counters(1).woken, 3U);
  EXPECT_EQ(counters(1).woken_in_vain, 0U);
}

TEST_F(Wait, AClaimThatLeavesWorkBehindWakesTheNext) {
  wait(0, {1});
  wait(1, {1});
  put_delayed(1, 1, kSecond);
  put_delayed(1, 2, kSecond);
  platform().advance(kSecond);
  EXPECT_EQ(claim(1, 1).size(), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, SoManyJobsAtOnceThatTheyWakeOneAnother) {
  start(256, 128);
  add_queue(1);
  for (Index waiter = 0; waiter < 100; waiter++) wait(waiter, {1});
  put_many(1, 1, 90);
  Woken awake = platform().take_woken();
  for (std::size_t i = 0; i < awake.size(); i++) {
    d().wait_end(awake[i]);
    EXPECT_EQ(claim_as(awake[i], {1}), 1U);
    for (const Index next : platform().take_woken()) awake.push_back(next);
  }
  EXPECT_EQ(awake.size(), 90U);
  EXPECT_EQ(counters(1).woken, 90U);
  EXPECT_EQ(counters(1).woken_in_vain, 0U);
}

TEST_F(Wait, WhoIsWokenForOneQueueAndServedByAnotherPassesTheWakeOn) {
  wait(0, {1, 2});
  wait(1, {2});
  put(row_of(2, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  d().wait_end(0);
  put(row_of(1, 2));
  EXPECT_EQ(claim_as(0, {1, 2}), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(counters(2).woken_in_vain, 1U);
}

TEST_F(Wait, WhoWaitsAgainWithoutAClaimPassesTheWakeOn) {
  wait(0, {1});
  wait(1, {1});
  put(row_of(1, 1));
  platform().take_woken();
  d().wait_end(0);
  EXPECT_TRUE(wait(0, {2}));
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(owed(1), 1U);
}

TEST_F(Wait, WhoseJobWasTakenKeepsItsPlace) {
  for (Index waiter = 0; waiter < 3; waiter++) wait(waiter, {1});
  put(row_of(1, 1));
  put(row_of(1, 2));
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
  EXPECT_EQ(claim(1, 2).size(), 2U);
  for (const Index waiter : {1U, 0U}) {
    d().wait_end(waiter);
    EXPECT_EQ(claim_as(waiter, {1}), 0U);
    EXPECT_TRUE(wait(waiter, {1}));
  }
  EXPECT_EQ(counters(1).woken_in_vain, 2U);
  put_many(1, 3, 5);
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1, 2}));
}

TEST_F(Wait, WhoKeepsAPlaceKeepsItInThatQueueOnly) {
  wait(0, {1});
  wait(1, {2});
  put(row_of(1, 1));
  platform().take_woken();
  claim(1);
  d().wait_end(0);
  EXPECT_EQ(claim_as(0, {1}), 0U);
  wait(0, {2});
  put(row_of(2, 2));
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

/* It could not have the job: others can, and it must not stand in front of them. */
TEST_F(Wait, WhoFindsNothingWhileThereIsSomethingGoesToTheEnd) {
  wait(0, {1});
  wait(1, {1});
  wait(2, {1});
  put(row_of(1, 1));
  platform().take_woken();
  d().wait_end(0);
  EXPECT_EQ(claim_as(0, {1}, 0), 0U);
  EXPECT_EQ(platform().take_woken(), Woken{1});
  d().wait_end(1);
  EXPECT_EQ(claim_as(1, {1}), 1U);
  EXPECT_TRUE(wait(0, {1}));
  put(row_of(1, 2));
  EXPECT_EQ(platform().take_woken(), Woken{2});
}

TEST_F(Wait, WhoTookAJobGoesToTheEnd) {
  wait(0, {1});
  wait(1, {1});
  put(row_of(1, 1));
  platform().take_woken();
  d().wait_end(0);
  claim_as(0, {1});
  wait(0, {1});
  put_many(1, 2, 3);
  EXPECT_EQ(platform().take_woken(), (Woken{1, 0}));
}

TEST_F(Wait, ACancelledJobLeavesItsWakeToTheNextJob) {
  wait(0, {1});
  wait(1, {1});
  put(row_of(1, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 1, 0, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
  put(row_of(1, 2));
  EXPECT_TRUE(platform().take_woken().empty()) << "one is awake for it";
  d().wait_end(0);
  EXPECT_EQ(claim_as(0, {1}), 1U);
}

TEST_F(Wait, WhoDoesNotComeForfeitsItsWakeToAnother) {
  wait(0, {1});
  wait(1, {1});
  wait(2, {1});
  put(row_of(1, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_FALSE(d().wake_idle(database_)) << "it has just been woken";
  platform().advance(kWakePatience + 1);
  EXPECT_TRUE(d().wake_idle(database_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_TRUE(d().woken(0)) << "it must not sleep on";
  EXPECT_EQ(owed(1), 1U);
  /* It comes after all, and first. */
  d().wait_end(0);
  EXPECT_EQ(claim_as(0, {1}), 1U);
  EXPECT_FALSE(d().woken(0));
  d().wait_end(1);
  EXPECT_EQ(claim_as(1, {1}), 0U);
  EXPECT_EQ(owed(1), 0U);
  EXPECT_EQ(counters(1).woken, 2U);
  EXPECT_EQ(counters(1).woken_in_vain, 2U);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Wait, NothingIsForfeitedWithoutWorkOrWithoutAnother) {
  wait(0, {1});
  put(row_of(1, 1));
  platform().take_woken();
  platform().advance(kWakePatience + 1);
  EXPECT_FALSE(d().wake_idle(database_)) << "nobody else sleeps";
  EXPECT_EQ(owed(1), 1U);
  claim(1);
  wait(1, {1});
  EXPECT_FALSE(d().wake_idle(database_)) << "the job is gone";
  EXPECT_EQ(owed(1), 1U);
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_EQ(owed(1), 0U);
}

TEST_F(Wait, WithSleepersTheHousekeeperLooksNowAndThen) {
  wait(0, {1});
  EXPECT_TRUE(platform().housekeeper_was_woken()) << "it did not plan to look";
  d().arena().databases[database_].planned_due.store(platform().wall + kIdleRound);
  wait(1, {1});
  EXPECT_FALSE(platform().housekeeper_was_woken()) << "it looks soon enough";
}

TEST_F(Wait, ARegistrationThatFindsWorkInALaterQueuePassesOnAWakeItGotMeanwhile) {
  put(row_of(2, 1));
  /* Queue 2 has work, and the waiter hangs on queue 1 already when a commit there wakes it. */
  bool done = false;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (done || lock != kFirstQueueLock + d().find_queue(database_, 1) || figures(1).waiters == 0)
      return;
    done = true;
    wait(1, {1});
    put(row_of(1, 2));
  };
  EXPECT_FALSE(wait(0, {1, 2}));
  platform().on_unlocked = nullptr;
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
}

TEST_F(Wait, ARetryThatIsDueAtOnceWakes) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  wait(0, {1});
  decide(job, Decision::retry, kAlways);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, ACancelThatRollsBackWakes) {
  put(row_of(1, 1));
  Decided decided{};
  d().begin_cancel(database_, 1, 0, &decided);
  wait(0, {1});
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, AClaimRolledBackWithoutAPauseWakes) {
  QueueOptions options;
  options.backoff_base = 0;
  d().set_queue_options(database_, 1, options);
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  wait(0, {1});
  d().roll_back_claim(job.ref, job.token);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, BesideADelayedJobWakesTheHousekeeperToPlanForIt) {
  put_delayed(1, 1, kSecond);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  wait(0, {1});
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Wait, ADelayedJobBesideAWaiterWakesTheHousekeeperIfItIsEarlierThanPlanned) {
  wait(0, {1});
  platform().woken_housekeepers.clear();
  d().arena().databases[database_].planned_due.store(platform().wall + 10 * kSecond);
  put_delayed(1, 1, 20 * kSecond);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  put_delayed(1, 2, 5 * kSecond);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Wait, TheHousekeeperWakesSleepersBesideDueWork) {
  put_delayed(1, 1, kSecond);
  wait(0, {1});
  wait(1, {1});
  EXPECT_FALSE(d().wake_idle(database_));
  platform().advance(kSecond);
  EXPECT_TRUE(d().wake_idle(database_));
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Wait, TheHousekeeperWakesNobodyOfAPausedQueue) {
  QueueOptions options;
  options.paused = true;
  d().set_queue_options(database_, 1, options);
  put(row_of(1, 1));
  wait(0, {1});
  EXPECT_FALSE(d().wake_idle(database_));
}

TEST_F(Wait, ForAQueueThatIsRemovedEnds) {
  wait(0, {1, 2});
  wait(1, {1});
  d().remove_queue(ref_of(1));
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
  EXPECT_EQ(figures(2).waiters, 1U);
  d().wait_end(0);
  EXPECT_EQ(figures(2).waiters, 0U);
}

TEST_F(Wait, AWakeOfAQueueThatIsGoneIsNotPassedOnToItsSuccessor) {
  wait(0, {1});
  put(row_of(1, 1));
  platform().take_woken();
  d().remove_queue(ref_of(1));
  QueueOptions options;
  options.paused = true;
  const Index successor = add_queue(7, options);
  put(row_of(7, 2));
  wait(1, {7});
  slot(successor).options.paused = false;
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_TRUE(platform().take_woken().empty());
}

/* Somebody drops one of them between the look-up and the sleep. */
TEST_F(Wait, ForAQueueThatWasRemovedBeforeReturnsAtOnceAndRegistersNothing) {
  const QueueRef refs[] = {ref_of(1), ref_of(2), ref_of(3)};
  d().remove_queue(refs[1]);
  EXPECT_FALSE(d().wait_begin(0, refs, 3));
  EXPECT_EQ(figures(1).waiters, 0U);
  EXPECT_EQ(slot(refs[1].queue).waiter_count, 0U);
  EXPECT_EQ(figures(3).waiters, 0U);
}

TEST_F(Wait, SixtyFourQueuesFitOneWaiter) {
  start(64);
  std::vector<QueueId> queues;
  for (QueueId queue = 1; queue <= static_cast<QueueId>(kMostWaitedQueues); queue++) {
    add_queue(queue);
    queues.push_back(queue);
  }
  EXPECT_TRUE(wait(0, queues));
  put(row_of(kMostWaitedQueues, 1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  d().wait_end(0);
}

TEST_F(Wait, WorkThatFindsNoRoomBelowItsShareWakesTheHousekeeperEachTime) {
  /* Queue 1 fills the arena and is paused; queue 2 has a right to room, and a sleeper. */
  start(64);
  add_queue(1);
  put_many(1, 1, 64);
  QueueOptions options;
  options.paused = true;
  d().set_queue_options(database_, 1, options);
  add_queue(2);
  wait(0, {2});
  platform().woken_housekeepers.clear();
  put(row_of(2, 100));
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

}  // namespace
}  // namespace dw::test
