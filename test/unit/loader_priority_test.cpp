/* Priorities and order in a queue that is deeper than memory. */
#include "load_fixture.hpp"

#include "core/token.hpp"

namespace dw::test {
namespace {

class Deep : public Load {
 protected:
  JobRow log_priority(JobId id, std::uint8_t priority) {
    JobRow row = row_of(1, id);
    row.priority = priority;
    const Xid xid = log().begin();
    log().insert_job(xid, kClient, 1, &row);
    log().commit(xid);
    return row;
  }
  /* Committed by a session whose queue has no room: only marked. */
  void commit_priority(JobId id, std::uint8_t priority) {
    publish(log_priority(id, priority), EntryRef{kNone, 0});
  }
  /* 1,000 jobs of priority 4, with memory for 64. */
  void deepen() {
    begin(64, LoadMode::loading);
    for (JobId id = 1; id <= 1000; id++) log_priority(id, 4);
    load();
  }
};

TEST_F(Deep, ABacklogIsHandedOutInItsOrder) {
  deepen();
  EXPECT_EQ(drain(), range(1, 1000));
}

TEST_F(Deep, AJobOfABetterPriorityOvertakesWhatIsResidentAndOnDisk) {
  deepen();
  commit_priority(2000, 0);
  load();
  EXPECT_EQ(claim_one(1).id, 2000);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Deep, SuchACommitWakesTheHousekeeperAndOthersDoNot) {
  deepen();
  load();
  (void)platform().housekeeper_was_woken();
  commit_priority(2000, 4);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  commit_priority(2001, 3);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Deep, MoreUrgentJobsThanMemoryHoldsAreAllHandedOutFirst) {
  deepen();
  for (JobId id = 2000; id < 2200; id++) commit_priority(id, 1);
  load();
  std::vector<JobId> ids = drain();
  ids.resize(200);
  EXPECT_EQ(ids, range(2000, 2199));
}

TEST_F(Deep, AnUrgentJobDeepInABacklogIsFoundAtStart) {
  begin(64, LoadMode::loading);
  for (JobId id = 1; id <= 1000; id++) log_priority(id, id == 700 ? 2 : 4);
  load();
  EXPECT_EQ(claim_one(1).id, 700);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Deep, AMixedBacklogIsHandedOutByPriorityThenInItsOrder) {
  begin(64, LoadMode::loading);
  std::vector<JobId> expected;
  for (JobId id = 1; id <= 600; id++) log_priority(id, static_cast<std::uint8_t>(id % 3));
  for (JobId rest = 0; rest < 3; rest++) {
    for (JobId id = rest == 0 ? 3 : rest; id <= 600; id += 3) expected.push_back(id);
  }
  load();
  EXPECT_EQ(drain(), expected);
}

/* Else that chunk reads the page where it lies again until its time is over. */
TEST_F(Deep, AJobThatOthersGaveWayForMayEndBeforeItIsReadAgain) {
  deepen();
  const JobRow urgent = log_priority(2000, 0);
  commit_priority(2001, 4);
  publish(urgent, EntryRef{kNone, 0});
  ASSERT_TRUE(loader().step(kMinute));
  log_outcome(OutcomeKind::cancelled, urgent, make_token(kEpoch, 1'000'000));
  int pages = 0;
  store().on_call = [&](Call call) {
    if (call == Call::scan_jobs) pages++;
    platform().advance(kSecond);
  };
  loader().step(kMinute);
  store().on_call = nullptr;
  EXPECT_LT(pages, 50);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Deep, WorkersGetSomethingBeforeABacklogHasBeenLookedThrough) {
  begin(64, LoadMode::loading);
  for (JobId id = 1; id <= 1000; id++) log_priority(id, 4);
  without_sleepers();
  for (int i = 0; i < 10; i++) loader().step(0);
  EXPECT_EQ(claim_one(1).id, 1);
}

/* Found by the simulation: what comes behind it was passed over, and its page read again, until the
 * chunk's time was up. */
TEST_F(Deep, AJobThatEndsAfterOthersHaveMadeWayForItKeepsNobodyWaiting) {
  deepen();
  const JobRow urgent = log_priority(2000, 1);
  publish(urgent, EntryRef{kNone, 0});
  for (JobId id = 2001; id <= 2020; id++) commit_priority(id, 1);
  ASSERT_TRUE(loader().step(kMinute)) << "others have made way";
  log_outcome(OutcomeKind::cancelled, urgent, 1);
  store().calls_left = 10'000;
  load();
  std::vector<JobId> ids = drain();
  ids.resize(20);
  EXPECT_EQ(ids, range(2001, 2020));
}

/* --- who wakes the housekeeper --- */

TEST_F(Deep, AQueueWhoseRoomOthersHoldWakesTheHousekeeperOnce) {
  begin(64, LoadMode::live);
  for (JobId id = 1; id <= 64; id++) enqueue(id);
  const std::vector<ClaimedJob> held = claim(1, 64);
  ASSERT_EQ(held.size(), 64U);
  add_queue(2);
  tell_queues({1, 2});
  enqueue(100, 2);
  load();
  (void)platform().housekeeper_was_woken();
  for (JobId id = 101; id <= 120; id++) enqueue(id, 2);
  claim(2);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  /* It looks again by itself, and soon. */
  EXPECT_LE(loader().next_wake(), platform().wall + kSecond);
  ASSERT_EQ(complete(held[0]), Verdict::ok);
  load();
  EXPECT_EQ(claim_one(2).id, 100);
}

}  // namespace
}  // namespace dw::test
