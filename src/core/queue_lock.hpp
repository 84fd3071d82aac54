/*
 * Holds one queue's lock for a scope. Wakes are collected while the lock is held and sent after it
 * is let go, since setting a latch is a system call.
 */
#pragma once

#include "core/dispatcher.hpp"

#include <algorithm>

namespace dw::core {

class QueueLock {
 public:
  QueueLock(const Dispatcher& dispatcher, Index queue) noexcept
      : dispatcher_(dispatcher), number_(kFirstQueueLock + queue), database_(kNone) {
    dispatcher_.lock(number_);
  }
  /* The lock is already held. */
  struct Adopt {};
  QueueLock(const Dispatcher& dispatcher, Index queue, Adopt) noexcept
      : dispatcher_(dispatcher), number_(kFirstQueueLock + queue), database_(kNone) {}
  QueueLock(const QueueLock&) = delete;
  QueueLock& operator=(const QueueLock&) = delete;
  ~QueueLock() {
    wake_for_turns();
    dispatcher_.unlock(number_);
    for (std::uint32_t i = 0; i < waiter_count_; i++)
      dispatcher_.platform().wake_waiter(waiters_[i]);
    if (database_ != kNone) dispatcher_.platform().wake_housekeeper(database_);
    if (ended_in_ != kNone) dispatcher_.wake_awaiting(ended_in_, ended_);
  }

  static constexpr std::uint32_t kMostWakes = 64;
  [[nodiscard]] Index* waiters() noexcept { return waiters_ + waiter_count_; }
  [[nodiscard]] std::uint32_t waiter_room() const noexcept { return kMostWakes - waiter_count_; }
  void add_waiters(std::uint32_t n) noexcept { waiter_count_ += n; }
  void wake_housekeeper(Index database) noexcept { database_ = database; }
  /* At most one job a hold. */
  void wake_awaiting(Index database, JobId ended) noexcept {
    ended_in_ = database;
    ended_ = ended;
  }

 private:
  /* Jobs that became ready because another's turn has ended. */
  void wake_for_turns() noexcept {
    const Index index = number_ - kFirstQueueLock;
    Queue& q = dispatcher_.queue(index);
    if (q.turns_passed == 0) return;
    const std::uint32_t passed = std::min(q.turns_passed, waiter_room());
    q.turns_passed = 0;
    const_cast<Dispatcher&>(dispatcher_).wake_for_work(*this, index, passed);
  }

  const Dispatcher& dispatcher_;
  std::uint32_t number_;
  Index database_;
  Index ended_in_ = kNone;
  JobId ended_ = 0;
  std::uint32_t waiter_count_ = 0;
  Index waiters_[kMostWakes];
};

/* Holds one of the leaf locks for a scope. */
class LeafLock {
 public:
  LeafLock(const Platform& platform, std::uint32_t number) noexcept
      : platform_(platform), number_(number) {
    platform_.lock(number_);
  }
  LeafLock(const LeafLock&) = delete;
  LeafLock& operator=(const LeafLock&) = delete;
  ~LeafLock() { platform_.unlock(number_); }

 private:
  const Platform& platform_;
  std::uint32_t number_;
};

}  // namespace dw::core
