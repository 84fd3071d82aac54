/* Registered workers: who is in the ring, who is alive, and what becomes of those that end. */
#include "member_fixture.hpp"

#include "core/transaction.hpp"

namespace dw::test {
namespace {

class Members : public MemberTest {
 protected:
  void SetUp() override {
    MemberTest::SetUp();
    add_queue(1);
    add_queue(2);
  }
  MemberState state_of_member(std::string_view name) {
    return d().arena().members[member(name).member].state.load();
  }
  MemberFigures figures_of(std::string_view name) {
    MemberFigures figures{};
    EXPECT_TRUE(d().see_member(member(name).member, database_, &figures));
    return figures;
  }
  MemberDuty duty(std::string_view name) {
    return duty_about(figures_of(name), platform().monotonic, platform().wall);
  }
};

TEST_F(Members, OneAloneOwnsAllBucketsOfItsQueuesAndNoneOfOthers) {
  add("a", {1});
  EXPECT_EQ(buckets_of("a", 1).size(), 360U);
  EXPECT_TRUE(buckets_of("a", 2).empty());
  EXPECT_EQ(owner_of(17, 1), "a");
  EXPECT_EQ(owner_of(17, 2), "");
}

TEST_F(Members, OwnersAreThoseOfTheRing) {
  for (const char* const name : {"worker-A", "worker-B", "worker-C"}) add(name);
  std::vector<RingWorker> workers;
  for (const char* const name : {"worker-A", "worker-B", "worker-C"})
    workers.push_back({name, ring_seed(name), 150, static_cast<OwnerNumber>(workers.size())});
  std::vector<std::uint32_t> nearest(360);
  std::vector<std::uint32_t> place(360);
  std::vector<OwnerNumber> owner(360);
  assign_owners(workers.data(), 3, 360, nearest.data(), place.data(), owner.data());
  for (std::uint32_t b = 0; b < 360; b++) EXPECT_EQ(owner_of(b), workers[owner[b]].name);
}

TEST_F(Members, OneThatJoinsOnlyTakesBuckets) {
  add("a");
  add("b");
  const auto of_a = buckets_of("a");
  const auto of_b = buckets_of("b");
  add("c");
  for (const std::uint32_t b : buckets_of("a")) EXPECT_TRUE(of_a.contains(b));
  for (const std::uint32_t b : buckets_of("b")) EXPECT_TRUE(of_b.contains(b));
  EXPECT_FALSE(buckets_of("c").empty());
}

TEST_F(Members, OneThatIsRemovedGivesUpItsBuckets) {
  add("a");
  add("b");
  EXPECT_TRUE(remove("a"));
  EXPECT_EQ(buckets_of("b").size(), 360U);
  EXPECT_EQ(member("a").member, kNone);
  EXPECT_FALSE(remove("a"));
}

/* Two change the ring at once: whoever is slower has computed the owners of an earlier moment. */
TEST_F(Members, OwnersAreThoseAfterTheLastOfTwoChangesAtOnce) {
  int reached = 0;
  for (int at = 1; at <= 100; at++) {
    for (const char* const name : {"a", "b", "c"}) add(name, {1});
    int seen = 0;
    platform().on_locking = [&](std::uint32_t) {
      if (++seen == at) remove("b");
    };
    EXPECT_TRUE(remove("a"));
    platform().on_locking = nullptr;
    if (seen >= at) reached++;
    if (seen < at) remove("b");
    EXPECT_EQ(buckets_of("c", 1).size(), 360U) << "before lock " << at;
    remove("c");
  }
  EXPECT_GT(reached, 3);
}

TEST_F(Members, OneThatDrainsOwnsNothingAndMayNotClaim) {
  add("a");
  add("b");
  EXPECT_TRUE(d().may_claim(member("a")));
  EXPECT_TRUE(drain("a", platform().wall + kSecond));
  EXPECT_TRUE(buckets_of("a").empty());
  EXPECT_EQ(buckets_of("b").size(), 360U);
  EXPECT_FALSE(d().may_claim(member("a")));
  EXPECT_EQ(figures_of("a").drain_deadline, platform().wall + kSecond);
}

TEST_F(Members, AnotherDrainSetsAnotherDeadline) {
  add("a");
  drain("a", platform().wall + kSecond);
  EXPECT_TRUE(drain("a", platform().wall + kMinute));
  EXPECT_FALSE(drain("a", platform().wall + kMinute));
  EXPECT_EQ(figures_of("a").drain_deadline, platform().wall + kMinute);
}

TEST_F(Members, ALaterRegistrationTakesThePlaceOfTheEarlier) {
  const MemberRef first = add("a", {1});
  const MemberRef second = add("a", {2});
  EXPECT_FALSE(d().is_current(first));
  EXPECT_TRUE(d().is_current(second));
  EXPECT_FALSE(d().note_seen(first));
  EXPECT_TRUE(buckets_of("a", 1).empty());
  EXPECT_EQ(buckets_of("a", 2).size(), 360U);
}

TEST_F(Members, AnEarlierRegistrationThatIsReadLaterChangesNothing) {
  add("a", {1}, 7);
  EXPECT_EQ(d().add_member(database_, member_row("a", 6, {2})), MemberChange::none);
  EXPECT_EQ(d().add_member(database_, member_row("a", 7, {1})), MemberChange::none);
  EXPECT_EQ(instance_of("a"), 7);
  EXPECT_FALSE(d().remove_member(database_, "a", 6));
}

TEST_F(Members, ARegistrationAfterADrainIsAliveAgain) {
  add("a");
  drain("a", platform().wall + kSecond);
  add("a");
  EXPECT_EQ(state_of_member("a"), MemberState::alive);
  EXPECT_EQ(buckets_of("a").size(), 360U);
}

TEST_F(Members, OneThatIsNotSeenIsDeadAtItsTimeAndNotBefore) {
  add("a");
  add("b");
  const Micros added = platform().monotonic;
  EXPECT_EQ(d().check_members(database_, kDeadAfter), added + kDeadAfter);
  platform().advance(kDeadAfter - 1);
  d().note_seen(member("b"));
  EXPECT_EQ(d().check_members(database_, kDeadAfter), added + kDeadAfter);
  EXPECT_EQ(state_of_member("a"), MemberState::alive);
  platform().advance(1);
  EXPECT_EQ(d().check_members(database_, kDeadAfter), added + 2 * kDeadAfter - 1);
  EXPECT_EQ(state_of_member("a"), MemberState::dead);
  EXPECT_EQ(buckets_of("b").size(), 360U);
}

TEST_F(Members, ADeadOneIsBackWhenItIsSeen) {
  add("a");
  add("b");
  const auto before = buckets_of("a");
  platform().advance(kDeadAfter);
  d().note_seen(member("b"));
  d().check_members(database_, kDeadAfter);
  EXPECT_TRUE(buckets_of("a").empty());
  EXPECT_TRUE(d().note_seen(member("a")));
  EXPECT_EQ(buckets_of("a"), before);
}

/* It is seen between the look at its clock and the mark. */
TEST_F(Members, OneThatIsSeenAtTheLastMomentIsNotDead) {
  add("a");
  platform().advance(kDeadAfter);
  const MemberRef a = member("a");
  bool done = false;
  platform().on_locking = [&](std::uint32_t lock) {
    if (done || lock != kMembersLock) return;
    done = true;
    d().note_seen(a);
  };
  d().check_members(database_, kDeadAfter);
  platform().on_locking = nullptr;
  EXPECT_EQ(state_of_member("a"), MemberState::alive);
  EXPECT_EQ(buckets_of("a").size(), 360U);
}

TEST_F(Members, OneThatDrainsDoesNotDie) {
  add("a");
  drain("a", platform().wall + kMinute);
  platform().advance(2 * kDeadAfter);
  EXPECT_EQ(d().check_members(database_, kDeadAfter), kNever);
  EXPECT_EQ(state_of_member("a"), MemberState::draining);
}

TEST_F(Members, OneThatIsDeadIsDeregisteredADayAfterItWasSeen) {
  add("a");
  platform().advance(kForgottenAfter);
  EXPECT_EQ(duty("a"), MemberDuty::none) << "nobody has found yet that it is dead";
  d().note_seen(member("a"));
  platform().advance(kDeadAfter);
  d().check_members(database_, kDeadAfter);
  ASSERT_EQ(state_of_member("a"), MemberState::dead);
  platform().advance(24 * 60 * kMinute - kDeadAfter - 1);
  EXPECT_EQ(duty("a"), MemberDuty::none);
  platform().advance(1);
  EXPECT_EQ(duty("a"), MemberDuty::deregister);
  d().note_seen(member("a"));
  EXPECT_EQ(duty("a"), MemberDuty::none) << "it is back";
  platform().advance(kDeadAfter);
  d().check_members(database_, kDeadAfter);
  EXPECT_EQ(duty("a"), MemberDuty::none) << "the day begins anew";
}

TEST_F(Members, TheDayOfOneThatIsDeadIsNotOneOfTheWallClock) {
  add("a");
  platform().advance(kDeadAfter);
  d().check_members(database_, kDeadAfter);
  platform().wall += 2 * kForgottenAfter;
  EXPECT_EQ(duty("a"), MemberDuty::none);
}

TEST_F(Members, OneThatDrainsIsDeregisteredWhenItHoldsNothingAndAtItsDeadline) {
  add("a");
  put_many(1, 1, 1);
  const auto jobs = claim_owned("a", 1);
  ASSERT_EQ(jobs.size(), 1U);
  drain("a", platform().wall + kMinute);
  EXPECT_EQ(duty("a"), MemberDuty::none);
  platform().advance(kMinute);
  EXPECT_EQ(duty("a"), MemberDuty::release_jobs);
  decide(jobs[0], Decision::finish);
  EXPECT_EQ(duty("a"), MemberDuty::deregister);
}

TEST_F(Members, TheLastLeaseOfOneThatDrainsWakesTheHousekeeper) {
  add("a");
  put_many(1, 1, 2);
  const auto jobs = claim_owned("a", 2);
  ASSERT_EQ(jobs.size(), 2U);
  drain("a", platform().wall + kMinute);
  EXPECT_EQ(figures_of("a").in_flight, 2U);
  (void)platform().housekeeper_was_woken();
  decide(jobs[0], Decision::finish);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  decide(jobs[1], Decision::finish);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(figures_of("a").in_flight, 0U);
}

TEST_F(Members, LeasesOfAnEarlierInstanceStay) {
  add("a");
  put_many(1, 1, 1);
  const auto jobs = claim_owned("a");
  ASSERT_EQ(jobs.size(), 1U);
  add("a");
  EXPECT_EQ(figures_of("a").in_flight, 0U);
  EXPECT_EQ(decide(jobs[0], Decision::finish), Verdict::ok);
}

TEST_F(Members, ThoseOfAnotherDatabaseAreApart) {
  const Index other = d().attach_database(kOid + 1);
  d().open_database(other, 3);
  d().add_queue(other, 1, "queue 1", QueueOptions{}, QueueState::active, LoadMode::live);
  add("a");
  MemberFacts facts{};
  EXPECT_EQ(d().find_member(other, "a", &facts).member, kNone);
  EXPECT_EQ(d().add_member(other, member_row("a", 1, {1})), MemberChange::done);
  d().detach_database(other);
  EXPECT_EQ(buckets_of("a").size(), 360U);
}

/* As a database in another encoding tells of them. */
MemberRow in_other_bytes(MemberRow row, std::string_view utf8_name) {
  std::fill(std::begin(row.utf8_name), std::end(row.utf8_name), '\0');
  utf8_name.copy(row.utf8_name, sizeof(row.utf8_name) - 1);
  return row;
}

TEST_F(Members, OwnBucketsByTheirNamesInUtf8) {
  const std::string long_name(kUtf8NameSize - 1, 'z');
  add("x");
  ASSERT_EQ(d().add_member(database_, in_other_bytes(member_row("latin", 1, {1}), long_name)),
            MemberChange::done);
  const auto there = buckets_of("latin");
  EXPECT_FALSE(there.empty());
  ASSERT_TRUE(d().remove_member(database_, "latin", 1));
  add("latin");
  EXPECT_NE(buckets_of("latin"), there) << "its name in UTF-8 is another one";
  ASSERT_TRUE(remove("latin"));
  ASSERT_EQ(d().add_member(database_, in_other_bytes(member_row("latin", 9, {1}), long_name)),
            MemberChange::done);
  EXPECT_EQ(buckets_of("latin"), there);
}

TEST_F(Members, NamesInOtherBytesNeedRoomThatEndsWithTheMember) {
  const auto row = [this](std::uint32_t i, std::int64_t instance) {
    return in_other_bytes(member_row("w" + std::to_string(i), instance, {1}, 1),
                          "W" + std::to_string(i));
  };
  for (std::uint32_t i = 0; i < kMostUtf8Names; i++)
    ASSERT_EQ(d().add_member(database_, row(i, 1)), MemberChange::done);
  EXPECT_EQ(d().add_member(database_, row(kMostUtf8Names, 1)), MemberChange::no_room);
  EXPECT_FALSE(d().has_room_for_member(database_, "one more", "One more"));
  EXPECT_TRUE(d().has_room_for_member(database_, "one more", "one more"));
  EXPECT_TRUE(d().has_room_for_member(database_, "w3", "W3"));
  EXPECT_EQ(d().add_member(database_, row(3, 2)), MemberChange::done) << "it keeps its place";
  EXPECT_EQ(d().add_member(database_, row(kMostUtf8Names, 1)), MemberChange::no_room);
  ASSERT_TRUE(d().remove_member(database_, "w5", 1));
  EXPECT_EQ(d().add_member(database_, row(kMostUtf8Names, 1)), MemberChange::done);
  d().forget_members(database_);
  EXPECT_TRUE(d().has_room_for_member(database_, "one more", "One more"));
}

TEST_F(Members, NoMoreThanThereIsRoomFor) {
  for (std::uint32_t i = 0; i < kMostMembers; i++)
    ASSERT_EQ(d().add_member(database_, member_row("w" + std::to_string(i), 1, {1}, 1)),
              MemberChange::done);
  EXPECT_FALSE(d().has_room_for_member(database_, "one more", "one more"));
  EXPECT_TRUE(d().has_room_for_member(database_, "w7", "w7"));
  EXPECT_EQ(d().add_member(database_, member_row("one more", 1, {1})), MemberChange::no_room);
  remove("w7");
  EXPECT_EQ(d().add_member(database_, member_row("one more", 1, {1})), MemberChange::done);
}

TEST_F(Members, AreKnownToAQueueThatIsFoundLater) {
  add("a", {5});
  add_queue(5);
  EXPECT_EQ(buckets_of("a", 5).size(), 360U);
}

TEST_F(Members, TablesOfOwnersAreBounded) {
  std::vector<QueueId> queues;
  for (QueueId queue = 10; queue < 10 + static_cast<QueueId>(d().arena().owner_table_capacity);
       queue++) {
    add_queue(queue);
    EXPECT_TRUE(d().make_owner_table(ref_of(queue)));
  }
  EXPECT_FALSE(d().make_owner_table(ref_of(1)));
  d().remove_queue(ref_of(10));
  EXPECT_TRUE(d().make_owner_table(ref_of(1)));
}

/* Two change the ring: the first has computed the owners when the second comes. */
TEST_F(Members, OfTwoChangesAtATimeTheLaterOneCounts) {
  add("a");
  bool done = false;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (done || lock != kMembersLock || member("b").member == kNone) return;
    done = true;
    add("c");
  };
  add("b");
  platform().on_unlocked = nullptr;
  EXPECT_TRUE(done);
  EXPECT_FALSE(buckets_of("c").empty());
  EXPECT_EQ(buckets_of("a").size() + buckets_of("b").size() + buckets_of("c").size(), 360U);
}

class MemberTransaction : public Members {
 protected:
  Transaction transaction() {
    Transaction open(&d());
    open.set_database(database_, kOid);
    open.reserve(4);
    return open;
  }
};

TEST_F(MemberTransaction, ARegistrationCountsFromTheCommitOn) {
  Transaction open = transaction();
  open.set_worker(member_row("a", 1, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  EXPECT_EQ(member("a").member, kNone);
  open.commit(0);
  EXPECT_EQ(buckets_of("a").size(), 360U);
}

TEST_F(MemberTransaction, AnAbortLeavesNothing) {
  add("b");
  Transaction open = transaction();
  open.set_worker(member_row("a", 1, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  open.set_worker(member_row("b", instance_of("b"), {1}));
  open.note_worker(2, ActionKind::worker_left);
  open.sub_abort(2);
  open.abort();
  EXPECT_EQ(member("a").member, kNone);
  EXPECT_EQ(buckets_of("b").size(), 360U);
}

TEST_F(MemberTransaction, ASavepointThatIsRolledBackTakesOnlyItsOwn) {
  Transaction open = transaction();
  open.set_worker(member_row("a", 1, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  open.set_worker(member_row("b", 2, {1}));
  open.note_worker(2, ActionKind::worker_changed);
  open.sub_abort(2);
  open.commit(0);
  EXPECT_EQ(buckets_of("a").size(), 360U);
  EXPECT_EQ(member("b").member, kNone);
}

TEST_F(MemberTransaction, TheOrderOfThingsIsThatOfTheTransaction) {
  Transaction open = transaction();
  open.set_worker(member_row("a", 1, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  open.note_worker(1, ActionKind::worker_left);
  open.set_worker(member_row("a", 2, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  open.commit(0);
  EXPECT_EQ(instance_of("a"), 2);
}

TEST_F(MemberTransaction, OneThatFindsNoRoomIsLeftToTheHousekeeper) {
  for (std::uint32_t i = 0; i < kMostMembers; i++)
    d().add_member(database_, member_row("w" + std::to_string(i), 1, {2}, 1));
  Transaction open = transaction();
  open.set_worker(member_row("a", 1, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  open.commit(0);
  EXPECT_TRUE(d().take_workers_changed(database_));
  EXPECT_FALSE(d().take_workers_changed(database_));
}

TEST_F(MemberTransaction, CannotBePrepared) {
  Transaction open = transaction();
  open.set_worker(member_row("a", 1, {1}));
  open.note_worker(1, ActionKind::worker_changed);
  QueueId gone = 0;
  EXPECT_EQ(open.prepare(5, &gone), Preparation::has_workers);
  open.abort();
}

}  // namespace
}  // namespace dw::test
