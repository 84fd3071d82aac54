/* The packed body of an outcome row: what is written is read back, and a damaged body hurts nobody.
 */
#include "core/outcome.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace dw::core {
namespace {

/* 2026-01-01 00:00 UTC. */
constexpr Micros k2026 = 820'454'400LL * kSecond;
constexpr Micros kAt = k2026 + 150LL * 86400 * kSecond + 123 * kMillisecond;

struct Body {
  std::size_t taken;
  std::vector<unsigned char> bytes;
};

Body pack(OutcomeKind kind, Micros at, QueueId queue, const std::vector<OutcomeMember>& members,
          std::size_t from = 0) {
  unsigned char space[kMostBody];
  std::size_t length = 0;
  const std::size_t taken =
      pack_outcome(kind, at, queue, members.data() + from, members.size() - from, space, &length);
  EXPECT_LE(length, kMostBody);
  return Body{taken, std::vector<unsigned char>(space, space + length)};
}

/* The body is read from memory of exactly its length, so that a read past its end is seen by the
 * sanitizer. */
std::vector<OutcomeMember> read(JobId first_id, bool batch, const std::vector<unsigned char>& bytes,
                                bool* damaged, std::size_t most = 10000) {
  const auto exact = std::make_unique<unsigned char[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  OutcomeReader reader(first_id, batch, exact.get(), bytes.size());
  std::vector<OutcomeMember> members;
  OutcomeMember member{};
  while (members.size() < most && reader.next(&member)) members.push_back(member);
  *damaged = reader.damaged();
  return members;
}

Micros rounded_up(Micros due) { return (due + kMillisecond - 1) / kMillisecond * kMillisecond; }

TEST(Outcome, OfOneCompletionTakesFifteenBytesInASmallQueue) {
  EXPECT_EQ(pack(OutcomeKind::completed, kAt, 127, {{1, (Token{7} << 32) + 1, 1, 0}}).bytes.size(),
            15U);
}

TEST(Outcome, KeepsKindTimeAndQueue) {
  const Body body = pack(OutcomeKind::dead_lettered, kAt + 456, 70000, {{5, 9, 3, 0}});
  OutcomeReader reader(5, false, body.bytes.data(), body.bytes.size());
  EXPECT_EQ(reader.kind(), OutcomeKind::dead_lettered);
  EXPECT_EQ(reader.at(), kAt);
  EXPECT_EQ(reader.queue(), 70000);
  EXPECT_FALSE(reader.damaged());
}

TEST(Outcome, KeepsEveryKind) {
  for (int kind = 0; kind <= static_cast<int>(OutcomeKind::purged); kind++) {
    const Body body = pack(static_cast<OutcomeKind>(kind), kAt, 1, {{5, 9, 3, 0}});
    OutcomeReader reader(5, false, body.bytes.data(), body.bytes.size());
    EXPECT_EQ(static_cast<int>(reader.kind()), kind);
  }
}

TEST(Outcome, KeepsTimesUntilTheYear2500) {
  const Micros at = k2026 + 474LL * 365 * 86400 * kSecond;
  const Body body = pack(OutcomeKind::completed, at, 1, {{5, 9, 0, 0}});
  EXPECT_EQ(OutcomeReader(5, false, body.bytes.data(), body.bytes.size()).at(), at);
}

TEST(Outcome, OfATimeBefore2026IsReadAsItsBeginning) {
  const Body body = pack(OutcomeKind::completed, k2026 - kSecond, 1, {{5, 9, 0, 0}});
  EXPECT_EQ(OutcomeReader(5, false, body.bytes.data(), body.bytes.size()).at(), k2026);
}

TEST(Outcome, RoundsADueTimeUpSoThatNoJobComesEarly) {
  const Micros due = kAt + 5 * kSecond + 1;
  const Body body = pack(OutcomeKind::attempt_failed, kAt, 1, {{5, 9, 2, due}});
  bool damaged = false;
  const auto members = read(5, false, body.bytes, &damaged);
  ASSERT_EQ(members.size(), 1U);
  EXPECT_EQ(members[0].next_due, kAt + 5 * kSecond + kMillisecond);
  EXPECT_EQ(members[0].attempt, 2);
}

TEST(Outcome, KeepsADueTimeBeforeItsOwnTime) {
  const Body body = pack(OutcomeKind::rescheduled, kAt, 1, {{5, 9, 2, kAt - 3600 * kSecond}});
  bool damaged = false;
  const auto members = read(5, false, body.bytes, &damaged);
  ASSERT_EQ(members.size(), 1U);
  EXPECT_EQ(members[0].next_due, kAt - 3600 * kSecond);
}

TEST(Outcome, OfAJobThatIsNeverDueStaysFarAway) {
  const Body body = pack(OutcomeKind::rescheduled, kAt, 1, {{5, 9, 2, kNever}});
  bool damaged = false;
  const auto members = read(5, false, body.bytes, &damaged);
  ASSERT_EQ(members.size(), 1U);
  EXPECT_FALSE(damaged);
  EXPECT_GT(members[0].next_due, kAt + 50LL * 365 * 86400 * kSecond);
}

TEST(Outcome, KeepsIdsAndTokensOfABatchThatIsFarApart) {
  const std::vector<OutcomeMember> members = {
      {100, 1, 0, 0}, {101, kNever - 1, 0, 0}, {4000, 5, 0, 0}};
  const Body body = pack(OutcomeKind::completed, kAt, 1, members);
  ASSERT_EQ(body.taken, 3U);
  bool damaged = false;
  const auto back = read(100, true, body.bytes, &damaged);
  ASSERT_EQ(back.size(), 3U);
  for (std::size_t i = 0; i < 3; i++) {
    EXPECT_EQ(back[i].id, members[i].id);
    EXPECT_EQ(back[i].token, members[i].token);
  }
}

TEST(Outcome, NeverSpansMoreThan4096Ids) {
  EXPECT_EQ(pack(OutcomeKind::completed, kAt, 1, {{1, 1, 0, 0}, {4096, 2, 0, 0}}).taken, 2U);
  EXPECT_EQ(pack(OutcomeKind::completed, kAt, 1, {{1, 1, 0, 0}, {4097, 2, 0, 0}}).taken, 1U);
}

TEST(Outcome, TakesAtLeastOneMemberHoweverLarge) {
  const std::vector<OutcomeMember> members = {
      {kNever - 5000, kNever, kMostAttempts, kNever},
      {kNever - 5000 + 4095, kAlways, kMostAttempts, kNever}};
  EXPECT_GE(pack(OutcomeKind::attempt_failed, kAt, kMostAttempts, members).taken, 1U);
}

std::vector<OutcomeMember> random_members(std::mt19937_64& engine, std::size_t n,
                                          OutcomeKind kind) {
  std::vector<OutcomeMember> members;
  JobId id = static_cast<JobId>(engine() % (1ULL << (1 + engine() % 62)));
  Token token = static_cast<Token>(engine() >> (1 + engine() % 50));
  const std::uint64_t stride = 1ULL << (engine() % 10);
  for (std::size_t i = 0; i < n; i++) {
    OutcomeMember member{id, token, 0, 0};
    if (has_schedule(kind)) {
      member.attempt = static_cast<std::int32_t>(engine() % (kMostAttempts + 1));
      if (engine() % 3 != 0)
        member.next_due = kAt + 1 + static_cast<Micros>(engine() % (1ULL << (1 + engine() % 50)));
    }
    members.push_back(member);
    id += static_cast<JobId>(1 + engine() % stride);
    token = engine() % 2 == 0 ? token + 1 : static_cast<Token>(engine() >> 1);
  }
  return members;
}

TEST(Outcome, ReadsBackWhatWasPackedForRandomMembers) {
  for (std::uint64_t seed = 1; seed <= 3000; seed++) {
    std::mt19937_64 engine(seed);
    const auto kind = static_cast<OutcomeKind>(engine() % 10);
    const auto queue = static_cast<QueueId>(engine() % (1U << (1 + engine() % 31)));
    const auto members = random_members(engine, 1 + engine() % 700, kind);
    for (std::size_t from = 0; from < members.size();) {
      const Body body = pack(kind, kAt, queue, members, from);
      ASSERT_GE(body.taken, 1U);
      ASSERT_LT(members[from + body.taken - 1].id - members[from].id, kMostIdSpan);
      bool damaged = true;
      const auto back = read(members[from].id, body.taken > 1, body.bytes, &damaged);
      ASSERT_FALSE(damaged) << "seed " << seed;
      ASSERT_EQ(back.size(), body.taken) << "seed " << seed;
      for (std::size_t i = 0; i < back.size(); i++) {
        const OutcomeMember& wanted = members[from + i];
        ASSERT_EQ(back[i].id, wanted.id) << "seed " << seed;
        ASSERT_EQ(back[i].token, wanted.token) << "seed " << seed;
        if (!has_schedule(kind)) continue;
        ASSERT_EQ(back[i].attempt, wanted.attempt) << "seed " << seed;
        ASSERT_EQ(back[i].next_due, wanted.next_due == 0 ? 0 : rounded_up(wanted.next_due))
            << "seed " << seed;
      }
      from += body.taken;
    }
  }
}

TEST(Outcome, OfAnOrdinaryBatchCostsFewBytesAJob) {
  std::vector<OutcomeMember> members;
  for (int i = 0; i < 100; i++) members.push_back({1000 + i, (Token{7} << 32) + 500 + i, 0, 0});
  const Body body = pack(OutcomeKind::completed, kAt, 1, members);
  EXPECT_EQ(body.taken, 100U);
  EXPECT_LE(body.bytes.size(), 15U + 1U + 2U * 99U);
}

TEST(Outcome, CutShortIsDamagedAndNeverReadPastItsEnd) {
  std::mt19937_64 engine(9);
  for (int round = 0; round < 200; round++) {
    const auto kind = static_cast<OutcomeKind>(engine() % 10);
    const auto members = random_members(engine, 1 + engine() % 20, kind);
    const Body body = pack(kind, kAt, 300, members);
    for (std::size_t length = 0; length < body.bytes.size(); length++) {
      bool damaged = false;
      const std::vector<unsigned char> cut(
          body.bytes.begin(), body.bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const auto back = read(members[0].id, body.taken > 1, cut, &damaged);
      ASSERT_TRUE(damaged) << length << " of " << body.bytes.size();
      ASSERT_LT(back.size(), body.taken);
    }
  }
}

TEST(Outcome, OfRandomBytesIsNeverReadPastItsEnd) {
  std::mt19937_64 engine(10);
  for (int round = 0; round < 20000; round++) {
    std::vector<unsigned char> bytes(engine() % 60);
    for (unsigned char& byte : bytes)
      byte = static_cast<unsigned char>(engine() % 4 == 0 ? 0xFF : engine());
    bool damaged = false;
    const auto back = read(static_cast<JobId>(engine()), engine() % 2 == 0, bytes, &damaged, 100);
    ASSERT_LE(back.size(), bytes.size());
  }
}

TEST(Outcome, WithOneFlippedBitIsNeverReadPastItsEnd) {
  std::mt19937_64 engine(11);
  for (int round = 0; round < 300; round++) {
    const auto kind = static_cast<OutcomeKind>(engine() % 10);
    const auto members = random_members(engine, 1 + engine() % 30, kind);
    const Body body = pack(kind, kAt, 300, members);
    for (std::size_t bit = 0; bit < body.bytes.size() * 8; bit++) {
      std::vector<unsigned char> bytes = body.bytes;
      bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] ^ (1U << (bit % 8)));
      bool damaged = false;
      const auto back = read(members[0].id, body.taken > 1, bytes, &damaged);
      ASSERT_LE(back.size(), bytes.size());
      for (const OutcomeMember& member : back) ASSERT_LE(member.attempt, kMostAttempts);
    }
  }
}

}  // namespace
}  // namespace dw::core
