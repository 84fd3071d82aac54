#include "core/tree_node.hpp"

#include <boost/intrusive/rbtree_algorithms.hpp>

namespace dw::core {

namespace {

/* What the algorithms are to know of a node. */
struct Links {
  using node = TreeNode;
  using node_ptr = TreeNode*;
  using const_node_ptr = const TreeNode*;
  enum class color : bool { red, black };

  static node_ptr get_parent(const_node_ptr n) noexcept { return n->parent(); }
  static void set_parent(node_ptr n, node_ptr parent) noexcept { n->set_parent(parent); }
  static node_ptr get_left(const_node_ptr n) noexcept { return n->left(); }
  static void set_left(node_ptr n, node_ptr child) noexcept { n->set_child(Side::left, child); }
  static node_ptr get_right(const_node_ptr n) noexcept { return n->right(); }
  static void set_right(node_ptr n, node_ptr child) noexcept { n->set_child(Side::right, child); }
  static color get_color(const_node_ptr n) noexcept {
    return n->is_black() ? color::black : color::red;
  }
  static void set_color(node_ptr n, color c) noexcept { n->set_black(c == color::black); }
  static color black() noexcept { return color::black; }
  static color red() noexcept { return color::red; }
};

using Algorithms = boost::intrusive::rbtree_algorithms<Links>;

}  // namespace

void init_tree(TreeNode& header) noexcept { Algorithms::init_header(&header); }

void link_node(TreeNode& header, TreeNode& parent, Side side, TreeNode& node) noexcept {
  Algorithms::insert_commit_data place;
  place.link_left = side == Side::left;
  place.node = &parent;
  Algorithms::insert_unique_commit(&header, &node, place);
}

void unlink_node(TreeNode& header, TreeNode& node) noexcept { Algorithms::erase(&header, &node); }

TreeNode* next_node(TreeNode* node) noexcept { return Algorithms::next_node(node); }

TreeNode* previous_node(TreeNode* node) noexcept { return Algorithms::prev_node(node); }

}  // namespace dw::core
