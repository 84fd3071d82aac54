/* Blocks of job numbers that all sessions share. */
#include "arena_fixture.hpp"

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace dw::test {
namespace {

constexpr std::uint32_t kSequence = 16400;
constexpr std::uint32_t kBlock = 64;

class JobIds : public ArenaTest {
 protected:
  JobId take(std::uint32_t sequence = kSequence) { return d().take_job_id(database_, sequence); }
  bool open(JobId first, std::uint32_t count = kBlock, std::uint32_t sequence = kSequence) {
    return d().open_job_ids(database_, sequence, first, count);
  }
};

TEST_F(JobIds, ABlockGivesEachNumberOnceInOrder) {
  EXPECT_EQ(take(), 0);
  ASSERT_TRUE(open(1));
  for (JobId id = 2; id <= kBlock; id++) EXPECT_EQ(take(), id);
  EXPECT_EQ(take(), 0);
}

TEST_F(JobIds, ABlockBelowWhatWasGivenIsRefused) {
  ASSERT_TRUE(open(65));
  EXPECT_FALSE(open(1)) << "another session opened 65 meanwhile";
  EXPECT_EQ(take(), 66);
  ASSERT_TRUE(open(129));
  EXPECT_FALSE(open(65)) << "its numbers were given already";
  EXPECT_EQ(take(), 130);
}

TEST_F(JobIds, NumbersThatAreInTheLogAreNotGivenWhateverTheSequenceSays) {
  ASSERT_TRUE(open(65));
  d().raise_job_ids(database_, 1000);
  EXPECT_EQ(take(), 0) << "the open block lies below";
  EXPECT_FALSE(open(129));
  EXPECT_FALSE(open(961));
  ASSERT_TRUE(open(1025));
  d().raise_job_ids(database_, 1000);
  EXPECT_EQ(take(), 1026) << "they are above already";
}

TEST_F(JobIds, ASequenceOfAnotherExtensionNeitherTakesNorOpens) {
  ASSERT_TRUE(open(1001));
  EXPECT_EQ(take(kSequence + 1), 0);
  EXPECT_TRUE(open(1, kBlock, kSequence + 1)) << "a number of its own";
  EXPECT_EQ(take(kSequence + 1), 0);
  EXPECT_EQ(take(), 1002);
}

TEST_F(JobIds, AReloadEndsTheBlock) {
  ASSERT_TRUE(open(1));
  d().request_reload(database_);
  EXPECT_EQ(take(), 0);
  EXPECT_FALSE(open(1)) << "a block from before the reload";
  ASSERT_TRUE(open(5000));
  EXPECT_EQ(take(), 5001);
}

/* The housekeeper's draw while a restore goes on: its block lies where restored jobs may be. */
TEST_F(JobIds, AClosedBlockGivesNothingMoreAndStaysTheFloor) {
  ASSERT_TRUE(open(65));
  EXPECT_EQ(take(), 66);
  d().close_job_ids(database_);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(d().next_job_id(database_), 67) << "the boundary of the census";
  EXPECT_FALSE(open(1)) << "a session that drew before";
  ASSERT_TRUE(open(5001));
  EXPECT_EQ(take(), 5002);
}

TEST_F(JobIds, AnotherIncarnationOfTheExtensionStartsAnew) {
  ASSERT_TRUE(open(1001));
  d().detach_database(database_);
  database_ = d().attach_database(42);
  d().open_database(database_, 1);
  EXPECT_EQ(take(), 0);
  ASSERT_TRUE(open(1, kBlock, kSequence + 1));
  EXPECT_EQ(take(kSequence + 1), 2);
}

TEST_F(JobIds, AnIncrementOfOneSharesNothing) {
  EXPECT_TRUE(open(7, 1));
  EXPECT_EQ(take(), 0);
  EXPECT_TRUE(open(8, 1));
}

TEST_F(JobIds, NumbersTooLargeForTheWordAreNotShared) {
  constexpr JobId kLarge = JobId{1} << 57;
  EXPECT_TRUE(open(kLarge));
  EXPECT_EQ(take(), 0);
  ASSERT_TRUE(open(1));
  EXPECT_EQ(take(), 2);
}

/* Threads stand for sessions; the sequence is an atomic counter. Each sees its numbers rise. */
TEST_F(JobIds, SessionsNeverGetTheSameNumber) {
  constexpr int kThreads = 4;
  constexpr int kEach = 20000;
  std::atomic<JobId> sequence{1};
  std::vector<std::vector<JobId>> taken(kThreads);
  std::vector<std::thread> threads;
  std::atomic<bool> rising{true};
  std::mutex arena_lock;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      JobId last = 0;
      while (taken[static_cast<std::size_t>(t)].size() < kEach) {
        JobId id = take();
        if (id == 0) {
          id = sequence.fetch_add(kBlock);
          const std::lock_guard<std::mutex> hold(arena_lock); /* the fake's locks are not real */
          if (!open(id)) continue;
        }
        if (id <= last) rising = false;
        last = id;
        taken[static_cast<std::size_t>(t)].push_back(id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(rising);
  std::set<JobId> all;
  for (const auto& ids : taken) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kThreads) * kEach);
}

}  // namespace
}  // namespace dw::test
