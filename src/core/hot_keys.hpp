/*
 * Which keys have the most jobs, counted with a bounded number of counters (Misra and Gries, 1982).
 *
 * While there are no more keys than counters every count is exact. Beyond that a key that has no
 * counter takes one from each of the others instead, so that a key with more than its share, the
 * number of jobs divided by that of counters, still has one in the end, and a second walk over the
 * jobs counts those that have. Taking from all costs as many steps as jobs were counted before, so
 * a walk stays linear.
 *
 * A key is its hash here: keys of one hash count as one. A job without a key has a hash of its own.
 */
#pragma once

#include "core/dispatcher.hpp"

namespace dw::core {

struct KeyCount {
  std::uint32_t key_hash;
  std::uint32_t waiting;
  std::uint32_t due; /* of them */
  std::uint32_t processing;
  std::uint32_t left; /* what others have not taken from it */
  ListedJob job;      /* one of them */

  [[nodiscard]] std::uint32_t jobs() const noexcept { return waiting + processing; }
};

class KeyCounter {
 public:
  static constexpr std::uint32_t kMostCounters = 65536;

  /* Places for so many counters, and twice as many for their index, which the caller keeps. */
  KeyCounter(KeyCount* counters, std::uint32_t capacity, std::uint32_t* index) noexcept;
  [[nodiscard]] static constexpr std::uint32_t index_size(std::uint32_t capacity) noexcept {
    return 2 * capacity;
  }

  void add(const KeyedJob& job) noexcept;
  /* There were more keys than counters: count_again() is due, then each job once more. */
  [[nodiscard]] bool is_estimate() const noexcept { return took_; }
  void count_again() noexcept;
  /* Jobs that were added, the last time. */
  [[nodiscard]] std::uint64_t jobs() const noexcept { return jobs_; }
  /* Puts the counters into the order of their jobs, most first; how many. */
  std::uint32_t sort() noexcept;

 private:
  [[nodiscard]] std::uint32_t* place_of(std::uint32_t key_hash) const noexcept;
  void make_index() noexcept;
  void take_one_from_all() noexcept;

  KeyCount* counters_;
  std::uint32_t* index_;
  std::uint32_t capacity_;
  std::uint32_t count_ = 0;
  std::uint64_t jobs_ = 0;
  bool took_ = false;
  bool again_ = false;
};

}  // namespace dw::core
