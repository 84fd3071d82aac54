#include "core/backoff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace dw::core {
namespace {

QueueOptions options_of(Backoff backoff, Micros base, Micros cap, double jitter = 0.0) {
  QueueOptions options;
  options.backoff = backoff;
  options.backoff_base = base;
  options.backoff_cap = cap;
  options.jitter = jitter;
  return options;
}

TEST(Backoff, ExponentialDoublesFromTheBase) {
  const QueueOptions options = options_of(Backoff::exponential, 5 * kSecond, 3600 * kSecond);
  EXPECT_EQ(retry_delay(options, 1, 0.5), 5 * kSecond);
  EXPECT_EQ(retry_delay(options, 2, 0.5), 10 * kSecond);
  EXPECT_EQ(retry_delay(options, 3, 0.5), 20 * kSecond);
  EXPECT_EQ(retry_delay(options, 10, 0.5), 2560 * kSecond);
}

TEST(Backoff, LinearGrowsByTheBase) {
  const QueueOptions options = options_of(Backoff::linear, 5 * kSecond, 3600 * kSecond);
  EXPECT_EQ(retry_delay(options, 1, 0.5), 5 * kSecond);
  EXPECT_EQ(retry_delay(options, 7, 0.5), 35 * kSecond);
}

TEST(Backoff, FixedStaysAtTheBase) {
  const QueueOptions options = options_of(Backoff::fixed, 5 * kSecond, 3600 * kSecond);
  EXPECT_EQ(retry_delay(options, 1, 0.5), 5 * kSecond);
  EXPECT_EQ(retry_delay(options, kMostAttempts, 0.5), 5 * kSecond);
}

TEST(Backoff, NeverPassesTheCap) {
  for (const Backoff backoff : {Backoff::exponential, Backoff::linear, Backoff::fixed}) {
    const QueueOptions options = options_of(backoff, 7 * kSecond, 60 * kSecond);
    for (std::int32_t attempt = 1; attempt < 100; attempt++)
      EXPECT_LE(retry_delay(options, attempt, 0.999), 60 * kSecond) << attempt;
  }
}

TEST(Backoff, ReachesTheCapExactly) {
  EXPECT_EQ(retry_delay(options_of(Backoff::exponential, 7 * kSecond, 60 * kSecond), 5, 0),
            60 * kSecond);
  EXPECT_EQ(retry_delay(options_of(Backoff::linear, 7 * kSecond, 60 * kSecond), 9, 0),
            60 * kSecond);
}

TEST(Backoff, WithABaseAboveTheCapIsTheCap) {
  for (const Backoff backoff : {Backoff::exponential, Backoff::linear, Backoff::fixed})
    EXPECT_EQ(retry_delay(options_of(backoff, 100 * kSecond, 60 * kSecond), 1, 0), 60 * kSecond);
}

TEST(Backoff, DoesNotOverflowAtTheLastAttempt) {
  const Micros century = 100LL * 366 * 86400 * kSecond;
  for (const Backoff backoff : {Backoff::exponential, Backoff::linear}) {
    EXPECT_EQ(retry_delay(options_of(backoff, kSecond, 3600 * kSecond), kMostAttempts, 0),
              3600 * kSecond);
    EXPECT_EQ(retry_delay(options_of(backoff, century - 1, century), kMostAttempts, 0), century);
  }
}

TEST(Backoff, StaysWithinTheCapHoweverLargeItIs) {
  for (const Backoff backoff : {Backoff::exponential, Backoff::linear, Backoff::fixed}) {
    const Micros delay = retry_delay(options_of(backoff, kNever, kNever), kMostAttempts, 0);
    EXPECT_GT(delay, kNever / 2);
    EXPECT_LE(delay, kNever);
  }
  EXPECT_GT(retry_delay(options_of(Backoff::exponential, kSecond, kNever), kMostAttempts, 0),
            kNever / 2);
  EXPECT_GT(retry_delay(options_of(Backoff::linear, kNever / 3, kNever), kMostAttempts, 0),
            kNever / 2);
}

TEST(Backoff, RisesWithTheAttemptUpToTheCap) {
  for (const Backoff backoff : {Backoff::exponential, Backoff::linear}) {
    const QueueOptions options = options_of(backoff, 3, 1'000'000'007);
    Micros before = 0;
    for (std::int32_t attempt = 1; attempt <= kMostAttempts; attempt++) {
      const Micros delay = retry_delay(options, attempt, 0);
      ASSERT_GE(delay, before) << attempt;
      before = delay;
    }
  }
}

TEST(Backoff, TakesAnAttemptBelowOneForTheFirst) {
  const QueueOptions options = options_of(Backoff::exponential, 5 * kSecond, 3600 * kSecond);
  EXPECT_EQ(retry_delay(options, 0, 0), 5 * kSecond);
  EXPECT_EQ(retry_delay(options, -7, 0), 5 * kSecond);
}

TEST(Backoff, WithABaseOfZeroIsZero) {
  for (const Backoff backoff : {Backoff::exponential, Backoff::linear, Backoff::fixed})
    EXPECT_EQ(retry_delay(options_of(backoff, 0, 60 * kSecond), kMostAttempts, 0.9), 0);
}

TEST(Backoff, WithoutJitterIgnoresTheRandomNumber) {
  const QueueOptions options = options_of(Backoff::exponential, 5 * kSecond, 3600 * kSecond, 0.0);
  EXPECT_EQ(retry_delay(options, 4, 0.0), retry_delay(options, 4, 0.999));
}

TEST(Backoff, WithFullJitterRunsFromZeroToTheDelay) {
  const QueueOptions options = options_of(Backoff::fixed, 5 * kSecond, 3600 * kSecond, 1.0);
  EXPECT_EQ(retry_delay(options, 1, 0.0), 0);
  EXPECT_EQ(retry_delay(options, 1, 0.5), 5 * kSecond / 2);
  EXPECT_LE(retry_delay(options, 1, 0.9999999), 5 * kSecond);
}

TEST(Backoff, WithJitterKeepsThePartThatIsNotDrawn) {
  const QueueOptions options = options_of(Backoff::fixed, 10 * kSecond, 3600 * kSecond, 0.25);
  EXPECT_EQ(retry_delay(options, 1, 0.0), 7500 * kMillisecond);
  EXPECT_EQ(retry_delay(options, 1, 0.5), 8750 * kMillisecond);
}

TEST(Backoff, DrawsEvenlyUnderFullJitter) {
  const QueueOptions options = options_of(Backoff::exponential, 10 * kSecond, 3600 * kSecond, 1.0);
  std::mt19937_64 engine(42);
  std::uniform_real_distribution<double> draw(0.0, 1.0);
  const int kDraws = 40000;
  std::vector<int> tenth(10);
  for (int i = 0; i < kDraws; i++) {
    const Micros delay = retry_delay(options, 1, draw(engine));
    ASSERT_GE(delay, 0);
    ASSERT_LT(delay, 10 * kSecond);
    tenth[static_cast<std::size_t>(delay / kSecond)]++;
  }
  /* 4000 are expected in each; the standard deviation is 60. */
  for (const int count : tenth) EXPECT_NEAR(count, kDraws / 10, 300);
}

}  // namespace
}  // namespace dw::core
