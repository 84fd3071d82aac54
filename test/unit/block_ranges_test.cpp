#include "core/block_ranges.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <utility>

namespace dw::core {
namespace {

constexpr std::uint32_t kLastBlock = std::numeric_limits<std::uint32_t>::max();

BoundedRanges empty_ranges() {
  BoundedRanges ranges;
  ranges.clear();
  return ranges;
}

bool contains(const BoundedRanges& ranges, std::uint8_t segment, std::uint32_t block) {
  for (std::uint32_t i = 0; i < ranges.size(); i++) {
    const BlockRange& range = ranges.at(i);
    if (range.segment == segment && range.first <= block && block <= range.last) return true;
  }
  return false;
}

/* Sorted, apart, and none upside down. */
template <typename Ranges>
void expect_tidy(const Ranges& all, std::size_t count) {
  for (std::size_t i = 0; i < count; i++) {
    ASSERT_LE(all(i).first, all(i).last);
    if (i == 0) continue;
    ASSERT_LE(all(i - 1).segment, all(i).segment);
    const bool same_segment = all(i - 1).segment == all(i).segment;
    ASSERT_TRUE(!same_segment || std::uint64_t{all(i - 1).last} + 1 < all(i).first);
  }
}

TEST(BoundedRanges, StartEmpty) { EXPECT_TRUE(empty_ranges().empty()); }

TEST(BoundedRanges, JoinNeighboursAndOverlaps) {
  BoundedRanges ranges = empty_ranges();
  ranges.add(0, 10, 12);
  ranges.add(0, 13, 15);
  ranges.add(0, 8, 9);
  ranges.add(0, 11, 14);
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges.at(0).first, 8U);
  EXPECT_EQ(ranges.at(0).last, 15U);
}

TEST(BoundedRanges, KeepSegmentsApart) {
  BoundedRanges ranges = empty_ranges();
  ranges.add(1, 5, 5);
  ranges.add(0, 5, 5);
  ranges.add(2, 6, 6);
  EXPECT_EQ(ranges.size(), 3U);
  EXPECT_EQ(ranges.at(0).segment, 0);
}

TEST(BoundedRanges, BridgeAGapWithOneBlock) {
  BoundedRanges ranges = empty_ranges();
  ranges.add(3, 1, 1);
  ranges.add(3, 3, 3);
  ASSERT_EQ(ranges.size(), 2U);
  ranges.add(3, 2, 2);
  EXPECT_EQ(ranges.size(), 1U);
}

TEST(BoundedRanges, TakeTheFirstAndTheLastBlockThereIs) {
  BoundedRanges ranges = empty_ranges();
  ranges.add(0, kLastBlock, kLastBlock);
  ranges.add(0, 0, 0);
  EXPECT_EQ(ranges.size(), 2U);
  ranges.add(0, kLastBlock - 1, kLastBlock - 1);
  EXPECT_EQ(ranges.size(), 2U);
  ranges.add(0, 0, kLastBlock);
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges.at(0).last, kLastBlock);
}

TEST(BoundedRanges, MergeTheNearestTwoWhenFull) {
  BoundedRanges ranges = empty_ranges();
  for (std::uint32_t i = 0; i < BoundedRanges::kMost; i++) ranges.add(0, i * 100, i * 100);
  ASSERT_EQ(ranges.size(), BoundedRanges::kMost);
  ranges.add(0, 1203, 1203);
  EXPECT_EQ(ranges.size(), BoundedRanges::kMost);
  EXPECT_TRUE(contains(ranges, 0, 1201));
  EXPECT_TRUE(contains(ranges, 0, 1202));
  EXPECT_FALSE(contains(ranges, 0, 1204));
  EXPECT_FALSE(contains(ranges, 0, 150));
}

TEST(BoundedRanges, NeverMergeAcrossSegments) {
  BoundedRanges ranges = empty_ranges();
  for (std::uint32_t i = 0; i <= BoundedRanges::kMost; i++)
    ranges.add(static_cast<std::uint8_t>(i % kStores), i * 1000, i * 1000);
  EXPECT_EQ(ranges.size(), BoundedRanges::kMost);
  for (std::uint32_t i = 0; i <= BoundedRanges::kMost; i++)
    EXPECT_TRUE(contains(ranges, static_cast<std::uint8_t>(i % kStores), i * 1000));
}

TEST(BoundedRanges, NeverMergeAcrossSegmentsHoweverNearTheirNumbersAre) {
  BoundedRanges ranges = empty_ranges();
  constexpr std::uint32_t kHalf = BoundedRanges::kMost / 2;
  for (std::uint32_t i = 0; i <= kHalf; i++) ranges.add(0, i * 1000, i * 1000);
  const std::uint32_t near = kHalf * 1000 + 2;
  for (std::uint32_t i = 0; i < kHalf; i++) ranges.add(1, near + i * 1000, near + i * 1000);
  EXPECT_EQ(ranges.size(), BoundedRanges::kMost);
  EXPECT_TRUE(contains(ranges, 1, near));
  EXPECT_FALSE(contains(ranges, 0, near));
}

TEST(BoundedRanges, LoseNoBlockUnderRandomAdditions) {
  for (std::uint64_t seed = 1; seed <= 60; seed++) {
    std::mt19937_64 engine(seed);
    BoundedRanges ranges = empty_ranges();
    std::set<std::pair<std::uint8_t, std::uint32_t>> wanted;
    for (int step = 0; step < 200; step++) {
      const auto segment = static_cast<std::uint8_t>(engine() % 3);
      const auto first = static_cast<std::uint32_t>(engine() % 2000);
      const auto last = static_cast<std::uint32_t>(first + engine() % 4);
      ranges.add(segment, first, last);
      for (std::uint32_t block = first; block <= last; block++) wanted.emplace(segment, block);
      ASSERT_LE(ranges.size(), BoundedRanges::kMost);
      expect_tidy([&](std::size_t i) { return ranges.at(static_cast<std::uint32_t>(i)); },
                  ranges.size());
    }
    for (const auto& [segment, block] : wanted)
      ASSERT_TRUE(contains(ranges, segment, block)) << "seed " << seed << " block " << block;
  }
}

TEST(BoundedRanges, AreExactWhileThereIsRoom) {
  std::mt19937_64 engine(5);
  for (int round = 0; round < 200; round++) {
    BoundedRanges ranges = empty_ranges();
    std::set<std::uint32_t> wanted;
    for (std::uint32_t i = 0; i < BoundedRanges::kMost; i++) {
      const auto block = static_cast<std::uint32_t>(engine() % 100);
      ranges.add(4, block, block);
      wanted.insert(block);
    }
    for (std::uint32_t block = 0; block < 110; block++)
      ASSERT_EQ(contains(ranges, 4, block), wanted.count(block) == 1) << block;
  }
}

class RangeListReference {
 public:
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t block = first; block <= last; block++) blocks_.emplace(segment, block);
  }
  void remove(std::uint8_t segment, std::uint32_t block) { blocks_.erase({segment, block}); }
  void expect_same(const RangeList& list) const {
    ASSERT_EQ(list.blocks(), blocks_.size());
    ASSERT_EQ(list.empty(), blocks_.empty());
    for (std::uint8_t segment = 0; segment < 3; segment++)
      for (std::uint32_t block = 0; block < 130; block++)
        ASSERT_EQ(list.contains(segment, block), blocks_.count({segment, block}) == 1);
    expect_tidy([&](std::size_t i) { return list.ranges()[i]; }, list.ranges().size());
  }

 private:
  std::set<std::pair<std::uint8_t, std::uint32_t>> blocks_;
};

TEST(RangeList, AgreesWithASetUnderRandomAdditionsAndRemovals) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    std::mt19937_64 engine(seed);
    RangeList list;
    RangeListReference reference;
    for (int step = 0; step < 300; step++) {
      const auto segment = static_cast<std::uint8_t>(engine() % 3);
      const auto block = static_cast<std::uint32_t>(engine() % 120);
      if (engine() % 2 == 0) {
        const auto last = static_cast<std::uint32_t>(block + engine() % 6);
        list.add(segment, block, last);
        reference.add(segment, block, last);
      } else {
        list.remove(segment, block);
        reference.remove(segment, block);
      }
      ASSERT_NO_FATAL_FAILURE(reference.expect_same(list)) << "seed " << seed << " step " << step;
    }
  }
}

TEST(RangeList, TakesOverAnotherListAndABoundedOne) {
  BoundedRanges bounded = empty_ranges();
  bounded.add(1, 3, 5);
  RangeList other;
  other.add(1, 6, 7);
  RangeList list;
  list.add(bounded);
  list.add(other);
  EXPECT_EQ(list.blocks(), 5U);
  EXPECT_EQ(list.ranges().size(), 1U);
}

TEST(RangeList, RemovesTheLastBlockThereIs) {
  RangeList list;
  list.add(0, kLastBlock - 1, kLastBlock);
  list.remove(0, kLastBlock);
  EXPECT_EQ(list.blocks(), 1U);
  EXPECT_FALSE(list.contains(0, kLastBlock));
}

TEST(RangeList, CountsMoreBlocksThan32BitsHold) {
  RangeList list;
  list.add(0, 0, kLastBlock);
  list.add(1, 0, kLastBlock);
  EXPECT_EQ(list.blocks(), std::uint64_t{1} << 33);
}

}  // namespace
}  // namespace dw::core
