#include "fake_platform.hpp"

#include <algorithm>
#include <utility>

namespace dw::test {

using core::Index;
using core::Micros;

namespace {

/* 2026-06-01 00:00 UTC in microseconds since 2000-01-01. */
constexpr Micros kStart = 833'500'800LL * core::kSecond;

}  // namespace

FakePlatform& FakePlatform::get() noexcept {
  static FakePlatform platform;
  return platform;
}

const core::Platform* FakePlatform::functions() noexcept {
  static const core::Platform platform{
      [](std::uint32_t number) { get().lock(number); },
      [](std::uint32_t number) { get().unlock(number); },
      [] { return get().look(get().wall); },
      [] { return get().look(get().monotonic); },
      [] {
        FakePlatform& self = get();
        if (self.fixed_random >= 0) return self.fixed_random;
        return static_cast<double>(self.engine() >> 11) * 0x1.0p-53;
      },
      [](Index waiter) { get().woken_waiters.push_back(waiter); },
      [](Index database) { get().woken_housekeepers.push_back(database); },
  };
  return &platform;
}

void FakePlatform::reset(std::uint64_t seed) {
  wall = kStart;
  look_takes = 0;
  monotonic = 1000 * core::kSecond;
  fixed_random = -1.0;
  engine.seed(seed);
  woken_waiters.clear();
  woken_housekeepers.clear();
  on_locking = nullptr;
  on_unlocked = nullptr;
  broken_rules.clear();
  queue_lock_ = kFree;
  leaf_ = kFree;
  inside_hook_ = false;
}

std::vector<Index> FakePlatform::take_woken() { return std::exchange(woken_waiters, {}); }

bool FakePlatform::housekeeper_was_woken() {
  return !std::exchange(woken_housekeepers, {}).empty();
}

void FakePlatform::let_others_act(const std::function<void(std::uint32_t)>& hook,
                                  std::uint32_t number) {
  if (!hook || inside_hook_ || !holds_nothing()) return;
  inside_hook_ = true;
  hook(number);
  inside_hook_ = false;
}

void FakePlatform::lock(std::uint32_t number) {
  let_others_act(on_locking, number);
  if (number >= core::kLockCount) broken_rules.push_back("a lock has a number beyond the last");
  if (leaf_ != kFree) broken_rules.push_back("a lock was taken while a leaf was held");
  if (number >= core::kFirstQueueLock) {
    if (queue_lock_ != kFree) broken_rules.push_back("a second queue lock was taken");
    queue_lock_ = number;
  } else {
    leaf_ = number;
  }
}

void FakePlatform::unlock(std::uint32_t number) {
  std::uint32_t& held = number >= core::kFirstQueueLock ? queue_lock_ : leaf_;
  if (held != number) broken_rules.push_back("a lock was let go that was not held");
  held = kFree;
  let_others_act(on_unlocked, number);
}

}  // namespace dw::test
