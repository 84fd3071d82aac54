/* The ring of workers: published vectors, a search by brute force, what moves, how even it is. */
#include "core/owner_ring.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace dw::test {
namespace {

using namespace dw::core;

struct Member {
  std::string name;
  std::uint32_t vnodes = kDefaultVnodes;
};
using Owners = std::vector<std::string>; /* empty: none */

Owners owners_of(const std::vector<Member>& members, std::uint32_t buckets) {
  std::vector<RingWorker> workers;
  for (std::size_t i = 0; i < members.size(); i++)
    workers.push_back({members[i].name, ring_seed(members[i].name), members[i].vnodes,
                       static_cast<OwnerNumber>(i)});
  std::vector<std::uint32_t> nearest(buckets);
  std::vector<std::uint32_t> place(buckets);
  std::vector<OwnerNumber> owner(buckets);
  assign_owners(workers.data(), static_cast<std::uint32_t>(workers.size()), buckets, nearest.data(),
                place.data(), owner.data());
  Owners names;
  for (const OwnerNumber number : owner)
    names.push_back(number == kNoOwner ? "" : members[number].name);
  return names;
}

/* As the definition says it: all nodes in order, by position and then by name, and a search. */
Owners search_by_definition(const std::vector<Member>& members, std::uint32_t buckets) {
  std::vector<std::pair<std::uint32_t, std::string>> nodes;
  for (const Member& member : members) {
    for (std::uint32_t i = 0; i < member.vnodes; i++)
      nodes.emplace_back(fmix32(fnv1a32(fmt::format("{}#{}", member.name, i))), member.name);
  }
  std::sort(nodes.begin(), nodes.end());
  Owners owners;
  for (std::uint32_t b = 0; b < buckets; b++) {
    const std::pair<std::uint32_t, std::string> at{bucket_position(b, buckets), ""};
    auto node = std::lower_bound(nodes.begin(), nodes.end(), at);
    if (node == nodes.end()) node = nodes.begin();
    owners.push_back(nodes.empty() ? "" : node->second);
  }
  return owners;
}

std::vector<Member> first_workers(int n) {
  std::vector<Member> members;
  for (int i = 0; i < n; i++)
    members.push_back({fmt::format("worker-{}", static_cast<char>('A' + i))});
  return members;
}

std::map<std::string, int> loads(const Owners& owners) {
  std::map<std::string, int> count;
  for (const std::string& owner : owners) count[owner]++;
  return count;
}

int moved(const Owners& before, const Owners& after) {
  int count = 0;
  for (std::size_t b = 0; b < before.size(); b++) count += before[b] != after[b] ? 1 : 0;
  return count;
}

std::string any_name(std::mt19937_64& random) {
  static constexpr std::string_view kParts[] = {"w", "worker-", "caf\xC3\xA9",  "#",
                                                "1", "22",      "host.example:"};
  std::string name;
  do {
    name += kParts[random() % std::size(kParts)];
  } while (random() % 3 != 0 && name.size() < 60);
  return name + std::to_string(random() % 1000);
}

TEST(OwnerRing, PositionsAreThosePublished) {
  EXPECT_EQ(fnv1a32("worker-A#0"), 1245060062U);
  EXPECT_EQ(fnv1a32("worker-A#37"), 3156980020U);
  EXPECT_EQ(fnv1a32("worker-A#149"), 581889618U);
  EXPECT_EQ(vnode_position(ring_seed("worker-A"), 0), 1842176759U);
  EXPECT_EQ(vnode_position(ring_seed("worker-A"), 37), 3889342768U);
  EXPECT_EQ(fnv1a32("caf\xC3\xA9") % 360, 169U);
  EXPECT_EQ(bucket_position(0, 360), 0U);
  EXPECT_EQ(bucket_position(1, 360), 11930464U);
  EXPECT_EQ(bucket_position(359, 360), 4283036831U);
}

TEST(OwnerRing, TheLastBucketBeforeAPositionIsTheOneThatASearchFinds) {
  std::mt19937_64 random(5);
  for (const std::uint32_t n : {1U, 2U, 3U, 7U, 359U, 360U, 361U, 1000U, 1024U}) {
    const auto check = [n](std::uint32_t position) {
      std::uint32_t last = 0;
      while (last + 1 < n && bucket_position(last + 1, n) <= position) last++;
      ASSERT_EQ(bucket_before(position, n), last) << position << " of " << n;
    };
    for (std::uint32_t b = 0; b < n; b++) {
      check(bucket_position(b, n));
      check(bucket_position(b, n) + 1);
      if (b > 0) check(bucket_position(b, n) - 1);
    }
    check(0xFFFFFFFFU);
    for (int i = 0; i < 200; i++) check(static_cast<std::uint32_t>(random()));
  }
}

TEST(OwnerRing, OwnersAreThoseThatTheDefinitionGives) {
  std::mt19937_64 random(11);
  for (int run = 0; run < 400; run++) {
    std::set<std::string> names;
    const std::size_t count = random() % 12;
    while (names.size() < count) names.insert(any_name(random));
    std::vector<Member> members;
    for (const std::string& name : names)
      members.push_back(
          {name, static_cast<std::uint32_t>(1 + random() % (random() % 4 == 0 ? 1024 : 160))});
    std::shuffle(members.begin(), members.end(), random);
    const auto buckets = static_cast<std::uint32_t>(1 + random() % 1024);
    ASSERT_EQ(owners_of(members, buckets), search_by_definition(members, buckets)) << "run " << run;
  }
}

TEST(OwnerRing, WithoutWorkersNobodyOwnsAnything) {
  for (const std::string& owner : owners_of({}, 360)) EXPECT_EQ(owner, "");
}

TEST(OwnerRing, OneWorkerOwnsEverythingHoweverFewNodesItHas) {
  for (const std::string& owner : owners_of({{"only", 1}}, 1024)) EXPECT_EQ(owner, "only");
}

/* Two workers whose nodes are the same: the smaller name has them all, whatever the order. */
TEST(OwnerRing, OfTwoNodesAtOnePositionThatOfTheSmallerNameCounts) {
  RingWorker workers[] = {{"b", ring_seed("x"), 20, 0}, {"a", ring_seed("x"), 20, 1}};
  std::uint32_t nearest[64];
  std::uint32_t place[64];
  OwnerNumber owner[64];
  assign_owners(workers, 2, 64, nearest, place, owner);
  for (const OwnerNumber number : owner) EXPECT_EQ(number, 1);
  std::swap(workers[0], workers[1]);
  assign_owners(workers, 2, 64, nearest, place, owner);
  for (const OwnerNumber number : owner) EXPECT_EQ(number, 1);
}

TEST(OwnerRing, AWorkerThatJoinsOnlyTakes) {
  std::mt19937_64 random(3);
  for (int run = 0; run < 100; run++) {
    std::vector<Member> members;
    for (std::size_t i = 0; i < 1 + run % 20U; i++)
      members.push_back({fmt::format("{}/{}", any_name(random), i)});
    const Owners before = owners_of(members, 360);
    members.push_back({fmt::format("new {}", run)});
    const Owners after = owners_of(members, 360);
    for (std::size_t b = 0; b < before.size(); b++) {
      if (after[b] != before[b]) {
        ASSERT_EQ(after[b], members.back().name);
      }
    }
  }
}

TEST(OwnerRing, AWorkerThatLeavesOnlyGivesUpItsOwn) {
  std::mt19937_64 random(4);
  for (int run = 0; run < 100; run++) {
    std::vector<Member> members;
    for (std::size_t i = 0; i < 2 + run % 20U; i++)
      members.push_back({fmt::format("{}/{}", any_name(random), i)});
    const Owners before = owners_of(members, 360);
    const std::size_t gone = random() % members.size();
    const std::string name = members[gone].name;
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(gone));
    const Owners after = owners_of(members, 360);
    for (std::size_t b = 0; b < before.size(); b++) {
      if (before[b] != name) {
        ASSERT_EQ(after[b], before[b]);
      }
    }
  }
}

TEST(OwnerRing, AboutTheShareOfTheNewWorkerMovesAndLoadsAreEven) {
  struct Case {
    int workers;
    int moved;
    int highest;
  };
  for (const Case& c : {Case{4, 98, 98}, Case{8, 51, 51}, Case{16, 23, 34}}) {
    const Owners before = owners_of(first_workers(c.workers - 1), 360);
    const Owners after = owners_of(first_workers(c.workers), 360);
    EXPECT_EQ(moved(before, after), c.moved);
    int highest = 0;
    for (const auto& [name, load] : loads(after)) highest = std::max(highest, load);
    EXPECT_EQ(highest, c.highest);
    EXPECT_EQ(loads(after).size(), static_cast<std::size_t>(c.workers));
  }
}

TEST(OwnerRing, TwiceTheNodesAreAboutTwiceTheBuckets) {
  std::map<bool, int> load;
  for (int run = 0; run < 50; run++) {
    const std::string strong = fmt::format("strong {}", run);
    for (const auto& [name, n] : loads(owners_of(
             {{strong, 300}, {fmt::format("a {}", run), 150}, {fmt::format("b {}", run), 150}},
             360)))
      load[name == strong] += n;
  }
  EXPECT_NEAR(static_cast<double>(load[true]) / load[false], 1.0, 0.1);
}

/*
 * How evenly keys fall into buckets: chi-square with 359 degrees of freedom exceeds 443 in one of a
 * thousand cases when they fall at random.
 */
double chi_square(int n, const std::function<std::uint32_t(int)>& hash) {
  std::vector<int> count(kDefaultBuckets);
  for (int i = 0; i < n; i++) count[bucket_of(hash(i), kDefaultBuckets)]++;
  const double expected = static_cast<double>(n) / kDefaultBuckets;
  double sum = 0;
  for (const int c : count) sum += (c - expected) * (c - expected) / expected;
  return sum;
}

TEST(OwnerRing, KeysSpreadOverTheBucketsAsIfAtRandomOrBetter) {
  constexpr double kBound = 443;
  for (const char* const pattern : {"order:{}", "user:{}", "tenant-{}/item", "{}"}) {
    for (const int n : {10'000, 100'000})
      EXPECT_LT(chi_square(
                    n, [pattern](int i) { return fnv1a32(fmt::format(fmt::runtime(pattern), i)); }),
                kBound)
          << pattern << ", " << n;
  }
  EXPECT_LT(chi_square(100'000, [](int i) { return fnv1a32_of_id(i); }), kBound);
  /* A hash that spreads badly exceeds it by far. */
  EXPECT_GT(
      chi_square(10'000, [](int i) { return fnv1a32(fmt::format("order:{}", i)) & 0xFFFFFFF0U; }),
      kBound);
}

TEST(OwnerRing, TenThousandOrdersLeaveNoBucketEmpty) {
  std::vector<int> count(kDefaultBuckets);
  for (int i = 0; i < 10'000; i++) count[fnv1a32(fmt::format("order:{}", i)) % kDefaultBuckets]++;
  EXPECT_EQ(*std::min_element(count.begin(), count.end()), 16);
  EXPECT_EQ(*std::max_element(count.begin(), count.end()), 44);
}

}  // namespace
}  // namespace dw::test
