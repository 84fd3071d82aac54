/* What a start makes of the slots of the ring, from their rows and tables. */
#include "core/known_slots.hpp"

#include <gtest/gtest.h>

namespace dw::test {
namespace {

using namespace dw::core;

class KnownSlotsTest : public ::testing::Test {
 protected:
  KnownSlotsTest() {
    for (SlotFacts& slot : slots_) slot = SlotFacts{kNever, false};
  }
  void has_row(std::uint8_t segment, JobId first) { slots_[segment].first = first; }
  void has_jobs(std::uint8_t segment) { slots_[segment].has_jobs = true; }
  SlotStanding at_start(std::uint8_t segment) { return judge_slot(slots_, segment, true); }
  SlotStanding later(std::uint8_t segment) { return judge_slot(slots_, segment, false); }

 private:
  SlotFacts slots_[kSegments];
};

TEST_F(KnownSlotsTest, ANewDatabaseHasNoRowOfItsFirstSegment) {
  EXPECT_EQ(at_start(0), SlotStanding::unused);
  has_jobs(0);
  EXPECT_EQ(at_start(0), SlotStanding::unused);
  EXPECT_EQ(at_start(1), SlotStanding::unused);
}

TEST_F(KnownSlotsTest, ASegmentThatWasAnnouncedAndNeverUsedIsForgottenAtAStart) {
  has_row(0, 0);
  has_jobs(0);
  has_row(1, 1000);
  EXPECT_EQ(at_start(1), SlotStanding::only_announced);
  EXPECT_EQ(at_start(0), SlotStanding::in_use);
  EXPECT_EQ(later(1), SlotStanding::in_use) << "somebody may be about to write to it";
}

TEST_F(KnownSlotsTest, OneThatHasJobsIsInUse) {
  has_row(0, 0);
  has_row(1, 1000);
  has_jobs(1);
  EXPECT_EQ(at_start(1), SlotStanding::in_use);
  EXPECT_EQ(at_start(0), SlotStanding::in_use) << "empty, but followed by another";
}

TEST_F(KnownSlotsTest, TheLastOneHasTheHighestFirstId) {
  has_row(5, 9000);
  has_jobs(5);
  has_row(2, 10000);
  EXPECT_EQ(at_start(2), SlotStanding::only_announced);
}

TEST_F(KnownSlotsTest, TheOnlyOneIsNeverForgotten) {
  has_row(3, 5000);
  EXPECT_EQ(at_start(3), SlotStanding::in_use);
}

TEST_F(KnownSlotsTest, JobsThatCameWithoutTheRowOfTheirSegmentAreFound) {
  has_row(0, 0);
  has_jobs(4);
  EXPECT_EQ(at_start(4), SlotStanding::without_row);
  EXPECT_EQ(later(4), SlotStanding::without_row);
  has_jobs(0);
  EXPECT_EQ(at_start(0), SlotStanding::in_use);
}

}  // namespace
}  // namespace dw::test
