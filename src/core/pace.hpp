/*
 * How many of something may be done now, at so many a second.
 *
 * What was allowed and not used is kept for a tenth of a second at most, so that a pause is not
 * made up for by a burst. Times are monotonic.
 */
#pragma once

#include "core/types.hpp"

#include <algorithm>

namespace dw::core {

class Pace {
 public:
  constexpr Pace(double per_second, Micros now) noexcept : per_second_(per_second), at_(now) {}

  /* Whole ones that may be done now. The first may be done at once. */
  [[nodiscard]] std::uint32_t allowed(Micros now, std::uint32_t most) noexcept {
    if (now > at_) {
      const double gained = static_cast<double>(now - at_) * per_second_ / kSecond;
      credit_ = std::min(credit_ + gained, std::max(1.0, per_second_ / kStepsPerSecond));
    }
    at_ = std::max(at_, now);
    return static_cast<std::uint32_t>(std::min(credit_, static_cast<double>(most)));
  }
  void use(std::uint32_t n) noexcept { credit_ -= n; }

  /* When to look again: a tenth of a second's worth is there then, or one. */
  [[nodiscard]] Micros next() const noexcept {
    const double wanted = std::max(1.0, per_second_ / kStepsPerSecond);
    const double missing = std::max(0.0, wanted - credit_) / per_second_ * kSecond;
    return at_ + static_cast<Micros>(std::min(missing, static_cast<double>(kLongest))) + 1;
  }

 private:
  static constexpr double kStepsPerSecond = 10;
  static constexpr Micros kLongest = Micros{100} * 365 * 24 * 60 * kMinute;

  double per_second_;
  double credit_ = 1;
  Micros at_;
};

}  // namespace dw::core
