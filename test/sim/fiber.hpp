/*
 * A stack of its own for something that stops in the middle and goes on later: a backend that
 * others overtake. One fiber runs at a time, and nothing runs but what was told to.
 */
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace dw::test {

class Fiber {
 public:
  Fiber();
  /* What a stopped one has on its stack is lost without being destroyed. */
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /* Returns when the task has stopped or ended. It must not throw. */
  void start(std::function<void()> task);
  void resume();
  /* In the task: back to whoever started or resumed it. */
  void stop();
  [[nodiscard]] bool has_stopped() const { return has_stopped_; }

 private:
  struct Context;
  static void enter(unsigned high, unsigned low);
  void run();

  std::unique_ptr<Context> context_;
  std::function<void()> task_;
  bool has_stopped_ = false;
};

}  // namespace dw::test
