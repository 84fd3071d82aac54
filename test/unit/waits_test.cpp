/* Why jobs of a queue wait: what explain_waiting counts. */
#include "core/waits.hpp"

#include "arena_fixture.hpp"

#include <string>

namespace dw::test {
namespace {

class Waits : public ArenaTest {
 protected:
  QueueWaits waits(QueueId queue) {
    QueueWaits out{};
    EXPECT_TRUE(d().queue_waits(d().find_queue(database_, queue), queue, &out));
    return out;
  }
  EntryRef put_due(JobId id, Micros in) {
    JobRow row = row_of(1, id);
    row.due = platform().wall + in;
    return put(row);
  }
};

TEST_F(Waits, TellThatAnEmptyQueueHasNothing) {
  add_queue(1);
  const QueueWaits out = waits(1);
  EXPECT_EQ(out.ready + out.later + out.retrying + out.held + out.deciding + out.ending, 0U);
  EXPECT_EQ(out.on_disk, 0);
  EXPECT_TRUE(out.counted);
  EXPECT_EQ(out.last_claim, 0);
}

TEST_F(Waits, DoNotMistakeAnotherQueueForTheOneAskedFor) {
  const Index slot = add_queue(1);
  QueueWaits out{};
  EXPECT_FALSE(d().queue_waits(slot, 2, &out));
}

TEST_F(Waits, TellWhatIsReadyAndWhenSomebodyLastAsked) {
  add_queue(1);
  claim(1);
  put_many(1, 1, 3);
  EXPECT_EQ(waits(1).ready, 3U);
  EXPECT_EQ(waits(1).last_claim, platform().wall);
}

TEST_F(Waits, TellAFirstAttemptFromARetry) {
  add_queue(1);
  put_many(1, 1, 1);
  decide(claim_one(1), Decision::retry, platform().wall + 5 * kSecond);
  put_due(2, 9 * kSecond);
  put_due(3, 7 * kSecond);
  const QueueWaits out = waits(1);
  EXPECT_EQ(out.retrying, 1U);
  EXPECT_EQ(out.next_retry, platform().wall + 5 * kSecond);
  EXPECT_EQ(out.later, 2U);
  EXPECT_EQ(out.next_due, platform().wall + 7 * kSecond);
}

TEST_F(Waits, CountWhatHasComeDueAsReadyWithoutMovingIt) {
  start(16384);
  add_queue(1);
  const Micros due = platform().wall + kSecond;
  for (JobId id = 1; id <= 1500; id++) put_due(id, kSecond);
  put_due(1501, kMinute);
  platform().advance(2 * kSecond);
  const QueueWaits out = waits(1);
  EXPECT_EQ(out.ready, 1500U);
  EXPECT_EQ(out.later, 1U);
  EXPECT_GT(out.next_due, due);
  EXPECT_EQ(state_of(1), EntryState::delayed);
}

TEST_F(Waits, TellWhoHoldsTheLeaseThatEndsFirst) {
  add_queue(1);
  put_many(1, 1, 3);
  claim(1, 1, 50 * kSecond, "slow");
  claim(1, 1, 10 * kSecond, "quick");
  const QueueWaits out = waits(1);
  EXPECT_EQ(out.held, 2U);
  EXPECT_EQ(out.first_to_end.id, 2);
  EXPECT_EQ(std::string(out.first_to_end.worker), "quick");
  EXPECT_EQ(out.first_to_end.deadline, platform().wall + 10 * kSecond);
}

TEST_F(Waits, CountManyLeases) {
  start(4096);
  add_queue(1);
  put_many(1, 1, 2100);
  EXPECT_EQ(claim(1, 2100).size(), 2100U);
  EXPECT_EQ(waits(1).held, 2100U);
}

TEST_F(Waits, TellWhatOpenTransactionsDecide) {
  add_queue(1);
  put_many(1, 1, 2);
  const ClaimedJob held = claim_one(1);
  Decided completing{};
  Decided cancelling{};
  ASSERT_EQ(d().begin_decision(database_, held.id, held.token, &completing), Verdict::ok);
  ASSERT_EQ(d().begin_cancel(database_, 2, 1, &cancelling), Verdict::ok);
  QueueWaits out = waits(1);
  EXPECT_EQ(out.deciding, 2U);
  EXPECT_EQ(out.held, 0U);
  EXPECT_EQ(out.ready, 0U);
  d().abort_decision(completing.ref, completing.token, completing.before);
  d().abort_decision(cancelling.ref, cancelling.token, cancelling.before);
  out = waits(1);
  EXPECT_EQ(out.deciding, 0U);
  EXPECT_EQ(out.held, 1U);
  EXPECT_EQ(out.ready, 1U);
}

TEST_F(Waits, CountWhatFoundNoRoomAsBeingOnDisk) {
  start(32);
  add_queue(1);
  put_many(1, 1, 100);
  const QueueWaits out = waits(1);
  EXPECT_EQ(out.ready + out.on_disk, 100);
  EXPECT_GT(out.on_disk, 0);
}

TEST_F(Waits, TellWhetherThereIsRoomForWhatIsOnDisk) {
  start(32);
  add_queue(1);
  put_many(1, 1, 16);
  EXPECT_FALSE(waits(1).short_of_room);
  put_many(1, 17, 100);
  EXPECT_TRUE(waits(1).short_of_room);
}

TEST_F(Waits, TellWhenAJobWasLastHandedOutAndSinceWhenOneIsDue) {
  add_queue(1);
  claim(1);
  EXPECT_EQ(waits(1).last_handed_out, 0);
  EXPECT_EQ(waits(1).oldest_due, kNever);
  put_many(1, 1, 2);
  const Micros at = platform().wall;
  platform().advance(kSecond);
  claim(1);
  EXPECT_EQ(waits(1).last_handed_out, at + kSecond);
  EXPECT_EQ(waits(1).oldest_due, at);
  put_due(3, -kMinute);
  EXPECT_EQ(waits(1).oldest_due, at + kSecond - kMinute);
}

TEST_F(Waits, TellWhyReadyJobsAreNotHandedOut) {
  const Micros now = platform().wall;
  QueueWaits out{};
  out.oldest_due = now - 10 * kMinute;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::nothing_ready);
  out.ready = 3;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::nobody_asked);
  out.last_claim = now - 2 * kMinute;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::nobody_asks);
  out.last_claim = now - kSecond;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::asked_in_vain);
  out.last_handed_out = now - 2 * kSecond;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::busy);
  out.last_handed_out = 0;
  out.oldest_due = now - kSecond;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::busy) << "it has just come due";
  out.waiters = 1;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::waking);
  out.paused = true;
  EXPECT_EQ(why_ready_waits(out, now), ReadyWait::paused);
}

TEST_F(Waits, TellThatAQueueIsPausedAndThatTheServerStarts) {
  QueueOptions options;
  options.paused = true;
  add_queue(1, options);
  EXPECT_TRUE(waits(1).paused);
  EXPECT_TRUE(waits(1).open);
  const Index other = d().attach_database(kOid + 1);
  const Index slot =
      d().add_queue(other, 9, "early", QueueOptions{}, QueueState::active, LoadMode::loading);
  QueueWaits out{};
  ASSERT_TRUE(d().queue_waits(slot, 9, &out));
  EXPECT_FALSE(out.open);
}

}  // namespace
}  // namespace dw::test
