/*
 * Work at the end of a tree of entries, where nearly everything that is inserted belongs.
 *
 * Jobs come in the order of their numbers, deadlines in the order of the claims, give or take what
 * concurrent sessions overtake each other by. insert() with a hint at the end does not profit from
 * that: Boost.Intrusive finds the last element of a tree by going down from the root, through cache
 * lines that other processors have just written, which was half of what an enqueue cost the
 * dispatcher with 16 clients. The tree's header knows the last element; from there it is a few
 * steps.
 */
#pragma once

#include "core/layout.hpp"

#include <iterator>

namespace dw::core {

template <class Tree>
typename Tree::iterator last_of(Tree& tree) noexcept {
  const auto last = Tree::node_traits::get_right(tree.end().pointed_node());
  return tree.iterator_to(*Tree::value_traits::to_value_ptr(last));
}

/* Equal entries of a multiset keep their order of arrival. */
template <class Tree>
void insert_near_end(Tree& tree, Entry& e) noexcept {
  constexpr int kMostSteps = 16;
  const auto order = tree.value_comp();
  if (tree.empty()) {
    tree.push_back(e);
    return;
  }
  auto place = last_of(tree);
  if (!order(e, *place)) {
    tree.push_back(e);
    return;
  }
  for (int step = 0; step < kMostSteps; step++) {
    if (place == tree.begin() || !order(e, *std::prev(place))) {
      tree.insert_before(place, e);
      return;
    }
    --place;
  }
  tree.insert(e);
}

/* The last entry of a tree that may go: attempts charged in memory only must not be forgotten. */
template <class Tree>
Entry* last_to_go(Tree& tree) noexcept {
  constexpr int kSteps = 64;
  auto e = tree.end();
  for (int i = 0; i < kSteps && e != tree.begin(); i++) {
    --e;
    if (e->attempts <= e->recorded) return &*e;
  }
  return nullptr;
}

}  // namespace dw::core
