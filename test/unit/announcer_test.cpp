/* Telling clients that listen: of what, when, and how often. */
#include "core/announcer.hpp"

#include "limits_fixture.hpp"

#include <string>

namespace dw::test {
namespace {

constexpr Micros kInterval = 200 * kMillisecond;

class Announce : public ArenaTest {
 protected:
  void SetUp() override {
    start(256);
    add_queue(1);
    add_queue(2);
    announcer_ = std::make_unique<Announcer>(&d(), database_);
    announcer_->set_interval(kInterval);
  }
  /* One round of the housekeeper: who is told of, and the plan for the next. */
  std::vector<std::string> round(bool sent = true) {
    plan().store(kNever);
    platform().woken_housekeepers.clear();
    std::vector<std::string> names;
    for (const Announcer::Call& call : announcer_->look()) names.emplace_back(call.name);
    EXPECT_FALSE(platform().housekeeper_was_woken()) << "by itself: it would look again at once";
    if (sent) announcer_->told();
    const Micros next = announcer_->next();
    plan().store(next == kNever ? platform().wall + kMinute
                                : platform().wall + next - platform().monotonic);
    platform().woken_housekeepers.clear();
    return names;
  }
  std::atomic<Micros>& plan() { return d().arena().databases[database_].planned_due; }
  void pause(QueueId queue, bool paused) {
    QueueOptions options;
    options.paused = paused;
    d().set_queue_options(database_, queue, options);
  }

  std::unique_ptr<Announcer> announcer_;
};

using Names = std::vector<std::string>;
const Names kNobody;

TEST_F(Announce, OfAnEmptyQueueNothing) {
  EXPECT_EQ(round(), kNobody);
  EXPECT_EQ(announcer_->next(), kNever);
}

TEST_F(Announce, TheFirstJobWakesTheHousekeeperAndIsToldOfAtOnce) {
  round();
  put(row_of(1, 1));
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, WhatNobodyTakesIsToldOfOnceAnInterval) {
  put(row_of(1, 1));
  EXPECT_EQ(round(), Names{"queue 1"});
  platform().advance(kInterval / 2);
  EXPECT_EQ(round(), kNobody);
  EXPECT_EQ(announcer_->next(), platform().monotonic + kInterval / 2);
  platform().advance(kInterval / 2);
  EXPECT_EQ(round(), Names{"queue 1"});
  claim(1);
  platform().advance(kInterval);
  EXPECT_EQ(round(), kNobody);
  EXPECT_EQ(announcer_->next(), kNever);
}

TEST_F(Announce, AStreamWakesTheHousekeeperOnceAnInterval) {
  round();
  int woken = 0;
  std::size_t told = 0;
  for (JobId id = 1; id <= 50; id++) {
    put(row_of(1, id));
    platform().advance(kInterval / 10);
    if (!platform().housekeeper_was_woken() && platform().wall < plan().load()) continue;
    woken++;
    told += round().size();
  }
  EXPECT_LE(woken, 6);
  EXPECT_LE(told, 6U);
  EXPECT_GE(told, 5U);
}

TEST_F(Announce, EachQueueIsToldOfByItself) {
  put(row_of(1, 1));
  EXPECT_EQ(round(), Names{"queue 1"});
  platform().advance(kInterval / 4);
  put(row_of(2, 2));
  EXPECT_EQ(round(), Names{"queue 2"});
  platform().advance(kInterval * 3 / 4);
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, WhatAWaiterTakesIsToldToNobody) {
  const QueueRef queue = ref_of(1);
  d().wait_begin(0, &queue, 1);
  round();
  put(row_of(1, 1));
  EXPECT_FALSE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), kNobody) << "one is awake for it";
  put(row_of(1, 2));
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), Names{"queue 1"}) << "and nobody for the second";
}

TEST_F(Announce, AJobThatComesDueIsToldOf) {
  JobRow row = row_of(1, 1);
  row.due = platform().wall + kSecond;
  put(row);
  EXPECT_EQ(round(), kNobody);
  platform().advance(kSecond);
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, ADelayedJobThatIsDueBeforeTheNextLookWakesTheHousekeeper) {
  round();
  JobRow row = row_of(1, 1);
  row.due = platform().wall + 2 * kMinute;
  put(row);
  EXPECT_FALSE(platform().housekeeper_was_woken());
  row = row_of(1, 2);
  row.due = platform().wall + kSecond;
  put(row);
  EXPECT_TRUE(platform().housekeeper_was_woken());
}

TEST_F(Announce, OfAPausedQueueNothingUntilItIsResumed) {
  pause(1, true);
  round();
  put(row_of(1, 1));
  EXPECT_FALSE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), kNobody);
  pause(1, false);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, WhatCouldNotBeSentIsDueAgain) {
  put(row_of(1, 1));
  EXPECT_EQ(round(false), Names{"queue 1"});
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, TurnedOffNothing) {
  put(row_of(1, 1));
  announcer_->set_interval(0);
  EXPECT_EQ(round(), kNobody);
  EXPECT_EQ(announcer_->next(), kNever);
  put(row_of(1, 2));
  EXPECT_FALSE(platform().housekeeper_was_woken());
}

TEST_F(Announce, AQueueThatTakesTheSlotOfAnotherIsToldOfByItself) {
  put(row_of(1, 1));
  round();
  d().remove_queue(ref_of(1));
  add_queue(9);
  put(row_of(9, 1));
  EXPECT_EQ(round(), Names{"queue 9"});
}

TEST_F(Announce, OtherDatabasesAreTheirHousekeepers) {
  const Index other = d().attach_database(kOid + 1);
  d().open_database(other, 1);
  d().add_queue(other, 5, "theirs", QueueOptions{}, QueueState::active, LoadMode::live);
  const JobRow row = row_of(5, 1);
  const JobRow* pointer = &row;
  EntryRef reference{};
  const QueueRef queue = d().queue_ref(d().find_queue(other, 5));
  d().link_pending(queue, &pointer, &reference, 1);
  d().publish(other, 5, queue, &pointer, &reference, 1);
  EXPECT_EQ(round(), kNobody);
}

/* --- limits ----------------------------------------------------------------------------------- */

TEST_F(Announce, WhatFindsNoPlaceIsToldOfWhenALeaseEnds) {
  d().set_queue_limits(database_, 1, places(1));
  put_many(1, 1, 3);
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(round(), kNobody);
  put(row_of(1, 4));
  EXPECT_FALSE(platform().housekeeper_was_woken());
  decide(job, Decision::finish);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, WhatFindsNoTokenIsToldOfWhenOneComes) {
  d().set_queue_limits(database_, 1, tokens(10, 1));
  put_many(1, 1, 3);
  EXPECT_EQ(round(), kNobody);
  FakeLog log(4);
  FakeStore store(&log, 0, &d(), database_);
  const Sweeper sweeper(&d(), database_, &store);
  EXPECT_EQ(sweeper.next_due(), platform().wall + 100 * kMillisecond);
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(sweeper.next_due(), kNever) << "or the housekeeper would not sleep until it is taken";
  EXPECT_EQ(round(), Names{"queue 1"});
}

TEST_F(Announce, AQueueThatWaitsForItsGroupIsToldOfWhenALeaseOfAnotherEnds) {
  for (QueueId queue = 1; queue <= 2; queue++) {
    d().set_queue_limits(database_, queue, shared_places("partner", 1));
    put(row_of(queue, static_cast<JobId>(queue)));
  }
  const ClaimedJob job = claim_one(1);
  EXPECT_TRUE(claim(2).empty());
  EXPECT_EQ(round(), kNobody);
  decide(job, Decision::finish);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(round(), Names{"queue 2"});
}

}  // namespace
}  // namespace dw::test
