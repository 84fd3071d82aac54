/* A job with a row in two places, against the loader, a restart and the census; and a job that gets
 * another row from the transaction that enqueues it. */
#include "client_fixture.hpp"

namespace dw::test {
namespace {

class ChangeLoad : public ClientTest {
 protected:
  /* Everything that can be claimed, with the number of its row; each is completed. */
  std::vector<std::uint32_t> drain_versions() {
    std::vector<std::uint32_t> versions;
    for (int idle = 0; idle < 5;) {
      const std::vector<ClaimedJob> jobs = claim(1);
      if (jobs.empty()) {
        load_later();
        idle++;
        continue;
      }
      versions.push_back(row_at(jobs[0]).key_hash);
      EXPECT_EQ(complete(jobs[0]), Verdict::ok);
    }
    return versions;
  }
  using Versions = std::vector<std::uint32_t>;
};

/* --- the loader ------------------------------------------------------------------------------- */

TEST_F(ChangeLoad, BothRowsAreSeenBeforeTheCallback) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.pre_commit();
  mine.show();
  loader().reset();
  load();
  EXPECT_EQ(state_of(1), EntryState::completing);
  EXPECT_TRUE(claim(1).empty());
  mine.call_back();
  EXPECT_EQ(drain_versions(), (Versions{2}));
}

TEST_F(ChangeLoad, BothRowsAreSeenBeforeTheCallbackOfACancel) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  ASSERT_EQ(mine.cancel(1), Verdict::ok);
  mine.pre_commit();
  mine.show();
  loader().reset();
  load();
  mine.call_back();
  EXPECT_TRUE(drain_versions().empty());
}

/* The chunk's snapshot has the old row only. */
TEST_F(ChangeLoad, ChangedClaimedAndFinishedWhileAChunkRunsItIsNotLoadedAgain) {
  for (const Call call : {Call::after_snapshot, Call::scan_outcomes, Call::scan_jobs}) {
    begin(64, LoadMode::live);
    enqueue(1);
    ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
    enqueue(2);
    loader().reset();
    without_sleepers();
    once_at(call, [this] {
      Client mine = client();
      ASSERT_EQ(mine.change(2, version(2)), Verdict::ok);
      mine.commit();
      ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
    });
    load();
    EXPECT_EQ(drain_versions(), Versions{}) << "at call " << static_cast<int>(call);
  }
}

TEST_F(ChangeLoad, TheRowInTheSlotIsSkippedOnceItsMoveIsNoted) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.commit();
  ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
  d().mark_dirty(database_, 1, 0, 0);
  load();
  EXPECT_EQ(state_of(1), EntryState::free);
  loader().reset();
  EXPECT_TRUE(drain_versions().empty());
}

TEST_F(ChangeLoad, TheLoaderFindsAJobThatIsResidentAtItsNewPlace) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  mine.commit();
  loader().reset();
  load();
  EXPECT_EQ(figures(1).resident, 1U);
  EXPECT_EQ(drain_versions(), (Versions{2}));
}

TEST_F(ChangeLoad, AfterARestartTheJobIsThereOnceAndWithItsNewRow) {
  for (JobId id = 1; id <= 5; id++) enqueue(id);
  Client mine = client();
  const Micros due = platform().wall + kMinute;
  ASSERT_EQ(mine.change(2,
                        [due](JobRow& row) {
                          row.key_hash = 2;
                          row.due = due;
                          row.attempts = 4;
                        }),
            Verdict::ok);
  mine.commit();
  Client theirs = client();
  ASSERT_EQ(theirs.change(3, version(9)), Verdict::ok);
  theirs.abort();
  restart();
  load();
  EXPECT_EQ(claim_ids(1, 9), (std::vector<JobId>{1, 3, 4, 5}));
  platform().advance(kMinute);
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(row_at(job).key_hash, 2U);
  EXPECT_EQ(job.attempt, 5);
}

TEST_F(ChangeLoad, ChangedOnceMoreInParkedItsLatestRowCounts) {
  enqueue(1);
  for (std::uint32_t number = 2; number <= 4; number++) {
    Client mine = client();
    ASSERT_EQ(mine.change(1, version(number)), Verdict::ok);
    mine.commit();
    load_later();
  }
  restart();
  EXPECT_EQ(drain_versions(), (Versions{4}));
}

TEST_F(ChangeLoad, OfARowInParkedTheEarlierVersionIsNotLoadedBeforeTheCallback) {
  enqueue(1);
  Client first = client();
  ASSERT_EQ(first.change(1, version(2)), Verdict::ok);
  first.commit();
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(3)), Verdict::ok);
  mine.pre_commit();
  mine.show();
  loader().reset();
  load();
  EXPECT_TRUE(claim(1).empty());
  mine.call_back();
  EXPECT_EQ(drain_versions(), (Versions{3}));
}

/* --- the census ------------------------------------------------------------------------------- */

TEST_F(ChangeLoad, AChangeIsCountedOnceWheneverTheCensusRuns) {
  for (JobId id = 1; id <= 6; id++) enqueue(id);
  JobId next = 1;
  for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_parked,
                          Call::scan_outcomes, Call::scan_jobs, Call::before_commit}) {
    census().reset();
    once_at(call, [this, next] {
      Client mine = client();
      ASSERT_EQ(mine.change(next, version(2)), Verdict::ok);
      mine.commit();
    });
    count(0);
    EXPECT_EQ(unfinished(), 6);
    next++;
  }
}

TEST_F(ChangeLoad, AChangeThatWasOpenAtTheBoundaryIsCountedOnceWheneverItCommits) {
  for (JobId id = 1; id <= 6; id++) enqueue(id);
  JobId next = 1;
  for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_parked,
                          Call::scan_outcomes, Call::scan_jobs, Call::before_commit}) {
    Client mine = client();
    ASSERT_EQ(mine.change(next, version(2)), Verdict::ok);
    census().reset();
    once_at(call, [&mine] { mine.commit(); });
    count(0);
    EXPECT_EQ(unfinished(), 6);
    next++;
  }
}

TEST_F(ChangeLoad, AChangeThatWasOpenAtTheBoundaryDisturbsACountThatIsKnown) {
  enqueue(1);
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(2)), Verdict::ok);
  census().reset();
  EXPECT_EQ(unfinished(), 1);
  mine.commit();
  EXPECT_FALSE(is_counted());
  EXPECT_EQ(unfinished(), 1);
}

TEST_F(ChangeLoad, AChangeWithinParkedDisturbsNothing) {
  enqueue(1);
  Client first = client();
  ASSERT_EQ(first.change(1, version(2)), Verdict::ok);
  first.commit();
  Client mine = client();
  ASSERT_EQ(mine.change(1, version(3)), Verdict::ok);
  census().reset();
  EXPECT_EQ(unfinished(), 1);
  mine.commit();
  EXPECT_TRUE(is_counted());
  EXPECT_EQ(unfinished(), 1);
}

/* `moved` has a token from before the boundary, what was decided since has a later one. */
TEST_F(ChangeLoad, DecidedAgainAfterTheBoundaryItIsCountedOnceWheneverItCommits) {
  for (const bool cancels : {false, true}) {
    begin(64, LoadMode::live);
    forget_census();
    for (JobId id = 1; id <= 12; id++) enqueue(id);
    /* The census has something to read in parked before it comes to the outcomes. */
    Client others = client();
    ASSERT_EQ(others.change(12, version(2)), Verdict::ok);
    others.commit();
    JobId next = 1;
    std::int64_t left = 12;
    for (const Call call : {Call::after_snapshot, Call::scan_parked, Call::scan_outcomes,
                            Call::scan_jobs, Call::before_commit}) {
      Client mine = client();
      ASSERT_EQ(mine.change(next, version(2)), Verdict::ok);
      census().reset();
      once_at(call, [&mine, next, cancels] {
        const Verdict verdict = cancels ? mine.cancel(next) : mine.change(next, version(3), true);
        ASSERT_EQ(verdict, Verdict::ok);
        mine.commit();
      });
      count(0);
      left -= cancels ? 1 : 0;
      EXPECT_EQ(unfinished(), left) << "at call " << static_cast<int>(call);
      next++;
    }
  }
}

/* --- enqueued and replaced by one transaction ------------------------------------------------- */

TEST_F(ChangeLoad, AJobReplacedBeforeItsCommitComesWithItsNewRow) {
  without_sleepers();
  Client mine = client();
  mine.enqueue(row_of(1, 1));
  ASSERT_EQ(mine.replace(1, version(2)), Verdict::ok);
  ASSERT_EQ(mine.replace(1, version(3)), Verdict::ok);
  mine.commit();
  EXPECT_EQ(claim_one(1).segment, kParkedSegment) << "its commit links it";
  platform().advance(3600 * kSecond);
  restart();
  EXPECT_EQ(drain_versions(), (Versions{3}));
}

TEST_F(ChangeLoad, AJobReplacedBeforeItsCommitIsNotLinkedBeyondTheParkedPosition) {
  without_sleepers();
  const Micros due = platform().wall + 60 * kMinute;
  Client mine = client();
  mine.enqueue(row_of(1, 1));
  ASSERT_EQ(mine.replace(1, version(2, due)), Verdict::ok);
  mine.commit();
  EXPECT_EQ(state_of(1), EntryState::free);
  load();
  EXPECT_EQ(state_of(1), EntryState::free);
  platform().advance(60 * kMinute);
  EXPECT_EQ(drain_versions(), (Versions{2}));
}

TEST_F(ChangeLoad, ASavepointThatRollsBackRestoresTheRowBefore) {
  without_sleepers();
  Client mine = client();
  mine.enqueue(row_of(1, 1));
  ASSERT_EQ(mine.replace(1, version(2)), Verdict::ok);
  mine.savepoint();
  ASSERT_EQ(mine.replace(1, version(3)), Verdict::ok);
  mine.savepoint();
  ASSERT_EQ(mine.replace(1, version(4)), Verdict::ok);
  mine.release();
  mine.roll_back();
  mine.enqueue(row_of(1, 2));
  mine.savepoint();
  ASSERT_EQ(mine.replace(2, version(5)), Verdict::ok);
  mine.roll_back();
  mine.commit();
  const std::vector<ClaimedJob> jobs = claim(1, 9);
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(row_at(jobs[0]).key_hash, 2U);
  EXPECT_EQ(row_at(jobs[1]).key_hash, 0U);
  EXPECT_EQ(jobs[1].segment, 0);
}

TEST_F(ChangeLoad, AReplacementOfAReleasedSavepointStays) {
  without_sleepers();
  Client mine = client();
  mine.enqueue(row_of(1, 1));
  mine.savepoint();
  ASSERT_EQ(mine.replace(1, version(2)), Verdict::ok);
  mine.release();
  mine.savepoint();
  mine.roll_back();
  mine.commit();
  EXPECT_EQ(drain_versions(), (Versions{2}));
}

TEST_F(ChangeLoad, AReplacedJobOfATransactionThatRollsBackIsNowhere) {
  Client mine = client();
  mine.savepoint();
  mine.enqueue(row_of(1, 1));
  ASSERT_EQ(mine.replace(1, version(2)), Verdict::ok);
  mine.roll_back();
  EXPECT_EQ(mine.replace(1, version(3)), Verdict::not_resident);
  mine.enqueue(row_of(1, 2));
  ASSERT_EQ(mine.replace(2, version(2)), Verdict::ok);
  mine.abort();
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
  EXPECT_TRUE(drain_versions().empty());
}

TEST_F(ChangeLoad, AReplacedJobKeepsTheRoomThatItHas) {
  QueueOptions options;
  options.max_length = 3;
  begin(64, LoadMode::live, options);
  for (const bool commits : {false, true}) {
    Client mine = client();
    RoomFigures figures{};
    std::size_t room = 0;
    mine.transaction().reserve(1);
    ASSERT_EQ(mine.transaction().reserve_room(1, ref_of(1), 1, &figures, &room), Room::granted);
    JobRow row = row_of(1, commits ? 1 : 2);
    row.has_room = true;
    mine.enqueue(row);
    mine.transaction().use_room(room);
    ASSERT_EQ(mine.replace(row.id,
                           [](JobRow& now) {
                             now.has_room = false;
                             now.due = kAlways;
                           }),
              Verdict::ok);
    EXPECT_EQ(q().length.reserved, 1);
    if (commits) {
      mine.commit();
    } else {
      mine.abort();
    }
    EXPECT_EQ(q().length.reserved, 0);
    EXPECT_EQ(q().length.before + q().length.since, commits ? 1 : 0);
  }
}

TEST_F(ChangeLoad, AReplacedJobIsCountedOnceWhereverTheBoundaryLies) {
  enqueue(1);
  EXPECT_EQ(unfinished(), 1);
  Client before = client();
  before.enqueue(row_of(1, 7));
  ASSERT_EQ(before.replace(7, version(2)), Verdict::ok);
  census().reset();
  EXPECT_EQ(unfinished(), 1);
  ASSERT_EQ(before.replace(7, version(3)), Verdict::ok);
  before.commit();
  EXPECT_EQ(unfinished(), 2);
  d().open_job_ids(database_, 1, 2000, 1);
  Client after = client();
  after.enqueue(row_of(1, 2000));
  ASSERT_EQ(after.replace(2000, version(2)), Verdict::ok);
  after.commit();
  EXPECT_TRUE(is_counted());
  EXPECT_EQ(unfinished(), 3);
  census().reset();
  EXPECT_EQ(unfinished(), 3);
}

}  // namespace
}  // namespace dw::test
