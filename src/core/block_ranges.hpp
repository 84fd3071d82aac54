/*
 * Sets of pages of the log, as ranges of blocks within one segment.
 *
 * Dirty pages are remembered by place and never by job id: a backend goes on filling the page it
 * used last, so a row with a high id may lie far in front of a loader's position, and a position in
 * ids would step over it.
 */
#pragma once

#include "core/types.hpp"

#include <deque>

namespace dw::core {

struct BlockRange {
  std::uint8_t segment;
  std::uint8_t unused[3];
  std::uint32_t first;
  std::uint32_t last; /* inclusive */
};
static_assert(sizeof(BlockRange) == 12);

/*
 * Bounded set in shared memory. When it is full the two nearest ranges of a segment become one:
 * that only costs a scan of pages that need none. Sorted by (segment, first); ranges neither touch
 * nor overlap.
 */
class BoundedRanges {
 public:
  static constexpr std::uint32_t kMost = 32;

  void clear() noexcept { count_ = 0; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  [[nodiscard]] const BlockRange& at(std::uint32_t i) const noexcept { return ranges_[i]; }
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last) noexcept;

 private:
  void erase(std::uint32_t i) noexcept;
  void merge_nearest() noexcept;

  std::uint32_t count_;
  BlockRange ranges_[kMost + 1];
};

/* The same without a bound, in the memory of one process. */
class RangeList {
 public:
  void clear() { ranges_.clear(); }
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last);
  void add(const BoundedRanges& ranges);
  void add(const RangeList& ranges);
  /* Takes one block out. */
  void remove(std::uint8_t segment, std::uint32_t block);
  [[nodiscard]] bool contains(std::uint8_t segment, std::uint32_t block) const;
  [[nodiscard]] std::uint64_t blocks() const;
  [[nodiscard]] const std::deque<BlockRange>& ranges() const { return ranges_; }

 private:
  std::deque<BlockRange>::iterator find(std::uint8_t segment, std::uint32_t block);

  /* A deque: a loader takes from the front what may be a hundred thousand single pages. */
  std::deque<BlockRange> ranges_;
};

}  // namespace dw::core
