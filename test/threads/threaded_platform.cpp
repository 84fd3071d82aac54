#include "threaded_platform.hpp"

#include <limits>
#include <random>

namespace dw::test {

using core::Index;
using core::Micros;

namespace {

/* 2026-06-01 00:00 UTC in microseconds since 2000-01-01. */
constexpr Micros kWallStart = 833'500'800LL * core::kSecond;
constexpr Micros kMonotonicStart = 1000 * core::kSecond;
constexpr std::uint32_t kNothing = std::numeric_limits<std::uint32_t>::max();

thread_local std::mt19937_64 engine;
thread_local std::uint32_t held_queue = kNothing;
thread_local std::uint32_t held_leaf = kNothing;

}  // namespace

ThreadedPlatform& ThreadedPlatform::get() noexcept {
  static ThreadedPlatform platform;
  return platform;
}

const core::Platform* ThreadedPlatform::functions() noexcept {
  static const core::Platform platform{
      [](std::uint32_t number) { get().lock(number); },
      [](std::uint32_t number) { get().unlock(number); },
      [] { return get().wall(); },
      [] { return get().monotonic(); },
      [] { return static_cast<double>(engine() >> 11) * 0x1.0p-53; },
      [](Index waiter) { get().wake(waiter); },
      [](Index) { get().wakes_.fetch_add(1, std::memory_order_relaxed); },
  };
  return &platform;
}

void ThreadedPlatform::begin() {
  stopping_.store(false);
  for (Index i = 0; i < kMostWaiters; i++) reset_latch(i);
}

void ThreadedPlatform::seed_thread(std::uint64_t seed) { engine.seed(seed); }

std::uint64_t ThreadedPlatform::draw(std::uint64_t below) { return engine() % below; }

Micros ThreadedPlatform::wall() const noexcept {
  return kWallStart + passed_.load(std::memory_order_relaxed);
}

Micros ThreadedPlatform::monotonic() const noexcept {
  return kMonotonicStart + passed_.load(std::memory_order_relaxed);
}

void ThreadedPlatform::broke(const char* rule) noexcept {
  const char* none = nullptr;
  broken_.compare_exchange_strong(none, rule);
}

void ThreadedPlatform::lock(std::uint32_t number) {
  if (number >= core::kLockCount) {
    broke("a lock has a number beyond the last");
    return;
  }
  if (held_leaf != kNothing) broke("a lock was taken while a leaf was held");
  if (number >= core::kFirstQueueLock && held_queue != kNothing)
    broke("a second queue lock was taken");
  locks_[number].lock();
  (number >= core::kFirstQueueLock ? held_queue : held_leaf) = number;
}

void ThreadedPlatform::unlock(std::uint32_t number) {
  if (number >= core::kLockCount) return;
  std::uint32_t& held = number >= core::kFirstQueueLock ? held_queue : held_leaf;
  if (held != number) broke("a lock was let go that was not held");
  held = kNothing;
  locks_[number].unlock();
}

void ThreadedPlatform::wake(Index waiter) {
  Latch& latch = latches_[waiter];
  {
    const std::lock_guard guard(latch.mutex);
    latch.set = true;
  }
  latch.changed.notify_one();
}

void ThreadedPlatform::reset_latch(Index waiter) {
  Latch& latch = latches_[waiter];
  const std::lock_guard guard(latch.mutex);
  latch.set = false;
}

void ThreadedPlatform::sleep(Index waiter) {
  Latch& latch = latches_[waiter];
  std::unique_lock guard(latch.mutex);
  latch.changed.wait(guard, [this, &latch] { return latch.set || stopping_.load(); });
}

void ThreadedPlatform::stop_all_sleep() {
  stopping_.store(true);
  for (Index i = 0; i < kMostWaiters; i++) wake(i);
}

}  // namespace dw::test
