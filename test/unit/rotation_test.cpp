/* When the segments of the log are begun, checked, cleared of their last jobs, and emptied. */
#include "client.hpp"
#include "load_fixture.hpp"

#include "core/rotation.hpp"

namespace dw::test {
namespace {

constexpr std::uint32_t kSequence = 16400;
constexpr std::uint32_t kMover = 9; /* its writer number */

/* The tables of the segments: what the rotation did with them, and what keeps it from doing so. */
class FakeSegments : public SegmentLog {
 public:
  FakeSegments(FakeLog* log, Dispatcher* dispatcher, Index database, DatabaseOid oid)
      : log_(log), dispatcher_(dispatcher), database_(database), oid_(oid) {}

  std::uint64_t bytes = 0; /* of each segment */
  Micros opened_at = 0;
  JobId next_id = 1;
  std::int32_t writer = 0; /* the process that writes to the segments that were left; 0: none */
  std::int32_t snapshot = 0;
  std::int32_t locker = 0;
  int checks_of_snapshots = 0;
  std::vector<std::uint8_t> emptied;
  std::function<void()> in_the_middle_of_begin;

  std::int32_t topics = 1; /* that were made */
  std::int32_t last_topic() override { return topics; }
  SegmentFacts facts(std::uint8_t segment) override {
    return {static_cast<std::uint32_t>(log_->job_pages(segment).size()), bytes, opened_at};
  }
  JobId begin(std::uint8_t segment, std::uint32_t ahead) override {
    if (!log_->job_pages(segment).empty()) return 0;
    const JobId first = next_id + JobId{ahead} * 64;
    if (in_the_middle_of_begin) in_the_middle_of_begin();
    return first;
  }
  void skip_ids(JobId first) override { next_id = first; }
  bool make_quiet(std::uint8_t segment, std::int32_t* pid) override {
    *pid = writer;
    if (writer != 0) return false;
    dispatcher_->make_quiet(database_, segment);
    return true;
  }
  std::uint64_t now_in_transactions() override { return log_->snapshot(); }
  bool all_snapshots_behind(std::uint64_t, std::int32_t* pid) override {
    checks_of_snapshots++;
    *pid = snapshot;
    return snapshot == 0;
  }
  bool empty(std::uint8_t segment, std::int32_t* pid) override {
    *pid = locker;
    if (locker != 0) return false;
    log_->truncate(segment);
    emptied.push_back(segment);
    dispatcher_->empty_segment(database_, segment);
    return true;
  }
  void relocate(std::uint8_t segment, const Straggler* jobs, std::size_t n,
                Relocation* results) override {
    Client mover(log_, dispatcher_, database_, oid_, kMover);
    for (std::size_t i = 0; i < n; i++) results[i] = relocate_one(mover, segment, jobs[i]);
    mover.commit();
  }

 private:
  static Relocation relocate_one(Client& mover, std::uint8_t, const Straggler& job) {
    const auto as_it_was = [](JobRow&) {};
    switch (mover.change(job.id, as_it_was, false, OutcomeKind::relocated)) {
      case Verdict::ok:
        return Relocation::moved;
      case Verdict::not_resident:
        break;
      default:
        return Relocation::held;
    }
    if (mover.take_from_disk(job.id, job.queue) != Verdict::ok) return Relocation::finished;
    mover.put_row(as_it_was, OutcomeKind::relocated);
    return Relocation::moved;
  }

  FakeLog* log_;
  Dispatcher* dispatcher_;
  Index database_;
  DatabaseOid oid_;
};

class RotationTest : public Load {
 protected:
  static constexpr Micros kRetention = kMinute;

  void SetUp() override {
    Load::SetUp();
    d().begin_log(database_);
    segments_ = std::make_unique<FakeSegments>(&log(), &d(), database_, kOid);
    segments_->opened_at = platform().wall;
    make_rotation();
  }
  void make_rotation() {
    rotation_ = std::make_unique<Rotation>(&d(), database_, &store(), segments_.get(), &loader());
    rotation_->set({3600 * kSecond, 1 << 20, kMinute});
    const QueueKeep keep{1, 1, kRetention};
    rotation_->set_queues(&keep, 1);
  }
  FakeSegments& segments() { return *segments_; }
  Rotation& rotation() { return *rotation_; }
  std::uint8_t current() { return d().arena().databases[database_].current_segment.load(); }
  SegmentState state(std::uint8_t segment) {
    return d().arena().databases[database_].segment_state[segment].load();
  }
  Hold hold(std::uint8_t segment) { return d().see_hold(database_, segment).reason; }

  /* Steps until nothing is to be done at once, as the housekeeper does when its time has come. */
  void turn(bool counting = false) {
    load();
    while (rotation().step(kMinute, counting)) {
    }
  }
  /* Lets time pass, and the rotation look now and then. */
  void let_pass(Micros time, bool counting = false) {
    for (Micros passed = 0; passed < time; passed += 5 * kSecond) {
      platform().advance(5 * kSecond);
      turn(counting);
    }
  }
  /* The log goes on to the next segment. */
  void follow() {
    const std::uint8_t before = current();
    segments().bytes = 2 << 20;
    platform().advance(10 * kSecond);
    turn();
    segments().bytes = 0;
    segments().opened_at = platform().wall;
    ASSERT_NE(current(), before);
  }
  /* Jobs in the current segment. */
  void enqueue_jobs(int n) {
    for (int i = 0; i < n; i++) {
      JobRow row = row_of(1, segments().next_id++);
      row.segment = current();
      const Xid xid = log().begin();
      log().insert_job(xid, kClient, 1, &row);
      const EntryRef reference = link(row);
      log().commit(xid);
      publish(row, reference);
      last_ = row.id;
    }
  }
  void complete_jobs(int n) {
    for (int i = 0; i < n; i++) ASSERT_EQ(complete(claim_one(1)), Verdict::ok);
  }
  JobId last_ = 0;

 private:
  std::unique_ptr<FakeSegments> segments_;
  std::unique_ptr<Rotation> rotation_;
};

TEST_F(RotationTest, AFullSegmentIsFollowedByTheNext) {
  enqueue_jobs(3);
  turn();
  EXPECT_EQ(current(), 0) << "neither old nor large";
  follow();
  EXPECT_EQ(current(), 1);
  EXPECT_GT(segments().next_id, 1000) << "ids go on at those of the new segment";
  EXPECT_EQ(d().segment_of(database_, segments().next_id), 1);
}

TEST_F(RotationTest, AnOldSegmentIsFollowedByTheNextUnlessNothingIsInIt) {
  segments().opened_at = platform().wall - 7200 * kSecond;
  turn();
  EXPECT_EQ(current(), 0);
  enqueue_jobs(1);
  let_pass(10 * kSecond);
  EXPECT_EQ(current(), 1);
}

TEST_F(RotationTest, IdsThatAreGivenWhileASegmentIsAnnouncedStayBelowItsFirst) {
  enqueue_jobs(1);
  ASSERT_TRUE(d().open_job_ids(database_, kSequence, 64, 1));
  int overtaken = 0;
  segments().in_the_middle_of_begin = [this, &overtaken] {
    /* Others draw more ids than there are up to the new segment, once. */
    if (overtaken++ == 0) {
      segments().next_id += 64 * 64;
      ASSERT_TRUE(d().open_job_ids(database_, kSequence, segments().next_id, 1));
    }
  };
  segments().bytes = 2 << 20;
  platform().advance(10 * kSecond);
  turn();
  EXPECT_EQ(overtaken, 2) << "announced again, with more distance";
  ASSERT_EQ(current(), 1);
  EXPECT_EQ(d().segment_of(database_, 64 * 64 + 2), 0);
}

TEST_F(RotationTest, ADrainedSegmentIsEmptiedWhenItsRetentionIsOver) {
  enqueue_jobs(3);
  complete_jobs(3);
  follow();
  turn();
  EXPECT_EQ(state(0), SegmentState::quiet);
  EXPECT_EQ(hold(0), Hold::retention);
  let_pass(kRetention / 2);
  EXPECT_TRUE(segments().emptied.empty());
  let_pass(kRetention);
  EXPECT_EQ(segments().emptied, std::vector<std::uint8_t>{0});
  EXPECT_EQ(state(0), SegmentState::empty);
}

TEST_F(RotationTest, ASegmentThatSomebodyWritesToStaysOpen) {
  enqueue_jobs(1);
  complete_jobs(1);
  segments().writer = 4711;
  follow();
  let_pass(2 * kRetention);
  EXPECT_EQ(state(0), SegmentState::open);
  EXPECT_EQ(hold(0), Hold::writers);
  EXPECT_EQ(d().see_hold(database_, 0).pid, 4711);
  segments().writer = 0;
  let_pass(2 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, FewUnfinishedJobsAreMovedAndGoOnThere) {
  enqueue_jobs(5);
  complete_jobs(2);
  follow();
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied, std::vector<std::uint8_t>{0});
  std::vector<JobId> left = drain();
  EXPECT_EQ(left, range(3, 5)) << "in their order";
}

TEST_F(RotationTest, AMovedJobSurvivesTheLossOfMemory) {
  enqueue_jobs(4);
  complete_jobs(1);
  follow();
  let_pass(3 * kRetention);
  ASSERT_EQ(segments().emptied.size(), 1U);
  restart();
  EXPECT_EQ(drain(), range(2, 4));
}

TEST_F(RotationTest, ALeasedJobHoldsItsSegmentUntilItEnds) {
  enqueue_jobs(2);
  const ClaimedJob job = claim_one(1);
  complete_jobs(1);
  follow();
  let_pass(3 * kRetention);
  EXPECT_TRUE(segments().emptied.empty());
  EXPECT_EQ(hold(0), Hold::stragglers);
  EXPECT_EQ(d().see_hold(database_, 0).job, job.id);
  ASSERT_EQ(complete(job), Verdict::ok);
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

/* COMMIT PREPARED has let its locks go, and the housekeeper does not know yet what it wrote. */
TEST_F(RotationTest, APreparedTransactionHoldsItsSegmentUntilItsEndIsSeen) {
  enqueue_jobs(1);
  complete_jobs(1);
  const Index index = d().reserve_watch(database_, 77, 0);
  ASSERT_NE(index, kNone);
  d().arena().watches[index].job_pages.add(0, 0, 0);
  d().activate_watch(index);
  follow();
  let_pass(3 * kRetention);
  EXPECT_EQ(state(0), SegmentState::quiet);
  EXPECT_EQ(hold(0), Hold::prepared);
  EXPECT_TRUE(segments().emptied.empty());
  d().drop_watch(index);
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, AnOpenDecisionHoldsTheSegment) {
  enqueue_jobs(1);
  Client client(&log(), &d(), database_, kOid, kClient);
  ASSERT_EQ(client.cancel(1), Verdict::ok);
  follow();
  let_pass(3 * kRetention);
  EXPECT_TRUE(segments().emptied.empty());
  client.commit();
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, AJobThatWaitsOnDiskIsMovedToo) {
  enqueue_jobs(1);
  complete_jobs(1);
  JobRow far = log_job(segments().next_id++, 1, 0, platform().wall + 3600 * kSecond);
  d().mark_dirty(database_, 1, 0, far.block);
  follow();
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
  EXPECT_TRUE(logged(far.id).exists);
  platform().advance(3600 * kSecond);
  EXPECT_EQ(drain(), std::vector<JobId>{far.id});
}

TEST_F(RotationTest, AnOldSnapshotKeepsASegmentForAGrace) {
  enqueue_jobs(1);
  complete_jobs(1);
  segments().snapshot = 99;
  rotation().set({3600 * kSecond, 1 << 20, 3 * kMinute});
  follow();
  let_pass(kRetention + 10 * kSecond);
  EXPECT_TRUE(segments().emptied.empty());
  EXPECT_EQ(hold(0), Hold::snapshot);
  EXPECT_EQ(d().see_hold(database_, 0).pid, 99);
  let_pass(2 * kMinute);
  EXPECT_EQ(segments().emptied.size(), 1U) << "the grace is over";
}

TEST_F(RotationTest, ALockKeepsASegment) {
  enqueue_jobs(1);
  complete_jobs(1);
  segments().locker = 7;
  follow();
  let_pass(5 * kRetention);
  EXPECT_TRUE(segments().emptied.empty());
  EXPECT_EQ(hold(0), Hold::lock);
  segments().locker = 0;
  let_pass(kMinute);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, NoSegmentIsEmptiedWhileJobsAreCounted) {
  enqueue_jobs(1);
  complete_jobs(1);
  follow();
  let_pass(3 * kRetention, true);
  EXPECT_TRUE(segments().emptied.empty());
  EXPECT_EQ(hold(0), Hold::counting);
  let_pass(kMinute, false);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, WithoutAFreeSegmentTheCurrentOneGoesOn) {
  segments().writer = 5;
  for (int i = 0; i < kSegments; i++) {
    enqueue_jobs(1);
    if (i + 1 < kSegments) follow();
  }
  segments().bytes = 2 << 20;
  const std::uint8_t last = current();
  let_pass(kMinute);
  EXPECT_EQ(current(), last);
  EXPECT_EQ(hold(last), Hold::no_free_segment);
  /* One becomes free: the oldest jobs are moved at once, whatever their retention. */
  segments().writer = 0;
  let_pass(2 * kMinute);
  EXPECT_NE(current(), last);
  segments().bytes = 0;
  std::vector<JobId> ids = drain();
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(kSegments));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_F(RotationTest, AfterTheRingHasWrappedTheOldestJobsAreLoadedFirst) {
  segments().writer = 5;
  enqueue_jobs(1);
  complete_jobs(1);
  follow();
  for (int i = 2; i < kSegments; i++) {
    enqueue_jobs(1);
    follow();
  }
  enqueue_jobs(1);
  segments().writer = 0;
  let_pass(2 * kRetention);
  ASSERT_FALSE(segments().emptied.empty());
  segments().writer = 5;
  follow();
  ASSERT_EQ(current(), 0) << "round again";
  enqueue_jobs(1);
  std::vector<JobId> expected;
  for (std::uint8_t segment = 1; segment <= kSegments; segment++)
    for (const JobId id : log().unfinished(log().snapshot(), 1, segment % kSegments))
      expected.push_back(id);
  restart();
  d().know_segment(database_, 0, last_);
  const std::vector<JobId> ids = drain();
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_F(RotationTest, TheQueueOfADroppedTopicKeepsNothing) {
  enqueue_jobs(2);
  const QueueKeep none{};
  follow();
  rotation().set_queues(&none, 0);
  d().remove_queue(ref_of(1));
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, JobsOfAQueueThatARestoreHasStillToBringHoldTheirSegment) {
  enqueue_jobs(1);
  complete_jobs(1);
  log_job(segments().next_id++, 2);
  follow();
  let_pass(5 * kRetention);
  EXPECT_TRUE(segments().emptied.empty());
  EXPECT_EQ(hold(0), Hold::jobs);
  /* The queue was there once, and is gone. */
  segments().topics = 2;
  let_pass(20 * kMinute);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, WhileRowsArriveNothingIsMovedOrEmptied) {
  enqueue_jobs(2);
  complete_jobs(1);
  follow();
  for (int i = 0; i < 100; i++) {
    platform().advance(5 * kSecond);
    load();
    while (rotation().step(kMinute, false, true)) {
    }
  }
  EXPECT_TRUE(segments().emptied.empty());
  EXPECT_TRUE(log().job_pages(kParkedSegment).empty());
  let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

TEST_F(RotationTest, AQueueThatArrivesHasItsJobsLookedForAgain) {
  enqueue_jobs(1);
  complete_jobs(1);
  segments().topics = 2;
  log_job(segments().next_id++, 2);
  follow();
  ASSERT_EQ(hold(0), Hold::retention) << "found to be drained";
  add_queue(2, QueueOptions{}, LoadMode::loading);
  const QueueKeep keeps[] = {{1, 1, kRetention}, {2, 2, kRetention}};
  tell_queues({1, 2});
  rotation().set_queues(keeps, 2);
  let_pass(3 * kRetention);
  EXPECT_EQ(drain(2).size(), 1U);
}

TEST_F(RotationTest, AnErrorOfTheLogChangesNothing) {
  enqueue_jobs(1);
  complete_jobs(1);
  follow();
  bool failed = false;
  fail_at(Call::scan_outcomes);
  for (int i = 0; i < 100 && !failed; i++) {
    platform().advance(5 * kSecond);
    try {
      turn();
    } catch (const StoreError&) {
      failed = true;
      store().abort();
      rotation().abandon();
    }
  }
  if (failed) let_pass(3 * kRetention);
  EXPECT_EQ(segments().emptied.size(), 1U);
}

}  // namespace
}  // namespace dw::test
