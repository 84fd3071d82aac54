/* What is left of rate limits when memory is lost: the rates, which are rows, and no token. */
#include "key_limits_fixture.hpp"
#include "load_fixture.hpp"

namespace dw::test {
namespace {

constexpr std::uint32_t kA = 1;
constexpr std::uint32_t kB = 2;
constexpr QueueId kOther = 2;

class RestartedLimits : public LogTest {
 protected:
  /* The housekeeper tells the dispatcher what it has read of the queues, and then their jobs. */
  void begin_limited(const QueueLimits& limits) {
    d().set_queue_limits(database_, 1, limits);
    load();
  }
  void log_keyed(JobId first, JobId last, std::uint32_t key) {
    for (JobId id = first; id <= last; id++) {
      JobRow row = row_of(1, id);
      row.key_hash = key;
      row.key_check = key + 1000;
      const Xid xid = log().begin();
      log().insert_job(xid, kClient, 1, &row);
      log().commit(xid);
    }
  }
  std::vector<JobId> complete_all(QueueId queue = 1) {
    std::vector<JobId> ids;
    for (const ClaimedJob& job : claim(queue, 50)) {
      EXPECT_EQ(complete(job), Verdict::ok);
      ids.push_back(job.id);
    }
    return ids;
  }
};

TEST_F(RestartedLimits, BucketsOfKeysBeginEmpty) {
  const QueueLimits limits = key_tokens(10, 4);
  log_keyed(1, 9, kA);
  log_keyed(11, 19, kB);
  restart();
  begin_limited(limits);
  platform().advance(kMinute);
  EXPECT_EQ(complete_all(), std::vector<JobId>({1, 2, 3, 4, 11, 12, 13, 14}));
  platform().advance(kMinute); /* what is lost are full buckets */
  restart();
  begin_limited(limits);
  EXPECT_TRUE(complete_all().empty());
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(complete_all(), std::vector<JobId>({5, 15}));
  EXPECT_TRUE(complete_all().empty());
}

/* A key that was not there when the server started gets what has come since, and no burst. */
TEST_F(RestartedLimits, TheBucketOfAKeyThatComesLaterHasBegunWithTheServer) {
  restart();
  begin_limited(key_tokens(10, 4));
  platform().advance(200 * kMillisecond);
  log_keyed(1, 9, kA);
  for (JobId id = 1; id <= 9; id++) d().mark_dirty(database_, 1, 0, logged(id).row.block);
  load();
  EXPECT_EQ(complete_all(), std::vector<JobId>({1, 2}));
}

TEST_F(RestartedLimits, TheBucketOfAGroupBeginsEmpty) {
  const auto begin_group = [this] {
    add_queue(kOther, QueueOptions{}, LoadMode::loading);
    tell_queues({1, kOther});
    d().set_queue_limits(database_, kOther, shared_tokens("partner", 10, 4));
    begin_limited(shared_tokens("partner", 10, 4));
  };
  log_jobs(1, 9);
  log_jobs(11, 19, kOther);
  restart();
  begin_group();
  platform().advance(kMinute);
  EXPECT_EQ(complete_all(), std::vector<JobId>({1, 2, 3, 4}));
  platform().advance(kMinute);
  restart();
  begin_group();
  EXPECT_TRUE(complete_all().empty());
  EXPECT_TRUE(complete_all(kOther).empty());
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(complete_all(kOther), std::vector<JobId>({11}));
  EXPECT_TRUE(complete_all().empty());
}

}  // namespace
}  // namespace dw::test
