/* A queue whose keys are limited. */
#pragma once

#include "limits_fixture.hpp"

namespace dw::test {

inline QueueLimits key_places(std::uint32_t most, QueueLimits limits = {}) {
  limits.key_max_in_flight = most;
  return limits;
}
inline QueueLimits key_tokens(std::uint32_t jobs, std::uint32_t burst, QueueLimits limits = {}) {
  limits.key_rate = Rate{jobs, burst, kSecond};
  return limits;
}

class KeyLimits : public LimitsTest {
 protected:
  static constexpr QueueId kQueue = 5;

  void SetUp() override { begin_queue(QueueOptions{}); }
  void begin_queue(const QueueOptions& options, std::uint32_t entries = 256) {
    start(entries, 16);
    add_queue(kQueue, options);
  }
  static QueueOptions fair() {
    QueueOptions options;
    options.fair = true;
    return options;
  }
  static QueueOptions ordered() {
    QueueOptions options;
    options.ordered = true;
    return options;
  }
  static JobRow row(JobId id, std::uint32_t key, std::uint8_t priority = kDefaultPriority) {
    JobRow row = row_of(kQueue, id);
    row.key_hash = key;
    row.key_check = key == 0 ? 0 : key + 1000;
    row.priority = priority;
    return row;
  }
  void put_jobs(JobId first, JobId last, std::uint32_t key) {
    for (JobId id = first; id <= last; id++) put(row(id, key));
  }
  void limit(const QueueLimits& limits) { LimitsTest::limit(kQueue, limits); }
  using Ids = std::vector<JobId>;
  Ids ids(std::uint32_t n = 100) { return claim_ids(kQueue, n); }
  Queue& q() { return slot(d().find_queue(database_, kQueue)); }
};

}  // namespace dw::test
