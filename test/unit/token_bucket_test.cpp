/* The token bucket: nothing is rounded, and no period sees more than it may. */
#include "core/token_bucket.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace dw::test {
namespace {

using namespace dw::core;

TokenBucket bucket_of(const Rate& rate, Micros now = 1000) {
  TokenBucket bucket{};
  bucket.begin(rate, now);
  return bucket;
}

TEST(TokenBucketTest, BeginsEmpty) {
  const TokenBucket bucket = bucket_of({10, 10, kSecond});
  EXPECT_EQ(bucket.tokens(), 0U);
  EXPECT_EQ(bucket.next(), 1000 + kSecond / 10);
}

TEST(TokenBucketTest, WithoutJobsIsNoLimit) {
  EXPECT_FALSE(bucket_of({}).limits());
  EXPECT_TRUE(bucket_of({1, 1, kSecond}).limits());
}

TEST(TokenBucketTest, GetsOneTokenAtATimeAndNotAMicrosecondEarlier) {
  TokenBucket bucket = bucket_of({3, 3, kSecond});
  bucket.fill(1000 + 333'333);
  EXPECT_EQ(bucket.tokens(), 0U);
  EXPECT_EQ(bucket.next(), 1000 + 333'334);
  bucket.fill(1000 + 333'334);
  EXPECT_EQ(bucket.tokens(), 1U);
}

TEST(TokenBucketTest, LosesNothingHoweverOftenItIsLookedAt) {
  TokenBucket often = bucket_of({7, 1'000'000, kSecond});
  TokenBucket once = often;
  std::mt19937_64 engine(3);
  Micros now = 1000;
  for (int i = 0; i < 100'000; i++) {
    now += static_cast<Micros>(engine() % 3000);
    often.fill(now);
  }
  once.fill(now);
  EXPECT_EQ(often.level, once.level);
  EXPECT_EQ(once.tokens(), static_cast<std::uint32_t>((now - 1000) * 7 / kSecond));
}

TEST(TokenBucketTest, KeepsNoMoreThanABurst) {
  TokenBucket bucket = bucket_of({10, 4, kSecond});
  bucket.fill(1000 + 3600 * kSecond);
  EXPECT_EQ(bucket.tokens(), 4U);
  bucket.take(4);
  EXPECT_EQ(bucket.tokens(), 0U);
  EXPECT_EQ(bucket.next(), 1000 + 3600 * kSecond + kSecond / 10);
}

TEST(TokenBucketTest, TakesBackWhatWasNotUsedAtOnce) {
  TokenBucket bucket = bucket_of({10, 4, kSecond});
  bucket.fill(1000 + kSecond);
  bucket.take(3);
  bucket.give_back(2, 1000 + kSecond);
  EXPECT_EQ(bucket.tokens(), 3U);
}

TEST(TokenBucketTest, DropsWhatComesBackAfterItMayHaveBeenFull) {
  TokenBucket bucket = bucket_of({10, 4, kSecond});
  bucket.fill(1000 + kSecond);
  bucket.take(4);
  bucket.fill(1000 + 2 * kSecond);
  bucket.take(4);
  /* With these, eight would start at one moment. */
  bucket.give_back(4, 1000 + kSecond);
  EXPECT_EQ(bucket.tokens(), 0U);
}

TEST(TokenBucketTest, TheGreatestNumbersFit) {
  TokenBucket bucket = bucket_of({kMostRateJobs, kMostRateJobs, kLongestRateInterval});
  bucket.fill(1000 + kLongestRateInterval);
  EXPECT_EQ(bucket.tokens(), kMostRateJobs);
  bucket.fill(Micros{1} << 60);
  EXPECT_EQ(bucket.tokens(), kMostRateJobs);
  bucket.take(kMostRateJobs);
  bucket.give_back(kMostRateJobs, Micros{1} << 60);
  EXPECT_EQ(bucket.tokens(), kMostRateJobs);
  TokenBucket slow = bucket_of({1, kMostRateJobs, kLongestRateInterval});
  slow.fill(Micros{1} << 61);
  EXPECT_EQ(slow.next(), Micros{1} << 61);
}

/* What starts in any period is at most burst + t * jobs / interval; and whoever takes all there is
 * gets no less than what comes in less one. */
TEST(TokenBucketTest, NoPeriodSeesMoreThanItMay) {
  std::mt19937_64 engine(11);
  const auto draw = [&engine](std::uint64_t below) { return engine() % below; };
  for (int run = 0; run < 200; run++) {
    const Rate rate{static_cast<std::uint32_t>(1 + draw(1000)),
                    static_cast<std::uint32_t>(1 + draw(50)),
                    static_cast<Micros>(kMillisecond + draw(20 * kSecond))};
    TokenBucket bucket = bucket_of(rate);
    std::vector<std::pair<Micros, std::uint32_t>> starts;
    Micros now = 1000;
    const Micros pace = 1 + static_cast<Micros>(draw(2)) * rate.interval / rate.jobs;
    for (int i = 0; i < 300; i++) {
      now += static_cast<Micros>(draw(static_cast<std::uint64_t>(2 * pace)));
      bucket.fill(now);
      const std::uint32_t taken =
          std::min(bucket.tokens(), static_cast<std::uint32_t>(draw(rate.burst + 2)));
      bucket.take(taken);
      if (taken > 0) starts.emplace_back(now, taken);
    }
    for (std::size_t from = 0; from < starts.size(); from++) {
      std::int64_t sum = 0;
      for (std::size_t to = from; to < starts.size(); to++) {
        sum += starts[to].second;
        ASSERT_LE(sum * rate.interval,
                  rate.burst * rate.interval + (starts[to].first - starts[from].first) * rate.jobs)
            << "run " << run;
      }
    }
  }
}

TEST(TokenBucketTest, WhoTakesAllGetsAllThatComes) {
  TokenBucket bucket = bucket_of({7, 5, 3 * kSecond});
  std::int64_t taken = 0;
  Micros now = 1000;
  for (int i = 0; i < 10'000; i++) {
    now = bucket.next();
    bucket.fill(now);
    ASSERT_EQ(bucket.tokens(), 1U);
    bucket.take(1);
    taken++;
    ASSERT_EQ(taken, (now - 1000) * 7 / (3 * kSecond));
  }
}

}  // namespace
}  // namespace dw::test
