/* Keys that wait for somebody to say how they go on. */
#include "order_fixture.hpp"

#include "core/prepared_scan.hpp"
#include "core/watch.hpp"

namespace dw::test {
namespace {

class BlockedKey : public Order {
 protected:
  void SetUp() override { begin(64, LoadMode::live, options(OnExhausted::hold)); }
};

TEST_F(BlockedKey, WaitsAndOthersGoOn) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  enqueue_keyed(4, kB);
  die(claim_one(1));
  EXPECT_EQ(claim_all(), std::vector<JobId>({4}));
  EXPECT_EQ(figures(1).blocked, 2U);
  EXPECT_EQ(figures(1).blocked_keys, 1U);
  const KeyFigures key = key_figures(1, kA, kA);
  EXPECT_EQ(key.first, 1);
  EXPECT_EQ(key.state, EntryState::blocked);
  EXPECT_EQ(key.waiting, 2U);
}

TEST_F(BlockedKey, GoesOnWithTheNextJobWhenItIsSkipped) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1));
  remove_block(1);
  EXPECT_TRUE(d().unblock(database_, 1, 1, Unblock::skip, 0));
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(BlockedKey, IsStillBlockedAfterARestart) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  enqueue_keyed(4, kB);
  die(claim_one(1));
  restart();
  load();
  EXPECT_EQ(claim_all(), std::vector<JobId>({4}));
  remove_block(1);
  EXPECT_TRUE(d().unblock(database_, 1, 1, Unblock::skip, 0));
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

/* The redriven job lies in parked, and the loader brings it. */
TEST_F(BlockedKey, GoesOnWithTheDeadJobWhenItIsTriedAgain) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1));
  redrive(1);
  EXPECT_TRUE(was_told_);
  EXPECT_TRUE(claim_all().empty());
  load();
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
  EXPECT_EQ(figures(1).blocked_keys, 0U);
}

/* Others see the death before its callback has made an entry that stands for it. */
TEST_F(BlockedKey, CanBeSkippedBeforeTheCallbackOfTheDeath) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1), 0, kA, [this] {
    remove_block(1);
    EXPECT_FALSE(d().unblock(database_, 1, 1, Unblock::skip, 0));
    key_blocks().reread();
    load();
  });
  look_twice();
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
  EXPECT_EQ(figures(1).blocked_keys, 0U);
}

TEST_F(BlockedKey, CanBeTriedAgainBeforeTheCallbackOfTheDeath) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1), 0, kA, [this] {
    redrive(1);
    EXPECT_FALSE(was_told_);
    key_blocks().reread();
    load();
  });
  load();
  /* The loader meets the row while the entry of the dead job is still there. */
  platform().advance(100 * kMillisecond);
  load();
  EXPECT_EQ(figures(1).blocked_keys, 1U);
  platform().advance(kSecond);
  key_blocks().step();
  EXPECT_EQ(figures(1).blocked_keys, 0U);
  EXPECT_TRUE(claim_all().empty()) << "a follower comes before the job that is tried again";
  look_twice();
  EXPECT_EQ(claim_all(), std::vector<JobId>({1}));
}

/* Whoever retries is stopped between the commit and its callback, for longer than the housekeeper
 * waits; the job lay in parked before it died. */
TEST_F(BlockedKey, KeepsItsOrderWhenTheCallbackOfARetryIsLate) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  for (int i = 0; i < 2; i++) {
    die(claim_one(1));
    if (i == 0) redrive(1);
    /* The outcomes are read. */
    d().mark_dirty(database_, 1, 0, 0);
    load();
  }
  key_blocks().reread();
  redrive(1, kA, [this] {
    for (int i = 0; i < 4; i++) {
      key_blocks().step();
      const std::vector<JobId> ids = claim_all();
      EXPECT_TRUE(ids.empty() || ids == std::vector<JobId>({1}));
      load();
      platform().advance(kSecond);
    }
  });
  look_twice();
  EXPECT_FALSE(was_told_);
  EXPECT_EQ(figures(1).blocked_keys, 0U);
  EXPECT_EQ(figures(1).leased, 1U);
}

/* No snapshot saw the row before the start. */
TEST_F(BlockedKey, IsBlockedByAPreparedTransactionThatARestartHasFound) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  const ClaimedJob job = claim_one(1);
  const Xid xid = log().begin();
  const Token token = job.token;
  log().insert_outcome(xid, kClient, 0, OutcomeKind::dead_lettered, platform().wall, 1,
                       {OutcomeMember{1, token, 1, 0}});
  log().insert_key_block(xid, KeyBlock{1, kA, kA, 1, 0});
  log().prepare(xid);
  restart();
  PreparedScan scan(&d(), database_, &store());
  const Loader::QueueTopic topic{1, 1};
  scan.set_queues(&topic, 1);
  scan.run();
  load();
  EXPECT_TRUE(claim_all().empty());
  log().commit(xid);
  WatchKeeper keeper(&d(), database_, &store());
  keeper.step();
  EXPECT_TRUE(claim_all().empty()) << "its key is blocked";
  loader().step(kMinute);
  EXPECT_TRUE(claim_all().empty()) << "the table was not read yet";
  load();
  EXPECT_TRUE(claim_all().empty());
  EXPECT_EQ(figures(1).blocked_keys, 1U);
  remove_block(1);
  EXPECT_TRUE(d().unblock(database_, 1, 1, Unblock::skip, 0));
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

TEST_F(BlockedKey, CanTakeItsFollowersAlongBeforeTheCallbackOfTheDeath) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1), 0, kA, [this] {
    const Xid xid = log().begin();
    log().remove_key_block(xid, 1, 1);
    log().insert_key_block(xid, KeyBlock{1, kA, kA, 1, 4});
    log().commit(xid);
    EXPECT_FALSE(d().unblock(database_, 1, 1, Unblock::end, 4));
    key_blocks().reread();
    load();
  });
  for (int i = 0; i < 3; i++) {
    load();
    sweep();
    platform().advance(kSecond);
  }
  EXPECT_TRUE(logged(2).finished);
  EXPECT_TRUE(logged(3).finished);
  EXPECT_TRUE(log().key_blocks(log().snapshot()).empty());
}

/* The row is gone, and so is the entry, when what was read of the table is acted upon. */
TEST_F(BlockedKey, IsNotBlockedAnewByWhatWasReadBefore) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1));
  key_blocks().reread();
  once_at(Call::committed, [this] {
    remove_block(1);
    EXPECT_TRUE(d().unblock(database_, 1, 1, Unblock::skip, 0));
  });
  key_blocks().step();
  look_twice();
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
  EXPECT_EQ(figures(1).blocked_keys, 0U);
}

TEST_F(BlockedKey, TakesItsFollowersAlong) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1), 4);
  enqueue_keyed(5, kA);
  for (int i = 0; i < 3; i++) {
    load();
    sweep();
  }
  EXPECT_TRUE(logged(2).finished);
  EXPECT_TRUE(logged(3).finished);
  EXPECT_EQ(claim_all(), std::vector<JobId>({5}));
  EXPECT_TRUE(log().key_blocks(log().snapshot()).empty());
}

/* The server stops when they are marked in memory, and the sweep has not written it yet. */
TEST_F(BlockedKey, TakesItsFollowersAlongThroughACrash) {
  for (JobId id = 1; id <= 3; id++) enqueue_keyed(id, kA);
  die(claim_one(1), 4);
  load();
  restart();
  for (int i = 0; i < 3; i++) {
    load();
    EXPECT_TRUE(claim_all().empty());
    sweep();
    platform().advance(kSecond);
  }
  load();
  EXPECT_TRUE(logged(2).finished);
  EXPECT_TRUE(logged(3).finished);
  EXPECT_TRUE(log().key_blocks(log().snapshot()).empty());
}

TEST_F(BlockedKey, TakesFollowersAlongThatAreOnDiskOnly) {
  begin(16, LoadMode::live, options(OnExhausted::dead_letter_key));
  for (JobId id = 1; id <= 60; id++) enqueue_keyed(id, kA);
  die(claim_one(1), 61);
  restart();
  for (int i = 0; i < 20; i++) {
    load();
    sweep();
    platform().advance(kSecond);
  }
  enqueue_keyed(61, kA);
  load();
  EXPECT_EQ(claim_all(), std::vector<JobId>({61}));
  for (JobId id = 1; id <= 60; id++) EXPECT_TRUE(logged(id).finished) << id;
}

TEST_F(BlockedKey, AnExpiredLeaseBlocksWhenAttemptsAreUsedUp) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  for (int i = 0; i < 2; i++) {
    claim_one(1);
    platform().advance(2 * kMinute);
    sweep();
  }
  EXPECT_TRUE(claim_all().empty());
  EXPECT_EQ(figures(1).blocked_keys, 1U);
  EXPECT_EQ(log().key_blocks(log().snapshot()).size(), 1U);
}

/* Deleted by hand: nobody's callback says so. */
TEST_F(BlockedKey, FollowsItsTable) {
  enqueue_keyed(1, kA);
  enqueue_keyed(2, kA);
  die(claim_one(1));
  remove_block(1);
  key_blocks().reread();
  load();
  EXPECT_TRUE(claim_all().empty());
  platform().advance(kSecond);
  load();
  EXPECT_EQ(claim_all(), std::vector<JobId>({2}));
}

/* One queue has more blocked keys than there is room for, and waits. */
TEST_F(BlockedKey, WithoutRoomIsNoMatterOfOtherQueues) {
  const Xid xid = log().begin();
  JobRow job = row_of(2, 200);
  job.key_hash = job.key_check = kA;
  log().insert_job(xid, kClient, 2, &job);
  for (std::uint32_t key = 1; key <= 100; key++)
    log().insert_key_block(xid, KeyBlock{1, key, key, static_cast<JobId>(key), 0});
  log().commit(xid);
  restart();
  add_queue(2, options(OnExhausted::hold), LoadMode::loading);
  tell_queues({1, 2});
  look_twice();
  EXPECT_EQ(claim_ids(2, 10), std::vector<JobId>({200}));
}

class DyingKeys : public Order {
 protected:
  static constexpr JobId kKeys = 60;
  static constexpr JobId kBehindAll = 1000;
  void SetUp() override { begin(16, LoadMode::live, options(OnExhausted::dead_letter_key)); }
  /* Ids first..first + kKeys - 1, a job of each key; all on disk. */
  void log_one_of_each(JobId first) {
    for (JobId i = 0; i < kKeys; i++) log_keyed(first + i, static_cast<std::uint32_t>(10 + i));
  }
  void housekeep() {
    load();
    sweep();
    platform().advance(kSecond);
  }
  /* Each job that comes from before kBehindAll dies and takes along what is before it, too. */
  std::vector<JobId> let_all_die() {
    std::vector<JobId> came;
    for (int round = 0; round < 200; round++) {
      housekeep();
      for (const ClaimedJob& job : claim(1, 50)) {
        came.push_back(job.id);
        if (job.id >= kBehindAll)
          complete(job);
        else
          die(job, kBehindAll, static_cast<std::uint32_t>(10 + (job.id - 1) % kKeys));
      }
    }
    return came;
  }
  [[nodiscard]] std::size_t blocks() { return log().key_blocks(log().snapshot()).size(); }
  std::vector<JobId> ids(JobId first) {
    std::vector<JobId> all;
    for (JobId i = 0; i < kKeys; i++) all.push_back(first + i);
    return all;
  }
};

/* Each waits for the end of a backlog that there is no room for beside them. */
TEST_F(DyingKeys, MoreThanThereIsRoomFor) {
  log_one_of_each(1);
  log_one_of_each(1 + kKeys);
  log_one_of_each(kBehindAll);
  restart();
  const std::vector<JobId> came = let_all_die();
  ASSERT_EQ(came.size(), 2U * kKeys) << "none of their followers";
  EXPECT_TRUE(std::equal(came.begin(), came.begin() + kKeys, ids(1).begin()));
  EXPECT_TRUE(std::equal(came.begin() + kKeys, came.end(), ids(kBehindAll).begin()));
  for (JobId id = 1; id <= 2 * kKeys; id++) EXPECT_TRUE(logged(id).finished) << id;
  EXPECT_EQ(blocks(), 0U);
  EXPECT_EQ(figures(1).blocked_keys, 0U);
}

TEST_F(DyingKeys, AreMoreThanThereIsRoomForAfterARestart) {
  log_one_of_each(1);
  log_one_of_each(1 + kKeys);
  for (JobId i = 0; i < kKeys; i++) {
    const Xid xid = log().begin();
    const auto key = static_cast<std::uint32_t>(10 + i);
    log().insert_key_block(xid, KeyBlock{1, key, key, 1 + i, kBehindAll});
    log().insert_outcome(xid, kClient, 0, OutcomeKind::dead_lettered, platform().wall, 1,
                         {OutcomeMember{1 + i, 1 + i, 1, 0}});
    log().commit(xid);
  }
  for (int i = 0; i < 3; i++) {
    restart();
    housekeep();
    EXPECT_EQ(figures(1).blocked_keys, kKeys);
  }
  EXPECT_TRUE(let_all_die().empty());
  for (JobId id = 1; id <= 2 * kKeys; id++) EXPECT_TRUE(logged(id).finished) << id;
  EXPECT_EQ(blocks(), 0U);
  EXPECT_EQ(figures(1).blocked_keys, 0U);
}

/* All has been read when the frontier stops in front of them. */
TEST_F(DyingKeys, GoOnWithWhatComesBehindTheirFollowers) {
  log_one_of_each(1);
  log_one_of_each(1 + kKeys);
  for (std::uint32_t i = 0; i < 3; i++) log_keyed(kBehindAll + i, 10 + i);
  restart();
  const std::vector<JobId> came = let_all_die();
  ASSERT_EQ(came.size(), kKeys + 3U);
  EXPECT_EQ(came.back(), kBehindAll + 2);
}

/* Its transaction was open when the job behind it died. */
TEST_F(DyingKeys, AnEarlierJobWaitsForTheEndOfItsKey) {
  log_one_of_each(101);
  log_one_of_each(101 + kKeys);
  restart();
  std::vector<JobId> came;
  bool is_late = true;
  for (int round = 0; round < 200; round++) {
    housekeep();
    if (is_late && figures(1).blocked_keys > 30) {
      enqueue_keyed(50, 10);
      is_late = false;
    }
    for (const ClaimedJob& job : claim(1, 50)) {
      came.push_back(job.id);
      if (job.id == 50)
        complete(job);
      else
        die(job, kBehindAll, static_cast<std::uint32_t>(10 + (job.id - 101) % kKeys));
    }
  }
  ASSERT_EQ(came.size(), kKeys + 1U);
  EXPECT_EQ(came.back(), 50);
  EXPECT_EQ(blocks(), 0U);
}

}  // namespace
}  // namespace dw::test
