#include "log_fixture.hpp"

#include "core/census.hpp"
#include "core/prepared_scan.hpp"
#include "core/watch.hpp"

#include <gtest/gtest.h>

#include <set>

namespace dw::test {

namespace {

/* A session whose transaction is prepared: rows in the log, intents in the list, then a watch. */
class Session {
 public:
  Session(Dispatcher* d, FakeLog* log, Index database)
      : transaction_(d), log_(log), xid_(log->begin()) {
    transaction_.set_database(database, d->arena().databases[database].oid);
    transaction_.reserve(64);
  }

  Transaction& transaction() { return transaction_; }
  [[nodiscard]] Xid xid() const { return xid_; }

  JobRow enqueue(Dispatcher& d, Index queue, JobId id, bool has_room = false) {
    JobRow row = row_of(d.arena().queues[queue].id, id);
    row.has_room = has_room;
    log_->insert_job(xid_, 2, row.queue, &row);
    transaction_.note_enqueue(1, d.queue_ref(queue), row);
    return row;
  }
  void write(std::size_t action, const Decided& decided, OutcomeKind kind, Decision decision,
             std::int32_t attempt = 0, Micros due = 0) {
    for (const std::uint32_t block :
         log_->insert_outcome(xid_, 2, decided.segment, kind, 1, decided.queue_id,
                              {OutcomeMember{decided.id, decided.token, attempt, due}}))
      transaction_.note_outcome_row(action, decided.segment, block);
    transaction_.settle(action, decision, kind, due);
  }
  Verdict complete(const ClaimedJob& job) {
    Decided decided{};
    std::size_t action = 0;
    const Verdict verdict = transaction_.begin_decision(1, job.id, job.token, &decided, &action);
    if (verdict == Verdict::ok) write(action, decided, OutcomeKind::completed, Decision::finish);
    return verdict;
  }
  Verdict cancel(JobId id) {
    Decided decided{};
    std::size_t action = 0;
    const Verdict verdict = transaction_.begin_cancel(1, id, 1, &decided, &action);
    if (verdict == Verdict::ok) write(action, decided, OutcomeKind::cancelled, Decision::finish);
    return verdict;
  }
  Preparation prepare() {
    QueueId gone = 0;
    const Preparation answer = transaction_.prepare(xid_, &gone);
    if (answer != Preparation::ready) return answer;
    log_->prepare(xid_);
    transaction_.prepared();
    return answer;
  }

 private:
  Transaction transaction_;
  FakeLog* log_;
  Xid xid_;
};

}  // namespace

class WatchTest : public LogTest {
 protected:
  void SetUp() override {
    LogTest::SetUp();
    make_keeper();
  }
  void make_keeper() {
    keeper_ = std::make_unique<WatchKeeper>(&d(), database_, &store());
    census_ = std::make_unique<Census>(&d(), database_, &store());
    const Loader::QueueTopic topic{1, 1};
    census_->set_queues(&topic, 1);
  }
  Session begin_session() { return Session(&d(), &log(), database_); }
  /* Memory is lost; as the housekeeper does it, prepared transactions come first. */
  void crash() {
    restart();
    scan();
    make_keeper();
  }
  void scan() {
    PreparedScan found(&d(), database_, &store());
    const Loader::QueueTopic topic{1, 1};
    found.set_queues(&topic, 1);
    found.run();
  }
  void follow() {
    keeper_->step();
    load();
  }
  std::int64_t unfinished() {
    d().raise_job_ids(database_, 1000);
    while (census_->step(kMinute)) {
    }
    std::int64_t n = 0;
    EXPECT_TRUE(d().length_of(queue_index(1), &n));
    EXPECT_EQ(n, counted_in_log());
    return n;
  }
  std::int64_t counted_in_log() {
    std::size_t n = 0;
    for (std::uint8_t segment = 0; segment < kStores; segment++)
      n += log().unfinished(log().snapshot(), 1, segment).size();
    return static_cast<std::int64_t>(n);
  }
  Index queue_index(QueueId id) { return d().find_queue(database_, id); }
  Queue& queue() { return d().arena().queues[queue_index(1)]; }

  std::unique_ptr<WatchKeeper> keeper_;
  std::unique_ptr<Census> census_;
};

TEST_F(WatchTest, WhatAPreparedTransactionEnqueuedIsHandedOutAfterItsCommit) {
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 7);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  EXPECT_FALSE(session.transaction().has_work());
  follow();
  EXPECT_EQ(claim(1, 10).size(), 0U);
  log().commit(session.xid());
  EXPECT_EQ(claim(1, 10).size(), 0U);
  follow();
  EXPECT_EQ(claim(1, 10).size(), 1U);
  EXPECT_EQ(d().arena().watch_count.load(), 0U);
  EXPECT_EQ(unfinished(), 1);
}

TEST_F(WatchTest, TellsWhichPreparedTransactionsDecideJobsOfAQueue) {
  const QueueRef ref{queue_index(1), queue().incarnation};
  TransactionNumber found[2] = {};
  std::uint32_t jobs = 9;
  EXPECT_EQ(d().prepared_deciders(ref, found, 2, &jobs), 0U);
  EXPECT_EQ(jobs, 0U);
  for (JobId id = 1; id <= 4; id++) enqueue(id);
  Session first = begin_session();
  ASSERT_EQ(first.complete(claim_one(1)), Verdict::ok);
  ASSERT_EQ(first.cancel(2), Verdict::ok);
  EXPECT_EQ(d().prepared_deciders(ref, found, 2, &jobs), 0U) << "it is open, not prepared";
  ASSERT_EQ(first.prepare(), Preparation::ready);
  Session second = begin_session();
  ASSERT_EQ(second.cancel(3), Verdict::ok);
  ASSERT_EQ(second.prepare(), Preparation::ready);
  EXPECT_EQ(d().prepared_deciders(ref, found, 2, &jobs), 2U);
  EXPECT_EQ(jobs, 3U);
  EXPECT_EQ(std::set<TransactionNumber>(found, found + 2),
            (std::set<TransactionNumber>{first.xid(), second.xid()}));
  EXPECT_EQ(d().prepared_deciders(ref, found, 1, &jobs), 2U) << "as many as there is room for";
  crash();
  const QueueRef anew{queue_index(1), queue().incarnation};
  EXPECT_EQ(d().prepared_deciders(anew, found, 2, &jobs), 2U) << "those found in the log too";
  EXPECT_EQ(jobs, 3U);
  log().commit(first.xid());
  log().abort(second.xid());
  follow();
  EXPECT_EQ(d().prepared_deciders(anew, found, 2, &jobs), 0U);
}

TEST_F(WatchTest, WhatAPreparedTransactionEnqueuedIsNeverSeenAfterItsRollback) {
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 7);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  log().abort(session.xid());
  follow();
  EXPECT_EQ(claim(1, 10).size(), 0U);
  EXPECT_EQ(d().arena().free_held_count, d().arena().held_capacity);
  EXPECT_EQ(unfinished(), 0);
}

TEST_F(WatchTest, APreparedCompletionKeepsTheJobFromOthersPastItsDeadline) {
  enqueue(7);
  const ClaimedJob job = claim_one(1);
  Session session = begin_session();
  ASSERT_EQ(session.complete(job), Verdict::ok);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  platform().advance(10 * kMinute);
  follow();
  sweep();
  EXPECT_EQ(state_of(7), EntryState::completing);
  EXPECT_EQ(complete(job), Verdict::in_doubt);
  log().commit(session.xid());
  sweep();
  EXPECT_EQ(claim(1).size(), 0U);
  follow();
  EXPECT_EQ(state_of(7), EntryState::free);
  EXPECT_TRUE(logged(7).finished);
  EXPECT_EQ(unfinished(), 0);
}

TEST_F(WatchTest, ARolledBackCompletionGivesTheLeaseBack) {
  enqueue(7);
  const ClaimedJob job = claim_one(1);
  Session session = begin_session();
  ASSERT_EQ(session.complete(job), Verdict::ok);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  log().abort(session.xid());
  follow();
  EXPECT_EQ(state_of(7), EntryState::leased);
  EXPECT_EQ(complete(job), Verdict::ok);
  EXPECT_EQ(unfinished(), 0);
}

TEST_F(WatchTest, AfterACrashAPreparedCompletionKeepsTheJobFromBeingLoaded) {
  enqueue(7);
  enqueue(8);
  Session session = begin_session();
  ASSERT_EQ(session.complete(claim_one(1)), Verdict::ok);
  session.enqueue(d(), queue_index(1), 9);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  crash();
  load();
  EXPECT_EQ(claim_ids(1, 10), std::vector<JobId>{8});
  EXPECT_EQ(state_of(7), EntryState::completing);
  EXPECT_EQ(begin_session().cancel(7), Verdict::in_doubt);
  EXPECT_EQ(unfinished(), 2);
  log().commit(session.xid());
  EXPECT_FALSE(d().take_redrives_changed(database_));
  follow();
  EXPECT_TRUE(d().take_redrives_changed(database_)) << "a redrive at a rate may be among its rows";
  EXPECT_EQ(claim_ids(1, 10), std::vector<JobId>{9});
  EXPECT_EQ(state_of(7), EntryState::free);
  EXPECT_EQ(unfinished(), 2);
}

TEST_F(WatchTest, AfterACrashARolledBackCompletionLetsTheJobBeLoaded) {
  enqueue(7);
  Session session = begin_session();
  ASSERT_EQ(session.complete(claim_one(1)), Verdict::ok);
  session.enqueue(d(), queue_index(1), 9);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  crash();
  load();
  EXPECT_EQ(claim(1, 10).size(), 0U);
  log().abort(session.xid());
  follow();
  EXPECT_EQ(claim_ids(1, 10), std::vector<JobId>{7});
  EXPECT_EQ(d().arena().watch_count.load(), 0U);
  EXPECT_EQ(unfinished(), 1);
}

TEST_F(WatchTest, OneThatEndsWhileItIsLookedForIsFinishedAllTheSame) {
  for (const bool committed : {true, false}) {
    const JobId id = committed ? 7 : 17;
    enqueue(id);
    Session session = begin_session();
    ASSERT_EQ(session.complete(claim_one(1)), Verdict::ok);
    session.enqueue(d(), queue_index(1), id + 1);
    ASSERT_EQ(session.prepare(), Preparation::ready);
    restart();
    make_keeper();
    /* Between the outcomes and the jobs. */
    store().on_call = [this, &session, committed](FakeStore::Call call) {
      if (call != FakeStore::Call::scan_jobs || !log().in_progress(session.xid())) return;
      if (committed)
        log().commit(session.xid());
      else
        log().abort(session.xid());
    };
    scan();
    store().on_call = nullptr;
    load();
    follow();
    EXPECT_EQ(claim_ids(1, 10), std::vector<JobId>{committed ? id + 1 : id});
    EXPECT_EQ(complete(claim(1).empty() ? ClaimedJob{} : claim_one(1)), Verdict::not_resident);
    begin(64, LoadMode::live);
    make_keeper();
  }
}

TEST_F(WatchTest, AHousekeeperThatTakesOverFollowsTheWatches) {
  enqueue(7);
  Session session = begin_session();
  ASSERT_EQ(session.complete(claim_one(1)), Verdict::ok);
  session.enqueue(d(), queue_index(1), 9);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  loader().reset();
  make_keeper();
  load();
  EXPECT_EQ(claim(1, 10).size(), 0U);
  log().commit(session.xid());
  follow();
  EXPECT_EQ(claim_ids(1, 10), std::vector<JobId>{9});
}

TEST_F(WatchTest, AScanThatFailedLeavesNothingBehindAndIsRepeated) {
  enqueue(7);
  Session session = begin_session();
  ASSERT_EQ(session.complete(claim_one(1)), Verdict::ok);
  session.enqueue(d(), queue_index(1), 9);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  restart();
  make_keeper();
  store().on_call = [](FakeStore::Call call) {
    if (call == FakeStore::Call::before_commit) throw StoreError();
  };
  EXPECT_THROW(scan(), StoreError);
  store().on_call = nullptr;
  store().abort();
  scan();
  EXPECT_EQ(d().arena().watch_count.load(), 1U);
  EXPECT_EQ(queue().resident, 1U);
  EXPECT_EQ(queue().length.reserved, 1);
  log().commit(session.xid());
  load();
  follow();
  EXPECT_EQ(claim_ids(1, 10), std::vector<JobId>{9});
  EXPECT_EQ(queue().length.reserved, 0);
}

/* Between looking the queue up and locking it, its slot can become another's. */
TEST_F(WatchTest, AQueueThatIsDroppedDuringTheScanLeavesNothingInItsSuccessor) {
  enqueue(7);
  Session session = begin_session();
  ASSERT_EQ(session.complete(claim_one(1)), Verdict::ok);
  session.enqueue(d(), queue_index(1), 9);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  for (int at = 1; at <= 2; at++) {
    restart();
    make_keeper();
    const Index slot = queue_index(1);
    int locks = 0;
    platform().on_locking = [&](std::uint32_t lock) {
      if (lock != kFirstQueueLock + slot || ++locks != at) return;
      d().remove_queue(ref_of(1));
      EXPECT_EQ(add_queue(2), slot);
    };
    scan();
    platform().on_locking = nullptr;
    EXPECT_GE(locks, at);
    const Queue& successor = d().arena().queues[slot];
    EXPECT_EQ(successor.resident, 0U) << at;
    EXPECT_EQ(successor.length.reserved, 0) << at;
  }
}

TEST_F(WatchTest, RoomIsKeptAcrossPrepareAndCrashAndGivenBack) {
  QueueOptions options;
  options.max_length = 3;
  begin(64, LoadMode::live, options);
  make_keeper();
  Session session = begin_session();
  RoomFigures room{};
  std::size_t action = 0;
  ASSERT_EQ(session.transaction().reserve_room(1, ref_of(1), 3, &room, &action), Room::granted);
  session.transaction().use_room(action);
  session.enqueue(d(), queue_index(1), 7, true);
  session.enqueue(d(), queue_index(1), 8, true);
  session.enqueue(d(), queue_index(1), 9, true);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  EXPECT_EQ(d().reserve_room(ref_of(1), 1, &room), Room::full);
  crash();
  EXPECT_EQ(unfinished(), 0);
  EXPECT_EQ(d().reserve_room(ref_of(1), 1, &room), Room::full);
  log().commit(session.xid());
  follow();
  EXPECT_EQ(unfinished(), 3);
  EXPECT_EQ(queue().length.reserved, 0);
  EXPECT_EQ(d().reserve_room(ref_of(1), 1, &room), Room::full);
}

TEST_F(WatchTest, JobsOnBothSidesOfTheBoundaryOfACensusAreCountedOnce) {
  crash();
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 900);
  d().raise_job_ids(database_, 950);
  EXPECT_EQ(unfinished(), 0);
  session.enqueue(d(), queue_index(1), 1001);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  log().commit(session.xid());
  d().raise_job_ids(database_, 1001);
  follow();
  EXPECT_EQ(unfinished(), 2);
}

TEST_F(WatchTest, ClaimsAndWhatHasNoRowAreRefused) {
  enqueue(7);
  {
    Session session = begin_session();
    const std::vector<ClaimedJob> jobs = claim(1);
    session.transaction().note_claims(1, jobs.data(), 1);
    EXPECT_EQ(session.prepare(), Preparation::has_claims);
    session.transaction().delivered(0);
    session.transaction().abort();
  }
  enqueue(8);
  Session session = begin_session();
  Decided decided{};
  std::size_t action = 0;
  ASSERT_EQ(session.transaction().begin_change(1, 8, 1, false, &decided, &action), Verdict::ok);
  EXPECT_EQ(session.prepare(), Preparation::holds_back);
  session.transaction().abort();
  EXPECT_EQ(state_of(8), EntryState::ready);
  EXPECT_EQ(d().arena().watch_count.load(), 0U);
}

TEST_F(WatchTest, ATransactionThatFailsAfterItWasToBePreparedUndoesEverything) {
  enqueue(7);
  const ClaimedJob job = claim_one(1);
  Session session = begin_session();
  ASSERT_EQ(session.complete(job), Verdict::ok);
  QueueId gone = 0;
  ASSERT_EQ(session.transaction().prepare(session.xid(), &gone), Preparation::ready);
  log().abort(session.xid());
  session.transaction().abort();
  EXPECT_EQ(state_of(7), EntryState::leased);
  EXPECT_EQ(d().arena().watch_count.load(), 0U);
  EXPECT_EQ(d().arena().free_held_count, d().arena().held_capacity);
}

TEST_F(WatchTest, AJobChangedTwiceIsDecidedOnceByTheLastThatWrote) {
  const Micros due = platform().wall + kMinute;
  for (const bool committed : {true, false}) {
    const JobId id = committed ? 7 : 8;
    enqueue(id, 1, due);
    Session session = begin_session();
    Transaction& transaction = session.transaction();
    Decided decided{};
    std::size_t action = 0;
    ASSERT_EQ(transaction.begin_change(1, id, 1, true, &decided, &action), Verdict::ok);
    session.write(action, decided, OutcomeKind::rescheduled, Decision::reschedule, 0, due + 1);
    ASSERT_EQ(transaction.begin_change(1, id, 1, true, &decided, &action), Verdict::ok);
    session.write(action, decided, OutcomeKind::rescheduled, Decision::reschedule, 0, due + 2);
    /* Only held back: what was written stands. */
    ASSERT_EQ(transaction.begin_change(1, id, 1, true, &decided, &action), Verdict::ok);
    ASSERT_EQ(session.prepare(), Preparation::ready);
    EXPECT_EQ(state_of(id), EntryState::completing);
    if (committed)
      log().commit(session.xid());
    else
      log().abort(session.xid());
    follow();
    ResidentRow row{};
    ASSERT_TRUE(d().see_job(database_, 1, id, &row));
    EXPECT_EQ(row.state, EntryState::delayed);
    EXPECT_EQ(row.due, committed ? due + 2 : due);
  }
}

TEST_F(WatchTest, ASegmentIsWatchedUntilTheHousekeeperHasSeenTheEnd) {
  EXPECT_FALSE(d().is_watched(database_, 0));
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 7);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  EXPECT_TRUE(d().is_watched(database_, 0));
  EXPECT_FALSE(d().is_watched(database_, 1));
  log().commit(session.xid());
  EXPECT_TRUE(d().is_watched(database_, 0));
  follow();
  EXPECT_FALSE(d().is_watched(database_, 0));
}

TEST_F(WatchTest, AQueueIsNotTakenForCompleteWhileTheHousekeeperHasNotSeenTheEnd) {
  load();
  std::uint64_t given_up = 0;
  ASSERT_TRUE(d().keeps_all(ref_of(1), &given_up));
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 7);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  log().commit(session.xid());
  EXPECT_FALSE(d().keeps_all(ref_of(1), &given_up));
  follow();
  EXPECT_TRUE(d().keeps_all(ref_of(1), &given_up));
}

TEST_F(WatchTest, ThereIsNoRoomForMoreThanTheArenaWasMadeFor) {
  std::vector<Session> sessions;
  for (JobId id = 1; id <= 4; id++) {
    sessions.push_back(begin_session());
    sessions.back().enqueue(d(), queue_index(1), id);
    ASSERT_EQ(sessions.back().prepare(), Preparation::ready);
  }
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 5);
  EXPECT_EQ(session.prepare(), Preparation::no_room);
  log().abort(sessions.front().xid());
  follow();
  EXPECT_EQ(session.prepare(), Preparation::ready);
}

TEST_F(WatchTest, ADatabaseThatIsDetachedTakesItsWatchesAlong) {
  Session session = begin_session();
  session.enqueue(d(), queue_index(1), 7);
  ASSERT_EQ(session.prepare(), Preparation::ready);
  Session late = begin_session();
  late.enqueue(d(), queue_index(1), 8);
  QueueId gone = 0;
  ASSERT_EQ(late.transaction().prepare(late.xid(), &gone), Preparation::ready);
  d().detach_database(database_);
  late.transaction().prepared();
  EXPECT_EQ(d().arena().watch_count.load(), 0U);
  EXPECT_EQ(d().arena().free_held_count, d().arena().held_capacity);
}

}  // namespace dw::test
