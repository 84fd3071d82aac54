/* The server behind core::Platform: lightweight locks, clocks, latches. */
#include <ctime>

#include "core/platform.hpp"

#include "pg/headers.hpp"

#include "pg/latch.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

/* What is done under these locks takes less than a microsecond, and going to sleep for one takes
 * several: look a few times before. */
constexpr int kLooks = 64;

void lock(std::uint32_t number) {
  LWLock* const one = numbered_lock(number);
  for (int i = 0; i < kLooks; i++) {
    if (LWLockConditionalAcquire(one, LW_EXCLUSIVE)) return;
    pg_spin_delay();
  }
  LWLockAcquire(one, LW_EXCLUSIVE);
}

void unlock(std::uint32_t number) { LWLockRelease(numbered_lock(number)); }

core::Micros wall_now() { return GetCurrentTimestamp(); }

core::Micros monotonic_now() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return core::Micros{now.tv_sec} * core::kSecond + now.tv_nsec / 1000;
}

double random() { return pg_prng_double(&pg_global_prng_state); }

void wake_waiter(core::Index waiter) { pg::set_latch_of(static_cast<int>(waiter)); }

void wake_housekeeper(core::Index database) {
  const int proc = control()->housekeeper[database].load(std::memory_order_acquire);
  if (proc != kNoProcess) pg::set_latch_of(proc);
}

constexpr core::Platform kPlatform = {lock,   unlock,      wall_now,        monotonic_now,
                                      random, wake_waiter, wake_housekeeper};

}  // namespace

const core::Platform& platform() { return kPlatform; }

}  // namespace dw::runtime
