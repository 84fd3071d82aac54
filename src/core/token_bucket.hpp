/*
 * A token bucket in whole numbers.
 *
 * A job needs one token. Tokens come evenly, `jobs` in each interval, and at most `burst` are kept,
 * so in a period of length t at most burst + t * jobs / interval jobs start, whichever period one
 * looks at. The level is counted in parts of a token, as many as the interval has microseconds:
 * then each microsecond brings `jobs` parts and nothing is ever rounded, however often somebody
 * looks. Times are monotonic.
 */
#pragma once

#include "core/types.hpp"

#include <algorithm>

namespace dw::core {

/* jobs 0: no limit. */
struct Rate {
  std::uint32_t jobs = 0;
  std::uint32_t burst = 0;
  Micros interval = 0;

  friend bool operator==(const Rate&, const Rate&) = default;
};

/* With these a level, and what is added to it at once, fit into 62 bits. */
constexpr std::uint32_t kMostRateJobs = 1'000'000;
constexpr Micros kShortestRateInterval = kMillisecond;
constexpr Micros kLongestRateInterval = Micros{31} * 24 * 60 * kMinute;
static_assert(kLongestRateInterval <= (Micros{1} << 62) / kMostRateJobs);

struct TokenBucket {
  Rate rate;
  std::int64_t level;
  Micros as_of;

  [[nodiscard]] bool limits() const noexcept { return rate.jobs != 0; }

  /* Empty. */
  void begin(const Rate& with, Micros now) noexcept {
    rate = with;
    level = 0;
    as_of = now;
  }

  void fill(Micros now) noexcept {
    if (now <= as_of) return;
    const Micros elapsed = now - as_of;
    const std::int64_t missing = most() - level;
    level = elapsed > missing / rate.jobs ? most() : level + elapsed * rate.jobs;
    as_of = now;
  }

  /* As of the last fill. */
  [[nodiscard]] std::uint32_t tokens() const noexcept {
    return static_cast<std::uint32_t>(level / rate.interval);
  }
  void take(std::uint32_t n) noexcept { level -= n * rate.interval; }

  /*
   * Tokens that were taken at that time and not used. They are dropped if the bucket was filled
   * since: it may have been full meanwhile, and would then give more than a burst at once.
   */
  void give_back(std::uint32_t n, Micros taken_at) noexcept {
    if (as_of == taken_at) level = std::min(most(), level + n * rate.interval);
  }

  /* When there is a token, if nobody takes one. */
  [[nodiscard]] Micros next() const noexcept {
    if (level >= rate.interval) return as_of;
    return as_of + (rate.interval - level + rate.jobs - 1) / rate.jobs;
  }

 private:
  [[nodiscard]] std::int64_t most() const noexcept { return rate.burst * rate.interval; }
};

}  // namespace dw::core
