/* The loader beside others: room for everybody, long sleepers, waiters, errors and takeovers. */
#include "load_fixture.hpp"

#include <set>

#include "core/token.hpp"

namespace dw::test {
namespace {

/* --- room --- */

TEST_F(Load, AQueueBelowItsShareGetsRoomFromABorrower) {
  begin(64, LoadMode::live);
  QueueOptions paused;
  paused.paused = true;
  for (JobId id = 1; id <= 64; id++) enqueue(id);
  d().set_queue_options(database_, 1, paused);
  add_queue(2);
  tell_queues({1, 2});
  enqueue(100, 2);
  for (int i = 0; i < 10; i++) loader().step(kMinute);
  EXPECT_EQ(claim_ids(2, 1), range(100, 100));
}

TEST_F(Load, AQueueGetsItsTurnAlsoWhenSharesAreLargerThanTheArena) {
  begin(64, LoadMode::live);
  QueueOptions paused;
  paused.paused = true;
  for (QueueId queue = 1; queue <= 4; queue++) {
    if (queue > 1) add_queue(queue);
    for (JobId id = 1; id <= 16; id++) enqueue(queue * 100 + id, queue);
    d().set_queue_options(database_, queue, paused);
  }
  add_queue(5);
  tell_queues({1, 2, 3, 4, 5});
  enqueue(1000, 5);
  for (int i = 0; i < 10; i++) loader().step(kMinute);
  EXPECT_EQ(claim_ids(5, 1), range(1000, 1000));
}

TEST_F(Load, WhatWasEvictedForAnotherQueueIsNotLost) {
  begin(64, LoadMode::live);
  for (JobId id = 1; id <= 64; id++) enqueue(id);
  add_queue(2);
  tell_queues({1, 2});
  for (JobId id = 101; id <= 120; id++) enqueue(id, 2);
  load();
  std::vector<JobId> second = drain(2);
  EXPECT_EQ(second, range(101, 120));
  EXPECT_EQ(drain(1), range(1, 64));
}

TEST_F(Load, JobsDueLaterLeaveRoomForThoseDueNow) {
  begin(64, LoadMode::loading);
  for (JobId id = 1; id <= 100; id++) log_job(id, 1, 0, platform().wall + kMinute);
  log_jobs(101, 110);
  load();
  EXPECT_EQ(claim_ids(1, 64), range(101, 110));
}

TEST_F(Load, JobsDueLaterThatFoundNoRoomComeInTime) {
  begin(64, LoadMode::loading);
  for (JobId id = 1; id <= 60; id++) log_job(id, 1, 0, platform().wall + kMinute);
  load();
  EXPECT_LE(loader().next_wake(), platform().wall + kMinute);
  platform().advance(kMinute);
  load();
  EXPECT_EQ(claim_ids(1, 64), range(1, 60));
}

TEST_F(Load, JobsDueBeyondTheHorizonStayOnDiskUntilItIsNear) {
  begin(64, LoadMode::loading);
  loader().set_horizon(kMinute);
  log_job(1, 1, 0, platform().wall + 10 * kMinute);
  load();
  EXPECT_EQ(figures(1).resident, 0U);
  EXPECT_LE(loader().next_wake(), platform().wall + 10 * kMinute);
  platform().advance(10 * kMinute - kSecond);
  load();
  EXPECT_EQ(state_of(1), EntryState::delayed);
}

/* --- long sleepers --- */

TEST_F(Load, SleepersComeInWithinTheHorizon) {
  loader().set_horizon(kMinute);
  log_job(1, 1, kParkedSegment, platform().wall + 30 * kSecond);
  log_job(2, 1, kParkedSegment, platform().wall + 10 * kMinute);
  load();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  EXPECT_EQ(state_of(2), EntryState::free);
  for (int i = 0; i < 20; i++) {
    platform().advance(30 * kSecond);
    load();
  }
  EXPECT_EQ(claim_ids(1, 9), range(1, 2));
}

TEST_F(Load, ASleeperCommittedBehindTheLoadersPositionIsFound) {
  loader().set_horizon(kMinute);
  load();
  JobRow row = row_of(1, 1);
  row.segment = kParkedSegment;
  row.due = platform().wall + kSecond;
  const Xid xid = log().begin();
  log().insert_job(xid, kClient, 1, &row);
  platform().advance(10 * kMinute);
  load();
  log().commit(xid);
  publish(row, EntryRef{kNone, 0});
  load();
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Load, ASleeperCommittedAtAnyPointOfTheScanIsFound) {
  for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_parked,
                          Call::before_commit, Call::committed}) {
    begin(64, LoadMode::live);
    once_at(call, [this] {
      JobRow row = row_of(1, 1);
      row.segment = kParkedSegment;
      row.due = platform().wall + kSecond;
      const Xid xid = log().begin();
      log().insert_job(xid, kClient, 1, &row);
      log().commit(xid);
      publish(row, EntryRef{kNone, 0});
    });
    load();
    load();
    EXPECT_EQ(state_of(1), EntryState::delayed) << static_cast<int>(call);
  }
}

TEST_F(Load, AFinishedSleeperIsNotLoadedAgain) {
  log_job(1, 1, kParkedSegment, platform().wall);
  load();
  ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
  d().arena().databases[database_].parked_from.store(kAlways);
  load();
  EXPECT_EQ(figures(1).resident, 0U);
}

TEST_F(Load, ASleeperThatFoundNoRoomIsTriedAgainSoonWhateverElseWaits) {
  begin(16, LoadMode::live);
  loader().set_horizon(10 * kMinute);
  for (JobId id = 1; id <= 16; id++) enqueue(id);
  log_job(100, 1, kParkedSegment, platform().wall - kSecond);
  load();
  log_job(101, 1, kParkedSegment, platform().wall + 4 * kMinute);
  d().note_parked(database_, platform().wall + 4 * kMinute);
  load();
  for (const ClaimedJob& job : claim(1, 16)) complete(job);
  platform().advance(5 * kSecond);
  EXPECT_LE(loader().next_wake(), platform().wall);
  load();
  EXPECT_EQ(state_of(100), EntryState::ready);
}

/* --- waking --- */

TEST_F(Load, LoadedWorkWakesASleepingWaiter) {
  begin(64, LoadMode::loading);
  const QueueRef queue = ref_of(1);
  d().wait_begin(0, &queue, 1);
  log_job(1);
  load();
  EXPECT_EQ(platform().take_woken(), std::vector<Index>{0});
}

TEST_F(Load, ALoadedSleeperThatIsDueWakesASleepingWaiter) {
  const QueueRef queue = ref_of(1);
  d().wait_begin(0, &queue, 1);
  log_job(1, 1, kParkedSegment, platform().wall);
  load();
  EXPECT_EQ(platform().take_woken(), std::vector<Index>{0});
}

/* --- errors and takeovers --- */

TEST_F(Load, AnErrorAtAnyCallLosesNothing) {
  for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_outcomes,
                          Call::scan_jobs, Call::scan_parked, Call::before_commit}) {
    begin(64, LoadMode::loading);
    log_jobs(1, 9);
    log_outcome(OutcomeKind::completed, log_job(10), make_token(1, 1));
    log_job(11, 1, kParkedSegment, platform().wall);
    fail_at(call);
    EXPECT_THROW(load(), StoreError) << static_cast<int>(call);
    store().abort();
    EXPECT_EQ(q().chunk_active, 0);
    load();
    std::vector<JobId> wanted = range(1, 9);
    wanted.push_back(11);
    EXPECT_EQ(claim_ids(1, 64), wanted) << static_cast<int>(call);
    EXPECT_EQ(figures(1).mode, LoadMode::live);
  }
}

TEST_F(Load, AReloadFindsWhatCameInPastTheEngine) {
  enqueue(1);
  load();
  log_jobs(50, 55);
  load();
  EXPECT_EQ(figures(1).resident, 1U);
  loader().reset();
  load();
  EXPECT_EQ(figures(1).resident, 7U);
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

TEST_F(Load, AReloadHandsOutNothingTwice) {
  for (JobId id = 1; id <= 10; id++) enqueue(id);
  const std::vector<ClaimedJob> jobs = claim(1, 5);
  complete(jobs[0]);
  loader().reset();
  load();
  EXPECT_EQ(claim_ids(1, 64), range(6, 10));
  EXPECT_EQ(complete(jobs[1]), Verdict::ok);
}

/* A housekeeper that was terminated unwinds nothing: the marks of its chunk are still there. */
TEST_F(Load, AnotherHousekeeperTakesAnUnfinishedChunkOver) {
  for (JobId id = 1; id <= 10; id++) enqueue(id);
  std::vector<ClaimedJob> jobs = claim(1, 10);
  q().chunk_active = 1;
  q().dirty.add(0, 0, 1);
  complete(jobs[0]);
  complete(jobs[1]);
  entry(jobs[2].ref).state = EntryState::expiring;
  ASSERT_EQ(figures(1).resident, 10U);
  Loader other(&d(), database_, &store(), &key_blocks().aside());
  const Loader::QueueTopic topic{1, 1};
  other.set_queues(&topic, 1);
  other.reset();
  EXPECT_EQ(figures(1).resident, 8U);
  EXPECT_EQ(entry(jobs[2].ref).state, EntryState::leased);
  while (other.step(kMinute)) {
  }
  EXPECT_EQ(figures(1).resident, 8U);
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

TEST_F(Load, AQueueRemovedInTheMiddleOfAChunkStopsNothing) {
  begin(64, LoadMode::loading);
  add_queue(2, QueueOptions{}, LoadMode::loading);
  tell_queues({1, 2});
  log_jobs(1, 20, 1);
  log_jobs(101, 120, 2);
  once_at(Call::scan_jobs, [this] { d().remove_queue(ref_of(1)); });
  load();
  tell_queues({2});
  load();
  EXPECT_EQ(figures(2).resident, 20U);
  EXPECT_EQ(d().arena().free_count, 44U);
}

TEST_F(Load, AQueueMadeAnewInTheSameSlotIsLoadedWhole) {
  log_jobs(1, 20, 2);
  d().remove_queue(ref_of(1));
  add_queue(2, QueueOptions{}, LoadMode::loading);
  tell_queues({2});
  load();
  EXPECT_EQ(figures(2).resident, 20U);
}

TEST_F(Load, AStrictClaimKnowsThePositionBeforeTheJobsAreThere) {
  begin(64, LoadMode::loading);
  log_jobs(1, 5);
  bool early = false;
  platform().on_unlocked = [&](std::uint32_t) {
    if (figures(1).ready > 0 && d().arena().databases[database_].commit_position.load() < 5)
      early = true;
  };
  load();
  platform().on_unlocked = nullptr;
  EXPECT_FALSE(early);
}

}  // namespace
}  // namespace dw::test
