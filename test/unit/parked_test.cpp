/* The loader and the parked table: where it goes on, what it comes back to, whom it makes way for.
 */
#include "load_fixture.hpp"

#include "core/token.hpp"

namespace dw::test {
namespace {

class Parked : public Load {
 protected:
  void park(JobId first, JobId last, QueueId queue = 1) {
    for (JobId id = first; id <= last; id++)
      log_job(id, queue, kParkedSegment, platform().wall - kMinute + id);
  }
  /* Hands out and completes until nothing comes any more; in the order in which they came. */
  std::vector<JobId> work_off(QueueId queue = 1) {
    std::vector<JobId> done;
    for (;;) {
      load();
      const std::vector<ClaimedJob> jobs = claim(queue, 5);
      if (jobs.empty()) return done;
      for (const ClaimedJob& job : jobs) {
        done.push_back(job.id);
        EXPECT_EQ(complete(job), Verdict::ok);
      }
    }
  }
};

TEST_F(Parked, MoreThanFitInAreHandedOutOnceEach) {
  begin(16, LoadMode::live);
  park(1, 100);
  EXPECT_EQ(work_off(), range(1, 100));
  EXPECT_EQ(figures(1).mode, LoadMode::live);
}

TEST_F(Parked, WhatIsDueAtTheSameTimeIsReadInSeveralChunks) {
  for (JobId id = 1; id <= 40; id++) log_job(id, 1, kParkedSegment, platform().wall);
  int chunks = 0;
  while (loader().step(0)) chunks++;
  EXPECT_GT(chunks, 10) << "a chunk without a budget reads a row";
  EXPECT_EQ(claim_ids(1, 64), range(1, 40));
}

TEST_F(Parked, ACommitBehindThePlaceIsNotPassedOver) {
  park(1, 10);
  park(20, 30);
  ASSERT_TRUE(loader().step(0));
  ASSERT_TRUE(loader().step(0));
  park(15, 15);
  d().note_parked(database_, platform().wall - kMinute + 15);
  park(40, 40);
  d().note_parked(database_, platform().wall - kMinute + 40);
  load();
  EXPECT_EQ(claim_ids(1, 64).size(), 23U);
}

TEST_F(Parked, AFullQueueDoesNotKeepOutTheJobsOfAnother) {
  begin(64, LoadMode::live);
  park(1, 100);
  load();
  add_queue(2);
  tell_queues({1, 2});
  park(201, 205, 2);
  d().note_parked(database_, kAlways);
  load();
  EXPECT_EQ(claim_ids(2, 10), range(201, 205));
}

TEST_F(Parked, ThoseInMemoryMakeWayForAnotherQueueAndComeBack) {
  begin(64, LoadMode::live);
  park(1, 100);
  load();
  EXPECT_EQ(figures(1).resident, 64U);
  add_queue(2);
  tell_queues({1, 2});
  log_jobs(201, 210, 2);
  slot(d().find_queue(database_, 2)).dirty.add(0, 0, 20);
  load();
  EXPECT_EQ(claim_ids(2, 10), range(201, 210));
  EXPECT_EQ(work_off(), range(1, 100));
}

TEST_F(Parked, ADeferredJobIsFoundByItsStoredTimeAndComesWhenItIsDue) {
  const JobRow row = log_job(1, 1, kParkedSegment, platform().wall - kMinute);
  log_outcome(OutcomeKind::rescheduled, row, make_token(1, 1), 0, platform().wall + kMinute);
  load();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(2 * kMinute);
  EXPECT_EQ(claim_one(1).id, 1);
}

}  // namespace
}  // namespace dw::test
