/*
 * How red-black trees stay balanced: a red node has no red child, and from each node as many black
 * ones lie on every way down. The algorithms of Boost.Intrusive make claims a tenth dearer on these
 * links: they set a node's parent and its colour one after the other, and look up again what they
 * know.
 */
#include "core/tree_node.hpp"

namespace dw::core {

namespace {

bool is_red(const TreeNode* node) noexcept { return node != nullptr && node->is_red(); }

void replace_child(TreeNode& header, TreeNode& parent, const TreeNode& old,
                   TreeNode* with) noexcept {
  if (&parent == &header) {
    if (with == nullptr)
      header.set_no_parent();
    else
      header.set_parent(with, false);
  } else {
    parent.set_child_or_none(parent.left() == &old ? Side::left : Side::right, with);
  }
}

/* `up` takes the place and the colour of `down`, which becomes its child of that colour. */
[[gnu::always_inline]] inline void swap_places(TreeNode& header, TreeNode& down, TreeNode& up,
                                               bool black) noexcept {
  TreeNode& parent = *down.parent();
  up.set_parent(&parent, down.is_black());
  down.set_parent(&up, black);
  replace_child(header, parent, down, &up);
}

/* Below a grandparent whose child on that side is red like the node, and whose other is black or
 * none. */
template <Side side>
void rotate_after_link(TreeNode& header, TreeNode& grandparent, TreeNode* parent,
                       TreeNode* node) noexcept {
  constexpr Side other = opposite(side);
  TreeNode* inner = parent->child(other);
  if (node == inner) {
    inner = node->child(side);
    parent->set_child_or_none(other, inner);
    node->set_child(side, parent);
    if (inner != nullptr) inner->set_parent(parent, true);
    parent->set_parent(node, false);
    parent = node;
    inner = node->child(other);
  }
  grandparent.set_child_or_none(side, inner);
  parent->set_child(other, &grandparent);
  if (inner != nullptr) inner->set_parent(&grandparent, true);
  swap_places(header, grandparent, *parent, false);
}

/* The node is red. */
void balance_after_link(TreeNode& header, TreeNode* node, TreeNode* parent) noexcept {
  while (parent != &header) {
    if (parent->is_black()) return;
    TreeNode* const grandparent = parent->parent();
    const bool on_left = grandparent->left() == parent;
    TreeNode* const uncle = on_left ? grandparent->right() : grandparent->left();
    if (!is_red(uncle)) {
      if (on_left)
        rotate_after_link<Side::left>(header, *grandparent, parent, node);
      else
        rotate_after_link<Side::right>(header, *grandparent, parent, node);
      return;
    }
    uncle->make_black();
    parent->make_black();
    node = grandparent;
    parent = node->parent();
    node->set_parent(parent, false);
  }
  node->make_black();
}

/*
 * Ways through the node, which is the parent's child on that side and may be nullptr, have one
 * black node too few. True: now those through the parent have, and all below are alike.
 */
template <Side side>
bool refill(TreeNode& header, TreeNode* parent) noexcept {
  constexpr Side other = opposite(side);
  TreeNode* sibling = parent->child(other);
  if (sibling->is_red()) {
    TreeNode* const inner = sibling->child(side);
    parent->set_child(other, inner);
    sibling->set_child(side, parent);
    inner->set_parent(parent, true);
    swap_places(header, *parent, *sibling, false);
    sibling = inner;
  }
  TreeNode* outer = sibling->child(other);
  TreeNode* inner = sibling->child(side);
  if (!is_red(outer)) {
    if (!is_red(inner)) {
      sibling->set_parent(parent, false);
      if (parent->is_black()) return true;
      parent->make_black();
      return false;
    }
    TreeNode* const between = inner->child(other);
    sibling->set_child_or_none(side, between);
    if (between != nullptr) between->set_parent(sibling, true);
    inner->set_child(other, sibling);
    outer = sibling;
    sibling = inner;
    inner = sibling->child(side);
  }
  parent->set_child_or_none(other, inner);
  sibling->set_child(side, parent);
  outer->set_parent(sibling, true);
  if (inner != nullptr) inner->set_parent(parent);
  swap_places(header, *parent, *sibling, true);
  return false;
}

void balance_after_unlink(TreeNode& header, TreeNode* parent) noexcept {
  const TreeNode* node = nullptr;
  while (parent != &header) {
    const bool again = parent->left() == node ? refill<Side::left>(header, parent)
                                              : refill<Side::right>(header, parent);
    if (!again) return;
    node = parent;
    parent = parent->parent();
  }
}

/* Of a node with two children, by the one that follows it. What that leaves short of a black node;
 * nullptr: nothing. */
TreeNode* replace_by_next(TreeNode& header, TreeNode& node, TreeNode* left_child,
                          TreeNode* right) noexcept {
  TreeNode* next = right;
  TreeNode* short_of_black = next;
  if (TreeNode* left = next->left(); left != nullptr) {
    do {
      short_of_black = next;
      next = left;
      left = next->left();
    } while (left != nullptr);
  }
  TreeNode* const child = next->right();
  if (next != right) {
    short_of_black->set_child_or_none(Side::left, child);
    next->set_child(Side::right, right);
    right->set_parent(next);
  }
  next->set_child(Side::left, left_child);
  left_child->set_parent(next);
  const bool was_black = next->is_black();
  TreeNode* const parent = node.parent();
  next->set_parent(parent, node.is_black());
  replace_child(header, *parent, node, next);
  if (child == nullptr) return was_black ? short_of_black : nullptr;
  child->set_parent(short_of_black, true);
  return nullptr;
}

}  // namespace

void init_tree(TreeNode& header) noexcept {
  header.set_no_parent();
  header.set_child(Side::left, &header);
  header.set_child(Side::right, &header);
}

void link_node(TreeNode& header, TreeNode& parent, Side side, TreeNode& node) noexcept {
  node.set_child_or_none(Side::left, nullptr);
  node.set_child_or_none(Side::right, nullptr);
  if (&parent == &header) {
    node.set_parent(&header, true);
    header.set_parent(&node, false);
    header.set_child(Side::left, &node);
    header.set_child(Side::right, &node);
    return;
  }
  node.set_parent(&parent, false);
  parent.set_child(side, &node);
  if (header.child(side) == &parent) header.set_child(side, &node);
  balance_after_link(header, &node, &parent);
}

void unlink_node(TreeNode& header, TreeNode& node) noexcept {
  TreeNode* const left = node.left();
  TreeNode* const right = node.right();
  TreeNode* short_of_black = nullptr;
  if (left != nullptr && right != nullptr) {
    short_of_black = replace_by_next(header, node, left, right);
  } else {
    /* An only child is red, and has none. */
    TreeNode* const child = left != nullptr ? left : right;
    TreeNode* const parent = node.parent();
    TreeNode* const end = child != nullptr ? child : parent;
    if (header.left() == &node) header.set_child(Side::left, end);
    if (header.right() == &node) header.set_child(Side::right, end);
    replace_child(header, *parent, node, child);
    if (child != nullptr)
      child->set_parent(parent, true);
    else if (node.is_black())
      short_of_black = parent;
  }
  if (short_of_black != nullptr) balance_after_unlink(header, short_of_black);
}

namespace {

TreeNode* furthest(TreeNode* node, Side side) noexcept {
  for (TreeNode* child = node->child(side); child != nullptr; child = node->child(side))
    node = child;
  return node;
}

}  // namespace

TreeNode* next_node(TreeNode* node) noexcept {
  if (TreeNode* const right = node->right(); right != nullptr) return furthest(right, Side::left);
  TreeNode* parent = node->parent();
  while (node == parent->right()) {
    node = parent;
    parent = parent->parent();
  }
  /* Else the root is the last, and the node is the header already. */
  return node->right() != parent ? parent : node;
}

TreeNode* previous_node(TreeNode* node) noexcept {
  if (TreeNode* const left = node->left(); left != nullptr) return furthest(left, Side::right);
  TreeNode* parent = node->parent();
  while (node == parent->left()) {
    node = parent;
    parent = parent->parent();
  }
  return parent;
}

}  // namespace dw::core
