// A client that claims and completes one job at a time, without a pause, and remembers how long the
// slowest answer to a claim took since somebody last asked.
#pragma once

#include "subject.hpp"

#include <atomic>
#include <thread>

namespace bench {

class Claimer {
 public:
  explicit Claimer(const Subject& queue) : thread_([this, &queue] { run(queue); }) {}

  ~Claimer() { stop(); }
  Claimer(const Claimer&) = delete;
  Claimer& operator=(const Claimer&) = delete;

  double longest_pause_ms() { return static_cast<double>(longest_us_.exchange(0)) / 1e3; }
  std::int64_t finished() const { return finished_; }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run(const Subject& queue);

  std::atomic<std::int64_t> longest_us_{0};
  std::atomic<std::int64_t> finished_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace bench
