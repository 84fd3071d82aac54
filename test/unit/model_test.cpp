/*
 * Random histories of the whole core against a plain reference; see test/sim, whose program runs
 * many more.
 */
#include "history.hpp"

#include <gtest/gtest.h>

namespace dw::test {
namespace {

TEST(Model, NoJobIsLostRepeatedOrHeldTwice) {
  constexpr std::uint64_t kSeeds = 60;
  for (std::uint64_t seed = 1; seed <= kSeeds; seed++) {
    const History history = run_history(seed, kHistorySteps, false);
    if (!history.broken.empty()) FAIL() << report_failure(seed, history, 60);
  }
}

/* So a seed that fails once fails whenever it is run, and its trace tells what happened. */
TEST(Model, ASeedDecidesEverything) {
  constexpr std::uint64_t kSteps = 1000;
  for (std::uint64_t seed = 1; seed <= 10; seed++) {
    const History once = run_history(seed, kSteps, true);
    const History other = run_history(seed + 1000, kSteps, true);
    const History again = run_history(seed, kSteps, true);
    const History untraced = run_history(seed, kSteps, false);
    EXPECT_EQ(once.trace, again.trace) << "seed " << seed;
    EXPECT_EQ(once.happened, again.happened) << "seed " << seed;
    EXPECT_EQ(once.digest, again.digest) << "seed " << seed;
    EXPECT_EQ(once.digest, untraced.digest) << "seed " << seed;
    EXPECT_NE(once.digest, other.digest) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dw::test
