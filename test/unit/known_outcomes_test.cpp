/* What outcome rows say of jobs, whatever order they are read in, how often, and where they lie. */
#include "core/known_outcomes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace dw::core {
namespace {

constexpr Micros kAt = 830'000'000LL * kSecond;
constexpr QueueId kQueue = 3;
constexpr std::uint8_t kSegment = 2;

struct Row {
  OutcomeKind kind;
  OutcomeMember member;
  std::uint8_t segment = kSegment;
};

Row row(OutcomeKind kind, Token token, std::int32_t attempt = 0, Micros due = 0,
        std::uint8_t segment = kSegment, JobId id = 7) {
  return {kind, {id, token, attempt, due}, segment};
}

Row parked(OutcomeKind kind, Token token, std::int32_t attempt = 0, Micros due = 0) {
  return row(kind, token, attempt, due, kParkedSegment);
}

void add(KnownOutcomes& known, const Row& row) {
  unsigned char body[kMostBody];
  std::size_t length = 0;
  pack_outcome(row.kind, kAt, kQueue, &row.member, 1, body, &length);
  ASSERT_TRUE(known.add(row.segment, row.member.id, false, body, length));
}

/* What is known of job 7, in both places. */
struct Known {
  bool finished[2] = {};
  std::uint16_t attempts[2] = {};
  Micros due[2] = {};
  Token claimed[2] = {};
  std::int32_t claimed_attempt[2] = {};
  bool open[2] = {};
  bool operator==(const Known&) const = default;
};

Known ask(KnownOutcomes& known) {
  Known answer;
  for (int place = 0; place < 2; place++) {
    const std::uint8_t segment = place == 0 ? kSegment : kParkedSegment;
    answer.finished[place] = known.finished(kQueue, segment, 7);
    if (answer.finished[place]) continue;
    known.apply(kQueue, segment, 7, &answer.attempts[place], &answer.due[place]);
    const RecordedClaim claim = known.last_claim(kQueue, segment, 7);
    answer.claimed[place] = claim.token;
    answer.claimed_attempt[place] = claim.attempt;
    answer.open[place] = claim.open;
  }
  return answer;
}

/* Reads the rows in many orders, some of them twice; all must say the same. */
Known read(std::vector<Row> rows) {
  KnownOutcomes in_order;
  for (const Row& each : rows) add(in_order, each);
  const Known answer = ask(in_order);
  std::mt19937_64 engine(rows.size());
  for (int round = 0; round < 200; round++) {
    std::shuffle(rows.begin(), rows.end(), engine);
    KnownOutcomes known;
    for (const Row& each : rows) {
      add(known, each);
      if (engine() % 3 == 0) add(known, rows[engine() % rows.size()]);
      ask(known); /* being asked in between changes nothing */
    }
    EXPECT_EQ(ask(known), answer);
  }
  return answer;
}

using enum OutcomeKind;

TEST(KnownOutcomes, EveryFinalOutcomeInASegmentEndsItsRowForGood) {
  for (const OutcomeKind kind : {completed, dead_lettered, cancelled, purged, moved}) {
    const Known known = read({row(attempt_failed, 5, 1, kAt), row(kind, 6), row(claimed, 7, 3)});
    EXPECT_TRUE(known.finished[0]);
    EXPECT_FALSE(known.finished[1]);
  }
}

TEST(KnownOutcomes, TheParkedRowOfAJobThatMovedIsJudgedByParkedAlone) {
  const Known known = read({row(attempt_failed, 5, 1, kAt), row(dead_lettered, 6, 2), row(moved, 8),
                            parked(attempt_failed, 5, 1, kAt), parked(dead_lettered, 6, 2),
                            parked(redriven, 8), parked(attempt_failed, 9, 1, kAt + kSecond)});
  EXPECT_TRUE(known.finished[0]);
  EXPECT_FALSE(known.finished[1]);
  EXPECT_EQ(known.attempts[1], 1);
  EXPECT_EQ(known.due[1], kAt + kSecond);
}

TEST(KnownOutcomes, ALaterRedriveUndoesADeadLetterInParked) {
  EXPECT_TRUE(read({parked(dead_lettered, 6, 20)}).finished[1]);
  EXPECT_FALSE(read({parked(dead_lettered, 6, 20), parked(redriven, 7)}).finished[1]);
  EXPECT_TRUE(
      read({parked(dead_lettered, 6, 20), parked(redriven, 7), parked(dead_lettered, 9, 20)})
          .finished[1]);
  EXPECT_FALSE(read({parked(dead_lettered, 6, 20), parked(redriven, 7),
                     parked(dead_lettered, 9, 20), parked(redriven, 10, 0, kAt + kSecond)})
                   .finished[1]);
}

TEST(KnownOutcomes, AttemptsCountFromTheLastRedrive) {
  const Known known = read({parked(attempt_failed, 5, 19, kAt), parked(dead_lettered, 6, 20),
                            parked(redriven, 7, 0, kAt + kMinute)});
  EXPECT_EQ(known.attempts[1], 0);
  EXPECT_EQ(known.due[1], kAt + kMinute);
}

TEST(KnownOutcomes, NothingUndoesAnotherEndInParked) {
  for (const OutcomeKind kind : {completed, cancelled, purged}) {
    EXPECT_TRUE(
        read({parked(kind, 6), parked(redriven, 7), parked(rescheduled, 8, 0, kAt)}).finished[1]);
  }
}

TEST(KnownOutcomes, TheLatestScheduleHolds) {
  const Known known =
      read({row(attempt_failed, 5, 1, kAt + kSecond), row(rescheduled, 9, 1, kAt + kMinute),
            row(attempt_failed, 7, 2, kAt + 2 * kSecond)});
  EXPECT_EQ(known.due[0], kAt + kMinute);
}

TEST(KnownOutcomes, AScheduleWithoutADueTimeLeavesTheRowsOwn) {
  EXPECT_EQ(read({row(attempt_failed, 5, 1, kAt), row(attempt_failed, 6, 2, 0)}).due[0], 0);
}

TEST(KnownOutcomes, AClaimWithoutAnEndIsOpenAndCounts) {
  const Known known =
      read({row(attempt_failed, 5, 1, kAt + kSecond), row(claimed, 5, 1), row(claimed, 8, 2)});
  EXPECT_TRUE(known.open[0]);
  EXPECT_EQ(known.claimed[0], 8);
  EXPECT_EQ(known.claimed_attempt[0], 2);
  EXPECT_EQ(known.attempts[0], 2);
  EXPECT_EQ(known.due[0], kAt + kSecond);
}

TEST(KnownOutcomes, WhatBecameOfAClaimHasItsTokenAndRefundsItsAttempt) {
  const Known known = read({row(claimed, 8, 2), row(rescheduled, 8, 1, kAt)});
  EXPECT_FALSE(known.open[0]);
  EXPECT_EQ(known.attempts[0], 1);
}

TEST(KnownOutcomes, AClaimOfAFinishedJobIsNotKept) {
  KnownOutcomes known;
  add(known, row(claimed, 8, 1));
  add(known, row(completed, 8));
  add(known, row(claimed, 8, 1));
  EXPECT_EQ(known.open_records(), 0U);
  EXPECT_EQ(known.last_claim(kQueue, kSegment, 7).token, 0);
}

TEST(KnownOutcomes, QueuesAndNeighboursAreKeptApart) {
  KnownOutcomes known;
  for (JobId id = 1; id < 20'000; id += 3) add(known, row(completed, 5, 0, 0, kSegment, id));
  for (JobId id = 1; id < 20'000; id++) {
    ASSERT_EQ(known.finished(kQueue, kSegment, id), id % 3 == 1) << id;
    ASSERT_FALSE(known.finished(kQueue, kParkedSegment, id));
    ASSERT_FALSE(known.finished(kQueue + 1, kSegment, id));
  }
}

/* Lives of a job as the engine writes them, against what their last record says. */
TEST(KnownOutcomes, SaysOfRandomLivesWhatTheirEndSays) {
  for (std::uint64_t seed = 1; seed <= 400; seed++) {
    std::mt19937_64 engine(seed);
    std::vector<Row> rows;
    Token token = 1;
    int attempts = 0;
    bool dead = false;
    Micros due = 0;
    for (std::uint64_t step = engine() % 12; step > 0; step--) {
      token += static_cast<Token>(1 + engine() % 3);
      if (dead) {
        rows.push_back(parked(redriven, token, 0, kAt + kSecond));
        attempts = 0;
        dead = false;
        due = kAt + kSecond;
        continue;
      }
      due = kAt + static_cast<Micros>(1 + engine() % 1000) * kSecond;
      switch (engine() % 4) {
        case 0:
          rows.push_back(parked(attempt_failed, token, ++attempts, due));
          break;
        case 1:
          rows.push_back(parked(rescheduled, token, attempts, due));
          break;
        case 2:
          rows.push_back(parked(payload_replaced, token, attempts, due));
          break;
        default:
          rows.push_back(parked(dead_lettered, token, ++attempts));
          dead = true;
          break;
      }
    }
    const Known known = rows.empty() ? Known{} : read(rows);
    ASSERT_EQ(known.finished[1], dead) << "seed " << seed;
    if (dead) continue;
    ASSERT_EQ(known.attempts[1], attempts) << "seed " << seed;
    ASSERT_EQ(known.due[1], due) << "seed " << seed;
  }
}

TEST(KnownOutcomes, ADueTimeThatIsWrittenToHoldSurvivesThePacking) {
  for (Micros at = kAt; at < kAt + 3 * kMillisecond; at += 250) {
    for (const Micros wanted : {Micros{0}, at - 1, at, at + 1, at + kMillisecond}) {
      const OutcomeMember member{7, 5, 0, explicit_due(wanted, at)};
      unsigned char body[kMostBody];
      std::size_t length = 0;
      pack_outcome(rescheduled, at, kQueue, &member, 1, body, &length);
      OutcomeReader reader(7, false, body, length);
      OutcomeMember back{};
      ASSERT_TRUE(reader.next(&back));
      ASSERT_NE(back.next_due, 0);
      if (wanted > at) {
        ASSERT_GE(back.next_due, wanted);
        ASSERT_LT(back.next_due, wanted + kMillisecond);
      } else {
        ASSERT_LE(back.next_due, at);
      }
    }
  }
}

}  // namespace
}  // namespace dw::core
