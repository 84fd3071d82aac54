/* The open transaction of one process: intents, savepoints, and what commit and abort make of them.
 */
#include "arena_fixture.hpp"

#include "core/transaction.hpp"

namespace dw::test {
namespace {

class Transacted : public ArenaTest {
 protected:
  void SetUp() override {
    start(256);
    QueueOptions options;
    options.backoff = Backoff::fixed;
    options.backoff_base = kSecond;
    options.jitter = 0;
    options.max_attempts = 3;
    add_queue(1, options);
    for (Transaction* transaction : {&mine_, &theirs_}) {
      *transaction = Transaction(&d());
      transaction->set_database(database_, kOid);
    }
  }
  void enqueue(Transaction& transaction, JobId id, std::int32_t level = 1) {
    transaction.reserve(1);
    transaction.note_enqueue(level, ref_of(1), row_of(1, id));
  }
  std::vector<ClaimedJob> claim_in(Transaction& transaction, std::uint32_t n, bool delivered = true,
                                   std::int32_t level = 1) {
    transaction.reserve(n);
    const std::size_t first = transaction.size();
    const std::vector<ClaimedJob> jobs = claim(1, n);
    transaction.note_claims(level, jobs.data(), static_cast<std::uint32_t>(jobs.size()));
    if (delivered) transaction.delivered(first);
    return jobs;
  }
  Verdict complete_in(Transaction& transaction, const ClaimedJob& job, std::int32_t level = 1) {
    Decided decided{};
    std::size_t action = 0;
    transaction.reserve(1);
    const Verdict verdict = transaction.begin_decision(level, job.id, job.token, &decided, &action);
    if (verdict == Verdict::ok) {
      transaction.settle(action, Decision::finish, OutcomeKind::completed, 0);
      transaction.note_outcome_row(action, 0, 50);
    }
    return verdict;
  }
  bool pre_commit(Transaction& transaction) {
    QueueId gone = 0;
    return transaction.pre_commit(&gone);
  }
  void commit(Transaction& transaction) {
    ASSERT_TRUE(pre_commit(transaction));
    transaction.commit(1);
  }

  Transaction mine_{nullptr};
  Transaction theirs_{nullptr};
};

TEST_F(Transacted, AnEnqueueShowsNothingBeforePreCommit) {
  enqueue(mine_, 1);
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_TRUE(mine_.has_work());
  mine_.abort();
}

TEST_F(Transacted, AnEnqueueIsPendingFromPreCommitAndReadyFromCommit) {
  enqueue(mine_, 1);
  ASSERT_TRUE(pre_commit(mine_));
  EXPECT_EQ(state_of(1), EntryState::pending);
  mine_.commit(1);
  EXPECT_EQ(state_of(1), EntryState::ready);
  EXPECT_FALSE(mine_.has_work());
}

TEST_F(Transacted, AnErrorAfterPreCommitFreesThePendingEntries) {
  enqueue(mine_, 1);
  pre_commit(mine_);
  mine_.abort();
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
}

TEST_F(Transacted, ARollbackToASavepointDropsWhatWasEnqueuedSince) {
  enqueue(mine_, 1, 1);
  enqueue(mine_, 2, 2);
  enqueue(mine_, 3, 3);
  mine_.sub_abort(2);
  enqueue(mine_, 4, 1);
  commit(mine_);
  EXPECT_EQ(claim_ids(1, 9), (std::vector<JobId>{1, 4}));
}

TEST_F(Transacted, AReleasedSavepointSharesTheFateOfTheLevelAround) {
  enqueue(mine_, 1, 2);
  enqueue(mine_, 2, 3);
  mine_.sub_commit(3);
  mine_.sub_abort(2);
  enqueue(mine_, 3, 2);
  mine_.sub_commit(2);
  commit(mine_);
  EXPECT_EQ(claim_ids(1, 9), (std::vector<JobId>{3}));
}

TEST_F(Transacted, ADecisionOfAReleasedSavepointSharesTheFateOfTheLevelAround) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  ASSERT_EQ(complete_in(mine_, job, 3), Verdict::ok);
  mine_.sub_commit(3);
  mine_.sub_abort(3);
  EXPECT_EQ(state_of(1), EntryState::completing);
  mine_.sub_abort(2);
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Transacted, KnowsWhatItEnqueuedItself) {
  enqueue(mine_, 1, 1);
  enqueue(mine_, 2, 2);
  EXPECT_TRUE(mine_.enqueued_here(2));
  mine_.sub_abort(2);
  EXPECT_FALSE(mine_.enqueued_here(2));
  EXPECT_TRUE(mine_.enqueued_here(1));
  EXPECT_FALSE(theirs_.enqueued_here(1));
  mine_.abort();
}

TEST_F(Transacted, WorkAfterPreCommitIsMarkedDirtyAtCommit) {
  enqueue(mine_, 1);
  pre_commit(mine_);
  enqueue(mine_, 2);
  mine_.commit(1);
  EXPECT_EQ(state_of(1), EntryState::ready);
  EXPECT_EQ(state_of(2), EntryState::free);
  EXPECT_EQ(slot(d().find_queue(database_, 1)).dirty.size(), 1U);
  EXPECT_EQ(figures(1).mode, LoadMode::handover);
}

TEST_F(Transacted, AnEnqueueToAQueueDroppedMeanwhileFailsAtPreCommit) {
  enqueue(mine_, 1);
  d().remove_queue(ref_of(1));
  QueueId gone = 0;
  EXPECT_FALSE(mine_.pre_commit(&gone));
  EXPECT_EQ(gone, 1);
  mine_.abort();
}

TEST_F(Transacted, AnEnqueueFindsASlotThatWasMadeAnew) {
  enqueue(mine_, 1);
  d().remove_queue(ref_of(1));
  add_queue(1);
  commit(mine_);
  EXPECT_EQ(claim_one(1).id, 1);
}

TEST_F(Transacted, JobsOfSeveralQueuesGoToTheirOwn) {
  add_queue(2);
  mine_.reserve(6);
  for (JobId id = 1; id <= 6; id++) {
    const QueueId queue = 1 + static_cast<QueueId>(id % 2);
    mine_.note_enqueue(1, ref_of(queue), row_of(queue, id));
  }
  commit(mine_);
  EXPECT_EQ(claim_ids(1, 9), (std::vector<JobId>{2, 4, 6}));
  EXPECT_EQ(claim_ids(2, 9), (std::vector<JobId>{1, 3, 5}));
}

TEST_F(Transacted, ALargeCommitIsLinkedInChunks) {
  start(8192);
  add_queue(1);
  mine_ = Transaction(&d());
  mine_.set_database(database_, kOid);
  mine_.reserve(5000);
  for (JobId id = 1; id <= 5000; id++) mine_.note_enqueue(1, ref_of(1), row_of(1, id));
  std::uint32_t most = 0;
  std::uint32_t before = 0;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock) return;
    const std::uint32_t resident = slot(0).resident;
    most = std::max(most, resident - before);
    before = resident;
  };
  commit(mine_);
  platform().on_unlocked = nullptr;
  EXPECT_EQ(figures(1).ready, 5000U);
  EXPECT_LE(most, kEntriesPerHold);
}

TEST_F(Transacted, AClaimThatRollsBackChargesTheAttempt) {
  put(row_of(1, 1));
  claim_in(mine_, 1);
  mine_.abort();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(kSecond);
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Transacted, AClaimWhoseStatementFailsIsRefunded) {
  put(row_of(1, 1));
  claim_in(mine_, 1, false);
  mine_.abort();
  platform().advance(kMinute);
  EXPECT_EQ(claim_one(1).attempt, 1);
}

TEST_F(Transacted, AClaimRolledBackToASavepointChargesTheAttempt) {
  put_many(1, 1, 2);
  const ClaimedJob kept = claim_in(mine_, 1, true, 1).at(0);
  claim_in(mine_, 1, true, 2);
  mine_.sub_abort(2);
  EXPECT_EQ(state_of(2), EntryState::delayed);
  EXPECT_EQ(state_of(kept.id), EntryState::leased);
  mine_.commit(1);
  platform().advance(kSecond);
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Transacted, AClaimKeepsItsLeaseAtCommit) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_in(mine_, 1).at(0);
  commit(mine_);
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(complete_in(mine_, job), Verdict::ok);
  commit(mine_);
  EXPECT_EQ(state_of(1), EntryState::free);
}

TEST_F(Transacted, AClaimThatAnotherConnectionFinishedIsNotUndone) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_in(mine_, 1).at(0);
  ASSERT_EQ(complete_in(theirs_, job), Verdict::ok);
  commit(theirs_);
  put(row_of(1, 2)); /* takes the entry over */
  const ClaimedJob successor = claim_one(1);
  ASSERT_EQ(successor.ref.entry, job.ref.entry);
  mine_.abort();
  EXPECT_EQ(state_of(2), EntryState::leased);
}

TEST_F(Transacted, ClaimAndCompletionThatRollBackTogetherLeaveTheAttemptCharged) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_in(mine_, 1).at(0);
  ASSERT_EQ(complete_in(mine_, job), Verdict::ok);
  mine_.abort();
  EXPECT_EQ(state_of(1), EntryState::delayed);
  platform().advance(kSecond);
  EXPECT_EQ(claim_one(1).attempt, 2);
}

TEST_F(Transacted, ACompletionRolledBackToASavepointLeavesTheLease) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_in(mine_, 1, true, 1).at(0);
  ASSERT_EQ(complete_in(mine_, job, 2), Verdict::ok);
  mine_.sub_abort(2);
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(complete_in(mine_, job, 1), Verdict::ok);
  commit(mine_);
  EXPECT_EQ(state_of(1), EntryState::free);
}

TEST_F(Transacted, ACompletionOfItsOwnCalledAgainIsADuplicate) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(complete_in(mine_, job), Verdict::ok);
  EXPECT_EQ(complete_in(mine_, job), Verdict::own_duplicate);
  EXPECT_EQ(complete_in(theirs_, job), Verdict::in_doubt);
  commit(mine_);
  EXPECT_EQ(complete_in(theirs_, job), Verdict::not_resident);
}

TEST_F(Transacted, AfterADuplicateItTellsWhatWasDecidedBefore) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  std::size_t first = 0;
  std::size_t again = 99;
  mine_.reserve(2);
  mine_.begin_decision(1, 1, job.token, &decided, &first);
  mine_.settle(first, Decision::retry, OutcomeKind::attempt_failed, kAlways);
  EXPECT_EQ(mine_.begin_decision(1, 1, job.token, &decided, &again), Verdict::own_duplicate);
  EXPECT_EQ(again, first);
  EXPECT_EQ(mine_.outcome_of(again), OutcomeKind::attempt_failed);
  mine_.abort();
}

TEST_F(Transacted, ADuplicateOfADecisionThatRolledBackIsNone) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  complete_in(mine_, job, 2);
  mine_.sub_abort(2);
  EXPECT_EQ(complete_in(mine_, job), Verdict::ok);
  mine_.abort();
}

TEST_F(Transacted, ADecisionWithoutASettlementIsGivenBackAtCommit) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  Decided decided{};
  std::size_t action = 0;
  mine_.reserve(1);
  ASSERT_EQ(mine_.begin_decision(1, 1, job.token, &decided, &action), Verdict::ok);
  commit(mine_);
  EXPECT_EQ(state_of(1), EntryState::leased);
}

TEST_F(Transacted, TheOutcomesPageIsNotedBeforeTheEntryIsFreed) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  complete_in(mine_, job);
  bool noted_first = false;
  platform().on_unlocked = [&](std::uint32_t) {
    if (entry(job.ref).state == EntryState::completing &&
        !d().arena().databases[database_].outcome_pages.empty())
      noted_first = true;
  };
  commit(mine_);
  platform().on_unlocked = nullptr;
  EXPECT_TRUE(noted_first);
}

TEST_F(Transacted, TheOutcomesPageOfAnAbortIsNotNoted) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  complete_in(mine_, job);
  mine_.abort();
  EXPECT_TRUE(d().arena().databases[database_].outcome_pages.empty());
}

TEST_F(Transacted, OutcomeAndSuccessorAppearTogether) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  complete_in(mine_, job);
  enqueue(mine_, 2);
  pre_commit(mine_);
  EXPECT_TRUE(claim(1).empty());
  mine_.commit(1);
  EXPECT_EQ(state_of(1), EntryState::free);
  EXPECT_EQ(claim_one(1).id, 2);
}

TEST_F(Transacted, ACancelOfAWaitingJobRollsBackWithItsSavepoint) {
  put(row_of(1, 1));
  Decided decided{};
  std::size_t action = 0;
  mine_.reserve(1);
  ASSERT_EQ(mine_.begin_cancel(2, 1, 0, &decided, &action), Verdict::ok);
  mine_.settle(action, Decision::finish, OutcomeKind::cancelled, 0);
  mine_.sub_abort(2);
  EXPECT_EQ(claim_one(1).id, 1);
  mine_.abort();
}

TEST_F(Transacted, APlaceholderIsDroppedWithItsSavepoint) {
  std::size_t action = 0;
  mine_.reserve(1);
  ASSERT_EQ(mine_.add_placeholder(2, 1, 5, &action), Verdict::ok);
  mine_.sub_abort(2);
  EXPECT_EQ(state_of(5), EntryState::free);
  mine_.abort();
}

TEST_F(Transacted, APlaceholderDroppedByItsOwnerIsNotDroppedTwice) {
  std::size_t action = 0;
  mine_.reserve(2);
  ASSERT_EQ(mine_.add_placeholder(1, 1, 5, &action), Verdict::ok);
  mine_.drop_placeholder(action);
  std::size_t second = 0;
  ASSERT_EQ(theirs_.has_work(), false);
  theirs_.reserve(1);
  ASSERT_EQ(theirs_.add_placeholder(1, 1, 5, &second), Verdict::ok);
  mine_.abort();
  EXPECT_EQ(state_of(5), EntryState::busy);
  theirs_.abort();
}

TEST_F(Transacted, AFilledPlaceholderWaitsAfterAnAbortAndIsGoneAfterACommit) {
  for (const bool commits : {false, true}) {
    std::size_t action = 0;
    Decided decided{};
    mine_.reserve(1);
    ASSERT_EQ(mine_.add_placeholder(1, 1, 5, &action), Verdict::ok);
    ASSERT_TRUE(mine_.fill_placeholder(action, row_of(1, 5), true, 0, &decided));
    mine_.settle(action, Decision::finish, OutcomeKind::cancelled, 0);
    if (commits) {
      commit(mine_);
      EXPECT_EQ(state_of(5), EntryState::free);
    } else {
      mine_.abort();
      EXPECT_EQ(state_of(5), EntryState::ready);
      ASSERT_EQ(decide(claim_one(1), Decision::finish), Verdict::ok);
    }
  }
}

TEST_F(Transacted, AFilledPlaceholderOfAJobThatDoesNotWaitGoesWithAnAbort) {
  std::size_t action = 0;
  Decided decided{};
  mine_.reserve(1);
  ASSERT_EQ(mine_.add_placeholder(1, 1, 5, &action), Verdict::ok);
  ASSERT_TRUE(mine_.fill_placeholder(action, row_of(1, 5), false, 0, &decided));
  mine_.abort();
  EXPECT_EQ(state_of(5), EntryState::free);
}

TEST_F(Transacted, NotesEveryPageOfADecisionBeforeTheEntryChanges) {
  put(row_of(1, 1));
  Decided decided{};
  std::size_t action = 0;
  mine_.reserve(1);
  mine_.reserve_rows(3);
  ASSERT_EQ(mine_.begin_change(1, 1, 0, false, &decided, &action), Verdict::ok);
  mine_.note_outcome_row(action, 0, 50);
  mine_.note_outcome_row(action, 0, 50);
  mine_.note_outcome_row(action, kParkedSegment, 7);
  mine_.note_outcome_row(action, kParkedSegment, 9);
  mine_.settle(action, Decision::finish, OutcomeKind::cancelled, 0);
  BoundedRanges seen;
  platform().on_locking = [&](std::uint32_t lock) {
    if (lock >= kFirstQueueLock) seen = d().arena().databases[database_].outcome_pages;
  };
  commit(mine_);
  platform().on_locking = nullptr;
  EXPECT_EQ(seen.size(), 3U);
}

TEST_F(Transacted, ForgetsThePagesOfASavepointThatRollsBack) {
  put_many(1, 1, 2);
  Decided decided{};
  std::size_t action = 0;
  mine_.reserve(2);
  ASSERT_EQ(mine_.begin_cancel(1, 1, 0, &decided, &action), Verdict::ok);
  mine_.note_outcome_row(action, 0, 50);
  mine_.settle(action, Decision::finish, OutcomeKind::cancelled, 0);
  ASSERT_EQ(mine_.begin_cancel(3, 2, 0, &decided, &action), Verdict::ok);
  mine_.note_outcome_row(action, 0, 60);
  mine_.sub_commit(3);
  mine_.sub_abort(2);
  commit(mine_);
  const BoundedRanges& noted = d().arena().databases[database_].outcome_pages;
  ASSERT_EQ(noted.size(), 1U);
  EXPECT_EQ(noted.at(0).first, 50U);
}

TEST_F(Transacted, AChangeOfAJobThatThisTransactionHasDecidedIsRefused) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_one(1);
  ASSERT_EQ(complete_in(mine_, job), Verdict::ok);
  Decided decided{};
  std::size_t action = 0;
  mine_.reserve(1);
  EXPECT_EQ(mine_.begin_change(1, 1, 0, false, &decided, &action), Verdict::own_duplicate);
  theirs_.reserve(1);
  EXPECT_EQ(theirs_.begin_change(1, 1, 0, false, &decided, &action), Verdict::in_doubt);
  mine_.abort();
}

TEST_F(Transacted, AQuarantinedClaimIsNotUndoneLater) {
  put(row_of(1, 1));
  const ClaimedJob job = claim_in(mine_, 1).at(0);
  mine_.quarantine(job.ref, job.token);
  put(row_of(1, 2));
  const ClaimedJob successor = claim_one(1);
  ASSERT_EQ(successor.ref.entry, job.ref.entry);
  mine_.abort();
  EXPECT_EQ(state_of(2), EntryState::leased);
}

TEST_F(Transacted, AQueueCreatedHereServesItsOwnEnqueuesAtCommit) {
  const Index made =
      d().add_queue(database_, 7, "new", QueueOptions{}, QueueState::creating, LoadMode::live);
  mine_.reserve(2);
  mine_.note_queue(1, ActionKind::queue_created, ref(made), 7);
  mine_.note_enqueue(1, ref(made), row_of(7, 1));
  commit(mine_);
  EXPECT_EQ(slot(made).state, QueueState::active);
  EXPECT_EQ(claim_one(7).id, 1);
  EXPECT_TRUE(d().take_catalog_stale(database_));
}

TEST_F(Transacted, AQueueCreatedHereGoesWithAnAbort) {
  const Index made =
      d().add_queue(database_, 7, "new", QueueOptions{}, QueueState::creating, LoadMode::live);
  mine_.reserve(2);
  mine_.note_queue(1, ActionKind::queue_created, ref(made), 7);
  mine_.note_enqueue(1, ref(made), row_of(7, 1));
  pre_commit(mine_);
  mine_.abort();
  EXPECT_EQ(d().find_queue(database_, 7), kNone);
  EXPECT_EQ(d().arena().free_count, d().arena().capacity);
}

TEST_F(Transacted, ADroppedQueueServesOthersUntilTheCommit) {
  put(row_of(1, 1));
  mine_.reserve(1);
  mine_.note_queue(1, ActionKind::queue_dropped, ref_of(1), 1);
  EXPECT_EQ(claim_ids(1, 1).size(), 1U);
  commit(mine_);
  EXPECT_EQ(d().find_queue(database_, 1), kNone);
}

TEST_F(Transacted, ADropThatRollsBackLeavesTheQueue) {
  mine_.reserve(1);
  mine_.note_queue(1, ActionKind::queue_dropped, ref_of(1), 1);
  mine_.abort();
  EXPECT_NE(d().find_queue(database_, 1), kNone);
}

TEST_F(Transacted, TheLastOptionsOfAQueueHoldFromTheCommitOn) {
  QueueOptions options;
  options.paused = true;
  mine_.reserve(2);
  mine_.set_options(1, options);
  mine_.note_queue(1, ActionKind::queue_changed, ref_of(1), 1);
  options.max_attempts = 77;
  mine_.set_options(1, options);
  mine_.note_queue(1, ActionKind::queue_changed, ref_of(1), 1);
  EXPECT_FALSE(figures(1).paused);
  commit(mine_);
  EXPECT_TRUE(figures(1).paused);
  EXPECT_EQ(slot(d().find_queue(database_, 1)).options.max_attempts, 77);
}

TEST_F(Transacted, OptionsOfAChangeThatRolledBackToASavepointDoNotHold) {
  QueueOptions options;
  options.max_attempts = 5;
  mine_.reserve(2);
  mine_.set_options(1, options);
  mine_.note_queue(1, ActionKind::queue_changed, ref_of(1), 1);
  options.max_attempts = 99;
  mine_.set_options(1, options);
  mine_.note_queue(2, ActionKind::queue_changed, ref_of(1), 1);
  mine_.sub_abort(2);
  commit(mine_);
  EXPECT_EQ(slot(d().find_queue(database_, 1)).options.max_attempts, 5);
}

TEST_F(Transacted, AttachAndDetachTakeEffectAtCommit) {
  mine_.reserve(1);
  mine_.note_attach(1, kOid + 1, 12, false);
  EXPECT_TRUE(mine_.changes_database());
  EXPECT_EQ(d().find_database(kOid + 1), kNone);
  commit(mine_);
  const Index other = d().find_database(kOid + 1);
  ASSERT_NE(other, kNone);
  EXPECT_EQ(d().arena().databases[other].epoch, 12);
  mine_.reserve(1);
  mine_.note_database(1, ActionKind::detach, kOid + 1);
  mine_.abort();
  EXPECT_NE(d().find_database(kOid + 1), kNone);
  mine_.reserve(1);
  mine_.note_database(1, ActionKind::detach, kOid + 1);
  commit(mine_);
  EXPECT_EQ(d().find_database(kOid + 1), kNone);
}

TEST_F(Transacted, AfterDropAndCreateOfTheExtensionALateAbortHitsNothing) {
  put_many(1, 1, 5);
  claim_in(mine_, 5);
  theirs_.reserve(2);
  theirs_.note_database(1, ActionKind::detach, kOid);
  theirs_.note_attach(1, kOid, 20, false);
  commit(theirs_);
  database_ = d().find_database(kOid);
  add_queue(1);
  put_many(1, 101, 105);
  mine_.abort();
  EXPECT_EQ(figures(1).ready, 5U);
}

TEST_F(Transacted, TheCommitPositionIsKnownBeforeItsJobsCanBeClaimed) {
  enqueue(mine_, 1);
  pre_commit(mine_);
  bool known_first = true;
  platform().on_unlocked = [&](std::uint32_t) {
    if (figures(1).ready > 0 && d().arena().databases[database_].commit_position.load() != 42)
      known_first = false;
  };
  mine_.commit(42);
  platform().on_unlocked = nullptr;
  EXPECT_TRUE(known_first);
  EXPECT_EQ(d().arena().databases[database_].commit_position.load(), 42U);
}

}  // namespace
}  // namespace dw::test
