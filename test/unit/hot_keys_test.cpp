/* Which keys have the most jobs: counting with few counters, and what is counted. */
#include "core/hot_keys.hpp"

#include "arena_fixture.hpp"

#include <map>
#include <numeric>
#include <random>

namespace dw::test {
namespace {

class Counter {
 public:
  explicit Counter(std::uint32_t capacity)
      : counts(capacity),
        index_(KeyCounter::index_size(capacity)),
        counter(counts.data(), capacity, index_.data()) {}

  void add(std::uint32_t key, JobId id = 1, bool processing = false, bool due = true) {
    counter.add(KeyedJob{{id, 0, 0, 0}, key, processing, due && !processing});
  }
  void add_all(const std::vector<std::uint32_t>& keys) {
    for (const std::uint32_t key : keys) add(key);
    if (!counter.is_estimate()) return;
    counter.count_again();
    for (const std::uint32_t key : keys) add(key);
  }

  std::vector<KeyCount> counts;

 private:
  std::vector<std::uint32_t> index_;

 public:
  KeyCounter counter;
};

TEST(KeyCounter, CountsFewKeysExactly) {
  Counter c(8);
  c.add(7, 70);
  c.add(7, 71, true);
  c.add(9, 90, false, false);
  c.add(7, 72);
  EXPECT_FALSE(c.counter.is_estimate());
  EXPECT_EQ(c.counter.jobs(), 4U);
  ASSERT_EQ(c.counter.sort(), 2U);
  EXPECT_EQ(c.counts[0].key_hash, 7U);
  EXPECT_EQ(c.counts[0].waiting, 2U);
  EXPECT_EQ(c.counts[0].due, 2U);
  EXPECT_EQ(c.counts[0].processing, 1U);
  EXPECT_EQ(c.counts[0].job.id, 70);
  EXPECT_EQ(c.counts[1].waiting, 1U);
  EXPECT_EQ(c.counts[1].due, 0U);
}

TEST(KeyCounter, KeysWhoseHashesLieTogetherAreToldApart) {
  Counter c(4);
  for (const std::uint32_t key : {0xFFFFFFFFU, 0xFFFFFFFEU, 0xFFFFFFFDU, 0xFFFFFFFFU}) c.add(key);
  ASSERT_EQ(c.counter.sort(), 3U);
  EXPECT_EQ(c.counts[0].key_hash, 0xFFFFFFFFU);
  EXPECT_EQ(c.counts[0].waiting, 2U);
}

TEST(KeyCounter, OfEquallyManyTheLowerHashComesFirst) {
  Counter c(8);
  c.add_all({5, 3, 4});
  c.counter.sort();
  EXPECT_EQ(c.counts[0].key_hash, 3U);
  EXPECT_EQ(c.counts[2].key_hash, 5U);
}

/* Whatever the order: a key with more than its share of the jobs is there, counted exactly. */
TEST(KeyCounter, FindsEveryKeyWithMoreThanItsShareAmongManyMore) {
  for (std::uint64_t seed = 1; seed <= 40; seed++) {
    std::mt19937_64 engine(seed);
    constexpr std::uint32_t kCounters = 16;
    std::vector<std::uint32_t> keys;
    for (std::uint32_t hot = 0; hot < 4; hot++)
      keys.insert(keys.end(), 200 + hot, static_cast<std::uint32_t>(engine()));
    for (int i = 0; i < 1000; i++) keys.push_back(static_cast<std::uint32_t>(engine()));
    for (int i = 0; i < 300; i++) keys.push_back(static_cast<std::uint32_t>(engine() % 150));
    std::shuffle(keys.begin(), keys.end(), engine);
    std::map<std::uint32_t, std::uint32_t> exact;
    for (const std::uint32_t key : keys) exact[key]++;

    Counter c(kCounters);
    c.add_all(keys);
    EXPECT_TRUE(c.counter.is_estimate());
    EXPECT_EQ(c.counter.jobs(), keys.size());
    const std::uint32_t count = c.counter.sort();
    std::map<std::uint32_t, std::uint32_t> found;
    for (std::uint32_t i = 0; i < count; i++) found[c.counts[i].key_hash] = c.counts[i].waiting;
    for (const auto& [key, jobs] : exact) {
      if (jobs * (kCounters + 1) <= keys.size()) continue;
      EXPECT_EQ(found[key], jobs) << "key " << key << ", seed " << seed;
    }
    for (const auto& [key, jobs] : found) EXPECT_EQ(jobs, exact[key]) << "seed " << seed;
  }
}

TEST(KeyCounter, OneCounterFindsAMajority) {
  Counter c(1);
  c.add_all({1, 2, 1, 3, 1, 1, 4});
  ASSERT_EQ(c.counter.sort(), 1U);
  EXPECT_EQ(c.counts[0].key_hash, 1U);
  EXPECT_EQ(c.counts[0].waiting, 4U);
}

class HotKeys : public ArenaTest {
 protected:
  JobRow keyed(JobId id, std::uint32_t key) {
    JobRow row = row_of(1, id);
    row.key_hash = key;
    return row;
  }
  std::map<std::uint32_t, KeyCount> count(QueueId queue) {
    Counter c(64);
    std::vector<KeyedJob> batch(kEntriesPerHold);
    const QueueRef ref = ref_of(queue);
    for (Index position = 0; position < d().arena().capacity;) {
      const std::uint32_t n = d().list_keys(ref, &position, batch.data());
      for (std::uint32_t i = 0; i < n; i++) c.counter.add(batch[i]);
    }
    std::map<std::uint32_t, KeyCount> out;
    const std::uint32_t n = c.counter.sort();
    for (std::uint32_t i = 0; i < n; i++) out[c.counts[i].key_hash] = c.counts[i];
    return out;
  }
};

TEST_F(HotKeys, CountWhatWaitsAndWhatIsHeldOfThisQueueOnly) {
  start(4096);
  add_queue(1);
  add_queue(2);
  for (JobId id = 1; id <= 1500; id++) put(keyed(id, 7));
  put_many(2, 2001, 2500);
  claim(1, 20);
  JobRow later = keyed(1501, 7);
  later.due = platform().wall + kSecond;
  put(later);
  link(keyed(1502, 7));
  auto keys = count(1);
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys[7].waiting, 1481U);
  EXPECT_EQ(keys[7].due, 1480U);
  EXPECT_EQ(keys[7].processing, 20U);
  platform().advance(kSecond);
  EXPECT_EQ(count(1)[7].due, 1481U) << "its time has come, and nobody has claimed";
}

TEST_F(HotKeys, CountWhatATransactionDecidesWhereItWas) {
  add_queue(1);
  put(keyed(1, 7));
  put(keyed(2, 7));
  const ClaimedJob held = claim_one(1);
  Decided completing{};
  Decided cancelling{};
  ASSERT_EQ(d().begin_decision(database_, held.id, held.token, &completing), Verdict::ok);
  ASSERT_EQ(d().begin_cancel(database_, 2, 1, &cancelling), Verdict::ok);
  EXPECT_EQ(count(1)[7].processing, 1U);
  EXPECT_EQ(count(1)[7].waiting, 1U);
  EXPECT_EQ(count(1)[7].due, 0U) << "nobody can have it now";
  d().commit_decision(completing.ref, completing.token, Decision::finish, OutcomeKind::completed,
                      0);
  EXPECT_EQ(count(1)[7].processing, 0U);
}

TEST_F(HotKeys, SayWhereTheRowOfAJobLies) {
  add_queue(1);
  JobRow row = keyed(5, 9);
  row.block = 77;
  row.offset = 3;
  row.segment = 2;
  put(row);
  const KeyCount key = count(1)[9];
  EXPECT_EQ(key.job.id, 5);
  EXPECT_EQ(key.job.block, 77U);
  EXPECT_EQ(key.job.offset, 3U);
  EXPECT_EQ(key.job.segment, 2U);
}

TEST_F(HotKeys, OfAQueueThatIsGoneNothing) {
  add_queue(1);
  put(keyed(1, 7));
  const QueueRef gone = ref_of(1);
  d().remove_queue(gone);
  add_queue(2);
  put_many(2, 1, 3);
  Index position = 0;
  KeyedJob batch[kEntriesPerHold];
  EXPECT_EQ(d().list_keys(gone, &position, batch), 0U);
  EXPECT_EQ(position, d().arena().capacity);
}

}  // namespace
}  // namespace dw::test
