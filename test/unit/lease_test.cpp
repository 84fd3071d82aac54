/* Leases: deadlines on the monotonic clock, renewals, heartbeats and worker slots. */
#include "arena_fixture.hpp"

#include <string>

namespace dw::test {
namespace {

class Lease : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
  }
  Micros extend(const ClaimedJob& job, Micros lease, Verdict* verdict) {
    return d().extend(database_, job.id, job.token, lease, verdict);
  }
  std::vector<EntryRef> leases_of(Index worker) {
    std::vector<EntryRef> refs(100);
    refs.resize(d().worker_leases(worker, refs.data(), 100));
    return refs;
  }
  Index queue_ = kNone;
};

TEST_F(Lease, LastsAsLongAsTheQueueSays) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(job.deadline, platform().wall + 90 * kSecond);
  EXPECT_EQ(entry(job.ref).at, platform().monotonic + 90 * kSecond);
}

TEST_F(Lease, LastsAsLongAsTheClaimSays) {
  put(row_of(1, 1));
  const std::vector<ClaimedJob> jobs = claim(1, 1, 7 * kSecond);
  EXPECT_EQ(entry(jobs.at(0).ref).at, platform().monotonic + 7 * kSecond);
}

TEST_F(Lease, DoesNotMoveWithAStepOfTheWallClock) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  platform().wall += 86400 * kSecond;
  EXPECT_EQ(entry(job.ref).at, platform().monotonic + 90 * kSecond);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
}

TEST_F(Lease, OfEndlessLengthIsANumber) {
  put(row_of(1, 1));
  const std::vector<ClaimedJob> jobs = claim(1, 1, kNever);
  EXPECT_EQ(entry(jobs.at(0).ref).at, kNever);
  EXPECT_EQ(jobs.at(0).deadline, kNever);
}

TEST_F(Lease, PastItsDeadlineStillCompletesUntilTheSweepComes) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  platform().advance(3600 * kSecond);
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
}

TEST_F(Lease, IsExtendedFromNow) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  platform().advance(60 * kSecond);
  Verdict verdict = Verdict::stale;
  EXPECT_EQ(extend(job, 10 * kSecond, &verdict), platform().wall + 10 * kSecond);
  EXPECT_EQ(verdict, Verdict::ok);
  EXPECT_EQ(entry(job.ref).at, platform().monotonic + 10 * kSecond);
}

TEST_F(Lease, IsNotExtendedWithAnotherToken) {
  put(row_of(1, 1));
  ClaimedJob job = claim_one(1);
  const Micros deadline = entry(job.ref).at;
  platform().advance(kSecond);
  job.token++;
  Verdict verdict = Verdict::ok;
  EXPECT_EQ(extend(job, 10 * kSecond, &verdict), 0);
  EXPECT_EQ(verdict, Verdict::stale);
  EXPECT_EQ(entry(job.ref).at, deadline);
}

TEST_F(Lease, OfAJobThatNobodyHoldsIsNotExtended) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  decide(job, Decision::retry, kAlways);
  Verdict verdict = Verdict::ok;
  extend(job, 10 * kSecond, &verdict);
  EXPECT_EQ(verdict, Verdict::stale);
}

TEST_F(Lease, OfAFinishedJobIsUnknownHere) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  decide(job, Decision::finish);
  Verdict verdict = Verdict::ok;
  extend(job, 10 * kSecond, &verdict);
  EXPECT_EQ(verdict, Verdict::not_resident);
}

TEST_F(Lease, IsExtendedWhileItsCompletionIsNotCommitted) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, 1, job.token, &decided), Verdict::ok);
  platform().advance(89 * kSecond);
  Verdict verdict = Verdict::stale;
  extend(job, 90 * kSecond, &verdict);
  EXPECT_EQ(verdict, Verdict::ok);
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(entry(job.ref).at, platform().monotonic + 90 * kSecond);
}

TEST_F(Lease, SetEarlierThanTheHousekeeperPlannedWakesIt) {
  put_many(1, 1, 2);
  d().arena().databases[database_].planned_deadline.store(platform().monotonic + 50 * kSecond);
  claim(1, 1, 60 * kSecond);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  claim(1, 1, 40 * kSecond);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Lease, ShortenedBelowWhatTheHousekeeperPlannedWakesIt) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().arena().databases[database_].planned_deadline.store(platform().monotonic + 50 * kSecond);
  platform().woken_housekeepers.clear();
  Verdict verdict = Verdict::stale;
  extend(job, 10 * kSecond, &verdict);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Lease, ShowsInOrderOfDeadlines) {
  put_many(1, 1, 3);
  claim(1, 1, 30 * kSecond);
  claim(1, 1, 10 * kSecond);
  claim(1, 1, 20 * kSecond);
  LeaseRow rows[3];
  ASSERT_EQ(d().see_leases(queue_, 1, rows, 3), 3U);
  EXPECT_EQ(rows[0].id, 2);
  EXPECT_EQ(rows[1].id, 3);
  EXPECT_EQ(rows[2].id, 1);
  EXPECT_STREQ(rows[0].worker, "worker");
  EXPECT_EQ(rows[0].deadline, platform().wall + 10 * kSecond);
}

TEST_F(Lease, ListTellsHowManyThereAreBeyondTheSpaceGiven) {
  put_many(1, 1, 10);
  claim(1, 10);
  LeaseRow rows[2];
  EXPECT_EQ(d().see_leases(queue_, 1, rows, 2), 10U);
  EXPECT_EQ(d().see_leases(queue_, 99, rows, 2), 0U);
}

TEST_F(Lease, HangsOnTheWorkerThatClaimedIt) {
  put_many(1, 1, 5);
  claim(1, 2, 0, "a");
  claim(1, 3, 0, "b");
  EXPECT_EQ(leases_of(d().find_worker(database_, "a", 0)).size(), 2U);
  EXPECT_EQ(leases_of(d().find_worker(database_, "b", 0)).size(), 3U);
}

TEST_F(Lease, LeavesTheWorkersListWhereverItStandsInIt) {
  put_many(1, 1, 3);
  const std::vector<ClaimedJob> jobs = claim(1, 3);
  const Index holder = d().find_worker(database_, "worker", 0);
  decide(jobs[1], Decision::finish);
  EXPECT_EQ(leases_of(holder).size(), 2U);
  decide(jobs[0], Decision::finish);
  decide(jobs[2], Decision::finish);
  EXPECT_TRUE(leases_of(holder).empty());
}

TEST_F(Lease, IsExtendedByAHeartbeatOfItsWorker) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  const Index holder = d().find_worker(database_, "worker", 0);
  platform().advance(60 * kSecond);
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::lost;
  ASSERT_TRUE(d().heartbeat(leases_of(holder).at(0), holder, 0, &row, &state));
  EXPECT_EQ(state, HeartbeatState::leased);
  EXPECT_EQ(row.id, 1);
  EXPECT_EQ(row.deadline, platform().wall + 90 * kSecond);
  EXPECT_EQ(entry(job.ref).at, platform().monotonic + 90 * kSecond);
}

TEST_F(Lease, IsNotExtendedByAHeartbeatOfAnotherWorker) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  const Micros deadline = entry(job.ref).at;
  platform().advance(kSecond);
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::leased;
  EXPECT_FALSE(d().heartbeat(job.ref, worker("other").worker, 0, &row, &state));
  EXPECT_EQ(entry(job.ref).at, deadline);
}

TEST_F(Lease, HeldWhileCompletingIsExtendedByAHeartbeat) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  d().begin_decision(database_, 1, job.token, &decided);
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::lost;
  platform().advance(kSecond);
  ASSERT_TRUE(
      d().heartbeat(job.ref, d().find_worker(database_, "worker", 0), 5 * kSecond, &row, &state));
  EXPECT_EQ(state, HeartbeatState::leased);
  EXPECT_EQ(entry(job.ref).at, platform().monotonic + 5 * kSecond);
}

TEST_F(Lease, VoidedByARollbackIsReportedAsLost) {
  QueueOptions options;
  options.max_attempts = 1;
  d().set_queue_options(database_, 1, options);
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  d().roll_back_claim(job.ref, job.token);
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::leased;
  ASSERT_TRUE(d().heartbeat(job.ref, d().find_worker(database_, "worker", 0), 0, &row, &state));
  EXPECT_EQ(state, HeartbeatState::lost);
  EXPECT_EQ(entry(job.ref).lapsed, Lapse::claim_rolled_back);
}

TEST_F(Lease, OfAWorkerIsFoundByNameAndInstance) {
  const WorkerRef first = worker("a", 1);
  const WorkerRef second = worker("a", 2);
  EXPECT_NE(first.worker, second.worker);
  EXPECT_EQ(d().find_worker(database_, "a", 1), first.worker);
  EXPECT_EQ(d().find_worker(database_, "a", 3), kNone);
  EXPECT_EQ(worker("a", 1).worker, first.worker);
}

TEST_F(Lease, SlotsOfTwoDatabasesAreApart) {
  const Index other = d().attach_database(kOid + 1);
  EXPECT_NE(worker("a").worker, d().worker_slot(other, "a", 0).worker);
}

TEST_F(Lease, SlotOfAnIdleWorkerGoesToAnotherNameWhenAllAreTaken) {
  put(row_of(1, 1));
  claim(1, 1, 0, "holder");
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < kMostWorkers - 1; i++)
    last = worker("w" + std::to_string(i)).worker;
  EXPECT_EQ(last, kMostWorkers - 1);
  const WorkerRef newest = worker("one more");
  EXPECT_NE(newest.worker, d().find_worker(database_, "holder", 0));
  EXPECT_EQ(d().find_worker(database_, "w0", 0), kNone);
  EXPECT_EQ(leases_of(d().find_worker(database_, "holder", 0)).size(), 1U);
}

TEST_F(Lease, SlotThatWentToAnotherNameRefusesTheOldOnesClaim) {
  put(row_of(1, 1));
  const WorkerRef old = worker("w0");
  for (std::uint32_t i = 1; i <= kMostWorkers; i++) worker("w" + std::to_string(i));
  ClaimedJob job{};
  EXPECT_EQ(d().claim(ref(queue_), old, 0, &job, 1), kWorkerGone);
}

TEST_F(Lease, SlotsEndWhenEveryWorkerHoldsALease) {
  start(kMostWorkers + 64);
  queue_ = add_queue(1);
  put_many(1, 1, 1024);
  for (JobId id = 1025; id <= kMostWorkers; id += 1024) put_many(1, id, id + 1023);
  for (std::uint32_t i = 0; i < kMostWorkers; i++)
    ASSERT_EQ(claim(1, 1, 0, "w" + std::to_string(i)).size(), 1U);
  EXPECT_EQ(worker("one more").worker, kNone);
}

TEST_F(Lease, OfAClaimedJobShowsWhenItEnds) {
  put(row_of(1, 1));
  claim_one(1);
  ResidentRow row{};
  ASSERT_TRUE(d().see_job(database_, 1, 1, &row));
  EXPECT_EQ(row.state, EntryState::leased);
  EXPECT_EQ(row.deadline, platform().wall + 90 * kSecond);
  EXPECT_STREQ(row.worker, "worker");
  EXPECT_EQ(row.attempts, 1);
}

}  // namespace
}  // namespace dw::test
