#include "core/pace.hpp"

#include <gtest/gtest.h>

namespace dw::core {
namespace {

/* How many are done in that time by somebody who looks whenever next() says. */
std::uint64_t done_in(double per_second, Micros span, std::uint32_t most = 1000) {
  Pace pace(per_second, 0);
  std::uint64_t done = 0;
  Micros now = 0;
  while (now < span) {
    const std::uint32_t n = pace.allowed(now, most);
    pace.use(n);
    done += n;
    const Micros next = pace.next();
    EXPECT_GT(next, now) << "looks again at once for ever";
    now = next;
  }
  return done;
}

TEST(Pace, AllowsTheFirstAtOnceAndNoSecond) {
  Pace pace(0.5, 1000);
  EXPECT_EQ(pace.allowed(1000, 10), 1U);
  pace.use(1);
  EXPECT_EQ(pace.allowed(1000, 10), 0U);
  EXPECT_EQ(pace.allowed(1000 + 1 * kSecond, 10), 0U);
  EXPECT_EQ(pace.allowed(1000 + 2 * kSecond, 10), 1U);
}

TEST(Pace, KeepsTheRateOverAMinute) {
  for (const double rate : {0.1, 1.0, 7.5, 10.0, 99.0, 1000.0, 5000.0})
    EXPECT_NEAR(static_cast<double>(done_in(rate, kMinute)), rate * 60, rate * 60 * 0.01 + 2)
        << rate;
}

TEST(Pace, DoesNotMakeUpForAPause) {
  Pace pace(100, 0);
  pace.use(pace.allowed(0, 1000));
  EXPECT_EQ(pace.allowed(kMinute, 1000), 10U);
}

TEST(Pace, SaysWhenTheNextOneIsDue) {
  Pace pace(2, 0);
  pace.use(pace.allowed(0, 10));
  const Micros next = pace.next();
  EXPECT_EQ(pace.allowed(next - 1000, 10), 0U);
  EXPECT_EQ(pace.allowed(next, 10), 1U);
}

TEST(Pace, IsNotDisturbedByAClockThatStands) {
  Pace pace(10, 100);
  pace.use(pace.allowed(100, 10));
  EXPECT_EQ(pace.allowed(50, 10), 0U);
  EXPECT_EQ(pace.allowed(100 + kSecond / 10 + 1, 10), 1U);
}

TEST(Pace, LooksAgainSometimeHoweverSlowItIs) {
  Pace pace(1e-30, 0);
  pace.use(pace.allowed(0, 10));
  EXPECT_GT(pace.next(), kSecond);
  EXPECT_LT(pace.next(), kNever);
}

}  // namespace
}  // namespace dw::core
