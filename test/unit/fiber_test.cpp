#include "fiber.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace dw::test {
namespace {

TEST(Fiber, GoesOnWhereItStopped) {
  Fiber first;
  Fiber second;
  std::string said;
  const auto count = [&said](Fiber& self, char from) {
    for (char c = from; c < from + 3; c++) {
      said += c;
      self.stop();
    }
  };
  first.start([&] { count(first, 'a'); });
  second.start([&] { count(second, 'x'); });
  while (first.has_stopped() || second.has_stopped()) {
    if (second.has_stopped()) second.resume();
    if (first.has_stopped()) first.resume();
  }
  EXPECT_EQ(said, "axybzc");
}

TEST(Fiber, BeginsAnewWhenItsTaskHasEnded) {
  Fiber fiber;
  int ran = 0;
  for (int i = 0; i < 3; i++) {
    fiber.start([&] { ran++; });
    EXPECT_FALSE(fiber.has_stopped());
  }
  EXPECT_EQ(ran, 3);
}

/* Which exception is being handled is kept by thread, and both are in the middle of one. */
TEST(Fiber, HandlesItsOwnExceptionAfterOthersHaveHandledTheirs) {
  const auto handle = [](Fiber& self, const char* text, std::string* handled) {
    try {
      throw std::runtime_error(text);
    } catch (const std::runtime_error&) {
      self.stop();
      try {
        throw;
      } catch (const std::runtime_error& again) {
        *handled = again.what();
      }
    }
  };
  Fiber first;
  Fiber second;
  std::string handled_first;
  std::string handled_second;
  first.start([&] { handle(first, "first", &handled_first); });
  second.start([&] { handle(second, "second", &handled_second); });
  first.resume();
  second.resume();
  EXPECT_EQ(handled_first, "first");
  EXPECT_EQ(handled_second, "second");
  EXPECT_EQ(std::current_exception(), nullptr);
}

}  // namespace
}  // namespace dw::test
