#include "core/backoff.hpp"

#include <algorithm>

namespace dw::core {

namespace {

Micros delay_without_jitter(const QueueOptions& options, std::int32_t attempt) noexcept {
  const Micros base = options.backoff_base;
  const Micros cap = options.backoff_cap;
  const std::int32_t step = std::max(attempt, 1);
  switch (options.backoff) {
    case Backoff::exponential: {
      Micros delay = base;
      for (std::int32_t i = 1; i < step && delay < cap; i++) {
        if (delay > cap / 2) return cap;
        delay *= 2;
      }
      return std::min(delay, cap);
    }
    case Backoff::linear:
      if (base > 0 && step > cap / base) return cap;
      return std::min(base * step, cap);
    case Backoff::fixed:
      break;
  }
  return std::min(base, cap);
}

}  // namespace

Micros retry_delay(const QueueOptions& options, std::int32_t attempt, double random) noexcept {
  const Micros delay = delay_without_jitter(options, attempt);
  const double kept = static_cast<double>(delay) * (1.0 - options.jitter);
  const double drawn = static_cast<double>(delay) * options.jitter * random;
  const double sum = kept + drawn;
  /* A number near the end of the range rounds up beyond it. */
  return sum < static_cast<double>(delay) ? static_cast<Micros>(sum) : delay;
}

}  // namespace dw::core
