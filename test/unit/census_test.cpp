/* The count of unfinished jobs: boundary, straddling transactions, parked jobs, chunks, errors. */
#include "load_fixture.hpp"

#include "core/census.hpp"
#include "core/token.hpp"

namespace dw::test {
namespace {

class Counting : public Load {
 protected:
  void SetUp() override {
    begin(64, LoadMode::loading);
    census_ = std::make_unique<Census>(&d(), database_, &store());
    list({1});
  }
  void list(const std::vector<QueueId>& queues) {
    std::vector<Loader::QueueTopic> topics;
    for (const QueueId queue : queues) topics.push_back(Loader::QueueTopic{queue, queue});
    census().set_queues(topics.data(), topics.size());
  }
  /* Ids up to this one were given. */
  void give(JobId id) { d().open_job_ids(database_, 1, id, 1); }
  void count(Micros budget = kMinute) {
    while (census().step(budget)) {
    }
  }
  Census& census() { return *census_; }
  QueueLength& length(QueueId queue = 1) { return slot(d().find_queue(database_, queue)).length; }
  bool known(QueueId queue = 1) { return length(queue).known != 0; }
  std::int64_t unfinished(QueueId queue = 1) {
    std::int64_t n = -1;
    EXPECT_TRUE(d().length_of(d().find_queue(database_, queue), &n));
    return n;
  }
  void end(JobId id, Token token, OutcomeKind kind = OutcomeKind::completed,
           std::uint8_t segment = 0) {
    JobRow row = row_of(1, id);
    row.segment = segment;
    log_outcome(kind, row, token);
  }
  static Token old(std::uint64_t counter) { return make_token(kEpoch - 1, counter); }

 private:
  std::unique_ptr<Census> census_;
};

TEST_F(Counting, AQueueThatWasJustMadeIsKnownToBeEmpty) {
  add_queue(2);
  EXPECT_EQ(unfinished(2), 0);
  enqueue(1, 2);
  enqueue(2, 2);
  EXPECT_EQ(unfinished(2), 2);
  EXPECT_EQ(complete(claim_one(2)), Verdict::ok);
  EXPECT_EQ(unfinished(2), 1);
}

TEST_F(Counting, WaitsForTheDatabaseToBeOpenAndForANumber) {
  log_jobs(1, 3);
  EXPECT_TRUE(census().needs_job_id());
  EXPECT_FALSE(census().step(kMinute));
  give(10);
  EXPECT_FALSE(census().needs_job_id());
  d().arena().databases[database_].state = DatabaseState::attaching;
  EXPECT_FALSE(census().step(kMinute));
  d().open_database(database_, kEpoch);
  count();
  EXPECT_EQ(unfinished(), 3);
  EXPECT_FALSE(census().step(kMinute));
}

TEST_F(Counting, NumbersToBeGivenAreAboveThoseOfRowsThatAreThere) {
  log_jobs(1, 3);
  log_jobs(500, 503, 2);
  give(10);
  EXPECT_FALSE(census().complete());
  count();
  EXPECT_TRUE(census().complete());
  EXPECT_EQ(d().next_job_id(database_), 504);
}

TEST_F(Counting, EndsOfEarlierEpochsCount) {
  log_jobs(1, 20);
  end(1, old(1));
  end(2, old(2), OutcomeKind::cancelled);
  end(3, old(3), OutcomeKind::dead_lettered);
  end(4, old(4), OutcomeKind::attempt_failed);
  end(5, old(5), OutcomeKind::rescheduled);
  end(6, old(6), OutcomeKind::purged);
  give(20);
  count();
  EXPECT_EQ(unfinished(), 16);
}

TEST_F(Counting, AJobThatEndsWhileItIsCountedIsTakenOffOnce) {
  log_jobs(1, 10);
  give(10);
  load();
  for (const Call call : {Call::before_snapshot, Call::scan_parked, Call::scan_outcomes,
                          Call::scan_jobs, Call::before_commit}) {
    census().reset();
    const auto before = static_cast<std::int64_t>(figures(1).ready);
    once_at(call, [this] { EXPECT_EQ(complete(claim_one(1)), Verdict::ok); });
    count();
    EXPECT_EQ(unfinished(), before - 1);
  }
}

TEST_F(Counting, AJobThatArrivesWhileItIsCountedIsAddedOnce) {
  log_jobs(1, 10);
  give(10);
  JobId next = 11;
  for (const Call call :
       {Call::before_snapshot, Call::scan_parked, Call::scan_jobs, Call::before_commit}) {
    census().reset();
    once_at(call, [this, next] {
      give(next);
      enqueue(next);
    });
    /* One page at a time, so that there is an outside of the chunk. */
    count(0);
    EXPECT_EQ(unfinished(), next);
    next++;
  }
}

/* Its row is seen or not, depending on the moment: only counting again tells. */
TEST_F(Counting, ATransactionOpenAtTheBoundaryMakesItCountAgain) {
  log_jobs(1, 3);
  give(9);
  count();
  EXPECT_EQ(unfinished(), 3);
  enqueue(7);
  EXPECT_FALSE(known());
  count();
  EXPECT_EQ(unfinished(), 4);
  give(10);
  enqueue(10);
  EXPECT_TRUE(known());
  EXPECT_EQ(unfinished(), 5);
}

/* What ended since the boundary is not in the log any more when it counts again. */
TEST_F(Counting, RowsThatAreGoneSinceTheBoundaryAreNotMissed) {
  log_job(1, 1, 1);
  log_job(20, 1, 0);
  give(30);
  load();
  count();
  EXPECT_EQ(unfinished(), 2);
  const ClaimedJob claimed = claim_one(1);
  EXPECT_EQ(claimed.id, 1);
  EXPECT_EQ(complete(claimed), Verdict::ok);
  EXPECT_EQ(unfinished(), 1);
  log().truncate(1);
  d().empty_segment(database_, 1);
  enqueue(25);
  EXPECT_FALSE(known());
  count();
  EXPECT_EQ(unfinished(), 2);
}

TEST_F(Counting, ATransactionOpenAtTheBoundaryThatCommitsInTheMiddleIsCounted) {
  log_jobs(1, 3);
  give(9);
  for (const Call call : {Call::scan_jobs, Call::before_commit}) {
    census().reset();
    const JobId id = call == Call::scan_jobs ? 7 : 8;
    const std::int64_t before = call == Call::scan_jobs ? 3 : 4;
    once_at(call, [this, id] { enqueue(id); });
    count();
    EXPECT_EQ(unfinished(), before + 1);
  }
}

/* After a reload leases go on under tokens from before the boundary. */
TEST_F(Counting, ALeaseFromBeforeAReloadEndsOnce) {
  log_jobs(1, 5);
  give(5);
  load();
  count();
  const ClaimedJob held = claim_one(1);
  census().reset();
  count();
  EXPECT_EQ(unfinished(), 5);
  EXPECT_EQ(complete(held), Verdict::ok);
  EXPECT_FALSE(known());
  count();
  EXPECT_EQ(unfinished(), 4);
}

TEST_F(Counting, AReloadCountsRowsThatCameInPastTheEngine) {
  give(5);
  count();
  EXPECT_EQ(unfinished(), 0);
  log_jobs(1, 3);
  /* Ids that the sequence has not reached: it is set ahead later. */
  log_jobs(1000, 1003);
  census().reset();
  count();
  EXPECT_EQ(unfinished(), 7);
  give(2000);
  enqueue(2000);
  EXPECT_EQ(unfinished(), 8);
  /* Counted again for another reason, they are not lost. */
  enqueue(4);
  count();
  EXPECT_EQ(unfinished(), 9);
}

TEST_F(Counting, ParkedJobsCountWhereTheyAre) {
  log_job(1, 1, kParkedSegment, platform().wall + 1000 * kMinute);
  log_job(2, 1, kParkedSegment, platform().wall + 1000 * kMinute);
  log_job(3, 1, kParkedSegment, platform().wall + 1000 * kMinute);
  log_jobs(4, 9);
  end(2, old(1), OutcomeKind::cancelled, kParkedSegment);
  /* Moved before the start: the old row is done with. */
  end(4, old(2), OutcomeKind::moved);
  log_job(4, 1, kParkedSegment, platform().wall + 1000 * kMinute);
  give(9);
  for (const Micros budget : {kMinute, Micros{0}}) {
    census().reset();
    count(budget);
    EXPECT_EQ(unfinished(), 8);
  }
}

/* Moved since the boundary, its `moved` does not count and the parked row must not count either,
 * whether it was there when parked rows were read or not. */
TEST_F(Counting, AJobThatMovesWhileItIsCountedCountsOnce) {
  log_jobs(1, 4);
  give(4);
  JobId next = 1;
  for (const Call call :
       {Call::before_snapshot, Call::scan_parked, Call::scan_outcomes, Call::before_commit}) {
    census().reset();
    once_at(call, [this, next] {
      const Token token = d().arena().databases[database_].last_token.fetch_add(1) + 1;
      end(next, token, OutcomeKind::moved);
      log_job(next, 1, kParkedSegment, platform().wall + 1000 * kMinute);
    });
    count(0);
    EXPECT_EQ(unfinished(), 4);
    next++;
  }
}

TEST_F(Counting, QueuesAreCountedApart) {
  add_queue(2, QueueOptions{}, LoadMode::loading);
  list({1, 2});
  log_jobs(1, 5, 1);
  log_jobs(6, 7, 2);
  log_jobs(8, 9, 3);
  end(6, old(1)); /* of queue 1, as it says: no row of that queue has the id */
  give(9);
  count();
  EXPECT_EQ(unfinished(1), 5);
  EXPECT_EQ(unfinished(2), 2);
}

TEST_F(Counting, AFailedChunkBeginsAnew) {
  log_jobs(1, 20);
  give(20);
  for (const Call call :
       {Call::before_snapshot, Call::scan_parked, Call::scan_jobs, Call::before_commit}) {
    census().reset();
    fail_at(call);
    EXPECT_THROW(census().step(kMinute), StoreError);
    store().abort();
    EXPECT_FALSE(known());
    count();
    EXPECT_EQ(unfinished(), 20);
  }
}

TEST_F(Counting, AQueueThatIsDroppedMeanwhileIsLeftAlone) {
  log_jobs(1, 5);
  give(5);
  once_at(Call::scan_jobs, [this] {
    d().remove_queue(ref_of(1));
    add_queue(2);
  });
  count();
  EXPECT_EQ(unfinished(2), 0);
}

TEST_F(Counting, SpilledJobsCount) {
  log_jobs(1, 500);
  give(500);
  load();
  count(0);
  EXPECT_EQ(unfinished(), 500);
  EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
  EXPECT_EQ(unfinished(), 499);
}

}  // namespace
}  // namespace dw::test
