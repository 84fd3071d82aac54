/* A queue while all of its jobs are being ended: what is refused, what goes on, what is counted;
 * and how its jobs are listed. */
#include "withhold_fixture.hpp"

namespace dw::test {
namespace {

using Withholding = Withhold;

/* --- while it is withheld --------------------------------------------------------------------- */

TEST_F(Withholding, ItIsRefusedToASecondTransactionAndToAQueueThatIsNotThere) {
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  EXPECT_FALSE(d().withhold(slot_ref(), false, &all));
  d().stop_reading(slot_ref());
  EXPECT_FALSE(d().withhold(slot_ref(), false, &all));
  d().let_go(slot_ref());
  EXPECT_TRUE(d().withhold(slot_ref(), false, &all));
  d().let_go(slot_ref());
  EXPECT_FALSE(d().withhold(QueueRef{kNone, 0}, false, &all));
  const QueueRef gone = slot_ref();
  d().remove_queue(gone);
  EXPECT_FALSE(d().withhold(gone, false, &all));
  const Index made =
      d().add_queue(database_, 7, "new", QueueOptions{}, QueueState::creating, LoadMode::live);
  EXPECT_FALSE(d().withhold(ref(made), false, &all));
}

TEST_F(Withholding, AQueueThatTakesTheSlotOverIsNotWithheld) {
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  const QueueRef gone = slot_ref();
  d().remove_queue(gone);
  const Index made = add_queue(2);
  ASSERT_EQ(made, gone.queue);
  EXPECT_EQ(slot(made).withheld, Withheld::no);
  ASSERT_TRUE(d().withhold(ref(made), false, &all));
  d().stop_reading(gone);
  d().let_go(gone);
  EXPECT_EQ(slot(made).withheld, Withheld::reading);
  EXPECT_TRUE(d().is_resident(gone, 5)) << "nobody may end its jobs";
  d().let_go(ref(made));
}

TEST_F(Withholding, NothingOnDiskIsLoadedNorGetsAPlaceholder) {
  begin(64, LoadMode::loading);
  log_jobs(1, 5);
  bool all = true;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  EXPECT_FALSE(all);
  for (int step = 0; step < 2; step++) {
    load_later();
    EXPECT_EQ(figures(1).resident, 0U);
    EntryRef busy{};
    EXPECT_EQ(d().add_placeholder(database_, 1, 1, &busy), Verdict::in_doubt);
    d().stop_reading(slot_ref());
  }
  d().let_go(slot_ref());
  load();
  EXPECT_EQ(figures(1).ready, 5U);
}

TEST_F(Withholding, NothingIsEvictedWhileItReads) {
  put_many(1, 1, 64);
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  add_queue(2);
  const std::uint64_t before = q().given_up;
  tell_queues({1, 2});
  log_jobs(201, 230, 2);
  slot(d().find_queue(database_, 2)).dirty.add(0, 0, 20);
  load();
  EXPECT_EQ(figures(1).ready, 64U);
  EXPECT_EQ(q().given_up, before);
  d().let_go(slot_ref());
}

/* Their tombstones do not say that they are finished. */
TEST_F(Withholding, WhatIsForgottenWhileItReadsComesBack) {
  for (JobId id = 1; id <= 3; id++) enqueue(id);
  Client first = client();
  ASSERT_EQ(first.change(3, version(2)), Verdict::ok);
  first.commit();
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  for (const ClaimedJob& job : claim(1, 3)) {
    if (job.id != 2) d().quarantine(job.ref, job.token);
  }
  for (int chunk = 0; chunk < 3; chunk++) load_later();
  d().stop_reading(slot_ref());
  for (int chunk = 0; chunk < 3; chunk++) load_later();
  d().let_go(slot_ref());
  EXPECT_EQ(drain(), (Ids{1, 3}));
}

TEST_F(Withholding, WhatIsForgottenComesBackWhenTheReadingEndsInAChunk) {
  for (const bool commits : {false, true}) {
    begin(64, LoadMode::live);
    enqueue(1);
    const ClaimedJob job = claim_one(1);
    without_sleepers();
    Client mine = client();
    ASSERT_TRUE(mine.withhold(1));
    d().quarantine(job.ref, job.token);
    once_at(Call::scan_jobs, [&mine, commits] {
      mine.stop_reading();
      if (commits) mine.commit();
    });
    load();
    if (!commits) mine.abort();
    EXPECT_EQ(drain(), (Ids{1}));
  }
}

TEST_F(Withholding, NoSleeperMakesWayWhileItReads) {
  for (JobId id = 1; id <= 64; id++) enqueue(id);
  Client theirs = client();
  for (JobId id = 1; id <= 64; id++)
    ASSERT_EQ(theirs.reschedule(id, platform().wall + kMinute), Verdict::ok);
  theirs.commit();
  log_job(100);
  d().mark_dirty(database_, 1, 0, 16);
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  load();
  EXPECT_EQ(figures(1).delayed, 64U);
  d().let_go(slot_ref());
  load();
  EXPECT_LT(figures(1).delayed, 64U) << "then they do";
}

TEST_F(Withholding, CommitsLinkTheirOwnJobsAndWorkersGoOn) {
  enqueue(1);
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  EXPECT_TRUE(all);
  enqueue(2);
  EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
  EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
  EXPECT_EQ(figures(1).resident, 2U) << "tombstones";
  d().stop_reading(slot_ref());
  EXPECT_EQ(figures(1).resident, 0U);
  enqueue(3);
  EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
  EXPECT_EQ(figures(1).resident, 0U);
  d().let_go(slot_ref());
}

TEST_F(Withholding, TombstonesOfAChunkThatRunsStayUntilItsEnd) {
  enqueue(1);
  bool all = false;
  ASSERT_TRUE(d().withhold(slot_ref(), false, &all));
  q().chunk_active = 1;
  EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
  d().stop_reading(slot_ref());
  EXPECT_EQ(figures(1).resident, 1U);
  d().let_go(slot_ref());
  EXPECT_EQ(figures(1).resident, 1U);
  load();
  q().chunk_active = 0;
}

/* Rows that are put to sleep until they are due leave a queue live, and are on disk all the same.
 */
TEST_F(Withholding, ALiveQueueWithSleepersInItsSlotsHasJobsOnDisk) {
  begin(64, LoadMode::loading);
  log_job(1);
  log_job(2, 1, 0, platform().wall + 1000 * kMinute);
  load();
  ASSERT_EQ(figures(1).mode, LoadMode::live);
  ASSERT_EQ(figures(1).resident, 1U);
  Client mine = client();
  EXPECT_EQ(mine.purge(1), 2U);
  mine.commit();
  platform().advance(1000 * kMinute);
  EXPECT_TRUE(drain().empty());
  expect_each_ended_once(1, 2);
}

/* --- counts ----------------------------------------------------------------------------------- */

TEST_F(Withholding, TheCountIsExactWhereverTheBoundaryLies) {
  for (const bool aborts : {false, true}) {
    for (const Call call : {Call::before_snapshot, Call::after_snapshot, Call::scan_parked,
                            Call::scan_outcomes, Call::scan_jobs, Call::before_commit}) {
      begin(64, LoadMode::loading);
      forget_census();
      log_jobs(1, 150);
      log_job(160, 1, kParkedSegment, platform().wall + 1000 * kMinute);
      load();
      EXPECT_EQ(complete(claim_one(1)), Verdict::ok);
      Client mine = client();
      EXPECT_EQ(mine.purge(1), 150U);
      census().reset();
      once_at(call, [&mine, aborts] {
        if (aborts) {
          mine.abort();
        } else {
          mine.commit();
        }
      });
      count(0);
      EXPECT_EQ(unfinished(), aborts ? 150 : 0) << "at call " << static_cast<int>(call);
    }
  }
}

TEST_F(Withholding, APurgeAfterTheBoundaryDisturbsNothing) {
  begin(64, LoadMode::loading);
  log_jobs(1, 150);
  load();
  EXPECT_EQ(unfinished(), 150);
  Client mine = client();
  mine.purge(1);
  EXPECT_EQ(unfinished(), 150);
  mine.commit();
  EXPECT_TRUE(is_counted());
  EXPECT_EQ(unfinished(), 0);
}

TEST_F(Withholding, APurgeThatWasOpenAtTheBoundaryDisturbsTheCount) {
  begin(64, LoadMode::loading);
  log_jobs(1, 150);
  Client mine = client();
  mine.purge(1);
  census().reset();
  EXPECT_EQ(unfinished(), 150);
  mine.commit();
  EXPECT_FALSE(is_counted());
  EXPECT_EQ(unfinished(), 0);
}

TEST_F(Withholding, WhoeverWaitsForTheEndOfAJobOnDiskIsWoken) {
  begin(64, LoadMode::loading);
  log_jobs(1, 3);
  d().await_begin(0, database_, 2);
  Client mine = client();
  mine.purge(1);
  EXPECT_FALSE(d().awaited_ended(0));
  mine.commit();
  EXPECT_TRUE(d().awaited_ended(0));
  d().await_end(0);
}

/* --- listing ---------------------------------------------------------------------------------- */

TEST_F(Withholding, AListOfJobsHasThoseThatAreWantedAndWhereTheirRowsLie) {
  JobRow keyed = row_of(1, 1);
  keyed.key_hash = 5;
  put(keyed);
  put_many(1, 2, 6);
  add_queue(2);
  put(row_of(2, 7));
  link(row_of(1, 8));
  JobRow last_try = row_of(1, 10);
  last_try.priority = 0;
  last_try.max_attempts = 1;
  put(last_try);
  const ClaimedJob lapsed = claim_one(1);
  d().roll_back_claim(lapsed.ref, lapsed.token);
  ASSERT_EQ(state_of(10), EntryState::leased);
  const std::vector<ClaimedJob> held = claim(1, 2);
  ASSERT_EQ(held.size(), 2U);
  Decided completing{};
  ASSERT_EQ(d().begin_decision(database_, 2, held[1].token, &completing), Verdict::ok);
  JobRow later = row_of(1, 9);
  later.due = platform().wall + kMinute;
  put(later);
  const ClaimedJob failed = claim_one(1);
  d().roll_back_claim(failed.ref, failed.token);
  Decided decided{};
  ASSERT_EQ(d().begin_change(database_, 4, 1, &decided), Verdict::ok);
  EXPECT_EQ(list({}), (Ids{3, 4, 5, 6, 9}));
  EXPECT_EQ(list({false, 0, true, false}), (Ids{1, 2, 3, 4, 5, 6, 9}));
  EXPECT_EQ(list({true, 5, true, false}), (Ids{1}));
  EXPECT_EQ(list({false, 0, false, true}), (Ids{3}));
  std::vector<ListedJob> listed(kEntriesPerHold);
  Index position = 0;
  ASSERT_EQ(d().list_jobs(slot_ref(), {true, 0, false, true}, &position, listed.data()), 1U);
  EXPECT_EQ(listed[0].block, 3U);
  EXPECT_EQ(position, d().arena().capacity);
  d().abort_decision(decided.ref, decided.token, decided.before);
  const QueueRef gone = slot_ref();
  d().remove_queue(gone);
  position = 0;
  EXPECT_EQ(d().list_jobs(gone, {}, &position, listed.data()), 0U);
  EXPECT_EQ(position, d().arena().capacity);
}

TEST_F(Withholding, KeepsAllTellsOfAnEvictionInBetween) {
  put_many(1, 1, 64);
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  ASSERT_TRUE(d().keeps_all(slot_ref(), &before));
  EXPECT_TRUE(d().keeps_all(slot_ref(), &after));
  EXPECT_EQ(before, after);
  EntryRef busy{};
  ASSERT_EQ(d().add_placeholder(database_, 1, 500, &busy), Verdict::ok);
  EXPECT_FALSE(d().keeps_all(slot_ref(), &after));
  d().drop_placeholder(busy);
  q().mode = LoadMode::live;
  EXPECT_TRUE(d().keeps_all(slot_ref(), &after));
  EXPECT_NE(before, after);
}

TEST_F(Withholding, KeepsAllTellsOfAQuarantineInBetween) {
  put_many(1, 1, 3);
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  ASSERT_TRUE(d().keeps_all(slot_ref(), &before));
  const ClaimedJob job = claim_one(1);
  d().quarantine(job.ref, job.token);
  q().mode = LoadMode::live;
  EXPECT_TRUE(d().keeps_all(slot_ref(), &after));
  EXPECT_NE(before, after);
}

TEST_F(Withholding, KeepsAllIsFalseWithSleepersInSlotsWhileLoadingAndOfAnotherQueue) {
  begin(64, LoadMode::loading);
  std::uint64_t number = 0;
  EXPECT_FALSE(d().keeps_all(slot_ref(), &number));
  log_job(1, 1, 0, platform().wall + 1000 * kMinute);
  load();
  ASSERT_EQ(figures(1).mode, LoadMode::live);
  EXPECT_FALSE(d().keeps_all(slot_ref(), &number));
  platform().advance(1000 * kMinute);
  load();
  EXPECT_TRUE(d().keeps_all(slot_ref(), &number));
  const QueueRef gone = slot_ref();
  d().remove_queue(gone);
  EXPECT_FALSE(d().keeps_all(gone, &number));
}

}  // namespace
}  // namespace dw::test
