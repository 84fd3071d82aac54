/* Dead letters that become jobs again: against the callback of the transaction that made them dead,
 * against the loader and the census, over a restart, and with queues that are listed late. */
#include "load_fixture.hpp"

#include "core/census.hpp"
#include "core/token.hpp"

namespace dw::test {
namespace {

class Redriving : public Load {
 protected:
  /* A transaction that makes a dead letter; its parts one by one. */
  struct Death {
    Transaction transaction;
    Xid xid;
    JobRow row;
    Token redriven = 0;
  };
  Death die(const ClaimedJob& job) {
    Death death{Transaction(&d()), log().begin(), row_of(1, job.id)};
    death.transaction.set_database(database_, kOid);
    death.transaction.reserve(1);
    Decided decided{};
    std::size_t action = 0;
    EXPECT_EQ(death.transaction.begin_decision(1, job.id, job.token, &decided, &action),
              Verdict::ok);
    const auto blocks = log().insert_outcome(
        death.xid, kClient, decided.segment, OutcomeKind::dead_lettered, platform().wall, 1,
        {OutcomeMember{job.id, job.token, decided.attempts, 0}});
    death.transaction.settle(action, Decision::finish, OutcomeKind::dead_lettered, 0);
    death.transaction.note_outcome_row(action, decided.segment, blocks.at(0));
    QueueId gone = 0;
    death.transaction.pre_commit(&gone);
    return death;
  }
  /* Begins a redrive of one job; the caller commits. */
  Death revive(JobId id) {
    const LoggedJob found = logged(id);
    EXPECT_TRUE(found.dead);
    Death life{Transaction(&d()), log().begin(), found.row};
    life.transaction.set_database(database_, kOid);
    life.transaction.reserve(2);
    const Token token = d().take_tokens(database_, 1);
    const Micros now = platform().wall;
    const std::uint8_t from = life.row.segment;
    life.row.due = now;
    life.row.attempts = 0;
    const bool was_there = log().park_job(life.xid, kClient, 1, &life.row);
    const auto write = [&](OutcomeKind kind, std::uint8_t where) {
      const auto blocks = log().insert_outcome(
          life.xid, kClient, where, kind, now, 1,
          {OutcomeMember{id, token, 0, kind == OutcomeKind::redriven ? now : 0}});
      life.transaction.note_written(1, where, blocks.at(0));
    };
    write(OutcomeKind::redriven, kParkedSegment);
    if (!was_there) write(OutcomeKind::moved, from);
    life.transaction.note_redriven(1, 1, now, 1, token);
    life.redriven = token;
    return life;
  }
  void end(Death& death) {
    log().commit(death.xid);
    death.transaction.commit(1);
  }
  void kill(JobId id) {
    enqueue(id);
    const ClaimedJob job = claim_one(1);
    EXPECT_EQ(job.id, id);
    Death death = die(job);
    end(death);
  }
  void load_later() {
    platform().advance(2 * kSecond);
    load();
  }
};

/* The transaction that redrives a job may go on with it, behind a placeholder, and take that back:
 * then it is dead again, or not in memory until the redrive has committed. */
class DecidedAgain : public Redriving {
 protected:
  void SetUp() override {
    Redriving::SetUp();
    kill(1);
    load();
  }
  /* Cancels it in a subtransaction. */
  Decided cancel(Death& life) {
    Transaction& mine = life.transaction;
    mine.reserve(2);
    std::size_t action = 0;
    EXPECT_EQ(mine.add_placeholder(2, 1, 1, &action), Verdict::ok);
    Decided decided{};
    EXPECT_TRUE(mine.fill_placeholder(action, life.row, true, life.redriven, &decided));
    mine.settle(action, Decision::finish, OutcomeKind::cancelled, 0);
    return decided;
  }
};

TEST_F(DecidedAgain, ARollbackToASavepointLeavesNoEntryOfIt) {
  Death life = revive(1);
  cancel(life);
  life.transaction.sub_abort(2);
  load_later();
  EXPECT_TRUE(claim(1).empty());
  life.transaction.abort();
  log().abort(life.xid);
  load_later();
  EXPECT_TRUE(drain().empty());
}

TEST_F(DecidedAgain, ItComesWhenTheRedriveCommits) {
  Death life = revive(1);
  cancel(life);
  life.transaction.sub_abort(2);
  end(life);
  load_later();
  EXPECT_EQ(drain(), range(1, 1));
}

TEST_F(DecidedAgain, ARollbackOfAllLeavesNoEntryOfIt) {
  Death life = revive(1);
  cancel(life);
  life.transaction.abort();
  log().abort(life.xid);
  load_later();
  EXPECT_TRUE(drain().empty());
}

TEST_F(Redriving, ComesAgainWithItsAttemptsCountedAnew) {
  kill(1);
  load();
  EXPECT_TRUE(claim(1).empty());
  Death life = revive(1);
  load();
  EXPECT_TRUE(claim(1).empty()) << "before the commit";
  end(life);
  load();
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.segment, kParkedSegment);
  EXPECT_EQ(complete(job), Verdict::ok);
  loader().reset();
  load_later();
  EXPECT_TRUE(claim(1).empty());
}

TEST_F(Redriving, ManyTimes) {
  kill(1);
  Token last = 0;
  for (int i = 0; i < 4; i++) {
    Death life = revive(1);
    end(life);
    load();
    const ClaimedJob job = claim_one(1);
    EXPECT_EQ(job.attempt, 1);
    EXPECT_GT(job.token, last);
    last = job.token;
    Death death = die(job);
    end(death);
    load_later();
    EXPECT_TRUE(claim(1).empty());
  }
}

/* The death is visible, its callback has not run: the old entry is still there. */
TEST_F(Redriving, BeforeTheCallbackOfItsDeathHasRun) {
  enqueue(1);
  Death death = die(claim_one(1));
  log().commit(death.xid);
  Death life = revive(1);
  end(life);
  load();
  EXPECT_TRUE(claim(1).empty());
  death.transaction.commit(1);
  load_later();
  EXPECT_EQ(claim_one(1).id, 1);
}

/* The same for one that lay in parked before, whose row is another version in the same segment. */
TEST_F(Redriving, OutOfParkedBeforeTheCallbackOfItsDeathHasRun) {
  kill(1);
  Death first = revive(1);
  end(first);
  load();
  Death death = die(claim_one(1));
  log().commit(death.xid);
  Death life = revive(1);
  end(life);
  load();
  EXPECT_TRUE(claim(1).empty());
  death.transaction.commit(1);
  load_later();
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Redriving, LeavesNothingBehindWhenItRollsBack) {
  kill(1);
  Death life = revive(1);
  log().abort(life.xid);
  life.transaction.abort();
  load_later();
  EXPECT_TRUE(claim(1).empty());
  EXPECT_TRUE(logged(1).dead);
}

TEST_F(Redriving, ASavepointTakesItBack) {
  kill(1);
  Death life = revive(1);
  life.transaction.sub_abort(1);
  EXPECT_FALSE(life.transaction.has_work());
}

TEST_F(Redriving, IsFoundByALoadOfEverything) {
  for (JobId id = 1; id <= 5; id++) kill(id);
  for (const JobId id : {1, 3, 5}) {
    Death life = revive(id);
    end(life);
  }
  loader().reset();
  EXPECT_EQ(drain(), (std::vector<JobId>{1, 3, 5}));
}

/* In a restore the rows of queues may come after those of the jobs. */
TEST_F(Redriving, AQueueThatIsListedLateGetsItsLongSleepers) {
  JobRow row = row_of(2, 7);
  row.due = platform().wall;
  const Xid xid = log().begin();
  log().park_job(xid, kClient, 2, &row);
  log().commit(xid);
  load();
  add_queue(2, QueueOptions{}, LoadMode::loading);
  tell_queues({1, 2});
  load();
  EXPECT_EQ(claim_one(2).id, 7);
}

TEST_F(Redriving, IsCountedOnceWhereverTheBoundaryLies) {
  for (JobId id = 1; id <= 4; id++) kill(id);
  Census census(&d(), database_, &store());
  const Loader::QueueTopic topic{1, 1};
  census.set_queues(&topic, 1);
  const auto unfinished = [&] {
    d().open_job_ids(database_, 1, 10, 1);
    while (census.step(kMinute)) {
    }
    std::int64_t n = -1;
    EXPECT_TRUE(d().length_of(d().find_queue(database_, 1), &n));
    return n;
  };
  Death before = revive(1);
  end(before);
  load();
  census.reset();
  EXPECT_EQ(unfinished(), 1) << "redriven before the boundary";
  Death after = revive(2);
  end(after);
  EXPECT_EQ(unfinished(), 2) << "and after it";
  Death across = revive(3);
  census.reset();
  EXPECT_EQ(unfinished(), 2) << "one is open";
  end(across);
  EXPECT_EQ(unfinished(), 3) << "it was open when the boundary was drawn";
  load();
  Death again = die(claim_one(1));
  end(again);
  EXPECT_EQ(unfinished(), 2) << "a death after the boundary";
  Death once_more = revive(again.row.id);
  end(once_more);
  EXPECT_EQ(unfinished(), 3) << "undone by a redrive after it";
  census.reset();
  EXPECT_EQ(unfinished(), 3) << "all of it before the next boundary";
}

/* What came since the boundary is counted by its commit, also when the census has to count again
 * and then finds it: a job of another queue, and one that was dead in parked. */
TEST_F(Redriving, IsCountedOnceWhenItIsCountedAgain) {
  kill(1);
  Death first = revive(1);
  end(first);
  load();
  Death second = die(claim_one(1));
  end(second);
  kill(2);
  Census census(&d(), database_, &store());
  const Loader::QueueTopic topic{1, 1};
  census.set_queues(&topic, 1);
  const auto unfinished = [&] {
    d().open_job_ids(database_, 1, 100, 1);
    while (census.step(kMinute)) {
    }
    std::int64_t n = -1;
    EXPECT_TRUE(d().length_of(d().find_queue(database_, 1), &n));
    return n;
  };
  Death across = revive(2);
  census.reset();
  EXPECT_EQ(unfinished(), 0);
  Death late = revive(1);
  end(late);
  EXPECT_EQ(unfinished(), 1);

  Transaction arrival(&d());
  arrival.set_database(database_, kOid);
  arrival.reserve(1);
  const Token token = d().take_tokens(database_, 1);
  JobRow row = row_of(1, 50);
  row.due = platform().wall;
  const Xid xid = log().begin();
  log().park_job(xid, kClient, 1, &row);
  const auto blocks =
      log().insert_outcome(xid, kClient, kParkedSegment, OutcomeKind::redriven, platform().wall, 1,
                           {OutcomeMember{50, token, 0, platform().wall}});
  arrival.note_written(1, kParkedSegment, blocks.at(0));
  arrival.note_redriven(1, 1, platform().wall, 1, token);
  log().commit(xid);
  arrival.commit(1);
  EXPECT_EQ(unfinished(), 2);

  end(across);
  EXPECT_EQ(unfinished(), 3);
}

TEST_F(Redriving, TokensAreOnlyDrawnFromAnOpenEpoch) {
  const Token first = d().take_tokens(database_, 10);
  EXPECT_EQ(d().take_tokens(database_, 1), first + 10);
  d().arena().databases[database_].state = DatabaseState::attaching;
  EXPECT_EQ(d().take_tokens(database_, 1), 0);
}

}  // namespace
}  // namespace dw::test
