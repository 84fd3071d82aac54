/* Claims of jobs of a worker's own buckets: order, cost, owners that change, waiters. */
#include "member_fixture.hpp"

#include "core/waits.hpp"

#include <map>
#include <random>

namespace dw::test {
namespace {

using Ids = std::vector<JobId>;
using Woken = std::vector<Index>;

class OwnedClaim : public MemberTest {
 protected:
  void SetUp() override {
    start(4096);
    queue_ = add_queue(1);
  }
  /* Two workers. */
  void two() {
    add("a");
    add("b");
    a_ = key_of("a");
    b_ = key_of("b");
  }
  std::uint32_t shelf() {
    std::uint32_t n = 0;
    for (const Entry& e : slot(queue_).ready) n += e.id > 0 ? 1 : 0;
    return n;
  }
  /* Everything of the worker's, by as many claims as it takes. */
  Ids take_all(std::string_view name) {
    Ids all;
    for (Ids some = owned_ids(name, 1000); !some.empty(); some = owned_ids(name, 1000))
      all.insert(all.end(), some.begin(), some.end());
    return all;
  }
  bool wait_owned(Index waiter, std::string_view name) {
    const QueueRef queue = ref_of(1);
    const MemberRef who = member(name);
    return d().wait_begin(waiter, &queue, 1, &who);
  }
  bool wait(Index waiter) {
    const QueueRef queue = ref_of(1);
    return d().wait_begin(waiter, &queue, 1);
  }

  Index queue_ = kNone;
  std::uint32_t a_ = 0;
  std::uint32_t b_ = 0;
};

TEST_F(OwnedClaim, GivesOnlyJobsOfOwnBuckets) {
  two();
  put(keyed(1, 1, b_));
  put(keyed(1, 2, a_));
  put(keyed(1, 3, b_));
  put(keyed(1, 4, a_));
  EXPECT_EQ(owned_ids("a", 10), (Ids{2, 4}));
  EXPECT_EQ(owned_ids("a", 10), Ids{});
  EXPECT_EQ(owned_ids("b", 10), (Ids{1, 3}));
}

TEST_F(OwnedClaim, GoesByPriorityAndThenById) {
  two();
  JobRow urgent = keyed(1, 9, a_);
  urgent.priority = 0;
  for (const JobId id : {1, 2, 3}) put(keyed(1, id, id % 2 == 0 ? b_ : a_));
  put(urgent);
  EXPECT_EQ(owned_ids("a", 2), (Ids{9, 1}));
  EXPECT_EQ(owned_ids("a", 2), (Ids{3}));
}

TEST_F(OwnedClaim, ByOneWithoutBucketsGivesNothingAndLooksAtNothing) {
  add("a");
  put_many(1, 1, 100);
  drain("a", platform().wall + kMinute);
  EXPECT_EQ(owned_ids("a", 10), Ids{});
  EXPECT_EQ(shelf(), 100U);
}

/* They are computed under the lock of the members, when these change. */
TEST_F(OwnedClaim, ComputesNoOwners) {
  std::size_t locks = 0;
  const auto count = [&locks](std::uint32_t number) { locks += number == kMembersLock ? 1 : 0; };
  platform().on_locking = count;
  two();
  EXPECT_GT(locks, 0U) << "so this test can see it";
  for (JobId id = 1; id <= 100; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  const Claimant claimant{member("a"), 0, true};
  const WorkerRef as = worker("a", instance_of("a"));
  locks = 0;
  ClaimedJob job{};
  for (JobId id = 2; id <= 100; id += 2) {
    ASSERT_EQ(d().claim(ref_of(1), as, 0, &job, 1, nullptr, kNone, &claimant), 1U);
    EXPECT_EQ(job.id, id);
    EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
  }
  EXPECT_EQ(locks, 0U);
  platform().on_locking = nullptr;
}

TEST_F(OwnedClaim, MovesEachJobOfOthersOnce) {
  two();
  for (JobId id = 1; id <= 100; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  EXPECT_EQ(owned_ids("a", 1), Ids{2});
  EXPECT_EQ(shelf(), 98U) << "what lies behind is not looked at";
  EXPECT_EQ(owned_ids("a", 3), (Ids{4, 6, 8}));
  EXPECT_EQ(shelf(), 92U);
  EXPECT_EQ(owned_ids("b", 2), (Ids{1, 3}));
  EXPECT_EQ(shelf(), 92U) << "its own are in front, in a group";
}

TEST_F(OwnedClaim, AndAClaimOfAnyJobShareOneOrder) {
  two();
  for (JobId id = 1; id <= 10; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  EXPECT_EQ(owned_ids("a", 2), (Ids{2, 4}));
  EXPECT_EQ(claim_ids(1, 4), (Ids{1, 3, 5, 6}));
  EXPECT_EQ(owned_ids("a", 1), Ids{8});
  EXPECT_EQ(claim_ids(1, 10), (Ids{7, 9, 10}));
}

TEST_F(OwnedClaim, PassesOverMoreThanOneHoldOfTheLockMayMove) {
  two();
  for (JobId id = 1; id <= 3000; id++) put(keyed(1, id, b_));
  put(keyed(1, 3001, a_));
  EXPECT_EQ(owned_ids("a", 5), Ids{3001});
  EXPECT_EQ(owned_ids("b", 3), (Ids{1, 2, 3}));
}

/* The pool of groups of a small arena is as large as the arena, so it is used up by hand. */
TEST_F(OwnedClaim, WithoutAGroupToBeHadTheJobsStayOnTheShelfAndAreFoundAllTheSame) {
  two();
  for (JobId id = 1; id <= 2500; id++) put(keyed(1, id, b_));
  put(keyed(1, 2501, a_));
  d().arena().group_capacity = 0;
  EXPECT_EQ(owned_ids("a", 5), Ids{2501});
  EXPECT_EQ(shelf(), 2500U);
  EXPECT_EQ(owned_ids("b", 2), (Ids{1, 2}));
  EXPECT_EQ(claim_ids(1, 2), (Ids{3, 4}));
}

TEST_F(OwnedClaim, PassesExpiredJobsOver) {
  two();
  JobRow row = keyed(1, 1, a_);
  row.expires_at = expiry_seconds(platform().wall + kSecond);
  put(row);
  platform().advance(2 * kSecond);
  put(keyed(1, 2, a_));
  EXPECT_EQ(owned_ids("a", 1), Ids{2});
  EXPECT_EQ(state_of(1), EntryState::overdue);
}

TEST_F(OwnedClaim, TakesWhatHasComeDue) {
  two();
  JobRow row = keyed(1, 1, a_);
  row.due = platform().wall + kSecond;
  put(row);
  EXPECT_EQ(owned_ids("a", 1), Ids{});
  platform().advance(kSecond);
  EXPECT_EQ(owned_ids("a", 1), Ids{1});
}

TEST_F(OwnedClaim, GivesNoMoreThanTheCapacity) {
  two();
  for (JobId id = 1; id <= 5; id++) put(keyed(1, id, a_));
  const auto first = claim_owned("a", 5, 1, 3);
  ASSERT_EQ(first.size(), 3U);
  EXPECT_TRUE(claim_owned("a", 5, 1, 3).empty());
  EXPECT_EQ(figures(1).ready, 2U);
  decide(first[0], Decision::finish);
  const auto next = claim_owned("a", 5, 1, 3);
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].id, 4);
}

TEST_F(OwnedClaim, CapacityHoldsForClaimsOfAnyJobToo) {
  two();
  put_many(1, 1, 5);
  ClaimedJob jobs[5];
  const Claimant claimant{member("a"), 2, false};
  EXPECT_EQ(
      d().claim(ref_of(1), worker("a", instance_of("a")), 0, jobs, 5, nullptr, kNone, &claimant),
      2U);
  EXPECT_EQ(
      d().claim(ref_of(1), worker("a", instance_of("a")), 0, jobs, 5, nullptr, kNone, &claimant),
      0U);
}

TEST_F(OwnedClaim, OneThatDrainsGetsNothingAtAll) {
  two();
  put_many(1, 1, 5);
  drain("a", platform().wall + kMinute);
  ClaimedJob job;
  const Claimant claimant{member("a"), 0, false};
  EXPECT_EQ(
      d().claim(ref_of(1), worker("a", instance_of("a")), 0, &job, 1, nullptr, kNone, &claimant),
      0U);
}

TEST_F(OwnedClaim, AnEarlierRegistrationGetsNothing) {
  two();
  put(keyed(1, 1, a_));
  const Claimant old{member("a"), 0, true};
  add("a");
  ClaimedJob job;
  EXPECT_EQ(d().claim(ref_of(1), worker("a", 1), 0, &job, 1, nullptr, kNone, &old), 0U);
}

TEST_F(OwnedClaim, JobsThatLieInGroupsFollowTheirBucketsToTheNewOwner) {
  two();
  for (JobId id = 1; id <= 20; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  EXPECT_EQ(owned_ids("a", 1), Ids{2});
  EXPECT_EQ(owned_ids("a", 9).size(), 9U);
  remove("b");
  EXPECT_EQ(owned_ids("a", 20), (Ids{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}));
}

/* More than one hold of the lock moves, while the new owner claims: it gets them in order. */
TEST_F(OwnedClaim, ManyJobsFollowTheirBucketsInOrderWhileTheNewOwnerClaims) {
  two();
  for (JobId id = 1; id <= 4000; id++) put(keyed(1, id, id % 5 == 0 ? a_ : b_));
  put(keyed(1, 4001, a_));
  EXPECT_EQ(take_all("a").size(), 801U);
  EXPECT_EQ(shelf(), 0U);
  Ids got;
  int acted = 0;
  int in_between = 0;
  JobId next = 6000;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_ || acted++ >= 12) return;
    EXPECT_EQ(arena_faults(d().arena()), "");
    if (d().arena().owner_tables[slot(queue_).owners].losers != 0) in_between++;
    put(keyed(1, next++, b_));
    for (const JobId id : owned_ids("a", 3)) got.push_back(id);
  };
  remove("b");
  platform().on_unlocked = nullptr;
  EXPECT_GT(in_between, 0);
  EXPECT_EQ(d().arena().owner_tables[slot(queue_).owners].losers, 0U);
  for (const JobId id : take_all("a")) got.push_back(id);
  EXPECT_EQ(got.size(), 3200U + static_cast<std::size_t>(next - 6000));
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_EQ(figures(1).ready, 0U);
}

/* The owners change again before all have moved. */
TEST_F(OwnedClaim, BucketsThatMoveTwiceAtOnceLoseNothing) {
  two();
  for (JobId id = 1; id <= 4000; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  put(keyed(1, 4001, a_));
  EXPECT_EQ(take_all("a").size(), 2001U);
  int moving = 0;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_) return;
    /* Half of a group has been looked through. */
    const OwnerTable& table = d().arena().owner_tables[slot(queue_).owners];
    if (table.losers != 0 && ++moving == 2) {
      EXPECT_TRUE(kBeforeAllReady.is_before(table.moved_to));
      add("c");
    }
    EXPECT_EQ(arena_faults(d().arena()), "");
  };
  remove("b");
  platform().on_unlocked = nullptr;
  EXPECT_GE(moving, 2);
  std::size_t got = 0;
  for (const char* const name : {"a", "c"}) {
    const auto mine = buckets_of(name);
    for (auto jobs = claim_owned(name, 1000); !jobs.empty(); jobs = claim_owned(name, 1000)) {
      got += jobs.size();
      for (const ClaimedJob& job : jobs) {
        const Entry& e = d().arena().entries[job.ref.entry];
        EXPECT_TRUE(
            mine.contains(e.key_hash % static_cast<std::uint32_t>(slot(queue_).options.buckets)));
      }
    }
  }
  EXPECT_EQ(got, 2000U);
}

TEST_F(OwnedClaim, InFlightJobsStayWithTheirHolderWhenTheBucketMoves) {
  two();
  put(keyed(1, 1, b_));
  put(keyed(1, 2, b_));
  const auto held = claim_owned("b");
  ASSERT_EQ(held.size(), 1U);
  remove("b");
  EXPECT_EQ(owned_ids("a", 5), Ids{2});
  EXPECT_EQ(decide(held[0], Decision::retry), Verdict::ok);
  EXPECT_EQ(owned_ids("a", 5), Ids{1});
}

TEST_F(OwnedClaim, WithoutAnyOwnerJobsAreThereForClaimsOfAnyJob) {
  two();
  for (JobId id = 1; id <= 4; id++) put(keyed(1, id, a_));
  EXPECT_EQ(owned_ids("b", 4), Ids{});
  put(keyed(1, 5, b_));
  EXPECT_EQ(owned_ids("b", 4), Ids{5});
  remove("a");
  remove("b");
  QueueWaits waits{};
  d().queue_waits(queue_, 1, &waits);
  EXPECT_EQ(waits.unowned, 4U);
  EXPECT_EQ(claim_ids(1, 10), (Ids{1, 2, 3, 4}));
}

TEST_F(OwnedClaim, JobsThatWereThereBeforeTheFirstWorkerAreCounted) {
  put_many(1, 1, 3000);
  add("a");
  EXPECT_EQ(d().arena().owner_tables[slot(queue_).owners].unowned, 0U);
  std::size_t got = 0;
  for (std::size_t n = 1; n > 0; got += n) n = claim_owned("a", 100).size();
  EXPECT_EQ(got, 3000U);
}

/* One that becomes ready behind those that are counted stays where it is counted. */
TEST_F(OwnedClaim, JobsThatBecomeReadyWhileTheOthersAreCountedAreCountedToo) {
  for (JobId id = 1; id <= 3000; id++) put(keyed(1, id, static_cast<std::uint32_t>(id * 7)));
  int holds = 0;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_ || ++holds != 3) return;
    EXPECT_EQ(d().arena().owner_tables[slot(queue_).owners].all_counted, 0);
    add("b");
    ASSERT_FALSE(buckets_of("b").empty());
    EXPECT_EQ(claim_owned("b", 20).size(), 20U);
    EXPECT_FALSE(slot(queue_).groups.empty());
    for (JobId id = 3001; id <= 3050; id++) put(keyed(1, id, static_cast<std::uint32_t>(id * 7)));
  };
  add("a");
  platform().on_unlocked = nullptr;
  EXPECT_GE(holds, 3);
  EXPECT_EQ(arena_faults(d().arena()), "");
  EXPECT_EQ(take_all("a").size() + take_all("b").size(), 3030U);
}

TEST_F(OwnedClaim, AnotherNumberOfBucketsKeepsJobsAndOrder) {
  two();
  std::mt19937 random(1);
  for (JobId id = 1; id <= 3000; id++) put(keyed(1, id, static_cast<std::uint32_t>(random())));
  ASSERT_EQ(claim_owned("a", 100).size(), 100U);
  for (const std::int32_t buckets : {7, 1024, 1, 360}) {
    resize(buckets);
    EXPECT_EQ(buckets_of("a").size() + buckets_of("b").size(), static_cast<std::size_t>(buckets));
    ASSERT_EQ(arena_faults(d().arena()), "");
    JobId before = 0;
    const std::string_view name = buckets == 1 && !buckets_of("b").empty() ? "b" : "a";
    for (const JobId id : owned_ids(name, 50)) {
      EXPECT_LT(before, id);
      before = id;
    }
    EXPECT_NE(before, 0);
  }
  EXPECT_EQ(figures(1).ready, 2700U);
}

/* Whatever others do between two holds of the lock. */
TEST_F(OwnedClaim, AnotherNumberOfBucketsWhileJobsComeAndGo) {
  two();
  for (JobId id = 1; id <= 2500; id++) put(keyed(1, id, static_cast<std::uint32_t>(id * 7)));
  ASSERT_EQ(claim_owned("a", 10).size(), 10U);
  JobId next = 3000;
  int acted = 0;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_ || acted++ > 20) return;
    put(keyed(1, next, static_cast<std::uint32_t>(next * 5)));
    next++;
    claim_ids(1, 2);
    claim_owned("b", 1);
  };
  resize(100);
  platform().on_unlocked = nullptr;
  EXPECT_GT(acted, 3);
  EXPECT_EQ(arena_faults(d().arena()), "");
  const OwnerTable& table = d().arena().owner_tables[slot(queue_).owners];
  EXPECT_EQ(table.all_counted, 1);
  std::size_t left = figures(1).ready;
  for (std::size_t n = 1; n > 0;) {
    n = claim_owned("a", 100).size() + claim_owned("b", 100).size();
    left -= n;
  }
  EXPECT_EQ(left, 0U);
}

/* Its owners change, too, before its groups are dissolved. */
TEST_F(OwnedClaim, AnotherNumberOfBucketsWhileAWorkerJoins) {
  two();
  for (JobId id = 1; id <= 3000; id++) put(keyed(1, id, static_cast<std::uint32_t>(id * 7)));
  ASSERT_FALSE(take_all("a").empty());
  const std::size_t left = figures(1).ready;
  ASSERT_GT(left, std::size_t{kEntriesPerHold});
  int stale = 0;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_) return;
    if (d().arena().owner_tables[slot(queue_).owners].stale_groups != 0 && ++stale == 1) {
      add("c");
      EXPECT_EQ(owned_ids("a", 1), Ids{});
    }
    EXPECT_EQ(arena_faults(d().arena()), "");
  };
  resize(100);
  platform().on_unlocked = nullptr;
  EXPECT_GT(stale, 0);
  EXPECT_EQ(take_all("a").size() + take_all("b").size() + take_all("c").size(), left);
}

TEST_F(OwnedClaim, EvictedAndCancelledJobsLeaveTheirGroups) {
  two();
  for (JobId id = 1; id <= 50; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  put(keyed(1, 51, a_));
  EXPECT_EQ(owned_ids("a", 26).size(), 26U);
  for (const JobId id : {1, 7, 49}) {
    Decided decided{};
    ASSERT_EQ(d().begin_cancel(database_, id, 0, &decided), Verdict::ok);
    d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
  }
  EXPECT_EQ(arena_faults(d().arena()), "");
  d().forget_waiting(database_);
  EXPECT_EQ(figures(1).ready, 0U);
  EXPECT_TRUE(slot(queue_).groups.empty());
}

TEST_F(OwnedClaim, AQueueThatIsDroppedGivesItsTableAndGroupsBack) {
  two();
  for (JobId id = 1; id <= 50; id++) put(keyed(1, id, id % 2 == 0 ? a_ : b_));
  EXPECT_EQ(owned_ids("b", 25).size(), 25U);
  EXPECT_TRUE(wait_owned(0, "b"));
  d().remove_queue(ref_of(1));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(arena_faults(d().arena()), "");
  for (Index i = 0; i < d().arena().owner_table_capacity; i++)
    EXPECT_EQ(d().arena().owner_tables[i].queue, 0U);
}

TEST_F(OwnedClaim, FindsTheOldestAndTheWorstInGroupsToo) {
  two();
  for (JobId id = 1; id <= 6; id++) {
    JobRow row = keyed(1, id, id % 2 == 0 ? a_ : b_);
    row.priority = static_cast<std::uint8_t>(9 - id);
    row.due = platform().wall - id * kSecond;
    put(row);
  }
  EXPECT_EQ(owned_ids("a", 1), Ids{6});
  EXPECT_EQ(owned_ids("b", 2), (Ids{5, 3}));
  EXPECT_EQ(figures(1).oldest_due, platform().wall - 4 * kSecond);
}

/* --- a random history against a plain list --- */

TEST_F(OwnedClaim, ARandomHistoryAgreesWithAPlainList) {
  std::mt19937_64 random(42);
  const auto draw = [&random](std::uint64_t n) { return static_cast<std::uint32_t>(random() % n); };
  std::map<std::pair<std::uint8_t, JobId>, std::uint32_t> waiting; /* key */
  std::vector<ClaimedJob> held;
  std::vector<std::string> names;
  JobId next = 1;
  const auto owned = [&](std::string_view name) {
    const auto mine = buckets_of(name);
    Ids ids;
    for (const auto& [place, key] : waiting)
      if (mine.contains(key % static_cast<std::uint32_t>(slot(queue_).options.buckets)))
        ids.push_back(place.second);
    return ids;
  };
  for (int step = 0; step < 20000; step++) {
    const std::uint32_t what = draw(100);
    if (what < 45 && waiting.size() + held.size() < 3000) {
      JobRow row = keyed(1, next++, draw(5000));
      row.priority = static_cast<std::uint8_t>(draw(3));
      put(row);
      waiting[{row.priority, row.id}] = row.key_hash;
    } else if (what < 75 && !names.empty()) {
      const std::string& name = names[draw(names.size())];
      Ids expected = owned(name);
      const std::uint32_t n = 1 + draw(5);
      if (expected.size() > n) expected.resize(n);
      const auto jobs = claim_owned(name, n);
      Ids got;
      for (const ClaimedJob& job : jobs) {
        got.push_back(job.id);
        waiting.erase({job.priority, job.id});
        held.push_back(job);
      }
      ASSERT_EQ(got, expected) << "step " << step << ", worker " << name;
    } else if (what < 85) {
      const auto jobs = claim(1, 1 + draw(3));
      for (const ClaimedJob& job : jobs) {
        ASSERT_EQ(job.id, waiting.begin()->first.second) << "step " << step;
        waiting.erase(waiting.begin());
        held.push_back(job);
      }
    } else if (what < 95 && !held.empty()) {
      const std::size_t at = draw(held.size());
      const ClaimedJob job = held[at];
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      const bool again = draw(2) == 0;
      const std::uint32_t key = entry(job.ref).key_hash;
      ASSERT_EQ(decide(job, again ? Decision::retry : Decision::finish, kAlways), Verdict::ok);
      if (again) waiting[{job.priority, job.id}] = key;
    } else if (what < 98) {
      const std::string name = "worker " + std::to_string(draw(8));
      const auto known = std::find(names.begin(), names.end(), name);
      if (known == names.end()) {
        add(name);
        names.push_back(name);
      } else {
        remove(name);
        names.erase(known);
      }
    } else if (draw(4) == 0) {
      resize(static_cast<std::int32_t>(1 + draw(500)));
    }
    if (step % 500 == 0) {
      ASSERT_EQ(arena_faults(d().arena()), "") << "step " << step;
    }
  }
  EXPECT_EQ(figures(1).ready, waiting.size());
}

/* --- waiting --- */

TEST_F(OwnedClaim, AWaiterForItsOwnIsWokenByItsOwnJobOnly) {
  two();
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait_owned(1, "b"));
  put(keyed(1, 1, b_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
  put(keyed(1, 2, a_));
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(OwnedClaim, AJobOfABusyOwnerWakesWhoTakesAnyJobAndNobodyElse) {
  two();
  EXPECT_TRUE(wait_owned(0, "a"));
  put(keyed(1, 1, b_));
  EXPECT_TRUE(platform().take_woken().empty());
  EXPECT_FALSE(wait(1));
  claim_ids(1, 1);
  EXPECT_TRUE(wait(1));
  put(keyed(1, 2, b_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(OwnedClaim, TheOwnersWaiterGoesFirst) {
  two();
  EXPECT_TRUE(wait(0));
  EXPECT_TRUE(wait_owned(1, "a"));
  put(keyed(1, 1, a_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(figures(1).waiters, 1U);
}

TEST_F(OwnedClaim, ManyJobsWakeAsManyAsCanTakeThem) {
  two();
  for (Index w = 0; w < 3; w++) EXPECT_TRUE(wait_owned(w, "a"));
  EXPECT_TRUE(wait_owned(3, "b"));
  EXPECT_TRUE(wait(4));
  std::vector<JobRow> rows{keyed(1, 1, a_), keyed(1, 2, a_)};
  publish_many(rows, link_many(rows));
  EXPECT_EQ(platform().take_woken(), (Woken{0, 1}));
}

TEST_F(OwnedClaim, AWaiterForItsOwnFindsItsJobAndNotThoseOfOthers) {
  two();
  put(keyed(1, 1, b_));
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_FALSE(wait_owned(1, "b"));
  EXPECT_EQ(figures(1).waiters, 1U);
}

TEST_F(OwnedClaim, AWaiterThatLeavesPassesItsWakeOn) {
  two();
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait(1));
  put(keyed(1, 1, a_));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  d().wait_end(0);
  d().pass_wake_on(0);
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(OwnedClaim, ManySessionsOfAWorkerAreWokenAsThoseBeforeThemAsk) {
  constexpr std::uint32_t kSessions = kMostOwed + 5;
  start(4096, kSessions);
  queue_ = add_queue(1);
  add("a");
  for (Index w = 0; w < kSessions; w++) ASSERT_TRUE(wait_owned(w, "a"));
  put_many(1, 1, kSessions + 10);
  std::size_t woken = platform().take_woken().size();
  while (d().wake_idle(database_)) woken += platform().take_woken().size();
  EXPECT_EQ(woken, kMostOwed);
  for (Index w = 0; w < 3; w++) d().pass_wake_on(w);
  EXPECT_EQ(platform().take_woken(), (Woken{kMostOwed, kMostOwed + 1, kMostOwed + 2}));
  d().remove_queue(ref_of(1));
  EXPECT_EQ(platform().take_woken(), (Woken{kMostOwed + 3, kMostOwed + 4}));
}

/* Two workers whose waiters hang on one list. */
class OneWaitClass : public OwnedClaim {
 protected:
  void SetUp() override {
    OwnedClaim::SetUp();
    add_queue(2);
    const MemberRef a = add("a");
    for (std::uint32_t i = 1; i < kWaitClasses; i++)
      add("of-another-queue-" + std::to_string(i), {2});
    const MemberRef b = add("b");
    ASSERT_NE(a.member, b.member);
    ASSERT_EQ(wait_class(static_cast<OwnerNumber>(a.member)),
              wait_class(static_cast<OwnerNumber>(b.member)));
    a_ = key_of("a");
    b_ = key_of("b");
  }
};

TEST_F(OneWaitClass, WakesWhoMayHaveTheJobThoughAnotherHasWaitedLonger) {
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait_owned(1, "b"));
  EXPECT_TRUE(wait_owned(2, "a"));
  EXPECT_TRUE(wait_owned(3, "b"));
  put(keyed(1, 1, b_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(owned_ids("b", 1), Ids{1});
  d().wait_end(1);
  d().pass_wake_on(1);
  put(keyed(1, 2, a_));
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(OneWaitClass, WhoWasWokenAndIsSlowDoesNotHoldUpTheOtherMembers) {
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait_owned(1, "b"));
  put(keyed(1, 1, a_));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  put(keyed(1, 2, b_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(OneWaitClass, TheEndOfOneMemberLeavesTheOthersWaitersAsleep) {
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(wait_owned(1, "b"));
  EXPECT_TRUE(wait_owned(2, "a"));
  drain("a", platform().wall + kMinute);
  EXPECT_EQ(platform().take_woken(), (Woken{0, 2}));
  EXPECT_EQ(figures(1).waiters, 1U);
  put(keyed(1, 1, b_));
  EXPECT_EQ(platform().take_woken(), Woken{1});
}

TEST_F(OwnedClaim, TheNewOwnerOfABucketWithWorkIsWoken) {
  two();
  EXPECT_TRUE(wait_owned(0, "a"));
  put(keyed(1, 1, b_));
  EXPECT_TRUE(platform().take_woken().empty());
  remove("b");
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(owned_ids("a", 1), Ids{1});
}

TEST_F(OwnedClaim, AWaiterWhoseWorkerDrainsIsWokenAndMayNotWaitAgain) {
  two();
  EXPECT_TRUE(wait_owned(0, "a"));
  drain("a", platform().wall + kMinute);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_FALSE(wait_owned(0, "a"));
  EXPECT_EQ(figures(1).waiters, 0U);
}

TEST_F(OwnedClaim, ASleeperThatTakesAnyJobIsWokenWhenItsWorkerDrains) {
  two();
  const MemberRef a = member("a");
  d().sleep_as(0, &a);
  EXPECT_TRUE(wait(0));
  drain("a", platform().wall + kMinute);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_FALSE(d().woken(0)) << "it owes nothing";
  d().sleep_as(0, nullptr);
  d().wait_end(0);
}

/* The worker ends between the look at it and the list. */
TEST_F(OwnedClaim, AWaiterOfAWorkerThatHasJustEndedDoesNotSleep) {
  two();
  const MemberRef a = member("a");
  const QueueRef queue = ref_of(1);
  remove("a");
  EXPECT_FALSE(d().wait_begin(0, &queue, 1, &a));
}

TEST_F(OwnedClaim, JobsThatHaveComeDueAreThereForTheirOwnersWaiter) {
  two();
  JobRow row = keyed(1, 1, a_);
  row.due = platform().wall + kSecond;
  put(row);
  EXPECT_TRUE(wait_owned(0, "a"));
  platform().advance(kSecond);
  EXPECT_TRUE(wait_owned(1, "b")) << "it makes the job ready, and is not its owner";
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(OwnedClaim, AnotherNumberOfBucketsWakesWhoGetsWork) {
  two();
  put(keyed(1, 1, b_));
  EXPECT_TRUE(wait_owned(0, "a"));
  EXPECT_TRUE(platform().take_woken().empty());
  std::int32_t buckets = 1;
  for (; owner_of(b_) != "a" && buckets <= 1024; buckets++) {
    EXPECT_TRUE(platform().take_woken().empty());
    resize(buckets);
  }
  ASSERT_EQ(owner_of(b_), "a");
  EXPECT_EQ(platform().take_woken(), Woken{0});
}

TEST_F(OwnedClaim, TheHousekeeperWakesOnlyWhoCouldTakeAJob) {
  two();
  EXPECT_TRUE(wait_owned(0, "a"));
  put(keyed(1, 1, b_));
  EXPECT_FALSE(d().wake_idle(database_));
}

}  // namespace
}  // namespace dw::test
