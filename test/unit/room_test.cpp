/* Room: half of the arena is guaranteed in equal shares, the rest is lent, and every entry comes
 * back. */
#include "arena_fixture.hpp"

#include <random>

namespace dw::test {
namespace {

class Room : public ArenaTest {
 protected:
  std::uint32_t fill(QueueId queue, JobId first, std::uint32_t most) {
    std::uint32_t linked = 0;
    while (linked < most && link(row_of(queue, first + linked)).entry != kNone) linked++;
    return linked;
  }
};

TEST_F(Room, OneQueueMayTakeTheWholeArena) {
  add_queue(1);
  EXPECT_EQ(fill(1, 1, 100), 64U);
  EXPECT_EQ(d().arena().free_count, 0U);
}

TEST_F(Room, ABorrowerLeavesTheOthersTheirShare) {
  start(256);
  add_queue(1);
  add_queue(2);
  /* 256 / 4 = 64 each, 128 to lend. */
  EXPECT_EQ(fill(1, 1, 300), 192U);
  EXPECT_EQ(fill(2, 1000, 300), 64U);
}

TEST_F(Room, TheLentHalfGoesToWhoAsksFirst) {
  start(256);
  add_queue(1);
  add_queue(2);
  EXPECT_EQ(fill(1, 1, 100), 100U);
  EXPECT_EQ(fill(2, 1000, 300), 156U);
}

TEST_F(Room, WhatABorrowerGivesBackIsLentAgain) {
  start(256);
  add_queue(1);
  add_queue(2);
  put_many(1, 1, 192);
  EXPECT_EQ(fill(2, 1000, 300), 64U);
  slot(1).mode = LoadMode::live;
  for (int i = 0; i < 50; i++) ASSERT_EQ(decide(claim_one(1), Decision::finish), Verdict::ok);
  d().arena().queues[d().find_queue(database_, 2)].mode = LoadMode::live;
  EXPECT_EQ(fill(2, 2000, 300), 50U);
}

TEST_F(Room, ANewQueueLowersTheShareOfAll) {
  start(256);
  add_queue(1);
  EXPECT_EQ(fill(1, 1, 128), 128U);
  EXPECT_EQ(d().arena().borrowed, 0U);
  add_queue(2);
  EXPECT_EQ(d().arena().borrowed, 64U);
}

TEST_F(Room, ARemovedQueueRaisesTheShareOfTheRest) {
  start(256);
  add_queue(1);
  const Index second = add_queue(2);
  fill(1, 1, 128);
  EXPECT_EQ(d().arena().borrowed, 64U);
  d().remove_queue(ref(second));
  EXPECT_EQ(d().arena().borrowed, 0U);
}

TEST_F(Room, EveryShareHasAtLeastSixteenEntries) {
  for (QueueId queue = 1; queue <= 4; queue++) add_queue(queue);
  EXPECT_EQ(fill(1, 1, 100), 16U);
  EXPECT_EQ(fill(2, 1000, 100), 16U);
}

TEST_F(Room, AnEmptyArenaLinksNothingAndBreaksNothing) {
  start(0);
  add_queue(1);
  put(row_of(1, 1));
  EXPECT_EQ(figures(1).resident, 0U);
  EXPECT_EQ(figures(1).mode, LoadMode::loading);
}

TEST_F(Room, AgreesWithItsCountsUnderRandomLinksAndEnds) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    std::mt19937_64 engine(seed);
    start(64 + static_cast<std::uint32_t>(engine() % 200));
    const QueueId queues = 1 + static_cast<QueueId>(engine() % 6);
    for (QueueId queue = 1; queue <= queues; queue++) add_queue(queue);
    std::vector<std::pair<JobRow, EntryRef>> pending;
    std::vector<ClaimedJob> claimed;
    JobId next_id = 1;
    for (int step = 0; step < 600; step++) {
      const QueueId queue = 1 + static_cast<QueueId>(engine() % static_cast<std::uint64_t>(queues));
      slot(d().find_queue(database_, queue)).mode = LoadMode::live;
      switch (engine() % 5) {
        case 0:
        case 1: {
          const JobRow row = row_of(queue, next_id++);
          pending.emplace_back(row, link(row));
          break;
        }
        case 2:
          if (pending.empty()) break;
          if (engine() % 3 == 0) {
            d().unlink_pending(ref_of(pending.back().first.queue), &pending.back().second, 1);
          } else {
            publish(pending.back().first, pending.back().second);
          }
          pending.pop_back();
          break;
        case 3:
          for (const ClaimedJob& job : claim(queue, 3)) claimed.push_back(job);
          break;
        default:
          if (claimed.empty()) break;
          ASSERT_EQ(decide(claimed.back(), engine() % 2 == 0 ? Decision::finish : Decision::retry,
                           kAlways),
                    Verdict::ok);
          claimed.pop_back();
          break;
      }
      ASSERT_EQ(arena_faults(d().arena()), "") << "seed " << seed << " step " << step;
    }
    for (const auto& [row, reference] : pending)
      d().unlink_pending(ref_of(row.queue), &reference, 1);
    for (const ClaimedJob& job : claimed) decide(job, Decision::finish);
    for (QueueId queue = 1; queue <= queues; queue++)
      for (const ClaimedJob& job : claim(queue, 300)) decide(job, Decision::finish);
    ASSERT_EQ(d().arena().free_count, d().arena().capacity) << "seed " << seed;
    ASSERT_EQ(d().arena().borrowed, 0U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dw::test
