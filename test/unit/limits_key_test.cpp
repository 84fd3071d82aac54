/* Limits of keys: what may start, what waits where, and what brings it back. */
#include "key_limits_fixture.hpp"

#include <map>
#include <random>

namespace dw::test {
namespace {

/* --- places ----------------------------------------------------------------------------------- */

TEST_F(KeyLimits, EachKeyHasItsOwnPlaces) {
  limit(key_places(2));
  put_jobs(1, 5, 1);
  put_jobs(6, 10, 2);
  EXPECT_EQ(ids(), (Ids{1, 2, 6, 7}));
  EXPECT_EQ(ids(), Ids{});
}

TEST_F(KeyLimits, JobsWithoutAKeyAreNotLimited) {
  limit(key_places(1));
  put_jobs(1, 5, 0);
  put_jobs(6, 7, 1);
  EXPECT_EQ(ids(), (Ids{1, 2, 3, 4, 5, 6}));
}

TEST_F(KeyLimits, WhatIsHeldBackIsNotInTheWayOfOthers) {
  limit(key_places(1));
  put_jobs(1, 100, 1);
  put_jobs(101, 101, 2);
  EXPECT_EQ(ids(1), Ids{1});
  EXPECT_EQ(ids(1), Ids{101});
  EXPECT_EQ(figures(kQueue).ready, 0U);
  EXPECT_EQ(figures(kQueue).blocked, 99U);
}

TEST_F(KeyLimits, EachEndOfALeaseLetsTheNextOfItsKeyStart) {
  limit(key_places(1));
  put_jobs(1, 20, 1);
  const Decision ends[] = {Decision::finish, Decision::retry, Decision::put_back};
  for (const Decision end : ends) {
    const ClaimedJob job = claim_one(kQueue);
    EXPECT_EQ(ids(), Ids{});
    EXPECT_EQ(decide(job, end, platform().wall + kMinute), Verdict::ok);
    EXPECT_EQ(figures(kQueue).ready, 1U);
  }
  ClaimedJob job = claim_one(kQueue);
  d().roll_back_claim(job.ref, job.token);
  job = claim_one(kQueue);
  d().refund_claim(job.ref, job.token);
  job = claim_one(kQueue);
  d().quarantine(job.ref, job.token);
  job = claim_one(kQueue);
  d().expire_claim(job.ref, job.token);
  EXPECT_EQ(ids().size(), 1U);
}

TEST_F(KeyLimits, ACompletionHoldsThePlaceUntilItIsCommitted) {
  limit(key_places(1));
  put_jobs(1, 3, 1);
  const ClaimedJob job = claim_one(kQueue);
  Decided decided{};
  ASSERT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::ok);
  EXPECT_EQ(ids(), Ids{});
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(decide(job, Decision::finish), Verdict::ok);
  EXPECT_EQ(ids(), Ids{2});
}

TEST_F(KeyLimits, ACancelledJobHoldsItsPlaceUntilItsHolderIsTold) {
  limit(key_places(1));
  put_jobs(1, 2, 1);
  const ClaimedJob job = claim_one(kQueue);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, job.id, 0, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::cancel_held, OutcomeKind::cancelled, 0);
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::cancelled);
  EXPECT_EQ(ids(), Ids{2});
}

TEST_F(KeyLimits, TheNextOfAKeyIsTheFirstByPriorityAndId) {
  limit(key_places(1));
  put(row(1, 1));
  const ClaimedJob job = claim_one(kQueue);
  put(row(2, 1, 9));
  put(row(3, 1, 2));
  put(row(4, 1, 2));
  decide(job, Decision::finish);
  EXPECT_EQ(ids(), Ids{3});
}

TEST_F(KeyLimits, AJobThatComesWhileTheNextIsReadyCompetesWithItByPriority) {
  limit(key_places(1));
  put(row(1, 1));
  const ClaimedJob job = claim_one(kQueue);
  put(row(2, 1, 9));
  decide(job, Decision::finish);
  put(row(3, 1, 0));
  EXPECT_EQ(ids(), Ids{3});
  EXPECT_EQ(figures(kQueue).ready, 0U) << "and the other one waits again";
}

TEST_F(KeyLimits, TheNextGoesOnWhenTheOneThatHadTheTurnIsGone) {
  limit(key_places(1));
  put_jobs(1, 4, 1);
  const ClaimedJob job = claim_one(kQueue);
  ids();
  decide(job, Decision::finish);
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 2, 0, &decided), Verdict::ok);
  EXPECT_EQ(ids(), Ids{3});
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
}

TEST_F(KeyLimits, AGatedJobCanBeCancelledAndChanged) {
  limit(key_places(1));
  put_jobs(1, 4, 1);
  const ClaimedJob job = claim_one(kQueue);
  ids();
  Decided decided{};
  ASSERT_EQ(d().begin_cancel(database_, 2, 0, &decided), Verdict::ok);
  d().commit_decision(decided.ref, decided.token, Decision::finish, OutcomeKind::cancelled, 0);
  ASSERT_EQ(d().begin_change(database_, 3, 0, &decided), Verdict::ok);
  d().abort_decision(decided.ref, decided.token, decided.before);
  decide(job, Decision::finish);
  EXPECT_EQ(ids(), Ids{3});
}

TEST_F(KeyLimits, LeasesFromBeforeTheLimitCount) {
  put_jobs(1, 10, 1);
  put_jobs(11, 12, 0);
  const std::vector<ClaimedJob> held = claim(kQueue, 3);
  limit(key_places(2));
  EXPECT_EQ(ids(), (Ids{11, 12}));
  decide(held[0], Decision::finish);
  EXPECT_EQ(ids(), Ids{});
  decide(held[1], Decision::finish);
  EXPECT_EQ(ids(), (Ids{4}));
}

TEST_F(KeyLimits, NothingStartsWhileLeasesAreBeingCounted) {
  begin_queue(QueueOptions{}, 4096);
  for (JobId id = 1; id <= 3000; id++) put(row(id, 1 + static_cast<std::uint32_t>(id % 7)));
  ASSERT_EQ(claim(kQueue, 2500).size(), 2500U);
  std::size_t claims = 0;
  std::size_t started = 0;
  platform().on_unlocked = [&](std::uint32_t number) {
    if (number < kFirstQueueLock || q().counted_places == q().in_flight || q().counts_keys == 0)
      return;
    claims++;
    started += claim(kQueue, 10).size();
  };
  limit(key_places(1000));
  platform().on_unlocked = nullptr;
  EXPECT_GT(claims, 0U);
  EXPECT_EQ(started, 0U);
  EXPECT_EQ(ids(1000).size(), 500U);
}

TEST_F(KeyLimits, AHigherLimitAndNoneLetThemGoOn) {
  limit(key_places(1));
  put_jobs(1, 10, 1);
  EXPECT_EQ(ids(), Ids{1});
  limit(key_places(3));
  EXPECT_EQ(ids(), (Ids{2, 3}));
  limit(QueueLimits{});
  EXPECT_EQ(ids(), (Ids{4, 5, 6, 7, 8, 9, 10}));
}

TEST_F(KeyLimits, ALowerLimitTakesNothingAway) {
  limit(key_places(3));
  put_jobs(1, 10, 1);
  const std::vector<ClaimedJob> held = claim(kQueue, 3);
  limit(key_places(2));
  decide(held[0], Decision::finish);
  EXPECT_EQ(ids(), Ids{});
  decide(held[1], Decision::finish);
  EXPECT_EQ(ids(), Ids{4});
}

TEST_F(KeyLimits, NoneAtAllStopsWhatHasAKey) {
  put_jobs(1, 3, 1);
  put_jobs(4, 4, 0);
  limit(key_places(0));
  EXPECT_EQ(ids(), Ids{4});
  limit(key_places(2));
  EXPECT_EQ(ids(), (Ids{1, 2}));
}

TEST_F(KeyLimits, ALimitThatComesAgainCountsWhatIsLeftOfBefore) {
  limit(key_places(2));
  put_jobs(1, 10, 1);
  EXPECT_EQ(ids(), (Ids{1, 2}));
  limit(QueueLimits{});
  EXPECT_EQ(ids(3), (Ids{3, 4, 5}));
  limit(key_places(5));
  EXPECT_EQ(ids(), Ids{});
  limit(key_places(7));
  EXPECT_EQ(ids(), (Ids{6, 7}));
}

TEST_F(KeyLimits, ADropFreesEverything) {
  limit(key_places(1, key_tokens(10, 3)));
  platform().advance(kSecond);
  put_jobs(1, 10, 1);
  put_jobs(11, 20, 2);
  EXPECT_EQ(ids().size(), 2U);
  d().remove_queue(ref_of(kQueue));
  add_queue(9);
  put(row_of(9, 1));
  EXPECT_EQ(take(9), 1U);
}

TEST_F(KeyLimits, WithAQueueLimitBothHold) {
  QueueLimits limits = key_places(2);
  limits.max_in_flight = 3;
  limit(limits);
  put_jobs(1, 5, 1);
  put_jobs(6, 9, 2);
  EXPECT_EQ(ids(), (Ids{1, 2, 6}));
}

TEST_F(KeyLimits, ReservedPlacesOfAGroupComeBackFromAKeyAtItsLimit) {
  add_queue(6);
  put_many(6, 101, 110);
  limit(key_places(1, shared_places("g", 5)));
  LimitsTest::limit(6, shared_places("g", 5));
  put_jobs(1, 20, 1);
  EXPECT_EQ(ids(), Ids{1});
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(take(6, 10), 4U);
}

/* --- tokens ----------------------------------------------------------------------------------- */

TEST_F(KeyLimits, EachKeyHasItsOwnBucketWhichBeginsEmpty) {
  limit(key_tokens(10, 3));
  put_jobs(1, 9, 1);
  put_jobs(11, 19, 2);
  EXPECT_EQ(ids(), Ids{});
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(ids(), (Ids{1, 11}));
  platform().advance(kMinute);
  EXPECT_EQ(ids(), (Ids{2, 3, 4, 12, 13, 14}));
  EXPECT_EQ(ids(), Ids{});
}

TEST_F(KeyLimits, AKeyThatComesLateHasAFullBucket) {
  limit(key_tokens(10, 3));
  platform().advance(kMinute);
  put_jobs(1, 9, 1);
  EXPECT_EQ(ids(), (Ids{1, 2, 3}));
}

TEST_F(KeyLimits, OneJobOfAKeyHasATimer) {
  limit(key_tokens(10, 1));
  platform().advance(kSecond);
  put_jobs(1, 100, 1);
  EXPECT_EQ(ids(), Ids{1});
  EXPECT_EQ(q().delayed_count, 1U);
  EXPECT_EQ(q().gated_count, 98U);
  EXPECT_EQ(q().ready_count, 0U);
  for (JobId id = 2; id < 10; id++) {
    platform().advance(100 * kMillisecond);
    EXPECT_EQ(ids(), Ids{id});
    EXPECT_EQ(q().delayed_count, 1U);
  }
}

TEST_F(KeyLimits, AnotherRateIsAnotherBucketForThoseThatWaitToo) {
  limit(key_tokens(1, 1));
  put_jobs(1, 9, 1);
  EXPECT_EQ(ids(), Ids{});
  limit(key_tokens(100, 1));
  EXPECT_EQ(ids(), Ids{});
  platform().advance(10 * kMillisecond);
  EXPECT_EQ(ids(), Ids{1});
  limit(QueueLimits{});
  EXPECT_EQ(ids().size(), 8U);
}

TEST_F(KeyLimits, TheSameRateAgainLeavesBucketsAsTheyAre) {
  limit(key_tokens(1, 2));
  platform().advance(kMinute);
  put_jobs(1, 9, 1);
  EXPECT_EQ(ids(), (Ids{1, 2}));
  limit(key_tokens(1, 2));
  EXPECT_EQ(ids(), Ids{});
  platform().advance(kSecond);
  EXPECT_EQ(ids(), Ids{3});
}

TEST_F(KeyLimits, ARecordGoesOnceItsBucketIsFull) {
  limit(key_tokens(10, 1));
  platform().advance(kSecond);
  for (JobId id = 1; id <= 50; id++) {
    put(row(id, static_cast<std::uint32_t>(id)));
    decide(claim_one(kQueue), Decision::finish);
  }
  EXPECT_EQ(d().arena().used_keys, 50U);
  platform().advance(kSecond);
  for (JobId id = 51; id <= 100; id++) {
    put(row(id, static_cast<std::uint32_t>(id)));
    decide(claim_one(kQueue), Decision::finish);
  }
  EXPECT_LT(d().arena().used_keys, 55U);
}

TEST_F(KeyLimits, WithoutARecordAJobWaitsAndOthersGoOn) {
  begin_queue(QueueOptions{}, 8192);
  add_queue(6);
  put_many(6, 5001, 5003);
  limit(key_places(1));
  for (JobId id = 1; id <= 1100; id++) put(row(id, static_cast<std::uint32_t>(id)));
  put_jobs(1200, 1200, 0);
  const std::vector<ClaimedJob> held = claim(kQueue, 2000);
  ASSERT_EQ(d().arena().limited_key_capacity, 1024U);
  EXPECT_EQ(held.size(), 1025U);
  EXPECT_NE(limits_of(kQueue).short_of_keys, 0);
  EXPECT_TRUE(platform().housekeeper_was_woken());
  EXPECT_EQ(take(6, 5), 3U);
  decide(held[0], Decision::finish);
  EXPECT_EQ(ids(), Ids{}) << "not at once";
  platform().advance(kSecond);
  EXPECT_EQ(ids(), Ids{1025});
}

TEST_F(KeyLimits, AHousekeeperFindsRecordsThatSayNothing) {
  limit(key_tokens(10, 1));
  platform().advance(kSecond);
  put_jobs(1, 1, 1);
  decide(claim_one(kQueue), Decision::finish);
  EXPECT_NE(q().oldest_key, kNone);
  platform().advance(kSecond);
  d().arena().databases[database_].keys_wanted.store(true);
  d().drop_idle_keys(database_);
  EXPECT_EQ(q().oldest_key, kNone);
}

/* --- fair and ordered queues ------------------------------------------------------------------ */

TEST_F(KeyLimits, AFairQueueGoesOnInRounds) {
  begin_queue(fair());
  limit(key_places(2));
  put_jobs(1, 5, 1);
  put_jobs(6, 10, 2);
  const std::vector<ClaimedJob> held = claim(kQueue, 3);
  EXPECT_EQ(held[0].id, 1);
  EXPECT_EQ(held[1].id, 6);
  EXPECT_EQ(held[2].id, 2);
  EXPECT_EQ(ids(), Ids{7});
  decide(held[1], Decision::finish);
  EXPECT_EQ(ids(), Ids{8});
  limit(QueueLimits{});
  EXPECT_EQ(ids().size(), 5U);
}

TEST_F(KeyLimits, OneAtATimeInAnOrderedQueueIsNoLimit) {
  begin_queue(ordered());
  limit(key_places(1));
  put_jobs(1, 3, 1);
  const ClaimedJob job = claim_one(kQueue);
  EXPECT_EQ(ids(), Ids{});
  decide(job, Decision::finish);
  EXPECT_EQ(ids(), Ids{2});
  EXPECT_EQ(d().arena().used_keys, 0U);
}

TEST_F(KeyLimits, AnOrderedKeyKeepsItsOrderWhileItWaits) {
  begin_queue(ordered());
  limit(key_tokens(10, 1));
  put_jobs(1, 3, 1);
  EXPECT_EQ(ids(), Ids{});
  put_jobs(4, 4, 1);
  platform().advance(kSecond);
  const ClaimedJob job = claim_one(kQueue);
  EXPECT_EQ(job.id, 1);
  decide(job, Decision::finish);
  EXPECT_EQ(ids(), Ids{});
  platform().advance(100 * kMillisecond);
  EXPECT_EQ(ids(), Ids{2});
}

TEST_F(KeyLimits, AnOrderedQueueThatIsStoppedGoesOnInItsOrder) {
  begin_queue(ordered());
  put_jobs(1, 2, 1);
  limit(key_places(0));
  EXPECT_EQ(ids(), Ids{});
  put_jobs(3, 3, 1);
  limit(QueueLimits{});
  EXPECT_EQ(ids(), Ids{1});
}

TEST_F(KeyLimits, AChangeThatComesToNothingLeavesAStoppedJobDue) {
  begin_queue(ordered());
  JobRow due_once = row(1, 1);
  due_once.due = platform().wall - kSecond;
  put(due_once);
  limit(key_places(0));
  EXPECT_EQ(ids(), Ids{});
  Decided decided{};
  ASSERT_EQ(d().begin_change(database_, 1, 0, &decided), Verdict::ok);
  EXPECT_EQ(decided.due, kAlways);
  d().abort_decision(decided.ref, decided.token, decided.before);
  limit(QueueLimits{});
  EXPECT_EQ(ids(), Ids{1});
}

/* --- sleeping --------------------------------------------------------------------------------- */

TEST_F(KeyLimits, AWaiterSleepsBesideAKeyAtItsLimitAndTheEndOfALeaseWakesIt) {
  limit(key_places(1));
  put_jobs(1, 3, 1);
  const ClaimedJob job = claim_one(kQueue);
  ids();
  EXPECT_TRUE(wait(0, kQueue));
  put(row(4, 1));
  EXPECT_EQ(platform().take_woken(), Woken{}) << "a new job has no place either";
  put(row(5, 2));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_woken(0, kQueue), 1U);
  EXPECT_TRUE(wait(1, kQueue));
  decide(job, Decision::finish);
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(claim_woken(1, kQueue), 1U);
}

TEST_F(KeyLimits, WaitersAreWokenOneAfterTheOtherForAKeyWithPlaces) {
  put_jobs(1, 6, 1);
  limit(key_places(1));
  EXPECT_EQ(ids(), Ids{1});
  for (Index waiter = 0; waiter < 3; waiter++) EXPECT_TRUE(wait(waiter, kQueue));
  limit(key_places(3));
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_woken(0, kQueue), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{1});
  EXPECT_EQ(claim_woken(1, kQueue), 1U);
  EXPECT_EQ(platform().take_woken(), Woken{}) << "there is no place left";
}

TEST_F(KeyLimits, AWaiterForATokenIsWokenByTheTimer) {
  limit(key_tokens(10, 1));
  put_jobs(1, 3, 1);
  EXPECT_EQ(ids(), Ids{});
  EXPECT_TRUE(wait(0, kQueue));
  FakeLog log(4);
  FakeStore store(&log, 0, &d(), database_);
  const Sweeper sweeper(&d(), database_, &store);
  EXPECT_EQ(sweeper.next_due(), platform().wall + 100 * kMillisecond);
  platform().advance(100 * kMillisecond);
  d().wake_idle(database_);
  EXPECT_EQ(platform().take_woken(), Woken{0});
  EXPECT_EQ(claim_woken(0, kQueue), 1U);
}

TEST_F(KeyLimits, AClaimPassesManyThatAreHeldBackUnderSeveralHolds) {
  begin_queue(QueueOptions{}, 8192);
  for (JobId id = 1; id <= 4000; id++) put(row(id, 1));
  limit(key_tokens(10, 1));
  put(row(5000, 0, 9));
  EXPECT_EQ(ids(1), Ids{5000});
  EXPECT_EQ(q().ready_count, 0U);
}

/* --- room ------------------------------------------------------------------------------------- */

TEST_F(KeyLimits, AFullQueueDropsAJobThatItsKeyHoldsBack) {
  QueueOptions options;
  options.max_length = 3;
  options.drop_oldest = true;
  begin_queue(options);
  limit(key_places(1));
  put_jobs(1, 3, 1);
  EXPECT_EQ(ids(), Ids{1});
  EXPECT_EQ(q().ready_count, 0U);
  RoomFigures room{};
  Decided decided{};
  EXPECT_EQ(d().exchange_room(ref_of(kQueue), &room, &decided), Room::exchanged);
  EXPECT_EQ(decided.id, 2);
  d().abort_decision(decided.ref, decided.token, decided.before);
  d().release_room(ref_of(kQueue), 1);
}

TEST_F(KeyLimits, AnExpiredJobThatWasHeldBackTakesNoPlace) {
  limit(key_places(1));
  put(row(1, 1));
  JobRow short_lived = row(2, 1);
  short_lived.expires_at = expiry_seconds(platform().wall + kSecond);
  put(short_lived);
  put(row(3, 1));
  const ClaimedJob job = claim_one(kQueue);
  ids();
  platform().advance(2 * kSecond);
  decide(job, Decision::finish);
  EXPECT_EQ(state_of(2), EntryState::overdue);
}

/* --- random lives ----------------------------------------------------------------------------- */

/* No period, from any start of the key up to now, had more than burst + t * rate, and none since
 * the rate was set more than t * rate. */
struct KeyStarts {
  std::vector<Micros> at;
  [[nodiscard]] bool may(const Rate& rate, Micros since, Micros now) const {
    if (rate.jobs == 0) return true;
    const auto n = static_cast<std::int64_t>(at.size());
    const auto parts = [&](Micros from) { return (now - from) * rate.jobs; };
    std::int64_t least = std::min(rate.burst * rate.interval, parts(since) - n * rate.interval);
    for (std::int64_t i = 0; i < n; i++)
      least = std::min(least, rate.burst * rate.interval + parts(at[static_cast<std::size_t>(i)]) -
                                  (n - i) * rate.interval);
    return least >= rate.interval;
  }
};

class RandomKeyLimits : public KeyLimits {
 protected:
  void live(std::uint64_t seed, int steps);
  std::uint64_t started_ = 0;
  std::uint64_t by_place_ = 0;
  std::uint64_t by_token_ = 0;

 private:
  std::uint64_t draw(std::uint64_t below) { return engine_() % below; }
  bool may_start(std::uint32_t key) {
    return held_[key] < limits_.key_max_in_flight &&
           starts_[key].may(limits_.key_rate, since_, platform().monotonic);
  }
  void change();
  void take();
  void end();

  std::mt19937_64 engine_;
  QueueLimits limits_;
  Micros since_ = 0;
  std::map<std::uint32_t, std::uint32_t> held_;
  std::map<std::uint32_t, std::uint32_t> waiting_;
  std::map<std::uint32_t, KeyStarts> starts_;
  std::vector<std::pair<ClaimedJob, std::uint32_t>> leases_;
};

void RandomKeyLimits::change() {
  QueueLimits limits;
  if (draw(3) != 0) limits.key_max_in_flight = static_cast<std::uint32_t>(draw(5));
  if (draw(2) == 0)
    limits.key_rate = Rate{static_cast<std::uint32_t>(1 + draw(40)),
                           static_cast<std::uint32_t>(1 + draw(4)), kSecond};
  if (limits.key_rate != limits_.key_rate) {
    since_ = platform().monotonic;
    starts_.clear();
  }
  limits_ = limits;
  limit(limits);
}

void RandomKeyLimits::take() {
  const auto wanted = static_cast<std::uint32_t>(1 + draw(6));
  const std::vector<ClaimedJob> jobs = claim(kQueue, wanted);
  for (const ClaimedJob& job : jobs) {
    const Entry& e = entry(job.ref);
    const std::uint32_t key = e.key_check == 0 ? 0 : e.key_hash;
    if (key != 0) {
      ASSERT_TRUE(may_start(key)) << "job " << job.id;
    }
    ASSERT_GT(waiting_[key], 0U);
    waiting_[key]--;
    held_[key]++;
    starts_[key].at.push_back(platform().monotonic);
    leases_.emplace_back(job, key);
    started_++;
  }
  if (jobs.size() == wanted) return;
  for (const auto& [key, count] : waiting_) {
    if (count == 0) continue;
    ASSERT_NE(key, 0U) << "a job without a key was held back";
    ASSERT_FALSE(may_start(key)) << "key " << key << " was held back";
    (held_[key] >= limits_.key_max_in_flight ? by_place_ : by_token_)++;
  }
}

void RandomKeyLimits::end() {
  if (leases_.empty()) return;
  const std::size_t place = draw(leases_.size());
  const auto [job, key] = leases_[place];
  leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(place));
  held_[key]--;
  if (draw(3) == 0) {
    ASSERT_EQ(decide(job, Decision::put_back, platform().wall), Verdict::ok);
    waiting_[key]++;
  } else {
    ASSERT_EQ(decide(job, Decision::finish), Verdict::ok);
  }
}

void RandomKeyLimits::live(std::uint64_t seed, int steps) {
  engine_.seed(seed);
  QueueOptions options;
  options.fair = draw(3) == 0;
  begin_queue(options, 2048);
  limits_ = QueueLimits{};
  held_.clear();
  waiting_.clear();
  starts_.clear();
  leases_.clear();
  JobId next = 1;
  for (int step = 0; step < steps && !HasFatalFailure(); step++) {
    const std::uint64_t what = draw(100);
    if (what < 30 && next < 1500) {
      const auto key = static_cast<std::uint32_t>(draw(6));
      put(row(next++, key, static_cast<std::uint8_t>(draw(10))));
      waiting_[key]++;
    } else if (what < 55) {
      take();
    } else if (what < 75) {
      end();
    } else if (what < 97) {
      platform().advance(static_cast<Micros>(draw(60 * kMillisecond)));
    } else {
      change();
    }
    if (step % 50 == 0) {
      ASSERT_EQ(arena_faults(d().arena()), "");
    }
  }
}

TEST_F(RandomKeyLimits, NothingExceedsItsLimitAndNothingIsHeldBackWithoutOne) {
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    live(seed, 1500);
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
  }
  EXPECT_GT(started_, 10'000U);
  EXPECT_GT(by_place_, 1000U);
  EXPECT_GT(by_token_, 1000U);
}

}  // namespace
}  // namespace dw::test
