/*
 * Pages that a loader has still to read for one queue, by the best priority that a job on them may
 * have.
 *
 * A page in class c has no job to be made resident whose priority is better (lower) than c. Nobody
 * knows yet what is on the unseen ones: they may have any. A page may be in several classes, after
 * commits wrote more to it; then the best one counts.
 */
#pragma once

#include "core/block_ranges.hpp"

#include <array>

namespace dw::core {

class PageClasses {
 public:
  static constexpr std::uint8_t kClasses = kLowestPriority + 1;
  static constexpr std::uint8_t kUnseen = kClasses;
  static constexpr std::uint8_t kNoClass = kClasses + 1;

  void clear();
  [[nodiscard]] bool empty() const;
  [[nodiscard]] bool has_segment(std::uint8_t segment) const;
  [[nodiscard]] std::uint64_t blocks() const;
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last, std::uint8_t best = 0) {
    classes_[best].add(segment, first, last);
  }
  void add(const BoundedRanges& ranges, std::uint8_t best) { classes_[best].add(ranges); }
  void add(const RangeList& ranges, std::uint8_t best) { classes_[best].add(ranges); }
  void remove(std::uint8_t segment, std::uint32_t block, std::uint8_t from) {
    classes_[from].remove(segment, block);
  }

  /* Where the page is found first, of the classes better than `limit`, else among the unseen;
   * kNoClass: nowhere. */
  [[nodiscard]] std::uint8_t class_of(std::uint8_t segment, std::uint32_t block,
                                      std::uint8_t limit) const;
  /* The class to be read next of those better than `limit`, else the unseen pages; kNoClass: none.
   */
  [[nodiscard]] std::uint8_t next(std::uint8_t limit) const;
  /* The best priority that a job on a page that was seen may have; kClasses: none. */
  [[nodiscard]] std::uint8_t best_seen() const;
  /* Whether jobs of this class have to be told apart from worse ones. */
  [[nodiscard]] bool is_only(std::uint8_t one) const;
  [[nodiscard]] const RangeList& pages(std::uint8_t of) const { return classes_[of]; }

 private:
  std::array<RangeList, kClasses + 1> classes_;
};

}  // namespace dw::core
