/* Room in a queue of limited length, and what becomes of it at the end of a transaction. */
#include "arena_fixture.hpp"

#include "core/transaction.hpp"

namespace dw::test {
namespace {

class Limited : public ArenaTest {
 protected:
  void SetUp() override {
    start(64);
    QueueOptions options;
    options.max_length = 3;
    queue_ = add_queue(1, options);
    transaction_ = std::make_unique<Transaction>(&d());
    transaction_->set_database(database_, kOid);
    transaction_->reserve(100);
  }
  Room take(std::uint32_t n, std::int32_t level = 1) {
    return transaction().reserve_room(level, ref(queue_), n, &figures_, &action_);
  }
  /* Writes jobs that have room. */
  void write(JobId first, std::uint32_t n, std::int32_t level = 1) {
    ASSERT_EQ(take(n, level), Room::granted);
    for (std::uint32_t i = 0; i < n; i++) {
      JobRow row = row_of(1, first + i);
      row.has_room = true;
      transaction().note_enqueue(level, ref(queue_), row);
    }
    transaction().use_room(action_);
  }
  void commit() {
    QueueId gone = 0;
    EXPECT_TRUE(transaction().pre_commit(&gone));
    transaction().commit(1);
  }
  Transaction& transaction() { return *transaction_; }
  QueueLength& length() { return slot(queue_).length; }

  Index queue_ = kNone;
  RoomFigures figures_{};
  std::size_t action_ = 0;

 private:
  std::unique_ptr<Transaction> transaction_;
};

TEST_F(Limited, TakesAsManyAsItSays) {
  write(1, 2);
  EXPECT_EQ(take(2), Room::full);
  EXPECT_EQ(figures_.unfinished, 0);
  EXPECT_EQ(figures_.reserved, 2);
  EXPECT_EQ(figures_.max_length, 3);
  write(3, 1);
  EXPECT_EQ(take(1), Room::full);
  commit();
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(length().since, 3);
  EXPECT_EQ(take(1), Room::full);
  EXPECT_EQ(decide(claim_one(1), Decision::finish), Verdict::ok);
  EXPECT_EQ(take(1), Room::granted);
  transaction().abort();
  EXPECT_EQ(length().reserved, 0);
}

TEST_F(Limited, AnAbortGivesRoomBack) {
  write(1, 3);
  transaction().abort();
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(length().since, 0);
}

TEST_F(Limited, AnAbortAfterThePreCommitGivesRoomBack) {
  write(1, 3);
  QueueId gone = 0;
  EXPECT_TRUE(transaction().pre_commit(&gone));
  transaction().abort();
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
}

/* An error between taking room and writing. */
TEST_F(Limited, RoomThatWasNotUsedComesBack) {
  EXPECT_EQ(take(2), Room::granted);
  transaction().abort();
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(take(2), Room::granted);
  commit();
  EXPECT_EQ(length().reserved, 0);
}

TEST_F(Limited, ASavepointGivesBackWhatWasTakenInIt) {
  write(1, 1);
  write(2, 1, 2);
  EXPECT_EQ(take(1, 3), Room::granted);
  transaction().sub_abort(3);
  EXPECT_EQ(length().reserved, 2);
  transaction().sub_abort(2);
  EXPECT_EQ(length().reserved, 1);
  write(3, 2, 2);
  transaction().sub_commit(2);
  EXPECT_EQ(length().reserved, 3);
  commit();
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(length().since, 3);
}

TEST_F(Limited, AQueueThatIsBeingCountedGivesNone) {
  length().known = 0;
  EXPECT_EQ(take(1), Room::counting);
}

TEST_F(Limited, AQueueWithoutALimitGivesNoneToHold) {
  d().set_queue_options(database_, 1, QueueOptions{});
  EXPECT_EQ(take(1000), Room::unlimited);
}

TEST_F(Limited, RoomInAQueueThatWasRemovedIsForgotten) {
  write(1, 2);
  const QueueRef before = ref(queue_);
  d().remove_queue(before);
  QueueOptions options;
  options.max_length = 1;
  ASSERT_EQ(add_queue(2, options), queue_);
  EXPECT_EQ(d().reserve_room(before, 1, &figures_), Room::no_queue);
  transaction().abort();
  EXPECT_EQ(length().reserved, 0);
}

/* The slot is made anew, as after DROP and CREATE EXTENSION: it never had the room. */
TEST_F(Limited, RoomIsNotTakenOffASlotThatWasMadeAnew) {
  write(1, 2);
  d().remove_queue(ref(queue_));
  QueueOptions options;
  options.max_length = 3;
  ASSERT_EQ(add_queue(1, options), queue_);
  commit();
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(length().since, 2);
}

TEST_F(Limited, FiguresAddUp) {
  write(1, 3);
  commit();
  const ClaimedJob held = claim_one(1);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 2, 1, &decided), Verdict::ok);
  QueueFigures seen = figures(1);
  EXPECT_EQ(seen.ready, 1U);
  EXPECT_EQ(seen.delayed, 1U);
  EXPECT_EQ(seen.leased, 1U);
  EXPECT_EQ(seen.unfinished, 3);
  d().abort_decision(decided.ref, decided.token, decided.before);
  seen = figures(1);
  EXPECT_EQ(seen.ready, 2U);
  EXPECT_EQ(seen.delayed, 0U);
  Decided second{};
  ASSERT_EQ(d().begin_cancel(database_, held.id, 1, &second), Verdict::ok);
  d().commit_decision(second.ref, second.token, Decision::cancel_held, OutcomeKind::cancelled, 0);
  seen = figures(1);
  EXPECT_EQ(seen.leased, 0U);
  EXPECT_EQ(seen.unfinished, 2);
}

TEST_F(Limited, TheOldestGoesForANewOne) {
  JobRow late = row_of(1, 1);
  late.priority = 9;
  JobRow urgent = row_of(1, 2);
  urgent.priority = 0;
  JobRow sleeping = row_of(1, 3);
  sleeping.due = platform().wall + kMinute;
  for (const JobRow& row : {sleeping, urgent, late}) put(row);
  Decided decided{};
  const std::size_t room = transaction().begin_room(1, ref(queue_));
  for (const JobId id : {1, 2, 3}) {
    ASSERT_EQ(transaction().exchange_room(1, room, &figures_, &decided, &action_), Room::exchanged);
    EXPECT_EQ(decided.id, id);
    EXPECT_NE(decided.token, 0);
    transaction().settle(action_, Decision::finish, OutcomeKind::dead_lettered, 0);
  }
  EXPECT_EQ(transaction().exchange_room(1, room, &figures_, &decided, &action_), Room::full);
  EXPECT_EQ(length().leaving, 3);
  EXPECT_EQ(length().reserved, 3);
  for (JobId id = 4; id <= 6; id++) {
    JobRow row = row_of(1, id);
    row.has_room = true;
    transaction().note_enqueue(1, ref(queue_), row);
  }
  transaction().use_room(room);
  commit();
  EXPECT_EQ(length().leaving, 0);
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(length().since, 3);
  EXPECT_EQ(claim_ids(1, 10), (std::vector<JobId>{4, 5, 6}));
}

TEST_F(Limited, WhatHasComeDueBesideTheOneThatGoesWakesASleeper) {
  for (JobId id = 1; id <= 3; id++) {
    JobRow row = row_of(1, id);
    row.due = platform().wall + kMinute;
    put(row);
  }
  const QueueRef queue = ref_of(1);
  ASSERT_TRUE(d().wait_begin(0, &queue, 1));
  platform().advance(kMinute);
  Decided decided{};
  const std::size_t room = transaction().begin_room(1, ref(queue_));
  ASSERT_EQ(transaction().exchange_room(1, room, &figures_, &decided, &action_), Room::exchanged);
  EXPECT_TRUE(d().woken(0));
  d().wait_end(0);
  EXPECT_EQ(claim_ids(1, 10), (std::vector<JobId>{2, 3}));
}

TEST_F(Limited, WhatWasToGoIsBackAfterARollback) {
  put_many(1, 1, 3);
  Decided decided{};
  const std::size_t room = transaction().begin_room(2, ref(queue_));
  ASSERT_EQ(transaction().exchange_room(2, room, &figures_, &decided, &action_), Room::exchanged);
  transaction().settle(action_, Decision::finish, OutcomeKind::dead_lettered, 0);
  JobRow row = row_of(1, 4);
  row.has_room = true;
  transaction().note_enqueue(2, ref(queue_), row);
  transaction().use_room(room);
  EXPECT_EQ(claim_ids(1, 1), (std::vector<JobId>{2}));
  transaction().sub_abort(2);
  EXPECT_EQ(length().leaving, 0);
  EXPECT_EQ(length().reserved, 0);
  EXPECT_EQ(length().since, 3);
  EXPECT_EQ(take(1), Room::full);
  EXPECT_EQ(claim_ids(1, 10), (std::vector<JobId>{1, 3}));
  commit();
}

TEST_F(Limited, TheOldestDueJobIsFoundBehindARetriedOne) {
  d().set_queue_options(database_, 1, QueueOptions{});
  const Micros start = platform().wall;
  EXPECT_EQ(figures(1).oldest_due, kNever);
  put_many(1, 1, 5);
  EXPECT_EQ(figures(1).oldest_due, start);
  platform().advance(kMinute);
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(decide(job, Decision::retry, platform().wall), Verdict::ok);
  EXPECT_EQ(job.id, 1);
  EXPECT_EQ(figures(1).oldest_due, start);
  EXPECT_EQ(claim(1, 5).size(), 5U);
  EXPECT_EQ(figures(1).oldest_due, kNever);
}

TEST_F(Limited, AJobWhoseTimeHasComeIsTheOldestBeforeAnybodyAsks) {
  const Micros start = platform().wall;
  JobRow later = row_of(1, 1);
  later.due = start + kMinute;
  put(later);
  EXPECT_EQ(figures(1).oldest_due, kNever);
  platform().advance(2 * kMinute);
  EXPECT_EQ(figures(1).ready, 1U);
  EXPECT_EQ(figures(1).oldest_due, start + kMinute);
}

}  // namespace
}  // namespace dw::test
