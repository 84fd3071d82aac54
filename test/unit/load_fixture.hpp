/* What the tests of the loader share: acting at a call of the log, failing at one, and working
 * everything off. */
#pragma once

#include "log_fixture.hpp"

namespace dw::test {

using Call = FakeStore::Call;

class Load : public LogTest {
 protected:
  /* Runs the action once, at the first of these calls. */
  void once_at(Call call, std::function<void()> action) {
    store().on_call = [this, call, action = std::move(action)](Call now) {
      if (now != call) return;
      const std::function<void()> run = action;
      store().on_call = nullptr;
      run();
    };
  }
  void fail_at(Call call) {
    once_at(call, [] { throw StoreError(); });
  }
  /* The next step has no long sleepers to look for: it is a chunk of pages and nothing else. */
  void without_sleepers() {
    d().arena().databases[database_].parked_until.store(platform().wall + 15 * kMinute);
  }
  Queue& q() { return slot(d().find_queue(database_, 1)); }
  /* Everything there is to claim, completed one by one. */
  std::vector<JobId> drain(QueueId queue = 1) {
    std::vector<JobId> ids;
    for (int idle = 0; idle < 5; idle++) {
      const std::vector<ClaimedJob> jobs = claim(queue);
      if (jobs.empty()) {
        load();
        platform().advance(kMinute);
        continue;
      }
      idle = -1;
      EXPECT_EQ(complete(jobs[0]), Verdict::ok);
      ids.push_back(jobs[0].id);
    }
    return ids;
  }
};

inline std::vector<JobId> range(JobId first, JobId last) {
  std::vector<JobId> ids;
  for (JobId id = first; id <= last; id++) ids.push_back(id);
  return ids;
}

}  // namespace dw::test
