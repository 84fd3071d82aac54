#include "core/page_classes.hpp"

#include <algorithm>

namespace dw::core {

void PageClasses::clear() {
  for (RangeList& pages : classes_) pages.clear();
}

bool PageClasses::empty() const {
  return std::all_of(classes_.begin(), classes_.end(),
                     [](const RangeList& pages) { return pages.empty(); });
}

bool PageClasses::has_segment(std::uint8_t segment) const {
  return std::any_of(classes_.begin(), classes_.end(),
                     [segment](const RangeList& pages) { return pages.has_segment(segment); });
}

std::uint64_t PageClasses::blocks() const {
  std::uint64_t sum = 0;
  for (const RangeList& pages : classes_) sum += pages.blocks();
  return sum;
}

std::uint8_t PageClasses::class_of(std::uint8_t segment, std::uint32_t block,
                                   std::uint8_t limit) const {
  for (std::uint8_t i = 0; i < limit && i < kClasses; i++) {
    if (classes_[i].contains(segment, block)) return i;
  }
  return classes_[kUnseen].contains(segment, block) ? kUnseen : kNoClass;
}

std::uint8_t PageClasses::best_seen() const {
  std::uint8_t best = 0;
  while (best < kClasses && classes_[best].empty()) best++;
  return best;
}

std::uint8_t PageClasses::next(std::uint8_t limit) const {
  const std::uint8_t best = best_seen();
  if (best < limit && best < kClasses) return best;
  return classes_[kUnseen].empty() ? kNoClass : kUnseen;
}

bool PageClasses::is_only(std::uint8_t one) const {
  for (std::uint8_t i = one + 1; i < kClasses; i++) {
    if (!classes_[i].empty()) return false;
  }
  return true;
}

}  // namespace dw::core
