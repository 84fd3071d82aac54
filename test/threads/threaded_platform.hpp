/*
 * The platform of threads: a mutex in the place of each of the server's locks, a clock that whoever
 * works moves on, latches that threads sleep on. Locks check the protocol of layout.hpp: at most
 * one queue's lock, and behind it at most one leaf.
 *
 * The clock is not the real one: leases, delays and rates run out after so much work, however fast
 * the machine is and whatever watches the program.
 */
#pragma once

#include "core/layout.hpp"
#include "core/platform.hpp"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace dw::test {

class ThreadedPlatform {
 public:
  static constexpr core::Index kMostWaiters = 64;

  static const core::Platform* functions() noexcept;
  static ThreadedPlatform& get() noexcept;

  /* Nobody is to stop, no latch is set. */
  void begin();

  /* Of the calling thread: what it draws follows from this number. */
  static void seed_thread(std::uint64_t seed);
  /* Of the calling thread, below that number. */
  static std::uint64_t draw(std::uint64_t below);
  static bool chance(int percent) { return draw(100) < static_cast<std::uint64_t>(percent); }

  [[nodiscard]] core::Micros wall() const noexcept;
  [[nodiscard]] core::Micros monotonic() const noexcept;
  void advance(core::Micros by) noexcept { passed_.fetch_add(by, std::memory_order_relaxed); }

  /* Until the waiter's latch is set, or everybody is to stop. */
  void sleep(core::Index waiter);
  void reset_latch(core::Index waiter);
  void stop_all_sleep();

  [[nodiscard]] std::uint64_t wakes_of_housekeeper() const noexcept { return wakes_.load(); }
  /* A rule of the locks that was broken; nullptr: none. */
  [[nodiscard]] const char* broken_rule() const noexcept { return broken_.load(); }

 private:
  struct Latch {
    std::mutex mutex;
    std::condition_variable changed;
    bool set = false;
  };

  void lock(std::uint32_t number);
  void unlock(std::uint32_t number);
  void wake(core::Index waiter);
  void broke(const char* rule) noexcept;

  std::array<std::mutex, core::kLockCount> locks_;
  std::array<Latch, kMostWaiters> latches_;
  std::atomic<bool> stopping_{false};
  std::atomic<core::Micros> passed_{0};
  std::atomic<std::uint64_t> wakes_{0};
  std::atomic<const char*> broken_{nullptr};
};

}  // namespace dw::test
