/*
 * The platform of the tests: clocks that a test sets, random numbers that repeat, a log of who was
 * woken, and locks that check the lock protocol of layout.hpp instead of excluding anybody.
 *
 * There is one process and one thread, so another session can only act where a test lets it:
 * between two calls, or at the moment before a lock is taken (on_locking) or after it is let go
 * (on_unlocked), which is where a real process can be stopped and others run. A hook that lets
 * others run on other stacks calls stand_aside() for that time, so that theirs are called too.
 */
#pragma once

#include "core/layout.hpp"
#include "core/platform.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace dw::test {

class FakePlatform {
 public:
  /* What core::Platform points to. */
  static const core::Platform* functions() noexcept;
  static FakePlatform& get() noexcept;

  /* Forgets everything; the clocks start at a plain time in 2026. */
  void reset(std::uint64_t seed = 1);

  core::Micros wall = 0;
  core::Micros monotonic = 0;
  void advance(core::Micros by) noexcept {
    wall += by;
    monotonic += by;
  }
  /* What passes with each look at a clock. */
  core::Micros look_takes = 0;

  /* At or above zero: every draw returns this. Below: draws follow the seed. */
  double fixed_random = -1.0;
  std::mt19937_64 engine;

  std::vector<core::Index> woken_waiters;
  std::vector<core::Index> woken_housekeepers;
  /* Waiters woken since the last call. */
  std::vector<core::Index> take_woken();
  [[nodiscard]] bool housekeeper_was_woken();

  /* Called before a lock is taken when none is held, and when one was let go and none is held any
   * more; not called from within themselves. */
  std::function<void(std::uint32_t lock)> on_locking;
  std::function<void(std::uint32_t lock)> on_unlocked;

  [[nodiscard]] bool holds_nothing() const noexcept {
    return queue_lock_ == kFree && leaf_ == kFree;
  }
  template <typename Call>
  void stand_aside(Call call) {
    const bool inside = std::exchange(inside_hook_, false);
    call();
    inside_hook_ = inside;
  }
  /* Sentences about broken rules, oldest first. */
  std::vector<const char*> broken_rules;

 private:
  core::Micros look(core::Micros clock) noexcept {
    advance(look_takes);
    return clock;
  }

  static constexpr std::uint32_t kFree = std::numeric_limits<std::uint32_t>::max();

  void lock(std::uint32_t number);
  void unlock(std::uint32_t number);
  void let_others_act(const std::function<void(std::uint32_t)>& hook, std::uint32_t number);

  std::uint32_t queue_lock_ = kFree;
  std::uint32_t leaf_ = kFree;
  bool inside_hook_ = false;
};

}  // namespace dw::test
