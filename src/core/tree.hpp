/*
 * Work at the end of a tree of entries, where nearly everything that is inserted belongs.
 *
 * Jobs come in the order of their numbers, deadlines in the order of the claims, give or take what
 * concurrent sessions overtake each other by. Going down from the root instead, through cache lines
 * that other processors have just written, was half of what an enqueue cost the dispatcher with 16
 * clients. The tree's header knows the last one; from there it is a few steps.
 */
#pragma once

#include "core/layout.hpp"

#include <iterator>

namespace dw::core {

/* Equal entries keep their order of arrival. */
template <class Order>
void insert_near_end(OrderedTree<Entry, Order>& tree, Entry& e) noexcept {
  constexpr int kMostSteps = 16;
  const Order order{};
  if (tree.empty() || !order(e, tree.last())) {
    tree.push_back(e);
    return;
  }
  Entry* behind = &tree.last();
  for (int step = 0; step < kMostSteps; step++) {
    if (tree.is_first(*behind)) {
      tree.insert_before(tree.begin(), e);
      return;
    }
    Entry* const before = &tree.previous(*behind);
    if (!order(e, *before)) {
      tree.insert_between(*before, *behind, e);
      return;
    }
    behind = before;
  }
  tree.insert(e);
}

/* The last entry of a tree that may go: attempts charged in memory only must not be forgotten. */
template <class Order>
Entry* last_to_go(OrderedTree<Entry, Order>& tree) noexcept {
  constexpr int kSteps = 64;
  auto e = tree.end();
  for (int i = 0; i < kSteps && e != tree.begin(); i++) {
    --e;
    if (e->is_recorded()) return &*e;
  }
  return nullptr;
}

}  // namespace dw::core
