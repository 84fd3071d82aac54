/*
 * Sets of pages of the log, as ranges of blocks within one segment.
 *
 * Dirty pages are remembered by place and never by job id: a backend goes on filling the page it
 * used last, so a row with a high id may lie far in front of a loader's position, and a position in
 * ids would step over it.
 */
#pragma once

#include "core/types.hpp"

#include <span>
#include <vector>

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
  static constexpr std::uint32_t kMost = 20;

  void clear() noexcept { count_ = 0; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  [[nodiscard]] BlockRange at(std::uint32_t i) const noexcept {
    return BlockRange{segment_[i], {0, 0, 0}, first_[i], last_[i]};
  }
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last) noexcept;

 private:
  void copy(std::uint32_t from, std::uint32_t to) noexcept;
  void erase(std::uint32_t i) noexcept;
  void merge_nearest() noexcept;

  /* Apart, since there are two for each queue that there may be. */
  std::uint32_t first_[kMost + 1];
  std::uint32_t last_[kMost + 1];
  std::uint8_t segment_[kMost + 1];
  std::uint8_t count_;
};
static_assert(sizeof(BoundedRanges) == 192);

/* The same without a bound, in the memory of one process. */
class RangeList {
 public:
  void clear() {
    ranges_.clear();
    gone_ = 0;
  }
  [[nodiscard]] bool empty() const { return gone_ == ranges_.size(); }
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last);
  void add(const BoundedRanges& ranges);
  void add(const RangeList& ranges);
  /* Takes one block out. */
  void remove(std::uint8_t segment, std::uint32_t block);
  [[nodiscard]] bool contains(std::uint8_t segment, std::uint32_t block) const;
  [[nodiscard]] bool has_segment(std::uint8_t segment) const;
  void remove_segment(std::uint8_t segment);
  [[nodiscard]] std::uint64_t blocks() const;
  [[nodiscard]] std::span<const BlockRange> ranges() const {
    return std::span<const BlockRange>(ranges_).subspan(gone_);
  }

 private:
  using Place = std::vector<BlockRange>::iterator;

  Place begin() { return ranges_.begin() + static_cast<std::ptrdiff_t>(gone_); }
  Place find(std::uint8_t segment, std::uint32_t block);
  void erase(Place range);

  std::vector<BlockRange> ranges_;
  /* So many at the front are no more: a loader takes from there what may be a hundred thousand
   * single pages. */
  std::size_t gone_ = 0;
};

}  // namespace dw::core
