/*
 * A tree of objects that are nodes; it owns nothing. Each object hangs in at most one tree at a
 * time, equal ones in the order of their coming. What lies at the ends is there at once.
 */
#pragma once

#include "core/tree_node.hpp"

#include <iterator>
#include <type_traits>

namespace dw::core {

template <class T, class Order>
class OrderedTree {
 public:
  template <class Value>
  class Place {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = Value*;
    using reference = Value&;

    Place() noexcept = default;
    explicit Place(TreeNode* node) noexcept : node_(node) {}
    /* That of an object is one of a constant object, too. */
    operator Place<const T>() const noexcept requires(!std::is_const_v<Value>) {
      return Place<const T>(node_);
    }

    Value& operator*() const noexcept { return *static_cast<Value*>(node_); }
    Value* operator->() const noexcept { return static_cast<Value*>(node_); }
    Place& operator++() noexcept {
      node_ = next_node(node_);
      return *this;
    }
    Place& operator--() noexcept {
      node_ = is_header(node_) ? node_->right() : previous_node(node_);
      return *this;
    }
    Place operator++(int) noexcept {
      const Place before = *this;
      ++*this;
      return before;
    }
    Place operator--(int) noexcept {
      const Place before = *this;
      --*this;
      return before;
    }
    friend bool operator==(const Place&, const Place&) noexcept = default;

   private:
    friend class OrderedTree;
    TreeNode* node_ = nullptr;
  };
  using iterator = Place<T>;
  using const_iterator = Place<const T>;

  OrderedTree() noexcept { init_tree(header_); }
  OrderedTree(const OrderedTree&) = delete;
  OrderedTree& operator=(const OrderedTree&) = delete;

  [[nodiscard]] bool empty() const noexcept { return header_.left() == &header_; }
  iterator begin() noexcept { return iterator(header_.left()); }
  iterator end() noexcept { return iterator(&header_); }
  [[nodiscard]] const_iterator begin() const noexcept { return const_iterator(header_.left()); }
  [[nodiscard]] const_iterator end() const noexcept { return const_iterator(mutable_header()); }
  /* There is one. */
  T& last() noexcept { return *static_cast<T*>(header_.right()); }
  [[nodiscard]] const T& last() const noexcept { return *static_cast<const T*>(header_.right()); }
  [[nodiscard]] bool is_first(const T& value) const noexcept { return header_.left() == &value; }
  /* Of one that is not the first. */
  static T& previous(T& value) noexcept { return *static_cast<T*>(previous_node(&value)); }
  static iterator iterator_to(T& value) noexcept { return iterator(&value); }

  /* The order lets them be there, as that of insert() does. */
  void push_back(T& value) noexcept { link_node(header_, *header_.right(), Side::right, value); }
  void insert_before(iterator place, T& value) noexcept {
    if (place == begin()) {
      link_node(header_, *header_.left(), Side::left, value);
    } else if (place == end()) {
      push_back(value);
    } else {
      insert_between(*static_cast<T*>(previous_node(place.node_)), *place, value);
    }
  }
  /* Two that follow each other: one of them has no child on that side. */
  void insert_between(T& before, T& behind, T& value) noexcept {
    if (behind.left() == nullptr)
      link_node(header_, behind, Side::left, value);
    else
      link_node(header_, before, Side::right, value);
  }
  void insert(T& value) noexcept {
    TreeNode* parent = &header_;
    Side side = Side::left;
    for (TreeNode* at = header_.parent(); at != nullptr; at = at->child(side)) {
      parent = at;
      side = Order{}(value, *static_cast<T*>(at)) ? Side::left : Side::right;
    }
    link_node(header_, *parent, side, value);
  }
  /* What follows it. */
  iterator erase(iterator place) noexcept {
    TreeNode* const next = next_node(place.node_);
    unlink_node(header_, *place.node_);
    return iterator(next);
  }
  void remove(T& value) noexcept { unlink_node(header_, value); }
  /* Forgets all that hang in it. */
  void clear() noexcept { init_tree(header_); }

  /* The first that is not before the key. */
  template <class Key, class IsBefore = Order>
  iterator lower_bound(const Key& key, IsBefore is_before = {}) noexcept {
    return iterator(bound([&](const T& value) { return !is_before(value, key); }));
  }
  /* The first that the key is before. */
  template <class Key, class IsBefore = Order>
  iterator upper_bound(const Key& key, IsBefore is_before = {}) noexcept {
    return iterator(bound([&](const T& value) { return is_before(key, value); }));
  }
  template <class Key, class IsBefore = Order>
  [[nodiscard]] const_iterator upper_bound(const Key& key, IsBefore is_before = {}) const noexcept {
    return const_iterator(bound([&](const T& value) { return is_before(key, value); }));
  }

 private:
  [[nodiscard]] TreeNode* mutable_header() const noexcept {
    return const_cast<TreeNode*>(&header_);
  }

  /* The first for which it holds; it holds for all behind that. */
  template <class Holds>
  TreeNode* bound(Holds holds) const noexcept {
    TreeNode* found = mutable_header();
    for (TreeNode* at = header_.parent(); at != nullptr;) {
      if (holds(*static_cast<const T*>(at))) {
        found = at;
        at = at->left();
      } else {
        at = at->right();
      }
    }
    return found;
  }

  TreeNode header_;
};

}  // namespace dw::core
