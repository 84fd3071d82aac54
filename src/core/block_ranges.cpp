#include "core/block_ranges.hpp"

#include <algorithm>

namespace dw::core {

namespace {

/* Ranges that touch count as one. */
bool touches(const BlockRange& range, std::uint8_t segment, std::uint32_t first,
             std::uint32_t last) noexcept {
  if (range.segment != segment) return false;
  const bool before =
      range.last != std::numeric_limits<std::uint32_t>::max() && range.last + 1 < first;
  const bool behind = last != std::numeric_limits<std::uint32_t>::max() && last + 1 < range.first;
  return !before && !behind;
}

bool less_place(const BlockRange& range, std::uint8_t segment, std::uint32_t first) noexcept {
  return range.segment != segment ? range.segment < segment : range.first < first;
}

}  // namespace

void BoundedRanges::copy(std::uint32_t from, std::uint32_t to) noexcept {
  first_[to] = first_[from];
  last_[to] = last_[from];
  segment_[to] = segment_[from];
}

void BoundedRanges::erase(std::uint32_t i) noexcept {
  for (; i + 1U < count_; i++) copy(i + 1, i);
  count_--;
}

void BoundedRanges::add(std::uint8_t segment, std::uint32_t first, std::uint32_t last) noexcept {
  std::uint32_t i = 0;
  /* As a rule it is the page of the row before, at the end. */
  for (std::uint32_t k = count_; k > 0; k--) {
    if (segment_[k - 1] == segment && first_[k - 1] <= first && last <= last_[k - 1]) return;
  }
  while (i < count_) {
    if (touches(at(i), segment, first, last)) {
      first = std::min(first, first_[i]);
      last = std::max(last, last_[i]);
      erase(i);
    } else {
      i++;
    }
  }
  std::uint32_t place = 0;
  while (place < count_ && less_place(at(place), segment, first)) place++;
  for (std::uint32_t k = count_; k > place; k--) copy(k - 1, k);
  first_[place] = first;
  last_[place] = last;
  segment_[place] = segment;
  count_++;
  if (count_ > kMost) merge_nearest();
}

void BoundedRanges::merge_nearest() noexcept {
  /* There are more ranges than segments, so two neighbours of one segment always exist. */
  static_assert(kMost >= kStores);
  std::uint32_t best = 0;
  std::uint32_t best_gap = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t i = 0; i + 1U < count_; i++) {
    if (segment_[i] != segment_[i + 1]) continue;
    const std::uint32_t gap = first_[i + 1] - last_[i];
    if (gap < best_gap) {
      best_gap = gap;
      best = i;
    }
  }
  last_[best] = last_[best + 1];
  erase(best + 1);
}

void RangeList::add(std::uint8_t segment, std::uint32_t first, std::uint32_t last) {
  if (gone_ > ranges_.size() / 2) {
    ranges_.erase(ranges_.begin(), begin());
    gone_ = 0;
  }
  auto place = std::lower_bound(begin(), ranges_.end(), first,
                                [segment](const BlockRange& range, std::uint32_t block) {
                                  return less_place(range, segment, block);
                                });
  if (place != begin() && touches(*std::prev(place), segment, first, last)) --place;
  auto end = place;
  while (end != ranges_.end() && touches(*end, segment, first, last)) {
    first = std::min(first, end->first);
    last = std::max(last, end->last);
    ++end;
  }
  place = ranges_.erase(place, end);
  ranges_.insert(place, BlockRange{segment, {0, 0, 0}, first, last});
}

void RangeList::add(const BoundedRanges& ranges) {
  for (std::uint32_t i = 0; i < ranges.size(); i++)
    add(ranges.at(i).segment, ranges.at(i).first, ranges.at(i).last);
}

void RangeList::add(const RangeList& ranges) {
  for (const BlockRange& range : ranges.ranges()) add(range.segment, range.first, range.last);
}

void RangeList::erase(Place range) {
  if (range == begin()) {
    gone_++;
  } else {
    ranges_.erase(range);
  }
}

void RangeList::remove(std::uint8_t segment, std::uint32_t block) {
  const auto range = find(segment, block);
  if (range == ranges_.end()) return;
  if (range->first == range->last) {
    erase(range);
  } else if (block == range->first) {
    range->first++;
  } else if (block == range->last) {
    range->last--;
  } else {
    const BlockRange behind{segment, {0, 0, 0}, block + 1, range->last};
    range->last = block - 1;
    ranges_.insert(std::next(range), behind);
  }
}

/* The range with this block, or the end. */
RangeList::Place RangeList::find(std::uint8_t segment, std::uint32_t block) {
  const auto behind =
      std::partition_point(begin(), ranges_.end(), [segment, block](const BlockRange& range) {
        return less_place(range, segment, block) ||
               (range.segment == segment && range.first == block);
      });
  if (behind == begin()) return ranges_.end();
  const auto range = std::prev(behind);
  return range->segment == segment && block <= range->last ? range : ranges_.end();
}

bool RangeList::contains(std::uint8_t segment, std::uint32_t block) const {
  auto& self = const_cast<RangeList&>(*this);
  return self.find(segment, block) != self.ranges_.end();
}

bool RangeList::has_segment(std::uint8_t segment) const {
  const std::span<const BlockRange> all = ranges();
  return std::any_of(all.begin(), all.end(),
                     [segment](const BlockRange& range) { return range.segment == segment; });
}

void RangeList::remove_segment(std::uint8_t segment) {
  ranges_.erase(
      std::remove_if(begin(), ranges_.end(),
                     [segment](const BlockRange& range) { return range.segment == segment; }),
      ranges_.end());
}

std::uint64_t RangeList::blocks() const {
  std::uint64_t sum = 0;
  for (const BlockRange& range : ranges()) sum += std::uint64_t{range.last} - range.first + 1;
  return sum;
}

}  // namespace dw::core
