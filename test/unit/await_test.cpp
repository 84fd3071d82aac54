/* Waiting for the end of one job: every end wakes those who wait for it, and only them. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

using Woken = std::vector<Index>;

class Await : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    add_queue(1);
    put_many(1, 1, 3);
  }
  void await(Index waiter, JobId id) { d().await_begin(waiter, database_, id); }
  void TearDown() override {
    for (Index waiter = 0; waiter < 8; waiter++) d().await_end(waiter);
    EXPECT_EQ(mask(), 0U) << "a bit is left behind";
    ArenaTest::TearDown();
  }
  std::uint64_t mask() { return d().arena().databases[database_].awaited.load(); }
  Verdict end(const ClaimedJob& job, Decision decision, OutcomeKind outcome) {
    Decided decided{};
    const Verdict verdict = d().begin_decision(database_, job.id, job.token, &decided);
    d().commit_decision(decided.ref, decided.token, decision, outcome, platform().wall + kSecond);
    return verdict;
  }
};

TEST_F(Await, ACompletionWakesWhoWaitsForTheJob) {
  await(0, 1);
  await(1, 2);
  const ClaimedJob job = claim_one(1);
  EXPECT_FALSE(d().awaited_ended(0));
  end(job, Decision::finish, OutcomeKind::completed);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_TRUE(d().awaited_ended(0));
  EXPECT_FALSE(d().awaited_ended(1));
}

TEST_F(Await, OneThatBeganBeforeTheEndIsToldEvenIfItDidNotSleepYet) {
  const ClaimedJob job = claim_one(1);
  await(0, 1);
  end(job, Decision::finish, OutcomeKind::completed);
  EXPECT_TRUE(d().awaited_ended(0));
  d().await_again(0);
  EXPECT_FALSE(d().awaited_ended(0));
}

TEST_F(Await, ADeadLetterWakes) {
  await(0, 1);
  end(claim_one(1), Decision::finish, OutcomeKind::dead_lettered);
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(Await, ARetryOrAReleaseDoesNot) {
  await(0, 1);
  await(1, 2);
  end(claim_one(1), Decision::retry, OutcomeKind::attempt_failed);
  end(claim_one(1), Decision::put_back, OutcomeKind::rescheduled);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Await, AnOpenOrAbortedDecisionDoesNot) {
  await(0, 1);
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  EXPECT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::ok);
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Await, ACancelWakesWhetherTheJobWaitsOrIsHeld) {
  await(0, 1);
  await(1, 2);
  claim_one(1);
  for (const JobId id : {1, 2}) {
    Decided decided{};
    EXPECT_EQ(d().begin_cancel(database_, id, 1, &decided), Verdict::ok);
    d().commit_decision(decided.ref, decided.token,
                        id == 1 ? Decision::cancel_held : Decision::finish, OutcomeKind::cancelled,
                        0);
  }
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
}

TEST_F(Await, JobsWithTheSameBitAreToldApart) {
  put(row_of(1, 1 + kAwaitingLists));
  await(0, 1 + kAwaitingLists);
  await(1, 1);
  end(claim_one(1), Decision::finish, OutcomeKind::completed);
  EXPECT_EQ(platform().take_woken(), Woken{1});
  d().await_end(1);
  EXPECT_NE(mask(), 0U) << "the other one waits on";
}

TEST_F(Await, AnotherDatabaseIsNotMistaken) {
  const Index other = d().attach_database(kOid + 1);
  d().await_begin(0, other, 1);
  end(claim_one(1), Decision::finish, OutcomeKind::completed);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Await, ManyWaitForOneJob) {
  start(64, 200);
  add_queue(1);
  put_many(1, 1, 1);
  for (Index waiter = 0; waiter < 200; waiter++) await(waiter, 1);
  end(claim_one(1), Decision::finish, OutcomeKind::completed);
  EXPECT_EQ(platform().take_woken().size(), 200U);
  for (Index waiter = 0; waiter < 200; waiter++) {
    EXPECT_TRUE(d().awaited_ended(waiter));
    d().await_end(waiter);
  }
}

TEST_F(Await, TheEndOfAWaitTakesItOffTheList) {
  for (Index waiter = 0; waiter < 3; waiter++) await(waiter, 1);
  d().await_end(1);
  d().await_end(1);
  end(claim_one(1), Decision::finish, OutcomeKind::completed);
  EXPECT_EQ(platform().take_woken(), (Woken{2, 0}));
}

TEST_F(Await, TheLossOfAQueueWakesEverybodyToLookAgain) {
  await(0, 1);
  await(1, 40);
  d().remove_queue(ref_of(1));
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
}

TEST_F(Await, WithoutAnybodyWaitingNoLockIsTaken) {
  const ClaimedJob job = claim_one(1);
  bool taken = false;
  platform().on_locking = [&taken](std::uint32_t number) {
    taken = taken || number == kAwaitingLock;
  };
  end(job, Decision::finish, OutcomeKind::completed);
  EXPECT_FALSE(taken);
}

}  // namespace
}  // namespace dw::test
