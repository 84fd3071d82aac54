/* One job of a key after the other. */
#include "order_fixture.hpp"

#include <algorithm>
#include <map>

namespace dw::test {
namespace {

TEST_F(Order, OneJobOfAKeyAtATimeInTheOrderOfTheirIds) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  enqueue_keyed(3, kB);
  enqueue_keyed(4, kA);
  std::vector<ClaimedJob> jobs = claim(1, 50);
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0].id, 1);
  EXPECT_EQ(jobs[1].id, 3);
  EXPECT_EQ(figures(1).blocked, 2U);
  EXPECT_EQ(complete(jobs[1]), Verdict::ok);
  EXPECT_TRUE(claim_all().empty());
  EXPECT_EQ(complete(jobs[0]), Verdict::ok);
  const ClaimedJob second = claim_one(1);
  EXPECT_EQ(second.id, 2);
  EXPECT_TRUE(claim_all().empty());
  EXPECT_EQ(complete(second), Verdict::ok);
  EXPECT_EQ(claim_all(), std::vector<JobId>({4}));
}

/* It had no entry, as when its session met a queue that was far from the tail, and is due too late
 * to be looked for by its time. */
TEST_F(Order, ASleeperThatCommitsBetweenTheStepsOfAChunkIsFound) {
  int reached = 0;
  for (int at = 1; at <= 12; at++) {
    begin(64, LoadMode::live, options());
    load();
    const JobRow on_disk = log_keyed(1, kA);
    d().mark_dirty(database_, 1, 0, on_disk.block);
    int seen = 0;
    platform().on_unlocked = [&](std::uint32_t lock) {
      if (lock < kFirstQueueLock || ++seen != at) return;
      JobRow row = keyed(2, kA, platform().wall + 120 * kMinute);
      const Xid xid = log().begin();
      log().park_job(xid, kClient, 1, &row);
      log().commit(xid);
      publish(row, EntryRef{kNone, 0});
    };
    load();
    platform().on_unlocked = nullptr;
    if (seen < at) break;
    reached++;
    platform().advance(180 * kMinute);
    EXPECT_EQ(drain(), range(1, 2)) << "after lock " << at;
  }
  EXPECT_GT(reached, 3);
}

TEST_F(Order, JobsWithoutAKeyWaitForNobody) {
  enqueue(1);
  enqueue(2);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1, 2}));
}

TEST_F(Order, PriorityDecidesAmongKeysAndNotWithinOne) {
  JobRow urgent = keyed(3, kA);
  urgent.priority = 0;
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kB);
  put(urgent);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1, 2}));
}

TEST_F(Order, ADelayedJobHoldsItsKeyUp) {
  enqueue_keyed(1, kA, platform().wall + kMinute);
  enqueue_keyed(2, kA);
  EXPECT_TRUE(claim_all().empty());
  platform().advance(kMinute);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

TEST_F(Order, ARetryARefundAReleaseAndADeferralKeepThePlace) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  const auto comes_next = [this](const char* after) {
    const ClaimedJob job = claim_one(1);
    EXPECT_EQ(job.id, 1) << after;
    EXPECT_EQ(job.attempt, 2) << after;
    EXPECT_TRUE(claim_all().empty()) << after;
    return job;
  };
  EXPECT_EQ(decide(claim_one(1), Decision::retry, platform().wall + kMinute), Verdict::ok);
  EXPECT_TRUE(claim_all().empty());
  platform().advance(kMinute);
  ClaimedJob job = comes_next("a retry");
  d().refund_claim(job.ref, job.token);
  EXPECT_TRUE(claim_all().empty()) << "there is a pause after a failed statement";
  platform().advance(kMinute);
  job = comes_next("a refund");
  EXPECT_EQ(decide(job, Decision::put_back, platform().wall), Verdict::ok);
  job = comes_next("a release");
  EXPECT_EQ(decide(job, Decision::put_back, platform().wall + kMinute), Verdict::ok);
  EXPECT_TRUE(claim_all().empty()) << "it is deferred";
  platform().advance(kMinute);
  EXPECT_EQ(complete(comes_next("a deferral")), Verdict::ok);
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(Order, AClaimThatIsRolledBackKeepsThePlace) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  EXPECT_TRUE(claim_all().empty());
  platform().advance(kMinute);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

TEST_F(Order, AnExpiredLeaseKeepsThePlace) {
  const JobRow row = enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  claim_one(1);
  platform().advance(2 * kMinute);
  sweep();
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
  platform().advance(2 * kMinute);
  sweep(); /* its attempts are used up */
  EXPECT_TRUE(logged(row.id).finished);
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(Order, AWorkerThatWaitsIsWokenForTheNextOfTheKey) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  const ClaimedJob job = claim_one(1);
  const QueueRef queue = ref_of(1);
  ASSERT_TRUE(d().wait_begin(0, &queue, 1));
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_TRUE(d().woken(0));
  d().wait_end(0);
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(Order, AJobWithoutAKeyThatIsReadFromTheLogWakesASleeper) {
  const QueueRef queue = ref_of(1);
  ASSERT_TRUE(d().wait_begin(0, &queue, 1));
  const JobRow row = log_keyed(1, 0);
  d().mark_dirty(database_, 1, row.segment, row.block);
  load();
  EXPECT_TRUE(d().woken(0));
  EXPECT_EQ(claim_all(), (std::vector<JobId>{1}));
}

TEST_F(Order, OneThatIsAboutToCommitIsNotPassed) {
  const JobRow first = keyed(1, kA);
  const EntryRef reference = link(first);
  enqueue_keyed(2, kA);
  EXPECT_TRUE(claim_all().empty());
  publish(first, reference);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

TEST_F(Order, OneThatRollsBackLetsTheNextPass) {
  const JobRow first = keyed(1, kA);
  const EntryRef reference = link(first);
  enqueue_keyed(2, kA);
  d().unlink_pending(ref_of(1), &reference, 1);
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(Order, ALowerIdTakesTheTurnOverFromOneThatNobodyWorksOn) {
  enqueue_keyed(2, kA);
  enqueue_keyed(1, kA);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

TEST_F(Order, ALowerIdFollowsTheOneThatIsBeingWorkedOn) {
  enqueue_keyed(2, kA);
  const ClaimedJob job = claim_one(1);
  enqueue_keyed(3, kA);
  enqueue_keyed(1, kA);
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

TEST_F(Order, OneThatIsBeingCancelledIsNotPassedUntilThatIsCertain) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  enqueue_keyed(3, kA);
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 2, 1, &decided), Verdict::ok);
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_TRUE(claim_all().empty());
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(Order, OneThatWasCancelledIsPassed) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  enqueue_keyed(3, kA);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 2, 1, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
  EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
  EXPECT_EQ(claim_all(), std::vector<JobId>({3}));
}

TEST_F(Order, AJobThatWaitsForItsTurnExpires) {
  enqueue_keyed(1, kA);
  JobRow row = keyed(2, kA);
  row.expires_at = expiry_seconds(platform().wall + kSecond);
  put(row);
  enqueue_keyed(3, kA);
  const ClaimedJob job = claim_one(1);
  platform().advance(10 * kSecond);
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_TRUE(claim_all().empty()); /* its end is still to be written */
  EXPECT_EQ(state_of(2), EntryState::overdue);
}

/* --- what is on disk ----------------------------------------------------------------------------
 */

TEST_F(Order, IsKeptOverARestart) {
  for (JobId id = 1; id <= 9; id++) enqueue_keyed(id, static_cast<std::uint32_t>(id % 3 + 1));
  claim(1, 3);
  restart();
  load();
  for (JobId id = 1; id <= 9; id += 3) {
    const std::vector<ClaimedJob> jobs = claim(1, 50);
    ASSERT_EQ(jobs.size(), 3U);
    for (const ClaimedJob& job : jobs) {
      EXPECT_LT(job.id, id + 3);
      EXPECT_EQ(complete(job), Verdict::ok);
    }
  }
}

/* Whoever decides it has not read its row yet, or gives up. */
TEST_F(Order, OneOnDiskThatIsBeingDecidedIsNotPassed) {
  log_keyed(1, kA);
  log_keyed(2, kA);
  restart();
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 1, &busy), Verdict::ok);
  load();
  EXPECT_TRUE(claim_all().empty());
  d().drop_placeholder(busy);
  platform().advance(kSecond);
  load();
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

/* A writer that was idle goes on with its page, which is read before those of the others. */
TEST_F(Order, ALateJobOnAnEarlyPageComesAfterAnEarlyOneOnALatePage) {
  constexpr std::uint32_t kIdle = 2;
  log_keyed(1, kB, kIdle);
  for (JobId id = 2; id <= 4; id++) log_keyed(id, 100, kIdle);
  log_keyed(5, kB, kIdle); /* a page of its own from here on */
  for (JobId id = 6; id <= 20; id++) log_keyed(id, static_cast<std::uint32_t>(100 + id));
  log_keyed(21, kA);
  log_keyed(22, kA, kIdle);
  ASSERT_LT(log().job_pages(0).at(1).back().row.id, 23);
  restart();
  key_blocks().step();
  std::vector<JobId> order;
  for (int chunk = 0; chunk < 30; chunk++) {
    loader().step(0);
    for (const ClaimedJob& job : claim(1, 50)) {
      order.push_back(job.id);
      EXPECT_EQ(complete(job), Verdict::ok);
    }
  }
  const auto early = std::find(order.begin(), order.end(), 21);
  const auto late = std::find(order.begin(), order.end(), 22);
  EXPECT_LT(early, late);
  EXPECT_NE(late, order.end());
}

/* While the loader is on its way a commit may be of a key whose earlier job is still on disk. */
TEST_F(Order, WhatCommitsWhileTheLoaderReadsWaitsForWhatItHasNotRead) {
  for (JobId id = 1; id <= 12; id++) log_keyed(id, static_cast<std::uint32_t>(100 + id));
  log_keyed(13, kA);
  restart();
  key_blocks().step();
  bool done = false;
  store().on_call = [&](Call call) {
    if (call != Call::scan_jobs || done) return;
    done = true;
    enqueue_keyed(14, kA, kAlways, 3);
    EXPECT_TRUE(claim_all().empty());
  };
  loader().step(kMinute);
  store().on_call = nullptr;
  load();
  std::vector<JobId> order = claim_all();
  EXPECT_EQ(order.back(), 13);
  EXPECT_EQ(q().mode, LoadMode::live);
}

TEST_F(Order, ABacklogDeeperThanMemoryIsHandedOutInTheOrderOfEachKey) {
  begin(16, LoadMode::live, options());
  for (JobId id = 1; id <= 200; id++)
    log_keyed(id, static_cast<std::uint32_t>(id % 7 + 1), static_cast<std::uint32_t>(id % 5));
  restart();
  std::map<std::uint32_t, JobId> last;
  std::size_t seen = 0;
  for (int idle = 0; idle < 20 && seen < 200; idle++) {
    load();
    for (const ClaimedJob& job : claim(1, 3)) {
      JobId& before = last[entry(job.ref).key_hash];
      EXPECT_GT(job.id, before);
      before = job.id;
      EXPECT_EQ(complete(job), Verdict::ok);
      seen++;
      idle = -1;
    }
  }
  EXPECT_EQ(seen, 200U);
}

/* What memory has no room for is on disk, and what comes later must not pass it. */
TEST_F(Order, ACommitThatFindsNoRoomIsNotPassed) {
  begin(16, LoadMode::live, options());
  for (JobId id = 1; id <= 40; id++) enqueue_keyed(id, static_cast<std::uint32_t>(id % 4 + 1));
  std::map<std::uint32_t, JobId> last;
  std::size_t seen = 0;
  JobId next = 41;
  for (int idle = 0; idle < 20 && seen < 80; idle++) {
    for (const ClaimedJob& job : claim(1, 2)) {
      JobId& before = last[entry(job.ref).key_hash];
      EXPECT_GT(job.id, before);
      before = job.id;
      EXPECT_EQ(complete(job), Verdict::ok);
      seen++;
      idle = -1;
    }
    if (next <= 80) {
      enqueue_keyed(next, static_cast<std::uint32_t>(next % 4 + 1));
      next++;
    }
    load();
  }
  EXPECT_EQ(seen, 80U);
}

TEST_F(Order, AnEvictedJobIsNotPassed) {
  begin(32, LoadMode::live, options());
  for (JobId id = 1; id <= 8; id++) enqueue_keyed(id, kA);
  d().forget_waiting(database_);
  enqueue_keyed(9, kA);
  EXPECT_TRUE(claim_all().empty());
  load();
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

TEST_F(Order, AChunkThatFailsLosesNothing) {
  for (JobId id = 1; id <= 9; id++) log_keyed(id, kA);
  restart();
  key_blocks().step();
  int pages = 0;
  store().on_call = [&pages](Call call) {
    if (call == Call::scan_jobs && ++pages == 2) throw StoreError();
  };
  EXPECT_THROW(loader().step(kMinute), StoreError);
  store().on_call = nullptr;
  store().abort();
  EXPECT_TRUE(claim_all().empty());
  load();
  EXPECT_EQ(drain(), range(1, 9));
}

/* --- many that wait -----------------------------------------------------------------------------
 */

class CrowdedKeys : public Order {
 protected:
  static constexpr std::uint32_t kBlockedKeys = 3000;
  static constexpr JobId kBehindOne = 3000;

  void SetUp() override { begin(16384, LoadMode::live, options(OnExhausted::hold)); }
  /* How often a claim of one job, its completion and the enqueue of the next take a lock. */
  std::size_t locks_of_a_job() {
    std::size_t locks = 0;
    platform().on_locking = [&locks](std::uint32_t) { locks++; };
    decide(claim_one(1), Decision::finish);
    put(keyed(next_, static_cast<std::uint32_t>(next_)));
    platform().on_locking = nullptr;
    next_++;
    return locks;
  }

  JobId next_ = 1'000'000;
};

/* What the loader has read gets its turns in steps. */
TEST_F(CrowdedKeys, ACommitBetweenTwoStepsOfTheFrontierPassesNobody) {
  constexpr JobId kLast = kEntriesPerHold + 100;
  load();
  for (JobId id = 1; id < kLast; id++) log_keyed(id, static_cast<std::uint32_t>(100 + id));
  log_keyed(kLast, kA);
  d().mark_dirty(database_, 1, 0, 0);
  for (std::uint32_t block = 1; block < log().job_pages(0).size(); block++)
    d().mark_dirty(database_, 1, 0, block);
  std::vector<JobId> early;
  once_at(Call::committed, [this, &early] {
    platform().on_unlocked = [this, &early](std::uint32_t lock) {
      if (lock < kFirstQueueLock || figures(1).ready == 0) return;
      platform().on_unlocked = nullptr;
      enqueue_keyed(kLast + 1, kA);
      early = claim_all(5000);
    };
  });
  load();
  EXPECT_EQ(early.size(), kEntriesPerHold);
  EXPECT_EQ(std::count(early.begin(), early.end(), kLast + 1), 0);
  const std::vector<JobId> late = claim_all(5000);
  EXPECT_EQ(std::count(late.begin(), late.end(), kLast), 1);
  EXPECT_EQ(std::count(late.begin(), late.end(), kLast + 1), 0);
}

TEST_F(CrowdedKeys, DoNotHoldUpOthers) {
  put(keyed(1, 1));
  const std::size_t alone = locks_of_a_job();
  EXPECT_EQ(locks_of_a_job(), alone);
  const ClaimedJob waits = claim_one(1);
  for (std::uint32_t i = 0; i < kBlockedKeys; i++) {
    const std::uint32_t key = 2000 + i;
    put(keyed(10 * i + 10, key));
    put(keyed(10 * i + 11, key));
    decide(claim_one(1), Decision::block);
  }
  for (JobId id = 1; id <= kBehindOne; id++) put(keyed(500'000 + id, 7));
  const ClaimedJob busy = claim_one(1);
  EXPECT_EQ(busy.id, 500'001);
  decide(waits, Decision::finish);
  put(keyed(next_, static_cast<std::uint32_t>(next_)));
  next_++;
  EXPECT_EQ(figures(1).blocked_keys, kBlockedKeys);
  EXPECT_EQ(figures(1).blocked, kBlockedKeys + kBehindOne - 1);
  EXPECT_EQ(figures(1).ready, 1U);
  for (int i = 0; i < 5; i++) EXPECT_EQ(locks_of_a_job(), alone);
  /* Nor those of the key itself. */
  decide(busy, Decision::finish);
  EXPECT_EQ(claim_one(1).id, 500'002);
}

/* --- fairness -----------------------------------------------------------------------------------
 */

class Fairness : public Order {
 protected:
  void SetUp() override {
    QueueOptions options;
    options.fair = true;
    begin(256, LoadMode::live, options);
  }
};

TEST_F(Fairness, ABurstDelaysTheJobOfAnotherKeyByOneRound) {
  for (JobId id = 1; id <= 100; id++) enqueue_keyed(id, kA);
  EXPECT_EQ(claim_ids(1, 2), std::vector<JobId>({1, 2}));
  enqueue_keyed(101, kB);
  const std::vector<JobId> next = claim_ids(1, 2);
  EXPECT_NE(std::find(next.begin(), next.end(), 101), next.end());
}

TEST_F(Fairness, AHundredThousandOfOneKeyDelayAnotherNoLonger) {
  QueueOptions options;
  options.fair = true;
  begin(131072, LoadMode::live, options);
  for (JobId id = 1; id <= 100000; id++) put(keyed(id, kA));
  EXPECT_EQ(claim_ids(1, 2), std::vector<JobId>({1, 2}));
  put(keyed(100001, kB));
  const std::vector<JobId> next = claim_ids(1, 2);
  EXPECT_NE(std::find(next.begin(), next.end(), 100001), next.end());
}

TEST_F(Fairness, KeysAreServedByTurns) {
  for (JobId id = 1; id <= 30; id++) enqueue_keyed(id, id <= 20 ? kA : id <= 25 ? kB : 3);
  std::map<std::uint32_t, int> served;
  for (const ClaimedJob& job : claim(1, 15)) served[entry(job.ref).key_hash]++;
  EXPECT_EQ(served[kA], 5);
  EXPECT_EQ(served[kB], 5);
  EXPECT_EQ(served[3], 5);
}

TEST_F(Fairness, AKeyAloneGetsEverything) {
  for (JobId id = 1; id <= 30; id++) enqueue_keyed(id, kA);
  EXPECT_EQ(claim_ids(1, 50), range(1, 30));
  EXPECT_EQ(figures(1).ready, 0U);
}

TEST_F(Fairness, WhatWaitsForItsTurnIsReady) {
  for (JobId id = 1; id <= 30; id++) enqueue_keyed(id, kA);
  EXPECT_EQ(figures(1).ready, 30U);
  EXPECT_EQ(figures(1).blocked, 0U);
}

TEST_F(Fairness, ADelayedJobTakesItsTurnWhenItIsDue) {
  enqueue_keyed(1, kA, platform().wall + kSecond);
  enqueue_keyed(2, kA);
  enqueue_keyed(3, kA);
  EXPECT_EQ(claim_ids(1, 1), std::vector<JobId>({2}));
  platform().advance(kSecond);
  EXPECT_EQ(claim_ids(1, 5), std::vector<JobId>({1, 3}));
}

TEST_F(Fairness, OneThatGoesLetsTheNextOfItsKeyComeUp) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 1, 1, &decided), Verdict::ok);
  EXPECT_EQ(claim_ids(1, 5), std::vector<JobId>({2, 3}));
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
}

}  // namespace
}  // namespace dw::test
