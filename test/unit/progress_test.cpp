/* What workers say about the jobs they hold: for whom it is kept, how long, and what makes way. */
#include "arena_fixture.hpp"

#include <algorithm>
#include <random>
#include <string>

namespace dw::test {
namespace {

class ProgressOf : public ArenaTest {
 protected:
  void SetUp() override {
    ArenaTest::SetUp();
    add_queue(1);
    put_many(1, 1, 60);
  }
  Verdict say(const ClaimedJob& job, const std::string& text) {
    return say(job.id, job.token, text);
  }
  Verdict say(JobId id, Token token, const std::string& text) {
    return d().set_progress(database_, id, token, text.data(),
                            static_cast<std::uint16_t>(text.size()));
  }
  std::string said(const ClaimedJob& job) {
    ResidentRow row{};
    if (!d().see_job(database_, 1, job.id, &row) || row.holder == kNone) return "nobody";
    char text[kMostProgressBytes];
    return {text, d().see_progress(row.holder, job.token, text)};
  }
  std::uint32_t slots() { return d().arena().progress_mask + 1; }
};

TEST_F(ProgressOf, IsWhatWasSaidLast) {
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(said(job), "");
  EXPECT_EQ(say(job, "half"), Verdict::ok);
  EXPECT_EQ(said(job), "half");
  EXPECT_EQ(say(job, std::string(kMostProgressBytes, 'x')), Verdict::ok);
  EXPECT_EQ(said(job), std::string(kMostProgressBytes, 'x'));
}

TEST_F(ProgressOf, AnotherTokenIsRefused) {
  const ClaimedJob job = claim_one(1);
  EXPECT_EQ(say(job.id, job.token + 1, "?"), Verdict::stale);
  EXPECT_EQ(say(2, job.token, "?"), Verdict::stale);
  EXPECT_EQ(say(1000, job.token, "?"), Verdict::not_resident);
  EXPECT_EQ(said(job), "");
}

TEST_F(ProgressOf, EndsWithTheLeaseAndIsNotTheNextOnes) {
  const ClaimedJob job = claim_one(1);
  say(job, "half");
  decide(job, Decision::put_back, platform().wall);
  const ClaimedJob again = claim_one(1);
  EXPECT_EQ(again.id, job.id);
  EXPECT_EQ(said(again), "");
  EXPECT_EQ(say(job, "late"), Verdict::stale);
  EXPECT_EQ(d().arena().oldest_progress, kNone) << "its slot is free again";
}

TEST_F(ProgressOf, StaysWhileADecisionIsOpen) {
  const ClaimedJob job = claim_one(1);
  say(job, "half");
  Decided decided{};
  d().begin_decision(database_, job.id, job.token, &decided);
  EXPECT_EQ(said(job), "half");
  EXPECT_EQ(say(job, "nearly"), Verdict::ok);
  d().abort_decision(decided.ref, decided.token, decided.before);
  EXPECT_EQ(said(job), "nearly");
}

TEST_F(ProgressOf, WhenAllSlotsAreTakenTheOneWrittenLongestAgoMakesWay) {
  std::vector<ClaimedJob> jobs = claim(1, slots() + 2);
  for (std::uint32_t i = 0; i < slots(); i++) say(jobs[i], std::to_string(i));
  say(jobs[0], "again");
  say(jobs[slots()], "new");
  EXPECT_EQ(said(jobs[1]), "");
  EXPECT_EQ(said(jobs[0]), "again");
  EXPECT_EQ(said(jobs[slots()]), "new");
  decide(jobs[5], Decision::finish);
  say(jobs[slots() + 1], "newer");
  EXPECT_EQ(said(jobs[2]), "2") << "a slot of an ended lease is taken first";
  EXPECT_EQ(said(jobs[slots() + 1]), "newer");
}

/* As long as that, and different from place to place. */
std::string words(std::size_t length, unsigned first) {
  std::string text;
  for (std::size_t i = 0; i < length; i++) text += static_cast<char>('a' + (first + i / 7) % 26);
  return text;
}

TEST_F(ProgressOf, OfAnyLengthComesBackAsItWasSaid) {
  const ClaimedJob job = claim_one(1);
  const std::uint32_t parts = d().arena().free_progress_parts;
  for (std::size_t length = 0; length <= kMostProgressBytes; length++) {
    const std::string text = words(length, static_cast<unsigned>(length));
    say(job, text);
    ASSERT_EQ(said(job), text);
    constexpr std::size_t kSize = sizeof(ProgressPart::bytes);
    ASSERT_EQ(d().arena().free_progress_parts, parts - (length + kSize - 1) / kSize);
  }
  say(job, "short");
  EXPECT_EQ(said(job), "short");
  decide(job, Decision::finish);
  EXPECT_EQ(d().arena().free_progress_parts, parts);
}

TEST_F(ProgressOf, WhenRoomForBytesIsTakenThoseWrittenLongestAgoMakeWay) {
  std::vector<ClaimedJob> jobs = claim(1, slots());
  std::vector<std::string> last(jobs.size());
  std::minstd_rand random(1);
  std::vector<std::size_t> order;
  for (int step = 0; step < 3000; step++) {
    const std::size_t i = random() % jobs.size();
    last[i] = words(1 + random() % kMostProgressBytes, static_cast<unsigned>(step));
    say(jobs[i], last[i]);
    std::erase(order, i);
    order.push_back(i);
    bool forgotten = false;
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      const std::string text = said(jobs[*at]);
      forgotten = forgotten || text.empty();
      ASSERT_EQ(text, forgotten ? "" : last[*at]);
    }
    ASSERT_EQ(said(jobs[i]), last[i]);
  }
}

TEST_F(ProgressOf, WorkersAreCountedRight) {
  const ClaimedJob mine = claim(1, 1, 0, "anna").at(0);
  const ClaimedJob other = claim(1, 1, 0, "bert").at(0);
  say(mine, "mine");
  say(other, "other");
  decide(mine, Decision::finish);
  EXPECT_EQ(said(other), "other");
  EXPECT_EQ(d().arena().workers[worker("anna").worker].progress_count.load(), 0U);
  EXPECT_EQ(d().arena().workers[worker("bert").worker].progress_count.load(), 1U);
}

TEST_F(ProgressOf, GoesWithItsQueue) {
  say(claim_one(1), "half");
  d().remove_queue(ref_of(1));
  EXPECT_EQ(d().arena().oldest_progress, kNone);
}

}  // namespace
}  // namespace dw::test
