#include "core/token.hpp"

#include <gtest/gtest.h>

namespace dw::core {
namespace {

TEST(Token, CarriesEpochAboveCounter) {
  EXPECT_EQ(make_token(1, 0), Token{1} << 32);
  EXPECT_EQ(make_token(3, 5), (Token{3} << 32) + 5);
}

TEST(Token, GivesItsEpochBack) {
  EXPECT_EQ(epoch_of(make_token(12345, 0)), 12345);
  EXPECT_EQ(epoch_of(make_token(12345, kCounterEnd - 1)), 12345);
}

TEST(Token, OfAHigherEpochIsAboveEveryTokenOfALowerOne) {
  EXPECT_GT(make_token(8, 0), make_token(7, kCounterEnd - 1));
}

TEST(Token, RisesWithTheCounterWithinAnEpoch) { EXPECT_GT(make_token(7, 2), make_token(7, 1)); }

TEST(Token, StaysPositiveForEveryEpochOf31Bits) {
  EXPECT_GT(make_token((std::int64_t{1} << 31) - 1, kCounterEnd - 1), 0);
}

TEST(Token, LeavesNearlyAsManyNumbersAfterTheRaiseAsBeforeIt) {
  EXPECT_GE(kCounterEnd - kCounterRaise, kCounterRaise / 8 * 7);
}

TEST(Token, GivesItsCounterBack) { EXPECT_EQ(counter_of(make_token(12345, 678)), 678); }

}  // namespace
}  // namespace dw::core
