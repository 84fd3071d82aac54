/* Claims of a worker's own jobs where keys have turns, and where limits hold jobs back. */
#include "member_fixture.hpp"

namespace dw::test {
namespace {

using Ids = std::vector<JobId>;
using Woken = std::vector<Index>;

class OwnedTurns : public MemberTest {
 protected:
  /* Two workers, and a key of each. */
  void begin(const QueueOptions& options) {
    start(4096);
    queue_ = add_queue(1, options);
    add("a");
    add("b");
    a_ = key_of("a");
    b_ = key_of("b");
  }
  static QueueOptions fair() {
    QueueOptions options;
    options.fair = true;
    return options;
  }
  static QueueOptions ordered() {
    QueueOptions options;
    options.ordered = true;
    options.backoff_base = 0;
    return options;
  }
  /* The check tells keys of one bucket apart. */
  void put_keyed(JobId id, std::uint32_t key_hash, std::uint32_t key_check = 1) {
    JobRow row = keyed(1, id, key_hash);
    row.key_check = key_check;
    put(row);
  }
  bool wait_owned(Index waiter, std::string_view name) {
    const QueueRef queue = ref_of(1);
    const MemberRef who = member(name);
    return d().wait_begin(waiter, &queue, 1, &who);
  }

  Index queue_ = kNone;
  std::uint32_t a_ = 0;
  std::uint32_t b_ = 0;
};

TEST_F(OwnedTurns, KeysOfAFairQueueTakeTurnsWithinOneClaim) {
  begin(fair());
  for (const JobId id : {1, 2, 3}) put_keyed(id, a_, 1);
  put_keyed(4, b_);
  put_keyed(5, a_, 2);
  EXPECT_EQ(owned_ids("a", 10), (Ids{1, 5, 2, 3}));
  EXPECT_EQ(owned_ids("b", 10), Ids{4});
  EXPECT_EQ(arena_faults(d().arena()), "");
}

TEST_F(OwnedTurns, ABurstOfAnotherOwnersKeyIsPassedOverOnce) {
  begin(fair());
  for (JobId id = 1; id <= 500; id++) put_keyed(id, b_, static_cast<std::uint32_t>(1 + id % 50));
  put_keyed(501, a_);
  EXPECT_EQ(owned_ids("a", 10), Ids{501});
  EXPECT_EQ(owned_ids("b", 500).size(), 500U);
  EXPECT_EQ(arena_faults(d().arena()), "");
}

TEST_F(OwnedTurns, AFollowerThatGetsItsTurnWakesItsOwner) {
  begin(fair());
  put_keyed(1, a_);
  put_keyed(2, a_);
  ASSERT_EQ(owned_ids("a", 1), Ids{1});
  EXPECT_FALSE(wait_owned(0, "a")) << "the next one is ready";
  ASSERT_EQ(owned_ids("a", 1), Ids{2});
  EXPECT_TRUE(wait_owned(0, "a"));
}

TEST_F(OwnedTurns, TheNewOwnerOfAnOrderedKeyWaitsForTheOldOnesJob) {
  begin(ordered());
  put_keyed(1, b_);
  put_keyed(2, b_);
  const auto held = claim_owned("b", 10);
  ASSERT_EQ(held.size(), 1U);
  remove("b");
  EXPECT_EQ(owned_ids("a", 10), Ids{});
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_EQ(decide(held[0], Decision::finish), Verdict::ok);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(owned_ids("a", 10), Ids{2});
}

TEST_F(OwnedTurns, ARetryOfAnOrderedKeyGoesToTheNewOwnerInFrontOfTheOthers) {
  begin(ordered());
  put_keyed(1, b_);
  put_keyed(2, b_);
  const auto held = claim_owned("b", 1);
  ASSERT_EQ(held.size(), 1U);
  remove("b");
  EXPECT_EQ(decide(held[0], Decision::retry, kAlways), Verdict::ok);
  EXPECT_EQ(owned_ids("a", 10), Ids{1});
}

TEST_F(OwnedTurns, ALimitHoldsForOwnJobsToo) {
  begin(QueueOptions{});
  QueueLimits limits{};
  limits.max_in_flight = 3;
  d().set_queue_limits(database_, 1, limits);
  for (JobId id = 1; id <= 10; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  const auto first = claim_owned("a", 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(claim_owned("b", 10).size(), 1U);
  EXPECT_EQ(claim_owned("a", 10).size(), 0U);
  EXPECT_TRUE(wait_owned(0, "a")) << "there is work, but not to be had";
  EXPECT_EQ(decide(first[0], Decision::finish), Verdict::ok);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_owned("a", 10).size(), 1U);
}

TEST_F(OwnedTurns, APlaceThatOnlyAnotherMemberCanUseWakesThatOne) {
  begin(QueueOptions{});
  QueueLimits limits{};
  limits.max_in_flight = 1;
  d().set_queue_limits(database_, 1, limits);
  put(keyed(1, 1, a_));
  put(keyed(1, 2, b_));
  const auto held = claim_owned("a", 10);
  ASSERT_EQ(held.size(), 1U);
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait_owned(1, "b"));
  EXPECT_EQ(decide(held[0], Decision::finish), Verdict::ok);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(OwnedTurns, ACapacityIsNotExceededByAClaimOfManyKeys) {
  begin(fair());
  for (JobId id = 1; id <= 20; id++) put_keyed(id, a_, static_cast<std::uint32_t>(id));
  EXPECT_EQ(claim_owned("a", 10, 1, 3).size(), 3U);
  EXPECT_EQ(claim_owned("a", 10, 1, 3).size(), 0U);
  EXPECT_EQ(claim_owned("a", 10, 1, 5).size(), 2U);
  EXPECT_EQ(arena_faults(d().arena()), "");
}

/* Of one member several owe a claim: a job that comes for another member wakes that one all the
 * same. */
TEST_F(OwnedTurns, WhoOwesAClaimIsCountedForEachMember) {
  begin(QueueOptions{});
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait_owned(1, "a"));
  EXPECT_TRUE(wait_owned(2, "b"));
  put(keyed(1, 1, a_));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_ids(1, 1), Ids{1}) << "taken away by somebody else";
  put(keyed(1, 2, a_));
  EXPECT_TRUE(platform().take_woken().empty()) << "0 will ask for it";
  put(keyed(1, 3, b_));
  EXPECT_EQ(platform().take_woken(), Woken{2});
  put(keyed(1, 4, a_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(arena_faults(d().arena()), "");
  for (const Index waiter : {0, 1, 2}) {
    d().wait_end(waiter);
    d().pass_wake_on(waiter);
  }
  EXPECT_EQ(slot(queue_).owed, 0U);
  EXPECT_EQ(arena_faults(d().arena()), "");
}

}  // namespace
}  // namespace dw::test
