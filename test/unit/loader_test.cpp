/* The loader: what is only on disk becomes resident, once, whatever happens meanwhile. */
#include "load_fixture.hpp"

#include "core/token.hpp"

namespace dw::test {
namespace {

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
    without_sleepers();
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
      without_sleepers();
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
    without_sleepers();
    enqueue(1);
    const ClaimedJob job = claim_one(1);
    d().mark_dirty(database_, 1, 0, 0);
    once_at(call, [this, job] { EXPECT_EQ(complete(job), Verdict::ok); });
    load();
    load();
    EXPECT_EQ(figures(1).resident, 0U) << static_cast<int>(call);
    /* Its outcome is known by now, whenever the page is read again. */
    d().mark_dirty(database_, 1, 0, 0);
    load();
    EXPECT_TRUE(claim(1).empty()) << static_cast<int>(call);
  }
}

/* A chunk whose snapshot is older than a job's last outcome must not bring the job back without it.
 */
TEST_F(Load, AJobQuarantinedWhileAChunkRunsComesBackWithAllItsAttempts) {
  without_sleepers();
  const JobRow row = enqueue(1);
  const ClaimedJob first = claim_one(1);
  d().mark_dirty(database_, 1, 0, 0);
  once_at(Call::after_snapshot, [&] {
    log_outcome(OutcomeKind::attempt_failed, row, first.token, 1, platform().wall);
    ASSERT_EQ(decide(first, Decision::retry, platform().wall), Verdict::ok);
    const ClaimedJob second = claim_one(1);
    d().quarantine(second.ref, second.token);
  });
  load();
  load();
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Load, AJobEvictedWhileAChunkRunsComesBackWithItsDueTime) {
  begin(16, LoadMode::live);
  without_sleepers();
  const JobRow row = enqueue(1);
  const ClaimedJob job = claim_one(1);
  for (JobId id = 2; id <= 15; id++) enqueue(id);
  ASSERT_EQ(claim(1, 15).size(), 14U);
  d().mark_dirty(database_, 1, 0, 0);
  once_at(Call::after_snapshot, [&] {
    const Micros later = platform().wall + kMinute;
    log_outcome(OutcomeKind::rescheduled, row, job.token, 0, later);
    ASSERT_EQ(decide(job, Decision::put_back, later), Verdict::ok);
    enqueue(16);
    claim_one(1);
    EntryRef busy{};
    if (d().add_placeholder(database_, 1, 500, &busy) == Verdict::ok) d().drop_placeholder(busy);
    EXPECT_NE(state_of(1), EntryState::delayed);
  });
  load();
  load();
  EXPECT_TRUE(claim(1).empty());
  platform().advance(kMinute);
  load();
  EXPECT_EQ(claim_ids(1, 16), range(1, 1));
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

TEST_F(Load, IsNotLiveWhileAPageIsDirty) {
  without_sleepers();
  d().mark_dirty(database_, 1, 0, 0);
  once_at(Call::committed, [this] { d().mark_dirty(database_, 1, 0, 1); });
  loader().step(kMinute);
  EXPECT_EQ(figures(1).mode, LoadMode::handover);
  load();
  EXPECT_EQ(figures(1).mode, LoadMode::live);
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
  ASSERT_TRUE(d().fill_placeholder(busy, row, true, &decided));
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

}  // namespace
}  // namespace dw::test
