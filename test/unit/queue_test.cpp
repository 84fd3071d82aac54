/* Databases and queues coming and going, with everything in flight. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

class Registry : public ArenaTest {};

TEST_F(Registry, FindsAnAttachedDatabase) {
  EXPECT_EQ(d().find_database(kOid), database_);
  EXPECT_EQ(d().find_database(kOid + 1), kNone);
  EXPECT_EQ(d().attach_database(kOid), database_);
}

TEST_F(Registry, HasRoomForSixtyFourDatabases) {
  for (DatabaseOid oid = 1; oid < kMostDatabases; oid++) EXPECT_NE(d().attach_database(oid), kNone);
  EXPECT_EQ(d().attach_database(kOid + 1), kNone);
  d().detach_database(d().find_database(5));
  EXPECT_NE(d().attach_database(kOid + 1), kNone);
}

TEST_F(Registry, ADetachedDatabaseTakesItsQueuesAndJobsAlong) {
  add_queue(1);
  put_many(1, 1, 10);
  claim(1, 3);
  const Index other = d().attach_database(kOid + 1);
  d().add_queue(other, 1, "same id", QueueOptions{}, QueueState::active, LoadMode::live);
  d().detach_database(database_);
  EXPECT_EQ(d().find_database(kOid), kNone);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
  EXPECT_NE(d().find_queue(other, 1), kNone);
}

TEST_F(Registry, ADatabaseAttachedAgainHasAnotherIncarnation) {
  const std::uint32_t before = d().arena().databases[database_].incarnation;
  d().detach_database(database_);
  const Index again = d().attach_database(kOid);
  EXPECT_NE(d().arena().databases[again].incarnation, before);
  EXPECT_EQ(d().arena().databases[again].state, DatabaseState::attaching);
}

TEST_F(Registry, FindsAQueueByDatabaseAndId) {
  const Index first = add_queue(1);
  const Index other = d().attach_database(kOid + 1);
  const Index second =
      d().add_queue(other, 1, "same id", QueueOptions{}, QueueState::active, LoadMode::live);
  EXPECT_NE(first, second);
  EXPECT_EQ(d().find_queue(database_, 1), first);
  EXPECT_EQ(d().find_queue(other, 1), second);
  EXPECT_EQ(d().find_queue(other, 2), kNone);
}

TEST_F(Registry, AddingAQueueTwiceGivesTheSameSlot) { EXPECT_EQ(add_queue(1), add_queue(1)); }

TEST_F(Registry, HasRoomForAThousandAndTwentyFourQueues) {
  for (QueueId queue = 1; queue <= static_cast<QueueId>(kMostQueues); queue++)
    ASSERT_NE(add_queue(queue), kNone);
  EXPECT_EQ(add_queue(kMostQueues + 1), kNone);
}

TEST_F(Registry, TellsOnceThatTheCatalogIsStale) {
  d().note_catalog_stale(kOid);
  EXPECT_TRUE(d().take_catalog_stale(database_));
  EXPECT_FALSE(d().take_catalog_stale(database_));
  EXPECT_TRUE(platform().housekeeper_was_woken());
  d().note_catalog_stale(kOid + 1);
  EXPECT_FALSE(d().take_catalog_stale(database_));
}

TEST_F(Registry, TellsOnceThatAReloadWasAskedFor) {
  d().request_reload(database_);
  EXPECT_TRUE(d().take_reload(database_));
  EXPECT_FALSE(d().take_reload(database_));
}

TEST_F(Registry, AReloadThatIsAskedForWhileOneIsBegunIsNotForgotten) {
  d().request_reload(database_);
  EXPECT_TRUE(d().take_reload(database_));
  d().request_reload(database_);
  d().reload_begun(database_);
  EXPECT_TRUE(d().take_reload(database_));
  d().reload_begun(database_);
  EXPECT_FALSE(d().take_reload(database_));
}

TEST_F(Registry, CountsAreUnknownFromTheRequestOfAReloadOn) {
  add_queue(1);
  put_many(1, 1, 3);
  EXPECT_TRUE(figures(1).counted);
  d().request_reload(database_);
  EXPECT_FALSE(figures(1).counted);
  d().take_reload(database_);
  EXPECT_FALSE(figures(1).counted);
  d().reload_begun(database_);
  EXPECT_TRUE(figures(1).counted);
}

TEST_F(Registry, ForgetsWaitingJobsAndKeepsThoseThatAreHeld) {
  add_queue(1);
  put_many(1, 1, 100);
  claim(1, 3);
  d().forget_waiting(database_);
  EXPECT_EQ(figures(1).ready, 0U);
  EXPECT_EQ(figures(1).leased, 3U);
  EXPECT_EQ(figures(1).mode, LoadMode::loading);
}

TEST_F(Registry, ADatabaseThatIsOpenIsNotPausedAnyMore) {
  add_queue(1);
  put_many(1, 1, 3);
  d().pause_database(database_);
  EXPECT_EQ(claim(1, 3).size(), 3U);
}

/* Nobody claims and nobody sleeps. */
TEST_F(Registry, FiguresCountEveryJobWhoseTimeHasCome) {
  start(65536);
  add_queue(1);
  std::vector<JobRow> rows;
  for (JobId id = 1; id <= 5000; id++) {
    rows.push_back(row_of(1, id));
    rows.back().due = platform().wall + (id <= 4000 ? kSecond : kMinute);
    if (rows.size() < kEntriesPerHold && id < 5000) continue;
    publish_many(rows, link_many(rows));
    rows.clear();
  }
  EXPECT_EQ(figures(1).ready, 0U);
  EXPECT_EQ(figures(1).delayed, 5000U);
  platform().advance(2 * kSecond);
  const QueueFigures out = figures(1);
  EXPECT_EQ(out.ready, 4000U);
  EXPECT_EQ(out.delayed, 1000U);
  EXPECT_EQ(out.oldest_due, platform().wall - kSecond);
}

TEST_F(Registry, FiguresThatFindJobsDueWakeOnlyThoseWhoWait) {
  start(16384);
  add_queue(1);
  const QueueRef queue = ref_of(1);
  for (Index waiter = 0; waiter < 3; waiter++) d().wait_begin(waiter, &queue, 1);
  std::vector<JobRow> rows;
  for (JobId id = 1; id <= 1024; id++) {
    rows.push_back(row_of(1, id));
    rows.back().due = platform().wall + kSecond;
  }
  publish_many(rows, link_many(rows));
  EXPECT_TRUE(platform().take_woken().empty());
  platform().advance(2 * kSecond);
  EXPECT_EQ(figures(1).ready, 1024U);
  EXPECT_EQ(platform().take_woken(), (std::vector<Index>{0, 1, 2}));
  figures(1);
  EXPECT_TRUE(platform().take_woken().empty());
}

TEST_F(Registry, CutsAQueueNameThatIsTooLong) {
  const std::string name(500, 'q');
  const Index queue =
      d().add_queue(database_, 1, name, QueueOptions{}, QueueState::active, LoadMode::live);
  EXPECT_EQ(std::string(slot(queue).name), std::string(kQueueNameSize - 1, 'q'));
}

class Removal : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
    gone_ = ref(queue_);
  }
  Index queue_ = kNone;
  QueueRef gone_{};
};

TEST_F(Removal, FreesJobsInEveryState) {
  put_many(1, 1, 20);
  link(row_of(1, 21)); /* pending */
  JobRow later = row_of(1, 22);
  later.due = platform().wall + kSecond;
  put(later); /* delayed */
  const std::vector<ClaimedJob> jobs = claim(1, 5);
  Decided decided{};
  d().begin_decision(database_, jobs[0].id, jobs[0].token, &decided); /* completing */
  d().begin_cancel(database_, jobs[1].id, 0, &decided);
  d().commit_decision(decided.ref, decided.token, Decision::cancel_held, OutcomeKind::cancelled,
                      0);                       /* cancelled */
  d().begin_cancel(database_, 20, 0, &decided); /* completing without a worker */
  EntryRef busy{};
  d().add_placeholder(database_, 1, 99, &busy);
  slot(queue_).chunk_active = 1;
  decide(jobs[2], Decision::finish); /* tombstone */
  entry(jobs[3].ref).state = EntryState::expiring;

  d().remove_queue(gone_);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
  EXPECT_EQ(d().find_queue(database_, 1), kNone);
  EXPECT_FALSE(d().queue_matches(gone_));
}

TEST_F(Removal, MakesEveryLateCallHarmless) {
  put_many(1, 1, 10);
  const JobRow pending_row = row_of(1, 11);
  const EntryRef pending = link(pending_row);
  const std::vector<ClaimedJob> jobs = claim(1, 4);
  Decided completing{};
  d().begin_decision(database_, jobs[0].id, jobs[0].token, &completing);
  EntryRef busy{};
  d().add_placeholder(database_, 1, 99, &busy);
  d().remove_queue(gone_);

  /* Another queue takes slot and entries. */
  ASSERT_EQ(add_queue(2), queue_);
  put_many(2, 101, 164);
  EXPECT_EQ(figures(2).ready, 64U);

  const JobRow* pointer = &pending_row;
  d().publish(database_, 1, gone_, &pointer, &pending, 1);
  d().unlink_pending(gone_, &pending, 1);
  d().commit_decision(completing.ref, completing.token, Decision::finish, OutcomeKind::completed,
                      0);
  d().abort_decision(completing.ref, completing.token, completing.before);
  d().refund_claim(jobs[1].ref, jobs[1].token);
  d().roll_back_claim(jobs[2].ref, jobs[2].token);
  d().quarantine(jobs[3].ref, jobs[3].token);
  d().drop_placeholder(busy);
  d().activate_queue(gone_);
  ClaimedJob out{};
  EXPECT_EQ(d().claim(gone_, worker(), 0, &out, 1), 0U);
  EntryRef refused{};
  d().link_pending(gone_, &pointer, &refused, 1);
  EXPECT_EQ(refused.entry, kNone);
  EXPECT_FALSE(d().fill_placeholder(busy, pending_row, true, &completing));
  d().remove_queue(gone_);

  EXPECT_EQ(figures(2).ready, 64U);
  EXPECT_EQ(figures(2).resident, 64U);
}

TEST_F(Removal, LeavesWorkersWithoutTheLeases) {
  put_many(1, 1, 10);
  claim(1, 10);
  d().remove_queue(gone_);
  EntryRef out{};
  EXPECT_EQ(d().worker_leases(d().find_worker(database_, "worker", 0), &out, 1), 0U);
}

TEST_F(Removal, LeavesTheOtherQueuesAlone) {
  add_queue(2);
  put_many(1, 1, 10);
  put_many(2, 1, 10);
  d().remove_queue(gone_);
  EXPECT_EQ(claim_ids(2, 20).size(), 10U);
}

TEST_F(Removal, OfALargeQueueGoesInChunks) {
  start(5000);
  queue_ = add_queue(1);
  for (JobId id = 1; id <= 4096; id += 1024) put_many(1, id, id + 1023);
  std::uint32_t most = 0;
  std::uint32_t before = figures(1).resident;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_) return;
    most = std::max(most, before - slot(queue_).resident);
    before = slot(queue_).resident;
  };
  d().remove_queue(ref(queue_));
  EXPECT_LE(most, kEntriesPerHold);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
}

/* While a removal frees entries in chunks, others go on and must not leave anything behind in the
 * slot. */
TEST_F(Removal, LetsNobodyPutAnythingIntoTheQueueMeanwhile) {
  start(5000);
  queue_ = add_queue(1);
  for (JobId id = 1; id <= 4096; id += 1024) put_many(1, id, id + 1023);
  JobId next = 10000;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_ || slot(queue_).state == QueueState::free) return;
    const QueueRef now = ref(queue_);
    const JobRow row = row_of(1, next++);
    const JobRow* pointer = &row;
    EntryRef reference{};
    d().link_pending(now, &pointer, &reference, 1);
    EXPECT_EQ(reference.entry, kNone) << "linked into a queue that is going";
    EXPECT_NE(d().add_placeholder(database_, 1, next++, &reference), Verdict::ok);
    ClaimedJob job{};
    EXPECT_EQ(d().claim(now, worker(), 0, &job, 1), 0U) << "claimed from a queue that is going";
  };
  d().remove_queue(ref(queue_));
  platform().on_unlocked = nullptr;
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
}

/* Found by the simulation: the decision was accepted, for queue 0. */
TEST_F(Removal, DecidesNothingOfAQueueThatIsGoing) {
  put(row_of(1, 1));
  put(row_of(1, 2));
  const ClaimedJob leased = claim_one(1);
  int looked = 0;
  platform().on_unlocked = [&](std::uint32_t) {
    if (slot(queue_).id != 0 || entry(leased.ref).state == EntryState::free) return;
    looked++;
    Decided decided{};
    EXPECT_EQ(d().begin_decision(database_, 1, leased.token, &decided), Verdict::not_resident);
    EXPECT_EQ(d().begin_cancel(database_, 2, 0, &decided), Verdict::not_resident);
    Verdict extended = Verdict::ok;
    d().extend(database_, 1, leased.token, kSecond, &extended);
    EXPECT_EQ(extended, Verdict::not_resident);
  };
  d().remove_queue(ref(queue_));
  platform().on_unlocked = nullptr;
  EXPECT_GT(looked, 0);
}

TEST_F(Removal, OfAQueueWhoseCreationIsNotCommittedFreesIt) {
  const Index creating =
      d().add_queue(database_, 5, "creating", QueueOptions{}, QueueState::creating, LoadMode::live);
  const QueueRef reference = ref(creating);
  d().remove_queue(reference);
  EXPECT_EQ(d().find_queue(database_, 5), kNone);
  d().activate_queue(reference);
  EXPECT_EQ(slot(creating).state, QueueState::free);
}

TEST_F(Removal, ClearsDirtyPagesAndCounters) {
  slot(queue_).mode = LoadMode::loading;
  put(row_of(1, 1));
  d().remove_queue(gone_);
  ASSERT_EQ(add_queue(2), queue_);
  EXPECT_TRUE(slot(queue_).dirty.empty());
  EXPECT_EQ(figures(2).counters.enqueued, 0U);
  EXPECT_EQ(slot(queue_).chunk_active, 0);
}

}  // namespace
}  // namespace dw::test
