/* The sweep of leases that ran out. */
#include "log_fixture.hpp"

namespace dw::test {
namespace {

using Call = FakeStore::Call;

class Sweep : public LogTest {
 protected:
  void SetUp() override {
    QueueOptions options;
    options.lease = 10 * kSecond;
    options.max_attempts = 2;
    begin(256, LoadMode::live, options);
  }
  ClaimedJob claim_new(JobId id) {
    enqueue(id);
    return claim_one(1);
  }
  void expire() { platform().advance(10 * kSecond); }
};

TEST_F(Sweep, LeavesALeaseBeforeItsDeadlineAlone) {
  claim_new(1);
  platform().advance(10 * kSecond - 1);
  EXPECT_FALSE(sweeper().step());
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Sweep, GivesAJobBackWhoseLeaseRanOut) {
  const ClaimedJob job = claim_new(1);
  expire();
  sweep();
  EXPECT_EQ(state_of(1), EntryState::ready);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::stale);
  EXPECT_EQ(claim_one(1).attempt, 2);
  EXPECT_EQ(logged(1).row.attempts, 1);
  EXPECT_EQ(figures(1).counters.expired, 1U);
}

TEST_F(Sweep, MakesADeadLetterOfTheLastAttempt) {
  claim_new(1);
  expire();
  sweep();
  claim_one(1);
  expire();
  sweep();
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_TRUE(logged(1).finished);
  EXPECT_EQ(figures(1).counters.dead_lettered, 1U);
}

TEST_F(Sweep, WakesWhoWaitsForTheJobWhenItIsADeadLetterAndNotBefore) {
  claim_new(1);
  d().await_begin(3, database_, 1);
  expire();
  sweep();
  EXPECT_FALSE(d().awaited_ended(3));
  claim_one(1);
  expire();
  sweep();
  EXPECT_TRUE(d().awaited_ended(3));
  d().await_end(3);
}

TEST_F(Sweep, FollowsTheMonotonicClockOnly) {
  claim_new(1);
  platform().wall += 86400 * kSecond;
  sweep();
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Sweep, TurnsEveryCallStaleWhileItWrites) {
  const ClaimedJob job = claim_new(1);
  expire();
  store().on_call = [&](Call call) {
    if (call == Call::committed) return;
    Decided decided{};
    Verdict verdict = Verdict::ok;
    EXPECT_EQ(d().begin_decision(database_, 1, job.token, &decided), Verdict::stale);
    d().extend(database_, 1, job.token, kMinute, &verdict);
    EXPECT_EQ(verdict, Verdict::stale);
    EXPECT_EQ(d().begin_cancel(database_, 1, 0, &decided), Verdict::in_doubt);
    LeaseRow row{};
    HeartbeatState state = HeartbeatState::leased;
    EXPECT_TRUE(d().heartbeat(job.ref, d().find_worker(database_, "worker", 0), 0, &row, &state));
    EXPECT_EQ(state, HeartbeatState::lost);
  };
  sweep();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Sweep, DoesNotUndoARenewalThatCameBefore) {
  const ClaimedJob job = claim_new(1);
  expire();
  Verdict verdict = Verdict::stale;
  d().extend(database_, 1, job.token, kMinute, &verdict);
  ASSERT_EQ(verdict, Verdict::ok);
  sweep();
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Sweep, LeavesAJobThatAnOpenTransactionDecides) {
  const ClaimedJob job = claim_new(1);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, 1, job.token, &decided), Verdict::ok);
  expire();
  sweep();
  EXPECT_EQ(state_of(1), EntryState::completing);
  d().abort_decision(decided.ref, decided.token, decided.before);
  sweep();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Sweep, GivesTheLeaseBackWhenItsTransactionFails) {
  const ClaimedJob job = claim_new(1);
  enqueue(2);
  const ClaimedJob other = claim_one(1);
  expire();
  store().on_call = [](Call call) {
    if (call == Call::written) throw StoreError();
  };
  EXPECT_THROW(sweep(), StoreError);
  store().abort();
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
  EXPECT_EQ(decide(other, Decision::finish), Verdict::ok);
}

TEST_F(Sweep, OfOneBadJobDoesNotStopTheOthers) {
  for (JobId id = 1; id <= 30; id++) enqueue(id);
  ASSERT_EQ(claim(1, 30).size(), 30U);
  expire();
  store().on_expiry = [](const Expiry& expiry) {
    if (expiry.id == 17) throw StoreError();
  };
  for (int i = 0; i < 200; i++) {
    try {
      sweeper().step();
    } catch (const StoreError&) {
      store().abort();
    }
    platform().advance(100 * kMillisecond);
  }
  EXPECT_EQ(figures(1).counters.expired, 29U);
  EXPECT_EQ(state_of(17), EntryState::leased);
  /* Mended, it goes too. */
  store().on_expiry = nullptr;
  platform().advance(kMinute);
  sweep();
  EXPECT_EQ(figures(1).counters.expired, 30U);
}

TEST_F(Sweep, WritesAHundredLeasesInATransaction) {
  for (JobId id = 1; id <= 250; id++) enqueue(id);
  ASSERT_EQ(claim(1, 250).size(), 250U);
  expire();
  int transactions = 0;
  store().on_call = [&](Call call) { transactions += call == Call::before_commit ? 1 : 0; };
  sweep();
  EXPECT_EQ(transactions, 3);
  EXPECT_EQ(figures(1).counters.expired, 250U);
}

TEST_F(Sweep, TakesAVoidLeaseAtOnceAndSaysWhy) {
  claim_new(1);
  expire();
  sweep();
  const ClaimedJob last = claim_one(1);
  d().roll_back_claim(last.ref, last.token);
  Expiry last_expiry{};
  store().on_expiry = [&](const Expiry& expiry) { last_expiry = expiry; };
  sweep();
  EXPECT_EQ(last_expiry.reason, Lapse::claim_rolled_back);
  EXPECT_EQ(last_expiry.outcome, OutcomeKind::dead_lettered);
  EXPECT_TRUE(logged(1).finished);
}

TEST_F(Sweep, FreesACancelledJobAtItsHoldersDeadline) {
  claim_new(1);
  Decided decided{};
  d().begin_cancel(database_, 1, 0, &decided);
  d().commit_decision(decided.ref, decided.token, Decision::cancel_held, OutcomeKind::cancelled, 0);
  sweep();
  EXPECT_EQ(state_of(1), EntryState::cancelled);
  expire();
  int written = 0;
  store().on_expiry = [&](const Expiry&) { written++; };
  sweep();
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_EQ(written, 0);
}

TEST_F(Sweep, WakesAWaiterForAJobGivenBack) {
  claim_new(1);
  const QueueRef queue = ref_of(1);
  d().wait_begin(0, &queue, 1);
  expire();
  sweep();
  EXPECT_EQ(platform().take_woken(), std::vector<Index>{0});
}

TEST_F(Sweep, OfAQueueThatIsRemovedMeanwhileHitsNoSuccessor) {
  claim_new(1);
  expire();
  store().on_call = [&](Call call) {
    if (call != Call::written) return;
    store().on_call = nullptr;
    d().remove_queue(ref_of(1));
    add_queue(2);
    put_many(2, 1, 256);
  };
  sweep();
  EXPECT_EQ(figures(2).ready, 256U);
}

TEST_F(Sweep, AJobThatDiesWhileAChunkRunsStaysAsATombstone) {
  claim_new(1);
  expire();
  sweep();
  claim_one(1);
  expire();
  slot(0).chunk_active = 1;
  sweep();
  EXPECT_EQ(figures(1).resident, 1U);
  EXPECT_EQ(state_of(1), EntryState::free);
}

TEST_F(Sweep, PlansForTheEarliestDeadline) {
  EXPECT_EQ(sweeper().next_deadline(), kNever);
  claim_new(1);
  platform().advance(kSecond);
  claim_new(2);
  EXPECT_EQ(sweeper().next_deadline(), platform().monotonic + 9 * kSecond);
}

TEST_F(Sweep, PlansNothingForAJobThatIsBeingDecided) {
  const ClaimedJob job = claim_new(1);
  Decided decided{};
  d().begin_decision(database_, 1, job.token, &decided);
  EXPECT_EQ(sweeper().next_deadline(), kNever);
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(sweeper().next_deadline(), platform().monotonic + 10 * kSecond);
}

TEST_F(Sweep, PlansForDueTimesBesideWaitersOnly) {
  enqueue(1, 1, platform().wall + kSecond / 2);
  EXPECT_EQ(sweeper().next_due(), kNever);
  const QueueRef queue = ref_of(1);
  d().wait_begin(0, &queue, 1);
  EXPECT_EQ(sweeper().next_due(), platform().wall + kSecond / 2);
}

TEST_F(Sweep, PlansForDueTimesWhenClientsListen) {
  enqueue(1, 1, platform().wall + kMinute);
  d().arena().databases[database_].announce_interval.store(kSecond);
  EXPECT_EQ(sweeper().next_due(), platform().wall + kMinute);
}

TEST_F(Sweep, PlansALookAtSleepersAndASoonerOneBesideWork) {
  const QueueRef queue = ref_of(1);
  d().wait_begin(0, &queue, 1);
  d().wait_begin(1, &queue, 1);
  EXPECT_EQ(sweeper().next_due(), platform().wall + kIdleRound);
  enqueue(1);
  EXPECT_EQ(sweeper().next_due(), platform().wall + kWakePatience);
}

TEST_F(Sweep, OfOtherDatabasesIsTheirOwn) {
  const Index other = d().attach_database(kOid + 1);
  Sweeper theirs(&d(), other, &store());
  claim_new(1);
  expire();
  EXPECT_FALSE(theirs.step());
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(theirs.next_deadline(), kNever);
}

}  // namespace
}  // namespace dw::test
