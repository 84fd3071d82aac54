/* The loader: what is only on disk becomes resident, once, whatever happens meanwhile. */
#include "log_fixture.hpp"

#include "core/token.hpp"

#include <set>

namespace dw::test {
namespace {

using Call = FakeStore::Call;

class Load : public LogTest {
 protected:
  /* Runs the action once, at the first of these calls. */
  void once_at(Call call, std::function<void()> action) {
    store().on_call = [this, call, action = std::move(action)](Call now) {
      if (now != call) return;
      const std::function<void()> run = action;
      store().on_call = nullptr;
      run();
    };
  }
  void fail_at(Call call) {
    once_at(call, [] { throw StoreError(); });
  }
  Queue& q() { return slot(d().find_queue(database_, 1)); }
  /* Everything there is to claim, completed one by one. */
  std::vector<JobId> drain(QueueId queue = 1) {
    std::vector<JobId> ids;
    for (int idle = 0; idle < 5; idle++) {
      const std::vector<ClaimedJob> jobs = claim(queue);
      if (jobs.empty()) {
        load();
        platform().advance(kMinute);
        continue;
      }
      idle = -1;
      EXPECT_EQ(complete(jobs[0]), Verdict::ok);
      ids.push_back(jobs[0].id);
    }
    return ids;
  }
};

std::vector<JobId> range(JobId first, JobId last) {
  std::vector<JobId> ids;
  for (JobId id = first; id <= last; id++) ids.push_back(id);
  return ids;
}

TEST_F(Load, AnEmptyLogMakesTheQueueLive) {
  begin(64, LoadMode::loading);
  load();
  EXPECT_EQ(figures(1).mode, LoadMode::live);
  EXPECT_TRUE(loader().complete());
}

TEST_F(Load, CommittedJobsBecomeClaimable) {
  begin(64, LoadMode::loading);
  log_jobs(1, 30);
  load();
  EXPECT_EQ(figures(1).mode, LoadMode::live);
  EXPECT_EQ(loader().loaded(), 30U);
  EXPECT_EQ(claim_ids(1, 64), range(1, 30));
}

TEST_F(Load, UncommittedAndAbortedJobsDoNot) {
  begin(64, LoadMode::loading);
  JobRow open = row_of(1, 1);
  JobRow aborted = row_of(1, 2);
  const Xid first = log().begin();
  log().insert_job(first, kClient, 1, &open);
  const Xid second = log().begin();
  log().insert_job(second, kClient, 1, &aborted);
  log().abort(second);
  load();
  EXPECT_EQ(figures(1).resident, 0U);
}

TEST_F(Load, FinishedJobsDoNot) {
  begin(64, LoadMode::loading);
  const OutcomeKind finals[] = {OutcomeKind::completed, OutcomeKind::dead_lettered,
                                OutcomeKind::cancelled, OutcomeKind::purged};
  for (int i = 0; i < 4; i++)
    log_outcome(finals[i], log_job(i + 1), make_token(1, static_cast<std::uint64_t>(i)));
  log_job(9);
  load();
  EXPECT_EQ(claim_ids(1, 64), range(9, 9));
}

TEST_F(Load, JobsOfOtherTopicsDoNot) {
  begin(64, LoadMode::loading);
  log_job(1, 1);
  log_job(2, 7);
  load();
  EXPECT_EQ(figures(1).resident, 1U);
}

TEST_F(Load, JobsOfAllSegmentsDo) {
  begin(64, LoadMode::loading);
  for (std::uint8_t segment = 0; segment < kSegments; segment++) log_job(segment + 1, 1, segment);
  load();
  EXPECT_EQ(figures(1).resident, kSegments);
}

TEST_F(Load, AFailedAttemptKeepsItsNumberAndDueTime) {
  begin(64, LoadMode::loading);
  const Micros due = platform().wall + 10 * kSecond;
  log_outcome(OutcomeKind::attempt_failed, log_job(1), make_token(1, 1), 3, due);
  load();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(10 * kSecond - 1);
  EXPECT_TRUE(claim(1).empty());
  platform().advance(1);
  EXPECT_EQ(claim_one(1).attempt, 4);
}

TEST_F(Load, AttemptsAreTheHighestNumberSeenNotASum) {
  begin(64, LoadMode::loading);
  const JobRow row = log_job(1);
  log_outcome(OutcomeKind::attempt_failed, row, make_token(1, 1), 1);
  log_outcome(OutcomeKind::attempt_failed, row, make_token(1, 2), 2);
  log_outcome(OutcomeKind::rescheduled, row, make_token(1, 3), 2);
  load();
  EXPECT_EQ(claim_one(1).attempt, 3);
}

TEST_F(Load, TheLatestDueTimeHoldsNotTheLargest) {
  begin(64, LoadMode::loading);
  const JobRow row = log_job(1);
  log_outcome(OutcomeKind::rescheduled, row, make_token(1, 1), 1, platform().wall + kMinute);
  platform().advance(kSecond);
  log_outcome(OutcomeKind::rescheduled, row, make_token(1, 2), 1, platform().wall);
  platform().advance(kSecond);
  load();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Load, OfTwoDueTimesWithinAMillisecondTheNewerTokensHolds) {
  begin(64, LoadMode::loading);
  const JobRow row = log_job(1);
  /* Another writer's page comes first in the log, with the newer record on it. */
  const auto write = [&](std::uint32_t writer, Token token, Micros due) {
    const Xid xid = log().begin();
    log().insert_outcome(xid, writer, 0, OutcomeKind::rescheduled, platform().wall, 1,
                         {OutcomeMember{1, token, 1, due}});
    log().commit(xid);
  };
  const JobRow other = log_job(2);
  for (int i = 0; i < 3; i++) log_outcome(OutcomeKind::rescheduled, other, make_token(1, 1), 1);
  write(5, make_token(1, 2), platform().wall); /* fills page 0 */
  log_outcome(OutcomeKind::rescheduled, row, make_token(1, 3), 1, platform().wall); /* page 1 */
  const Xid xid = log().begin();
  log().insert_outcome(xid, kHousekeeper, 0, OutcomeKind::rescheduled, platform().wall, 1,
                       {OutcomeMember{1, make_token(1, 9), 1, platform().wall + kMinute}});
  log().insert_outcome(xid, kHousekeeper, 0, OutcomeKind::rescheduled, platform().wall, 1,
                       {OutcomeMember{1, make_token(1, 4), 1, platform().wall}});
  log().commit(xid);
  load();
  EXPECT_EQ(state_of(1), EntryState::delayed);
}

TEST_F(Load, ADamagedOutcomeIsCountedAndStopsNothing) {
  begin(64, LoadMode::loading);
  log_jobs(1, 3);
  const Xid xid = log().begin();
  log().insert_outcome(xid, kClient, 0, OutcomeKind::attempt_failed, platform().wall, 1,
                       {OutcomeMember{1, 5, 1, 0}});
  log().commit(xid);
  /* Cut the body short. */
  auto& pages = const_cast<std::vector<std::vector<OutcomeOnPage>>&>(log().outcome_pages(0));
  pages[0][0].body.resize(7);
  load();
  EXPECT_EQ(loader().damaged_rows(), 1U);
  EXPECT_EQ(figures(1).resident, 3U);
}

TEST_F(Load, ADirtyPageIsReadAgain) {
  log_jobs(1, 10);
  d().mark_dirty(database_, 1, 0, 1);
  load();
  EXPECT_EQ(claim_ids(1, 64), range(5, 8));
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

TEST_F(Load, ARowFarInFrontOfTheOthersIsFoundByItsPage) {
  /* A backend that was idle for long goes on filling its old page: id 1000 lies on page 0. */
  begin(64, LoadMode::loading);
  log_jobs(1, 3);
  for (JobId id = 4; id <= 20; id++) {
    JobRow row = row_of(1, id);
    const Xid xid = log().begin();
    log().insert_job(xid, 2, 1, &row);
    log().commit(xid);
  }
  load();
  JobRow late = row_of(1, 1000);
  const Xid xid = log().begin();
  log().insert_job(xid, kClient, 1, &late);
  log().commit(xid);
  publish(late, EntryRef{kNone, 0});
  load();
  EXPECT_EQ(state_of(1000), EntryState::ready);
}

TEST_F(Load, AResidentJobIsSkipped) {
  enqueue(1);
  d().mark_dirty(database_, 1, 0, 0);
  load();
  EXPECT_EQ(loader().loaded(), 0U);
  EXPECT_EQ(figures(1).resident, 1U);
}

TEST_F(Load, ALeasedJobIsSkipped) {
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  d().mark_dirty(database_, 1, 0, 0);
  load();
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_EQ(figures(1).resident, 0U);
}

TEST_F(Load, ABacklogDeeperThanTheArenaIsDrainedToTheEnd) {
  begin(64, LoadMode::loading);
  log_jobs(1, 500);
  load();
  EXPECT_EQ(figures(1).resident, 64U);
  EXPECT_EQ(drain(), range(1, 500));
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

TEST_F(Load, StepsWithoutTimeGetThereToo) {
  begin(256, LoadMode::loading);
  log_jobs(1, 200);
  int steps = 0;
  while (loader().step(0)) steps++;
  EXPECT_GE(steps, 40);
  EXPECT_EQ(figures(1).mode, LoadMode::live);
  EXPECT_EQ(claim_ids(1, 256), range(1, 200));
}

TEST_F(Load, OutcomesAreReadBeforeJobsHoweverManyStepsItTakes) {
  begin(64, LoadMode::loading);
  for (JobId id = 1; id <= 40; id++)
    log_outcome(OutcomeKind::completed, log_job(id), make_token(1, 1));
  while (loader().step(0)) EXPECT_EQ(figures(1).resident, 0U);
  EXPECT_EQ(figures(1).resident, 0U);
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

/* --- interleavings of the protocol review; the number of each in brackets --- */

/* [1] The committing process is stopped between its commit record and its callback. */
TEST_F(Load, AJobFinishedBeforeItsCommittersCallbackIsNotHandedOutAgain) {
  begin(64, LoadMode::loading);
  JobRow row = row_of(1, 1);
  const Xid xid = log().begin();
  log().insert_job(xid, kClient, 1, &row);
  const EntryRef reference = link(row);
  ASSERT_EQ(reference.entry, kNone);
  log().commit(xid);
  load();
  ASSERT_EQ(figures(1).mode, LoadMode::live);
  ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
  publish(row, reference);
  EXPECT_TRUE(claim(1).empty());
  load();
  EXPECT_TRUE(claim(1).empty());
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

/* [1] The same commit, but the loader's snapshot came before it. */
TEST_F(Load, AJobCommittedBehindTheSnapshotIsFoundThroughItsDirtyPage) {
  begin(64, LoadMode::loading);
  JobRow row = row_of(1, 1);
  const Xid xid = log().begin();
  log().insert_job(xid, kClient, 1, &row);
  const EntryRef reference = link(row);
  load();
  log().commit(xid);
  publish(row, reference);
  load();
  EXPECT_EQ(claim_one(1).id, 1);
}

/* [2] A commit between the snapshot and the moment that the dirty pages were taken would be lost.
 */
TEST_F(Load, ACommitAtAnyPointOfAChunkIsNotLost) {
  for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_jobs,
                          Call::before_commit, Call::committed}) {
    begin(64, LoadMode::loading);
    log_jobs(1, 4);
    once_at(call, [this] {
      JobRow row = row_of(1, 100);
      const Xid xid = log().begin();
      log().insert_job(xid, kClient, 1, &row);
      const EntryRef reference = link(row);
      log().commit(xid);
      publish(row, reference);
    });
    load();
    load();
    EXPECT_EQ(claim_ids(1, 64), (std::vector<JobId>{1, 2, 3, 4, 100})) << static_cast<int>(call);
    EXPECT_EQ(figures(1).mode, LoadMode::live);
  }
}

/* [2] The committer marks dirty only after the loader has taken the marks, its row is older than
 * the snapshot. */
TEST_F(Load, ACommitWhoseCallbackComesAtAnyPointOfAChunkIsNotLost) {
  for (const Call visible : {Call::before_snapshot, Call::after_snapshot, Call::scan_jobs}) {
    for (const Call callback :
         {Call::after_snapshot, Call::scan_jobs, Call::before_commit, Call::committed}) {
      begin(64, LoadMode::loading);
      log_jobs(1, 4);
      JobRow row = row_of(1, 100);
      const Xid xid = log().begin();
      log().insert_job(xid, kClient, 1, &row);
      const EntryRef reference = link(row);
      bool is_visible = false;
      bool is_published = false;
      store().on_call = [&](Call now) {
        if (now == visible && !is_visible) {
          log().commit(xid);
          is_visible = true;
        }
        if (now == callback && is_visible && !is_published) {
          publish(row, reference);
          is_published = true;
        }
      };
      load();
      store().on_call = nullptr;
      if (!is_visible) log().commit(xid);
      if (!is_published) publish(row, reference);
      load();
      EXPECT_EQ(claim_ids(1, 64), (std::vector<JobId>{1, 2, 3, 4, 100}));
    }
  }
}

/* [2] A job that is finished while a chunk runs, whose snapshot still sees it waiting. */
TEST_F(Load, AJobFinishedAtAnyPointOfAChunkIsNotLoadedAgain) {
  for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_jobs,
                          Call::before_commit, Call::committed}) {
    begin(64, LoadMode::live);
    enqueue(1);
    const ClaimedJob job = claim_one(1);
    d().mark_dirty(database_, 1, 0, 0);
    once_at(call, [this, job] { EXPECT_EQ(complete(job), Verdict::ok); });
    load();
    load();
    EXPECT_TRUE(claim(1).empty()) << static_cast<int>(call);
    EXPECT_EQ(figures(1).resident, 0U) << static_cast<int>(call);
  }
}

/* [2] The outcome is visible, its callback has not freed the entry yet; then it does, after the
 * chunk. */
TEST_F(Load, AJobWhoseFinishersCallbackIsLateIsNotLoadedAgain) {
  enqueue(1);
  const ClaimedJob job = claim_one(1);
  Transaction transaction(&d());
  transaction.set_database(database_, kOid);
  transaction.reserve(1);
  Decided decided{};
  std::size_t action = 0;
  ASSERT_EQ(transaction.begin_decision(1, 1, job.token, &decided, &action), Verdict::ok);
  const Xid xid = log().begin();
  const auto blocks = log().insert_outcome(xid, kClient, 0, OutcomeKind::completed, platform().wall,
                                           1, {OutcomeMember{1, job.token, 0, 0}});
  transaction.settle(action, Decision::finish, OutcomeKind::completed, 0);
  transaction.note_outcome_row(action, 0, blocks.at(0));
  log().commit(xid);
  d().mark_dirty(database_, 1, 0, 0);
  load();
  transaction.commit(1);
  d().mark_dirty(database_, 1, 0, 0);
  load();
  EXPECT_TRUE(claim(1).empty());
  EXPECT_EQ(figures(1).resident, 0U);
}

/* [3] Tombstones live for one chunk only. */
TEST_F(Load, TombstonesGoWithTheirChunk) {
  begin(64, LoadMode::live);
  for (JobId id = 1; id <= 20; id++) enqueue(id);
  std::vector<ClaimedJob> jobs = claim(1, 20);
  d().mark_dirty(database_, 1, 0, 0);
  once_at(Call::after_snapshot, [&] {
    for (const ClaimedJob& job : jobs) complete(job);
    EXPECT_EQ(figures(1).resident, 20U);
  });
  load();
  EXPECT_EQ(figures(1).resident, 0U);
  EXPECT_EQ(q().chunk_active, 0);
}

TEST_F(Load, MoreTombstonesThanOneHoldTakesGoToo) {
  begin(4096, LoadMode::live);
  for (JobId id = 1; id <= 3000; id++) enqueue(id);
  std::vector<ClaimedJob> jobs = claim(1, 3000);
  d().mark_dirty(database_, 1, 0, 0);
  once_at(Call::after_snapshot, [&] {
    for (const ClaimedJob& job : jobs) complete(job);
  });
  load();
  EXPECT_EQ(figures(1).resident, 0U);
}

/* [3] LIVE is reached although commits never stop. */
TEST_F(Load, ReachesLiveUnderSteadyCommits) {
  begin(4096, LoadMode::loading);
  log_jobs(1, 600);
  JobId next = 1000;
  store().on_call = [&](Call) { enqueue(next++); };
  int steps = 0;
  while (figures(1).mode != LoadMode::live && steps < 200) {
    loader().step(kMinute);
    steps++;
  }
  store().on_call = nullptr;
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

TEST_F(Load, LinksCommitsItselfOnlyNearTheTail) {
  begin(4096, LoadMode::loading);
  log_jobs(1, 2000); /* 500 pages */
  bool linked_far = false;
  int linked_near = 0;
  JobId next = 10000;
  int calls = 0;
  store().on_call = [&](Call now) {
    if (now != Call::scan_jobs) return;
    calls++;
    JobRow row = row_of(1, next++);
    const EntryRef reference = link(row);
    if (calls < 300 && reference.entry != kNone) linked_far = true;
    if (reference.entry != kNone) {
      linked_near++;
      d().unlink_pending(ref_of(1), &reference, 1);
    }
  };
  while (loader().step(0)) {
  }
  store().on_call = nullptr;
  EXPECT_FALSE(linked_far);
  EXPECT_GT(linked_near, 0);
}

/* [9] A placeholder's owner fails after the loader has read the page of its job. */
TEST_F(Load, APlaceholderThatIsDroppedLeavesItsJobToTheLoader) {
  begin(64, LoadMode::loading);
  log_job(1);
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 1, &busy), Verdict::ok);
  load();
  d().drop_placeholder(busy);
  platform().advance(kMinute);
  load();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Load, ALongSleepersPlaceholderThatIsDroppedLeavesItsJobToTheLoader) {
  log_job(1, 1, kParkedSegment, platform().wall - kSecond);
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 1, &busy), Verdict::ok);
  load();
  d().drop_placeholder(busy);
  platform().advance(kMinute);
  load();
  EXPECT_EQ(state_of(1), EntryState::ready);
}

TEST_F(Load, ACommitThatMeetsAPlaceholderIsNotLost) {
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 1, &busy), Verdict::ok);
  enqueue(1);
  load();
  d().drop_placeholder(busy);
  platform().advance(kMinute);
  load();
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Load, APlaceholderThatDecidesKeepsItsJobFromBeingLoaded) {
  begin(64, LoadMode::loading);
  const JobRow row = log_job(1);
  EntryRef busy{};
  d().add_placeholder(database_, 1, 1, &busy);
  Decided decided{};
  ASSERT_TRUE(d().fill_placeholder(busy, row, &decided));
  load();
  EXPECT_TRUE(claim(1).empty());
  log_outcome(OutcomeKind::cancelled, row, 0);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
  d().mark_dirty(database_, 1, 0, 0);
  load();
  EXPECT_EQ(figures(1).resident, 0U);
}

TEST_F(Load, AnEvictedJobComesBack) {
  for (JobId id = 1; id <= 64; id++) enqueue(id);
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 500, &busy), Verdict::ok);
  ASSERT_EQ(state_of(64), EntryState::free);
  d().drop_placeholder(busy);
  EXPECT_EQ(drain(), range(1, 64));
}

/* A sleeper that was deferred beyond what the loader has looked at, then made to give way. */
TEST_F(Load, AnEvictedSleeperThatWasDeferredIsFoundAgain) {
  begin(16, LoadMode::live);
  log_job(1, 1, kParkedSegment, platform().wall - kSecond);
  load();
  const ClaimedJob job = claim_one(1);
  const Micros later = platform().wall + 3600 * kSecond;
  log_outcome(OutcomeKind::rescheduled, log().job_pages(kParkedSegment)[0][0].row, job.token, 0,
              later);
  ASSERT_EQ(decide(job, Decision::put_back, later), Verdict::ok);
  for (JobId id = 11; id <= 25; id++) enqueue(id);
  EntryRef busy[3];
  for (int i = 0; i < 3; i++) d().add_placeholder(database_, 1, 100 + i, &busy[i]);
  for (const EntryRef reference : busy) d().drop_placeholder(reference);
  platform().advance(2 * 3600 * kSecond);
  const std::vector<JobId> ids = drain();
  EXPECT_EQ(std::set<JobId>(ids.begin(), ids.end()).count(1), 1U);
}

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
  Loader other(&d(), database_, &store());
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
