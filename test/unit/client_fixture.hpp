/* What the tests of changes and purges share: clients, a census, and a look at what it counts. */
#pragma once

#include "client.hpp"
#include "load_fixture.hpp"

#include "core/census.hpp"

namespace dw::test {

class ClientTest : public Load {
 protected:
  Client client(std::uint32_t writer = kClient) {
    return Client(&log(), &d(), database_, kOid, writer);
  }
  /* With what was put off for a moment. */
  void load_later() {
    platform().advance(2 * kSecond);
    load();
  }
  JobRow& row_at(const ClaimedJob& job) {
    row_ = log().job_pages(job.segment).at(job.block).at(job.offset - 1U).row;
    return row_;
  }
  void TearDown() override {
    census_.reset();
    Load::TearDown();
  }

  /* --- counting; ids up to 1000 are given --- */
  Census& census() {
    if (!census_) {
      census_ = std::make_unique<Census>(&d(), database_, &store());
      const Loader::QueueTopic topic{1, 1};
      census_->set_queues(&topic, 1);
      d().open_job_ids(database_, 1, 1000, 1);
    }
    return *census_;
  }
  void count(Micros budget = kMinute) {
    while (census().step(budget)) {
    }
  }
  void forget_census() { census_.reset(); }
  bool is_counted() { return slot(d().find_queue(database_, 1)).length.known != 0; }
  std::int64_t unfinished() {
    count();
    std::int64_t n = -1;
    EXPECT_TRUE(d().length_of(d().find_queue(database_, 1), &n));
    return n;
  }

 private:
  std::unique_ptr<Census> census_;
  JobRow row_{};
};

inline void at_once(JobRow& row) { row.due = kAlways; }
/* Rows tell their version by the hash of their key. */
inline Client::Edit version(std::uint32_t number, Micros due = kAlways) {
  return [number, due](JobRow& row) {
    row.key_hash = number;
    row.due = due;
  };
}

}  // namespace dw::test
