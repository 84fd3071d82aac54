/* References that outlived what they pointed to do nothing, even when the same entry serves another
 * job. */
#include "arena_fixture.hpp"

namespace dw::test {
namespace {

class Incarnation : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    queue_ = add_queue(1);
  }
  /* Claims job 1, has another connection finish it, and lets job 2 take its entry over. */
  ClaimedJob claim_finish_and_reuse() {
    put(row_of(1, 1));
    const ClaimedJob old = claim_one(1);
    EXPECT_EQ(decide(old, Decision::finish), Verdict::ok);
    EXPECT_EQ(put(row_of(1, 2)).entry, old.ref.entry);
    return old;
  }
  Index queue_ = kNone;
};

TEST_F(Incarnation, AClaimUndoneAfterTheJobEndedHitsNoSuccessor) {
  const ClaimedJob old = claim_finish_and_reuse();
  const ClaimedJob successor = claim_one(1);
  d().roll_back_claim(old.ref, old.token);
  d().refund_claim(old.ref, old.token);
  d().quarantine(old.ref, old.token);
  EXPECT_EQ(state_of(2), EntryState::leased);
  EXPECT_EQ(decide(successor, Decision::finish), Verdict::ok);
}

TEST_F(Incarnation, EvenWithTheSuccessorsTokenAnOldReferenceDoesNothing) {
  const ClaimedJob old = claim_finish_and_reuse();
  const ClaimedJob successor = claim_one(1);
  d().roll_back_claim(old.ref, successor.token);
  d().refund_claim(old.ref, successor.token);
  d().quarantine(old.ref, successor.token);
  EXPECT_EQ(state_of(2), EntryState::leased);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, 2, successor.token, &decided), Verdict::ok);
  d().commit_decision(old.ref, successor.token, Decision::finish, OutcomeKind::completed, 0);
  d().abort_decision(old.ref, successor.token, EntryState::leased);
  EXPECT_EQ(state_of(2), EntryState::completing);
  d().abort_decision(decided.ref, decided.token, decided.before);
}

TEST_F(Incarnation, AClaimUndoneUnderANewerTokenDoesNothing) {
  put(row_of(1, 1));
  const ClaimedJob old = claim_one(1);
  decide(old, Decision::retry, kAlways);
  const ClaimedJob newer = claim_one(1);
  ASSERT_EQ(newer.ref.entry, old.ref.entry);
  d().roll_back_claim(old.ref, old.token);
  d().refund_claim(old.ref, old.token);
  d().quarantine(old.ref, old.token);
  EXPECT_EQ(state_of(1), EntryState::leased);
  EXPECT_EQ(entry(newer.ref).token, newer.token);
}

TEST_F(Incarnation, ACompletionRepeatedAfterTheJobEndedHitsNoSuccessor) {
  put(row_of(1, 1));
  const ClaimedJob old = claim_one(1);
  Decided decided{};
  d().begin_decision(database_, 1, old.token, &decided);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::completed, 0);
  put(row_of(1, 2));
  const ClaimedJob successor = claim_one(1);
  Decided other{};
  d().begin_decision(database_, 2, successor.token, &other);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::completed, 0);
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(state_of(2), EntryState::completing);
  d().abort_decision(other.ref, other.token, other.before);
}

TEST_F(Incarnation, APublicationAfterAnAbortHitsNoSuccessor) {
  const JobRow row = row_of(1, 1);
  const EntryRef old = link(row);
  d().unlink_pending(ref(queue_), &old, 1);
  const EntryRef successor = link(row_of(1, 2));
  ASSERT_EQ(successor.entry, old.entry);
  publish(row, old);
  EXPECT_EQ(state_of(2), EntryState::pending);
  d().unlink_pending(ref(queue_), &old, 1);
  EXPECT_EQ(state_of(2), EntryState::pending);
}

TEST_F(Incarnation, ADroppedPlaceholderHitsNoSuccessor) {
  EntryRef old{};
  d().add_placeholder(database_, 1, 1, &old);
  d().drop_placeholder(old);
  EntryRef successor{};
  d().add_placeholder(database_, 1, 2, &successor);
  ASSERT_EQ(successor.entry, old.entry);
  d().drop_placeholder(old);
  Decided decided{};
  EXPECT_FALSE(d().fill_placeholder(old, row_of(1, 1), true, &decided));
  EXPECT_EQ(state_of(2), EntryState::busy);
}

TEST_F(Incarnation, APlaceholderInASlotThatIsBeingGivenUpIsNotFilled) {
  EntryRef placeholder{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 1, &placeholder), Verdict::ok);
  bool tried = false;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_ || tried) return;
    tried = true;
    Decided decided{};
    EXPECT_FALSE(d().fill_placeholder(placeholder, row_of(1, 1), true, &decided));
  };
  d().remove_queue(ref(queue_));
  platform().on_unlocked = nullptr;
  EXPECT_TRUE(tried);
}

TEST_F(Incarnation, AHeartbeatWithAnOldReferenceExtendsNothing) {
  const ClaimedJob old = claim_finish_and_reuse();
  const ClaimedJob successor = claim_one(1);
  const Micros deadline = entry(successor.ref).at;
  platform().advance(kSecond);
  LeaseRow row{};
  HeartbeatState state = HeartbeatState::leased;
  EXPECT_FALSE(d().heartbeat(old.ref, d().find_worker(database_, "worker", 0), 0, &row, &state));
  EXPECT_EQ(entry(successor.ref).at, deadline);
}

/* What is found without the queue's lock may have left memory before the lock is there. */
TEST_F(Incarnation, AJobThatMovesToAnotherEntryWhileItIsLookedForIsFound) {
  const EntryRef old = link(row_of(1, 1));
  platform().on_locking = [&](std::uint32_t lock) {
    if (lock != kFirstQueueLock + queue_) return;
    platform().on_locking = nullptr;
    d().unlink_pending(ref(queue_), &old, 1);
    ASSERT_EQ(link(row_of(1, 2)).entry, old.entry);
    put(row_of(1, 1));
    claim_one(1);
  };
  Decided decided{};
  EXPECT_EQ(d().begin_change(database_, 1, 1, &decided), Verdict::leased);
}

TEST_F(Incarnation, OfAnEntryRisesWhenItBecomesATombstone) {
  put(row_of(1, 1));
  slot(queue_).chunk_active = 1;
  const ClaimedJob job = claim_one(1);
  decide(job, Decision::finish);
  EXPECT_NE(entry(job.ref).incarnation, job.ref.incarnation);
}

TEST_F(Incarnation, OfAQueueSlotKeepsAPendingListFromItsSuccessor) {
  const QueueRef old = ref(queue_);
  const JobRow row = row_of(1, 1);
  const EntryRef pending = link(row);
  d().remove_queue(old);
  ASSERT_EQ(add_queue(2), queue_);
  const EntryRef successor = link(row_of(2, 5));
  const JobRow* pointer = &row;
  d().publish(database_, 1, old, &pointer, &pending, 1);
  EXPECT_EQ(state_of(5), EntryState::pending);
  EXPECT_EQ(entry(successor).state, EntryState::pending);
  EXPECT_TRUE(slot(queue_).dirty.empty());
}

/* The queue's slot was made anew between PRE_COMMIT and COMMIT: the row has no entry, so its page
 * is dirty. */
TEST_F(Incarnation, APublicationWhoseEntryIsGoneMarksThePageDirty) {
  const QueueRef old = ref(queue_);
  const JobRow row = row_of(1, 1);
  const EntryRef pending = link(row);
  d().remove_queue(old);
  ASSERT_EQ(add_queue(1), queue_);
  const JobRow* pointer = &row;
  d().publish(database_, 1, old, &pointer, &pending, 1);
  EXPECT_EQ(slot(queue_).dirty.size(), 1U);
}

/* An entry found through the hash can end and serve another job before its queue lock is taken. */
TEST_F(Incarnation, IsCheckedAgainBetweenTheHashAndTheQueueLock) {
  put(row_of(1, 1));
  const ClaimedJob old = claim_one(1);
  bool done = false;
  platform().on_unlocked = [&](std::uint32_t lock) {
    if (done || lock < kFirstStripeLock || lock >= kFirstQueueLock) return;
    done = true;
    decide(old, Decision::finish);
    put(row_of(1, 2));
  };
  Decided decided{};
  EXPECT_EQ(d().begin_decision(database_, 1, old.token, &decided), Verdict::not_resident);
  platform().on_unlocked = nullptr;
  EXPECT_TRUE(done);
  EXPECT_EQ(state_of(2), EntryState::ready);
}

}  // namespace
}  // namespace dw::test
