/*
 * Nodes of the arena's trees, with links of 32 bits.
 *
 * A link is the distance from the node that holds it, in units of 8 bytes. Nodes are aligned to 16
 * bytes, so its lowest bit is always 0: that of the parent keeps the colour. Links reach 16 GiB in
 * either direction, which is more than the part of the arena that holds nodes. They are relative to
 * the node and not to the arena so that nothing has to know where the arena lies, and so that the
 * header of a tree, inside its queue or its group, is a node like any other.
 *
 * A node that hangs in a tree is never copied, nor the header of a tree that is not empty.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace dw::core {

enum class Side : std::uint8_t { left, right };
constexpr Side opposite(Side side) noexcept {
  return side == Side::left ? Side::right : Side::left;
}

/* Its last four bytes are padding, which a derived class uses. */
class alignas(16) TreeNode {
 public:
  [[nodiscard]] TreeNode* parent() const noexcept { return at(parent_ & ~kBlack); }
  [[nodiscard]] TreeNode* child(Side side) const noexcept {
    return at(side == Side::left ? left_ : right_);
  }
  [[nodiscard]] TreeNode* left() const noexcept { return at(left_); }
  [[nodiscard]] TreeNode* right() const noexcept { return at(right_); }
  [[nodiscard]] bool is_black() const noexcept { return (parent_ & kBlack) != 0; }
  [[nodiscard]] bool is_red() const noexcept { return !is_black(); }

  /* nullptr: it has none. */
  void set_parent(const TreeNode* node) noexcept { parent_ = to(node) | (parent_ & kBlack); }
  void set_child(Side side, const TreeNode* node) noexcept {
    (side == Side::left ? left_ : right_) = to(node);
  }
  void set_black(bool black) noexcept {
    parent_ = (parent_ & ~kBlack) | static_cast<std::int32_t>(black);
  }

 private:
  static constexpr std::int32_t kBlack = 1;
  /* A distance that no link ever has. */
  static constexpr std::int32_t kNoLink = std::numeric_limits<std::int32_t>::min();

  [[nodiscard]] TreeNode* at(std::int32_t link) const noexcept {
    if (link == kNoLink) return nullptr;
    return reinterpret_cast<TreeNode*>(reinterpret_cast<std::intptr_t>(this) +
                                       std::intptr_t{link} * 8);
  }
  [[nodiscard]] std::int32_t to(const TreeNode* node) const noexcept {
    if (node == nullptr) return kNoLink;
    return static_cast<std::int32_t>(
        (reinterpret_cast<std::intptr_t>(node) - reinterpret_cast<std::intptr_t>(this)) >> 3);
  }

  std::int32_t parent_ = kNoLink;
  std::int32_t left_ = kNoLink;
  std::int32_t right_ = kNoLink;
};
static_assert(sizeof(TreeNode) == 16);

/* No node of a tree may be further away from another. */
constexpr std::uint64_t kTreeReach = (std::uint64_t{1} << 34) - 16;

/*
 * Red-black trees of nodes, by the algorithms of Boost.Intrusive. The header is the parent of the
 * root and has it as its own; it is red, unlike the root, and its children are the first and the
 * last node, or itself.
 */
void init_tree(TreeNode& header) noexcept;
/* Where the parent has no child; the header's, if the tree is empty. */
void link_node(TreeNode& header, TreeNode& parent, Side side, TreeNode& node) noexcept;
void unlink_node(TreeNode& header, TreeNode& node) noexcept;
/* Behind the last is the header. */
TreeNode* next_node(TreeNode* node) noexcept;
/* Of one that is neither the first nor the header. */
TreeNode* previous_node(TreeNode* node) noexcept;
/* Of a tree that is not empty: only the header is a red one that is its parent's parent. */
inline bool is_header(const TreeNode* node) noexcept {
  return node->is_red() && node->parent()->parent() == node;
}

}  // namespace dw::core
