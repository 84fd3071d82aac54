/* Claims that may be asked for again: which batch a repetition gets, who waits for whom, and what
 * is forgotten when. */
#include "arena_fixture.hpp"

#include "core/transaction.hpp"

#include <algorithm>

namespace dw::test {
namespace {

constexpr RequestOwner kFirst{1, 100};
constexpr RequestOwner kSecond{2, 200};

class Requests : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    add_queue(1);
    add_queue(2);
  }
  static RequestKey key(std::uint64_t number) { return {{number, ~number}}; }
  RequestStanding ask(std::uint64_t number, RequestOwner self = kSecond) {
    RequestOwner other{};
    return d().begin_request(key(number), self, &ref_, &other);
  }
  /* A first call: claims from the queue under that id; its transaction is open. */
  std::vector<ClaimedJob> claim_as(std::uint64_t number, QueueId queue, std::uint32_t n,
                                   RequestOwner self = kFirst) {
    EXPECT_EQ(ask(number, self), RequestStanding::fresh);
    std::vector<ClaimedJob> jobs(n);
    jobs.resize(d().claim(ref_of(queue), worker(), 0, jobs.data(), n, &ref_));
    return jobs;
  }
  std::vector<JobId> again(std::uint64_t number) {
    std::vector<LeaseRef> leases(100);
    leases.resize(d().request_leases(key(number), leases.data(), 100));
    std::vector<JobId> ids;
    for (const LeaseRef& lease : leases) {
      ClaimedJob job{};
      if (d().see_claimed(lease, &job)) ids.push_back(job.id);
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  std::uint32_t capacity() { return d().arena().request_capacity; }

  RequestRef ref_{};
};

using Ids = std::vector<JobId>;

TEST_F(Requests, ARepetitionGetsTheSameBatchWithTheSameTokens) {
  put_many(1, 1, 5);
  const std::vector<ClaimedJob> first = claim_as(7, 1, 3);
  d().settle_request(ref_);
  EXPECT_EQ(ask(7), RequestStanding::known);
  EXPECT_EQ(again(7), (Ids{1, 2, 3}));
  std::vector<LeaseRef> leases(10);
  EXPECT_EQ(d().request_leases(key(7), leases.data(), 10), 3U);
  ClaimedJob job{};
  ASSERT_TRUE(d().see_claimed(leases[2], &job)); /* the list has the last one first */
  EXPECT_EQ(job.token, first[0].token);
  EXPECT_EQ(job.deadline, first[0].deadline);
  EXPECT_EQ(job.attempt, first[0].attempt);
  EXPECT_EQ(job.block, first[0].block);
}

TEST_F(Requests, AnotherIdIsAnotherBatch) {
  put_many(1, 1, 4);
  claim_as(7, 1, 2);
  d().settle_request(ref_);
  claim_as(8, 1, 2);
  d().settle_request(ref_);
  EXPECT_EQ(again(7), (Ids{1, 2}));
  EXPECT_EQ(again(8), (Ids{3, 4}));
}

TEST_F(Requests, WhatTheWorkerClaimedWithoutAnIdIsNotPartOfIt) {
  put_many(1, 1, 4);
  claim(1);
  claim_as(7, 1, 2);
  claim(1);
  EXPECT_EQ(again(7), (Ids{2, 3}));
}

TEST_F(Requests, TheFirstCallsTransactionIsWaitedFor) {
  put_many(1, 1, 2);
  claim_as(7, 1, 2);
  RequestOwner other{};
  EXPECT_EQ(d().begin_request(key(7), kSecond, &ref_, &other), RequestStanding::open_elsewhere);
  EXPECT_EQ(other.process, kFirst.process);
  EXPECT_EQ(other.transaction, kFirst.transaction);
}

TEST_F(Requests, ALaterTransactionOfTheSameProcessIsAnother) {
  put_many(1, 1, 2);
  claim_as(7, 1, 2);
  EXPECT_EQ(ask(7, RequestOwner{kFirst.process, kFirst.transaction + 1}),
            RequestStanding::open_elsewhere);
}

TEST_F(Requests, TheSameTransactionIsAnsweredAtOnce) {
  put_many(1, 1, 2);
  claim_as(7, 1, 2);
  EXPECT_EQ(ask(7, kFirst), RequestStanding::known);
}

TEST_F(Requests, AfterARollbackItIsForgotten) {
  put_many(1, 1, 2);
  const std::vector<ClaimedJob> jobs = claim_as(7, 1, 2);
  for (const ClaimedJob& job : jobs) d().roll_back_claim(job.ref, job.token);
  d().forget_request(ref_);
  EXPECT_EQ(ask(7), RequestStanding::fresh);
}

TEST_F(Requests, ATransactionSettlesOrForgetsThem) {
  put_many(1, 1, 4);
  Transaction transaction(&d());
  transaction.set_database(database_, kOid);
  transaction.reserve(8);
  const auto claims = [&](std::int32_t level, std::uint64_t number) {
    EXPECT_EQ(ask(number, kFirst), RequestStanding::fresh);
    transaction.note_request(level, ref_);
    ClaimedJob job{};
    EXPECT_EQ(d().claim(ref_of(1), worker(), 0, &job, 1, &ref_), 1U);
    transaction.note_claims(level, &job, 1);
    return job.id;
  };
  const JobId kept = claims(1, 7);
  claims(2, 8);
  transaction.sub_abort(2);
  const JobId merged = claims(2, 9);
  transaction.sub_commit(2);
  EXPECT_EQ(ask(8, kFirst), RequestStanding::fresh) << "rolled back with its savepoint";
  d().forget_request(ref_);
  transaction.commit(0);
  EXPECT_EQ(ask(7), RequestStanding::known);
  EXPECT_EQ(again(7), Ids{kept});
  EXPECT_EQ(ask(9), RequestStanding::known);
  EXPECT_EQ(again(9), Ids{merged});
}

TEST_F(Requests, AnEmptyBatchIsForgottenAtOnce) {
  EXPECT_TRUE(claim_as(7, 1, 2).empty());
  d().forget_request(ref_);
  EXPECT_EQ(ask(7), RequestStanding::fresh);
  d().settle_request(ref_);
  EXPECT_EQ(ask(7), RequestStanding::fresh) << "also when nobody says so before the commit";
}

TEST_F(Requests, WhatWasDecidedSinceIsNoLongerPartOfIt) {
  put_many(1, 1, 4);
  const std::vector<ClaimedJob> jobs = claim_as(7, 1, 4);
  d().settle_request(ref_);
  decide(jobs[0], Decision::finish);
  Decided decided{};
  EXPECT_EQ(d().begin_decision(database_, jobs[1].id, jobs[1].token, &decided), Verdict::ok);
  decide(jobs[2], Decision::put_back, platform().wall + kMinute);
  EXPECT_EQ(again(7), Ids{4});
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(again(7), (Ids{2, 4}));
}

TEST_F(Requests, AFinishedBatchIsRememberedUntilItsFirstDeadline) {
  put_many(1, 1, 2);
  const std::vector<ClaimedJob> jobs = claim_as(7, 1, 1);
  d().settle_request(ref_);
  decide(jobs[0], Decision::finish);
  platform().advance(QueueOptions{}.lease - 1);
  EXPECT_EQ(ask(7), RequestStanding::known);
  EXPECT_TRUE(again(7).empty());
  platform().advance(1);
  EXPECT_EQ(ask(7), RequestStanding::fresh);
}

TEST_F(Requests, ALeaseThatWasExtendedKeepsItAlive) {
  put_many(1, 1, 2);
  const std::vector<ClaimedJob> jobs = claim_as(7, 1, 2);
  d().settle_request(ref_);
  Verdict verdict{};
  d().extend(database_, jobs[1].id, jobs[1].token, kMinute * 60, &verdict);
  platform().advance(QueueOptions{}.lease + 1);
  EXPECT_EQ(ask(7), RequestStanding::known);
  EXPECT_EQ(again(7), Ids{2}) << "the other one has run out";
}

TEST_F(Requests, SeveralQueuesShareAnIdAndKeepBlocksOfTheirOwn) {
  put_many(1, 1, 2);
  put_many(2, 11, 12);
  claim_as(7, 1, 2);
  const RequestRef first = ref_;
  claim(2); /* between the two, from the second queue: tokens of a job must rise */
  const RequestRef second = d().add_request(first);
  ClaimedJob job{};
  EXPECT_EQ(d().claim(ref_of(2), worker(), 0, &job, 1, &second), 1U);
  EXPECT_EQ(again(7), (Ids{1, 2, 12}));
  EXPECT_EQ(ask(7), RequestStanding::open_elsewhere);
  d().settle_request(first);
  EXPECT_EQ(ask(7), RequestStanding::open_elsewhere);
  d().settle_request(second);
  EXPECT_EQ(ask(7), RequestStanding::known);
}

TEST_F(Requests, AFullTableIsOneWithLeasesOnly) {
  start(256);
  add_queue(1);
  const auto n = static_cast<JobId>(capacity());
  put_many(1, 1, n + 1);
  std::vector<ClaimedJob> jobs;
  for (JobId i = 1; i <= n; i++) {
    jobs.push_back(claim_as(static_cast<std::uint64_t>(i), 1, 1).at(0));
    d().settle_request(ref_);
  }
  EXPECT_EQ(ask(1000), RequestStanding::no_room);
  decide(jobs[4], Decision::finish);
  decide(jobs[2], Decision::finish);
  EXPECT_EQ(ask(5), RequestStanding::known);
  EXPECT_EQ(ask(1000), RequestStanding::fresh) << "in place of the one that was finished first";
  EXPECT_EQ(ask(3), RequestStanding::known);
  EXPECT_EQ(ask(5), RequestStanding::fresh) << "which is not known any more";
  EXPECT_EQ(ask(3), RequestStanding::no_room) << "and has taken the place of the other one";
}

TEST_F(Requests, OneThatIsOpenIsNotGivenUpForAnother) {
  start(256);
  add_queue(1);
  const auto n = static_cast<JobId>(capacity());
  put_many(1, 1, n);
  std::vector<ClaimedJob> jobs;
  for (JobId i = 1; i <= n; i++)
    jobs.push_back(claim_as(static_cast<std::uint64_t>(i), 1, 1).at(0));
  const RequestRef last = ref_;
  decide(jobs.back(), Decision::finish);
  EXPECT_EQ(ask(1000), RequestStanding::no_room);
  d().settle_request(last);
  EXPECT_EQ(ask(1000), RequestStanding::fresh);
}

TEST_F(Requests, ADroppedQueueEndsItsLeases) {
  put_many(1, 1, 2);
  claim_as(7, 1, 2);
  d().settle_request(ref_);
  d().remove_queue(ref_of(1));
  EXPECT_TRUE(again(7).empty());
}

TEST_F(Requests, AWorkerSlotThatWentToAnotherNameIsNotMistaken) {
  put_many(1, 1, 2);
  const std::vector<ClaimedJob> jobs = claim_as(7, 1, 1);
  d().settle_request(ref_);
  decide(jobs[0], Decision::finish);
  d().arena().workers[worker().worker].name[0] = 'x';
  EXPECT_EQ(claim(1, 1, 0, "xorker").size(), 1U);
  EXPECT_TRUE(again(7).empty());
}

}  // namespace
}  // namespace dw::test
