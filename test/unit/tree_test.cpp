/* insert_near_end() keeps every order that insert() keeps. */
#include "core/tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace dw::test {
namespace {

using namespace dw::core;

/* Numbers that arrive up to so many places late, as from that many sessions. */
std::vector<JobId> nearly_sorted(std::size_t n, std::size_t late, std::minstd_rand& random) {
  std::vector<JobId> ids(n);
  for (std::size_t i = 0; i < n; i++) ids[i] = static_cast<JobId>(i + 1);
  for (std::size_t i = 0; i + late < n; i++) {
    if (late > 0 && random() % 3 == 0) std::swap(ids[i], ids[i + 1 + random() % late]);
  }
  return ids;
}

/* A tree and its entries, so near to each other that links reach. */
template <class Tree, std::size_t kJobs>
struct Jobs {
  Tree tree;
  Entry entries[kJobs];
};

TEST(Tree, ReadyJobsAreInTheOrderOfTheirNumbersHoweverLateTheyCome) {
  std::minstd_rand random(1);
  for (const std::size_t late : {0, 1, 3, 15, 16, 17, 40, 500}) {
    constexpr std::size_t kJobs = 2000;
    const auto jobs = std::make_unique<Jobs<ReadyTree, kJobs>>();
    ReadyTree& tree = jobs->tree;
    const std::vector<JobId> ids = nearly_sorted(kJobs, late, random);
    for (std::size_t i = 0; i < kJobs; i++) {
      Entry& e = jobs->entries[i];
      e.id = ids[i];
      e.priority = (late % 2 == 0 ? 5 : random() % 3) & 0xF;
      insert_near_end(tree, e);
      ASSERT_EQ(&tree.last(), &*std::prev(tree.end()));
      if (i % 7 == 6) tree.erase(tree.begin());
    }
    EXPECT_TRUE(std::is_sorted(tree.begin(), tree.end(), ReadyOrder{})) << "late " << late;
    tree.clear();
  }
}

TEST(Tree, DeadlinesAreInOrderAndEqualOnesInOrderOfArrival) {
  std::minstd_rand random(2);
  constexpr std::size_t kJobs = 3000;
  const auto near_jobs = std::make_unique<Jobs<TimeTree, kJobs>>();
  const auto plain_jobs = std::make_unique<Jobs<TimeTree, kJobs>>();
  Entry* const near = near_jobs->entries;
  Entry* const plain = plain_jobs->entries;
  TimeTree& tree = near_jobs->tree;
  TimeTree& expected = plain_jobs->tree;
  for (std::size_t i = 0; i < kJobs; i++) {
    for (Entry* const entries : {near, plain}) {
      Entry& e = entries[i];
      e.at = static_cast<Micros>(i / 20);
      e.priority = 5;
      e.id = 7; /* equal in every respect that the order looks at */
    }
    const auto late = static_cast<Micros>(random() % 4 == 0 ? random() % 30 : 0);
    near[i].at -= late;
    plain[i].at -= late;
    near[i].token = plain[i].token = static_cast<Token>(i);
    insert_near_end(tree, near[i]);
    expected.insert(plain[i]);
  }
  EXPECT_TRUE(std::equal(tree.begin(), tree.end(), expected.begin(), expected.end(),
                         [](const Entry& a, const Entry& b) { return a.token == b.token; }));
  tree.clear();
  expected.clear();
}

}  // namespace
}  // namespace dw::test
