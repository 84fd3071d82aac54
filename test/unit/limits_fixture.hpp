/* Queues with limits, and words for them. */
#pragma once

#include "log_fixture.hpp"

#include <string_view>

namespace dw::test {

inline QueueLimits places(std::uint32_t most) {
  QueueLimits limits;
  limits.max_in_flight = most;
  return limits;
}
inline QueueLimits tokens(std::uint32_t jobs, std::uint32_t burst, Micros interval = kSecond) {
  QueueLimits limits;
  limits.rate = Rate{jobs, burst, interval};
  return limits;
}
inline QueueLimits shared_places(std::string_view group, std::uint32_t most,
                                 QueueLimits limits = {}) {
  limits.group_max_in_flight = most;
  group.copy(limits.group[static_cast<std::size_t>(LimitKind::concurrency)], kGroupNameSize - 1);
  return limits;
}
inline QueueLimits shared_tokens(std::string_view group, std::uint32_t jobs, std::uint32_t burst,
                                 QueueLimits limits = {}) {
  limits.group_rate = Rate{jobs, burst, kSecond};
  group.copy(limits.group[static_cast<std::size_t>(LimitKind::rate)], kGroupNameSize - 1);
  return limits;
}

class LimitsTest : public ArenaTest {
 protected:
  using Woken = std::vector<Index>;

  void SetUp() override {
    start(256, 16);
    for (QueueId queue = 1; queue <= 3; queue++) {
      add_queue(queue);
      put_many(queue, 1000 * queue, 1000 * queue + 19);
    }
  }
  void limit(QueueId queue, const QueueLimits& limits) {
    d().set_queue_limits(database_, queue, limits);
  }
  bool wait(Index waiter, QueueId queue) {
    const QueueRef ref = ref_of(queue);
    return d().wait_begin(waiter, &ref, 1);
  }
  std::size_t take(QueueId queue, std::uint32_t n = 1) { return claim(queue, n).size(); }
  QueueLimitFigures limits_of(QueueId queue) {
    QueueLimitFigures figures{};
    d().see_limits(d().find_queue(database_, queue), queue, &figures);
    return figures;
  }
  const LimitFigures& group_places(QueueId queue) {
    seen_ = limits_of(queue);
    return seen_.group[0];
  }
  /* The woken one claims, as it owes. */
  std::vector<ClaimedJob> jobs_of_woken(Index waiter, QueueId queue, std::uint32_t n = 1) {
    d().wait_end(waiter);
    std::vector<ClaimedJob> jobs(n);
    jobs.resize(d().claim(ref_of(queue), worker(), 0, jobs.data(), n, nullptr, waiter));
    d().pass_wake_on(waiter);
    return jobs;
  }
  std::size_t claim_woken(Index waiter, QueueId queue, std::uint32_t n = 1) {
    return jobs_of_woken(waiter, queue, n).size();
  }

  QueueLimitFigures seen_{};
};

}  // namespace dw::test
