/* Trees of nodes with links of 32 bits behave as those of the standard library do. */
#include "core/ordered_tree.hpp"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstddef>
#include <iterator>
#include <map>
#include <new>
#include <random>
#include <utility>
#include <vector>

namespace dw::test {
namespace {

using namespace dw::core;

struct Node : TreeNode {
  std::uint32_t key = 0;
};
static_assert(sizeof(Node) == sizeof(TreeNode), "the padding behind the links is used");

struct KeyOrder {
  bool operator()(const Node& a, const Node& b) const noexcept { return a.key < b.key; }
  bool operator()(const Node& a, std::uint32_t b) const noexcept { return a.key < b; }
  bool operator()(std::uint32_t a, const Node& b) const noexcept { return a < b.key; }
};
using Nodes = OrderedTree<Node, KeyOrder>;

/* As many nodes as places, so many bytes apart; the header of their tree lies where it is told to.
 * Pages that no node is on are never touched. */
class Mapping {
 public:
  Mapping(std::size_t count, std::size_t apart) : apart_(apart), size_(count * apart + kMargin) {
    void* const place = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    start_ = static_cast<std::byte*>(place);
    for (std::size_t i = 0; i < count; i++) new (&node(i)) Node();
  }
  ~Mapping() { munmap(start_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  Node& node(std::size_t i) {
    return *std::launder(reinterpret_cast<Node*>(start_ + kMargin / 2 + i * apart_));
  }
  std::byte* front() { return start_; }
  std::byte* back() { return start_ + size_ - kMargin / 2; }

 private:
  static constexpr std::size_t kMargin = 2 * sizeof(Nodes);

  std::size_t apart_;
  std::size_t size_;
  std::byte* start_;
};

/* Black nodes on each way down from the node; -1: not the same on all, or red below red. */
int black_height(const TreeNode* node, const TreeNode* parent) {
  if (node == nullptr) return 0;
  if (node->parent() != parent || (node->is_red() && parent->is_red())) return -1;
  const int left = black_height(node->left(), node);
  const int right = black_height(node->right(), node);
  return left != right || left < 0 ? -1 : left + (node->is_black() ? 1 : 0);
}

void expect_balanced(Nodes& tree) {
  if (tree.empty()) return;
  const TreeNode* const header = next_node(&tree.last());
  const TreeNode* const root = header->parent();
  ASSERT_TRUE(root->is_black());
  ASSERT_EQ(root->parent(), header);
  ASSERT_TRUE(header->is_red());
  EXPECT_GT(black_height(root->left(), root) + 1, 0);
  EXPECT_EQ(black_height(root->left(), root), black_height(root->right(), root));
}

/* From both ends, with equal ones in the order of their coming. */
template <class Expected>
void expect_same(Nodes& tree, const Expected& expected) {
  expect_balanced(tree);
  std::vector<const Node*> seen;
  for (const Node& n : std::as_const(tree)) seen.push_back(&n);
  ASSERT_EQ(seen.size(), expected.size());
  auto at = expected.begin();
  for (const Node* n : seen) ASSERT_EQ(n, (at++)->second);
  auto place = tree.end();
  for (auto n = seen.rbegin(); n != seen.rend(); ++n) ASSERT_EQ(&*--place, *n);
  ASSERT_TRUE(place == tree.begin());
  if (!seen.empty()) {
    ASSERT_EQ(&tree.last(), seen.back());
  }
}

/* Inserts, erases and looks up at random, as many of each; keys are equal now and then. */
void play(Mapping& mapping, Nodes& tree, std::size_t count, int steps, unsigned seed) {
  std::minstd_rand random(seed);
  std::multimap<std::uint32_t, const Node*> expected;
  std::vector<std::multimap<std::uint32_t, const Node*>::iterator> hangs(count, expected.end());
  const auto any_key = [&] { return static_cast<std::uint32_t>(random() % (2 * count)); };
  for (int step = 0; step < steps; step++) {
    const std::size_t i = random() % count;
    Node& n = mapping.node(i);
    if (hangs[i] != expected.end()) {
      const auto next = std::next(hangs[i]);
      if (random() % 2 == 0) {
        const auto place = tree.erase(tree.iterator_to(n));
        ASSERT_EQ(place == tree.end(), next == expected.end());
        if (next != expected.end()) {
          ASSERT_EQ(&*place, next->second);
        }
      } else {
        tree.remove(n);
      }
      expected.erase(hangs[i]);
      hangs[i] = expected.end();
    } else {
      n.key = any_key();
      if (random() % 2 == 0)
        tree.insert(n);
      else
        tree.insert_before(tree.upper_bound(n.key, KeyOrder{}), n);
      hangs[i] = expected.insert({n.key, &n});
    }
    const std::uint32_t wanted = any_key();
    const auto first = expected.lower_bound(wanted);
    const auto behind = expected.upper_bound(wanted);
    const auto found = tree.lower_bound(wanted);
    const auto after = std::as_const(tree).upper_bound(wanted);
    ASSERT_EQ(found == tree.end(), first == expected.end());
    ASSERT_EQ(after == std::as_const(tree).end(), behind == expected.end());
    if (first != expected.end()) {
      ASSERT_EQ(&*found, first->second);
    }
    if (behind != expected.end()) {
      ASSERT_EQ(&*after, behind->second);
    }
    if (step % 64 == 0) expect_same(tree, expected);
  }
  expect_same(tree, expected);
  while (!tree.empty()) tree.erase(tree.begin());
}

TEST(TreeNode, ATreeBehavesAsASetDoes) {
  for (const std::size_t count : {1, 2, 3, 10, 1000}) {
    Mapping mapping(count, sizeof(Node));
    Nodes* const tree = new (mapping.front()) Nodes();
    play(mapping, *tree, count, 8000, static_cast<unsigned>(count));
    EXPECT_TRUE(tree->empty());
  }
}

TEST(TreeNode, NodesMayLieAsFarApartAsALinkReaches) {
  constexpr std::size_t kCount = 64;
  constexpr std::size_t kApart = (kTreeReach / kCount - 4 * sizeof(Nodes)) / 16 * 16;
  Mapping mapping(kCount, kApart);
  /* Then the header is as far from the last node, or from the first, as they are from each other.
   */
  for (std::byte* const place : {mapping.front(), mapping.back()}) {
    Nodes* const tree = new (place) Nodes();
    play(mapping, *tree, kCount, 8000, 7);
    EXPECT_TRUE(tree->empty());
  }
}

TEST(TreeNode, ALinkReachesToItsEnd) {
  Mapping mapping(2, kTreeReach);
  Node& near = mapping.node(0);
  Node& far = mapping.node(1);
  for (const bool black : {true, false}) {
    near.set_black(black);
    near.set_parent(&far);
    near.set_child(Side::left, &far);
    far.set_parent(&near);
    far.set_child(Side::right, &near);
    EXPECT_EQ(near.parent(), &far);
    EXPECT_EQ(near.left(), &far);
    EXPECT_EQ(far.parent(), &near);
    EXPECT_EQ(far.right(), &near);
    EXPECT_EQ(near.is_black(), black);
    near.set_parent(&near);
    EXPECT_EQ(near.parent(), &near);
    EXPECT_EQ(near.is_black(), black);
  }
  near.set_parent(nullptr);
  EXPECT_EQ(near.parent(), nullptr);
}

TEST(TreeNode, OnesThatComeInOrderAreTakenFromTheFront) {
  constexpr std::size_t kCount = 3000;
  Mapping mapping(kCount, 96);
  Nodes* const tree = new (mapping.front()) Nodes();
  std::size_t next = 0;
  for (std::size_t i = 0; i < kCount; i++) {
    mapping.node(i).key = static_cast<std::uint32_t>(i);
    tree->push_back(mapping.node(i));
    ASSERT_EQ(&tree->last(), &mapping.node(i));
    if (i % 3 == 2) {
      ASSERT_EQ(&*tree->begin(), &mapping.node(next++));
      tree->erase(tree->begin());
    }
    if (i % 97 == 0) expect_balanced(*tree);
  }
  for (; next < kCount; next++) {
    ASSERT_EQ(&*tree->begin(), &mapping.node(next));
    tree->remove(mapping.node(next));
    if (next % 97 == 0) expect_balanced(*tree);
  }
  EXPECT_TRUE(tree->empty());
  EXPECT_TRUE(tree->begin() == tree->end());
}

}  // namespace
}  // namespace dw::test
