/*
 * A field of the arena that changes under its lock only, and is read without it too: to find
 * something, to leave out what is not worth its lock, or to guess. What was read that way may be
 * out of date at once, so whoever acts on it takes the lock and looks again. It says nothing of
 * other fields either: there is no order between two of them.
 *
 * Reads and writes are single moves, as of a plain field; what it promises is that no reader meets
 * half of a value, and that the compiler reads it where it says so. Changes by ++ and the like are
 * a read and a write: the lock keeps other writers away.
 */
#pragma once

#include <atomic>
#include <type_traits>

namespace dw::core {

template <typename T>
class Peekable {
  static_assert(std::is_trivially_copyable_v<T> && std::atomic_ref<T>::is_always_lock_free);

 public:
  Peekable() = default;
  explicit constexpr Peekable(T value) noexcept : value_(value) {}
  Peekable(const Peekable& other) noexcept : value_(other.get()) {}
  Peekable& operator=(const Peekable& other) noexcept { return *this = other.get(); }
  Peekable& operator=(T value) noexcept {
    std::atomic_ref<T>(value_).store(value, std::memory_order_relaxed);
    return *this;
  }

  operator T() const noexcept { return get(); }
  [[nodiscard]] T get() const noexcept {
    return std::atomic_ref<T>(const_cast<T&>(value_)).load(std::memory_order_relaxed);
  }

  Peekable& operator+=(T by) noexcept { return *this = static_cast<T>(get() + by); }
  Peekable& operator-=(T by) noexcept { return *this = static_cast<T>(get() - by); }
  void operator++(int) noexcept { *this += T{1}; }
  void operator--(int) noexcept { *this -= T{1}; }

 private:
  T value_;
};

}  // namespace dw::core
