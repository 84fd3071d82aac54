/* Keys of fair queues that get more than one job a round. */
#include "load_fixture.hpp"
#include "member_fixture.hpp"

#include <map>
#include <random>

namespace dw::test {
namespace {

using Keys = std::vector<std::uint32_t>;

constexpr std::uint32_t kA = 1;
constexpr std::uint32_t kB = 2;
constexpr std::uint32_t kC = 3;

class Weights : public Load {
 protected:
  static QueueOptions options() {
    QueueOptions options;
    options.fair = true;
    return options;
  }
  void SetUp() override { begin(2048, LoadMode::live, options()); }
  static JobRow keyed(JobId id, std::uint32_t key) {
    JobRow row = row_of(1, id);
    row.key_hash = key;
    row.key_check = key;
    return row;
  }
  void fill(std::uint32_t key, int jobs) {
    for (int i = 0; i < jobs; i++) put(keyed(next_id_++, key));
  }
  bool weigh(std::uint32_t key, std::uint32_t weight) {
    return d().set_key_weight(database_, 1, key, key, weight);
  }
  /* The keys of the next jobs, asked for one by one. */
  Keys next(int n) {
    Keys keys;
    for (int i = 0; i < n; i++) {
      const std::vector<ClaimedJob> jobs = claim(1, 1);
      if (jobs.empty()) break;
      keys.push_back(entry(jobs[0].ref).key_hash);
    }
    return keys;
  }
  /* The weight goes to the log, too, as one transaction. */
  void commit_weight(std::uint32_t key, std::uint32_t weight) {
    log_weight(key, weight);
    Transaction transaction(&d());
    transaction.set_database(database_, kOid);
    transaction.reserve(1);
    transaction.note_weight(1, KeyWeight{1, key, key, weight});
    transaction.commit(1);
  }
  void log_weight(std::uint32_t key, std::uint32_t weight) {
    const Xid xid = log().begin();
    log().set_key_weight(xid, KeyWeight{1, key, key, weight});
    log().commit(xid);
  }
  /* How many of the next four are of key A, of two keys that have work. */
  std::size_t share_of_a() {
    fill(kA, 8);
    fill(kB, 8);
    const Keys keys = next(4);
    const auto share = static_cast<std::size_t>(std::count(keys.begin(), keys.end(), kA));
    next(100);
    return share;
  }
  void TearDown() override {
    EXPECT_EQ(arena_faults(d().arena()), "");
    Load::TearDown();
  }

  JobId next_id_ = 1;
};

TEST_F(Weights, AKeyOfWeightThreeGetsThreeJobsARound) {
  ASSERT_TRUE(weigh(kA, 3));
  fill(kA, 300);
  fill(kB, 100);
  for (int round = 0; round < 100; round++) ASSERT_EQ(next(4), (Keys{kA, kA, kA, kB})) << round;
  EXPECT_EQ(next(1), Keys{});
}

TEST_F(Weights, OneClaimOfManyJobsGoesByTheSameRounds) {
  ASSERT_TRUE(weigh(kB, 2));
  fill(kA, 20);
  fill(kB, 20);
  std::map<std::uint32_t, int> served;
  for (const ClaimedJob& job : claim(1, 15)) served[entry(job.ref).key_hash]++;
  EXPECT_EQ(served[kA], 5);
  EXPECT_EQ(served[kB], 10);
}

TEST_F(Weights, WhatAKeyDoesNotUseGoesToTheOthers) {
  ASSERT_TRUE(weigh(kA, 100));
  fill(kA, 2);
  fill(kB, 3);
  fill(kC, 3);
  EXPECT_EQ(next(20), (Keys{kA, kA, kB, kC, kB, kC, kB, kC}));
}

TEST_F(Weights, AKeyAloneGetsEverything) {
  ASSERT_TRUE(weigh(kA, 3));
  fill(kA, 50);
  EXPECT_EQ(next(60), Keys(50, kA));
}

TEST_F(Weights, AKeyThatWasIdleHasNoCredit) {
  ASSERT_TRUE(weigh(kA, 3));
  fill(kA, 1);
  fill(kB, 10);
  EXPECT_EQ(next(3), (Keys{kA, kB, kB}));
  fill(kA, 6);
  /* B's job of this round was there first; then three. */
  const Keys keys = next(5);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), kA), 3);
  EXPECT_EQ(keys.back(), kB);
}

TEST_F(Weights, ANewKeyWaitsForOneRoundAtMost) {
  ASSERT_TRUE(weigh(kA, 5));
  fill(kA, 100);
  EXPECT_EQ(next(2), (Keys{kA, kA}));
  fill(kB, 1);
  /* Three are left of this round, and five of the next, in which it is. */
  const Keys keys = next(9);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), kB), 1);
  const Keys head(keys.begin(), keys.begin() + 3);
  EXPECT_EQ(head, (Keys{kA, kA, kA}));
}

TEST_F(Weights, AWeightCanChangeWithinARound) {
  ASSERT_TRUE(weigh(kA, 4));
  fill(kA, 50);
  fill(kB, 50);
  EXPECT_EQ(next(2), (Keys{kA, kA}));
  ASSERT_TRUE(weigh(kA, 2));
  /* The third is on its way already. */
  EXPECT_EQ(next(2), (Keys{kA, kB}));
  EXPECT_EQ(next(6), (Keys{kA, kA, kB, kA, kA, kB}));
  ASSERT_TRUE(weigh(kA, 3));
  EXPECT_EQ(next(8), (Keys{kA, kA, kA, kB, kA, kA, kA, kB}));
}

TEST_F(Weights, WithoutAWeightAKeyCountsAsAnyOther) {
  ASSERT_TRUE(weigh(kA, 3));
  fill(kA, 50);
  fill(kB, 50);
  EXPECT_EQ(next(4), (Keys{kA, kA, kA, kB}));
  ASSERT_TRUE(weigh(kA, 1));
  EXPECT_EQ(q().weighted_keys, 0U);
  EXPECT_EQ(next(4), (Keys{kA, kB, kA, kB}));
}

TEST_F(Weights, WhatExpiresDoesNotCount) {
  ASSERT_TRUE(weigh(kA, 2));
  for (int i = 0; i < 6; i++) {
    JobRow row = keyed(next_id_++, kA);
    if (i == 0) row.expires_at = expiry_seconds(platform().wall + kSecond);
    put(row);
  }
  fill(kB, 6);
  platform().advance(3 * kSecond);
  EXPECT_EQ(next(6), (Keys{kA, kA, kB, kA, kA, kB}));
}

TEST_F(Weights, AfterTheQueueItsKeysAreFree) {
  ASSERT_TRUE(weigh(kA, 3));
  ASSERT_TRUE(weigh(kB, 3));
  EXPECT_EQ(d().arena().weighted_key_count.load(), 2U);
  d().remove_queue(ref_of(1));
  EXPECT_EQ(d().arena().weighted_key_count.load(), 0U);
  EXPECT_FALSE(weigh(kA, 3));
  add_queue(1, options());
  EXPECT_EQ(share_of_a(), 2U);
}

TEST_F(Weights, WhenThereIsNoRoomAKeyCountsAsAnyOther) {
  for (std::uint32_t key = 1000; key < 1000 + kMostWeightedKeys; key++) {
    EXPECT_TRUE(d().has_room_for_weight());
    ASSERT_TRUE(weigh(key, 2)) << key;
  }
  EXPECT_FALSE(d().has_room_for_weight());
  EXPECT_FALSE(weigh(kA, 3));
  EXPECT_TRUE(weigh(1000, 3)) << "one that is there can change";
  EXPECT_EQ(share_of_a(), 2U);
  ASSERT_TRUE(weigh(1001, 1));
  EXPECT_TRUE(weigh(kA, 3));
  EXPECT_EQ(share_of_a(), 3U);
}

/* --- transactions ------------------------------------------------------------------------------
 */

TEST_F(Weights, ATransactionSetsItAtItsCommit) {
  Transaction transaction(&d());
  transaction.set_database(database_, kOid);
  transaction.reserve(2);
  transaction.note_weight(1, KeyWeight{1, kA, kA, 3});
  EXPECT_EQ(share_of_a(), 2U);
  transaction.note_weight(2, KeyWeight{1, kA, kA, 100});
  transaction.sub_abort(2);
  transaction.commit(1);
  EXPECT_EQ(share_of_a(), 3U);
  transaction.reserve(1);
  transaction.note_weight(1, KeyWeight{1, kA, kA, 1});
  transaction.abort();
  EXPECT_EQ(share_of_a(), 3U);
}

TEST_F(Weights, ATransactionThatSetsOneIsNotPrepared) {
  Transaction transaction(&d());
  transaction.set_database(database_, kOid);
  transaction.reserve(1);
  transaction.note_weight(1, KeyWeight{1, kA, kA, 3});
  QueueId gone = 0;
  EXPECT_EQ(transaction.prepare(TransactionNumber{}, &gone), Preparation::has_queues);
  transaction.abort();
}

/* --- the table ---------------------------------------------------------------------------------
 */

TEST_F(Weights, AfterARestartTheTableSaysWhatTheyAre) {
  commit_weight(kA, 3);
  commit_weight(kB, 2);
  commit_weight(kB, 1);
  EXPECT_EQ(share_of_a(), 3U);
  restart();
  EXPECT_EQ(q().weighted_keys, 0U);
  key_weights().step();
  load();
  EXPECT_EQ(q().weighted_keys, 1U);
  next_id_ += 1000;
  EXPECT_EQ(share_of_a(), 3U);
}

TEST_F(Weights, RowsThatCameAndWentPastTheFunctionsAreFollowed) {
  key_weights().step();
  commit_weight(kA, 3);
  log_weight(kA, 1);
  log_weight(kC, 2);
  key_weights().step();
  EXPECT_EQ(share_of_a(), 3U) << "nobody has said that there is something to read";
  key_weights().reread();
  EXPECT_NE(key_weights().next_step(), kNever);
  key_weights().step();
  EXPECT_EQ(key_weights().next_step(), kNever);
  EXPECT_EQ(share_of_a(), 2U);
  EXPECT_EQ(q().weighted_keys, 1U);
}

TEST_F(Weights, AnEarlierJobOfTheKeyTakesItsPlaceInTheRound) {
  for (JobId id = 1; id <= 3; id++) put(keyed(id, kB));
  put(keyed(20, kA));
  EXPECT_EQ(next(1), Keys{kB});
  put(keyed(10, kA));
  EXPECT_EQ(next(2), (Keys{kA, kB}));
}

TEST_F(Weights, BehindAJobThatHasExpiredInItsTurnNothingIsToBeHadUntilTheSweepHasWrittenIt) {
  for (JobId id = 1; id <= 3; id++) {
    JobRow row = keyed(id, kA);
    if (id == 2) row.expires_at = expiry_seconds(platform().wall + kSecond);
    const Xid xid = log().begin();
    log().insert_job(xid, kClient, 1, &row);
    log().commit(xid);
    put(row);
  }
  platform().advance(kMinute);
  EXPECT_EQ(next(2), Keys{kA});
  const QueueRef queue = ref_of(1);
  EXPECT_TRUE(d().wait_begin(0, &queue, 1)) << "or it would ask again and again";
  sweep();
  EXPECT_TRUE(d().woken(0));
  d().wait_end(0);
  EXPECT_EQ(next(2), Keys{kA});
}

/* A commit is visible before its callback runs, so another may come in between. */
TEST_F(Weights, CommitsThatAreToldInAnotherOrderThanTheyCameInAreReadAgain) {
  key_weights().step();
  d().take_catalog_stale(database_);
  log_weight(kA, 3);
  log_weight(kA, 1);
  for (const std::uint32_t weight : {1U, 3U}) {
    Transaction late(&d());
    late.set_database(database_, kOid);
    late.reserve(1);
    late.note_weight(1, KeyWeight{1, kA, kA, weight});
    late.commit(1);
  }
  EXPECT_EQ(share_of_a(), 3U);
  ASSERT_TRUE(d().take_catalog_stale(database_));
  key_weights().reread();
  key_weights().step();
  EXPECT_EQ(share_of_a(), 2U);
}

TEST_F(Weights, AnotherHousekeeperTakesNothingForFoundThatTheOneBeforeHasFound) {
  log_weight(kA, 3);
  KeyWeights first(&d(), database_, &store());
  first.step();
  ASSERT_EQ(q().weighted_keys, 1U);
  log_weight(kA, 1);
  KeyWeights next(&d(), database_, &store());
  next.step();
  EXPECT_EQ(q().weighted_keys, 0U);
}

TEST_F(Weights, AReadingDoesNotUndoWhatWasCommittedSince) {
  commit_weight(kB, 5);
  key_weights().reread();
  once_at(Call::scan_key_weights, [this] {
    commit_weight(kA, 3);
    commit_weight(kB, 1);
  });
  key_weights().step();
  EXPECT_EQ(share_of_a(), 3U);
  EXPECT_NE(key_weights().next_step(), kNever);
  key_weights().step();
  EXPECT_EQ(key_weights().next_step(), kNever);
  EXPECT_EQ(share_of_a(), 3U);
  EXPECT_EQ(q().weighted_keys, 1U);
}

TEST_F(Weights, AReadingThatFailsIsDoneAgain) {
  commit_weight(kA, 3);
  restart();
  fail_at(Call::scan_key_weights);
  EXPECT_THROW(key_weights().step(), StoreError);
  store().abort();
  EXPECT_NE(key_weights().next_step(), kNever);
  key_weights().step();
  EXPECT_EQ(q().weighted_keys, 1U);
}

TEST_F(Weights, AKeyOfTheTableGetsItsWeightWhenThereIsRoom) {
  add_queue(2, options());
  for (std::uint32_t key = 1000; key < 1000 + kMostWeightedKeys; key++)
    ASSERT_TRUE(d().set_key_weight(database_, 2, key, key, 2));
  log_weight(kA, 3);
  key_weights().reread();
  /* What the table does not say of the other queue goes; the room comes too late for this look. */
  key_weights().step();
  ASSERT_EQ(q().weighted_keys, 0U);
  ASSERT_NE(key_weights().next_step(), kNever);
  platform().advance(kMinute);
  key_weights().step();
  EXPECT_EQ(q().weighted_keys, 1U);
  EXPECT_EQ(key_weights().next_step(), kNever);
}

/* --- at random ---------------------------------------------------------------------------------
 */

/* As long as all keys have work, each round gives each its weight, whatever these are and however
 * many are asked for at a time. */
TEST_F(Weights, AnyWeightsAreTheSharesOfAnyRounds) {
  std::mt19937 random(20260707);
  for (int turn = 0; turn < 40; turn++) {
    begin(2048, LoadMode::live, options());
    std::map<std::uint32_t, int> weights;
    int round = 0;
    for (std::uint32_t key = 1; key <= 1 + turn % 5U; key++) {
      const int weight = 1 + static_cast<int>(random() % 7);
      weights[key] = weight;
      round += weight;
      ASSERT_TRUE(weigh(key, static_cast<std::uint32_t>(weight)));
    }
    for (int i = 0; i < 200; i++)
      for (const auto& [key, weight] : weights) fill(key, 1);
    for (int i = 0; i < 10; i++) {
      std::map<std::uint32_t, int> served;
      for (int left = round; left > 0;) {
        const auto n = 1 + static_cast<int>(random() % static_cast<unsigned>(left));
        for (const ClaimedJob& job : claim(1, static_cast<std::uint32_t>(n)))
          served[entry(job.ref).key_hash]++;
        left -= n;
      }
      ASSERT_EQ(served, weights) << turn;
    }
  }
}

/* --- owned claims ------------------------------------------------------------------------------
 */

class OwnedWeights : public MemberTest {};

TEST_F(OwnedWeights, AWorkerThatIsBehindGivesItsKeysTheirShares) {
  QueueOptions options;
  options.fair = true;
  start(4096);
  add_queue(1, options);
  add("a");
  add("b");
  const auto put_keyed = [this](JobId id, std::uint32_t key_hash, std::uint32_t key_check) {
    JobRow row = keyed(1, id, key_hash);
    row.key_check = key_check;
    put(row);
  };
  for (JobId id = 1; id <= 100; id++) {
    put_keyed(id, key_of("a"), 1);
    put_keyed(100 + id, key_of("a"), 2);
    put_keyed(200 + id, key_of("b"), 1);
  }
  ASSERT_TRUE(d().set_key_weight(database_, 1, key_of("a"), 1, 3));
  int heavy = 0;
  for (int i = 0; i < 40; i++) {
    /* The other worker takes two rounds for each of its jobs. */
    ASSERT_EQ(owned_ids("b", 2).size(), 2U);
    const std::vector<JobId> ids = owned_ids("a", 1);
    ASSERT_EQ(ids.size(), 1U);
    heavy += ids[0] <= 100 ? 1 : 0;
  }
  EXPECT_EQ(heavy, 30);
  EXPECT_EQ(arena_faults(d().arena()), "");
}

}  // namespace
}  // namespace dw::test
