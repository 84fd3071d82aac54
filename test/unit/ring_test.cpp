/* Which segment of the log an id belongs to, and the steps of a segment's life. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

constexpr std::uint32_t kSequence = 16400;

class Ring : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    d().detach_database(database_);
    database_ = d().attach_database(kOid);
  }
  SegmentState state(std::uint8_t segment) {
    return d().arena().databases[database_].segment_state[segment].load();
  }
  std::uint8_t of(JobId id) { return d().segment_of(database_, id); }
  std::uint8_t current() { return d().arena().databases[database_].current_segment.load(); }
};

TEST_F(Ring, BeforeTheTableOfSegmentsIsReadNoJobBelongsToOne) {
  EXPECT_EQ(of(1), kParkedSegment);
  EXPECT_FALSE(d().may_write(database_, kParkedSegment));
  EXPECT_FALSE(d().may_write(database_, 0));
}

TEST_F(Ring, TheLogOfANewDatabaseBeginsInSegment0) {
  d().begin_log(database_);
  EXPECT_EQ(of(1), 0);
  EXPECT_TRUE(d().may_write(database_, 0));
  EXPECT_EQ(current(), 0);
}

TEST_F(Ring, AnIdBelongsToTheSegmentWithTheHighestFirstIdThatIsNotAboveIt) {
  d().know_segment(database_, 6, 1000);
  d().know_segment(database_, 7, 2000);
  d().know_segment(database_, 0, 3000);
  EXPECT_EQ(of(999), kParkedSegment) << "its segment was emptied";
  EXPECT_EQ(of(1000), 6);
  EXPECT_EQ(of(1999), 6);
  EXPECT_EQ(of(2000), 7);
  EXPECT_EQ(of(5000), 0);
  EXPECT_EQ(current(), 0);
  std::uint8_t order[kSegments];
  ASSERT_EQ(d().segments_in_order(database_, order), 3);
  EXPECT_EQ(order[0], 6);
  EXPECT_EQ(order[1], 7);
  EXPECT_EQ(order[2], 0);
}

TEST_F(Ring, ARestoredFirstIdReplacesTheOneOfANewDatabase) {
  d().begin_log(database_);
  d().know_segment(database_, 3, 500);
  d().know_segment(database_, 0, 900);
  EXPECT_EQ(of(600), 3);
  EXPECT_EQ(of(1000), 0);
  EXPECT_EQ(current(), 0);
}

TEST_F(Ring, ASegmentIsOpenedOnlyAboveAllIdsThatWereGiven) {
  d().begin_log(database_);
  ASSERT_TRUE(d().open_job_ids(database_, kSequence, 1001, 64));
  EXPECT_FALSE(d().open_segment(database_, 1, 1064)) << "1064 is the last one of the open block";
  EXPECT_EQ(state(1), SegmentState::empty);
  ASSERT_TRUE(d().open_segment(database_, 1, 1065));
  EXPECT_EQ(d().take_job_id(database_, kSequence), 1002) << "the block goes on in the old segment";
  EXPECT_EQ(of(1002), 0);
  EXPECT_EQ(of(1065), 1);
  EXPECT_TRUE(d().may_write(database_, 0)) << "for those who have their ids already";
}

TEST_F(Ring, OnlyAnEmptySegmentIsOpened) {
  d().begin_log(database_);
  ASSERT_TRUE(d().open_segment(database_, 1, 1000));
  EXPECT_FALSE(d().open_segment(database_, 1, 2000));
  EXPECT_FALSE(d().open_segment(database_, 0, 2000));
}

TEST_F(Ring, AQuietSegmentTakesNoJobAndAnEmptiedOneHasNoIds) {
  d().begin_log(database_);
  ASSERT_TRUE(d().open_segment(database_, 1, 1000));
  d().make_quiet(database_, 0);
  EXPECT_EQ(state(0), SegmentState::quiet);
  EXPECT_FALSE(d().may_write(database_, 0));
  EXPECT_EQ(of(5), 0) << "where it is to be looked for";
  d().empty_segment(database_, 0);
  EXPECT_EQ(state(0), SegmentState::empty);
  EXPECT_EQ(of(5), kParkedSegment);
  EXPECT_EQ(of(1000), 1);
}

TEST_F(Ring, TheCurrentSegmentBecomesNeitherQuietNorEmpty) {
  d().begin_log(database_);
  d().make_quiet(database_, 0);
  EXPECT_EQ(state(0), SegmentState::open);
  d().empty_segment(database_, 0);
  EXPECT_EQ(of(1), 0);
}

TEST_F(Ring, AHoldKeepsTheTimeSinceWhenItIsTheSame) {
  d().begin_log(database_);
  d().note_hold(database_, 0, SegmentHold{Hold::jobs, 1, 5, 3, 0, 0, 0});
  const Micros since = d().see_hold(database_, 0).since;
  platform().advance(kMinute);
  d().note_hold(database_, 0, SegmentHold{Hold::jobs, 1, 5, 2, 0, 0, 0});
  EXPECT_EQ(d().see_hold(database_, 0).since, since);
  EXPECT_EQ(d().see_hold(database_, 0).jobs, 2);
  d().note_hold(database_, 0, SegmentHold{Hold::lock, 0, 0, 0, 17, 0, 0});
  EXPECT_EQ(d().see_hold(database_, 0).since, since + kMinute);
}

}  // namespace
}  // namespace dw::test
