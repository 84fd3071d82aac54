/*
 * Sleeping until a queue has a job, without polling and without NOTIFY.
 *
 * A waiter hangs a link on the list of each queue it waits for. Whoever makes a job ready takes one
 * waiter a job off the list and sets its latch. A woken waiter owes a claim: if it goes away
 * without one, on any path, it passes the wake on, and a claim that leaves work behind wakes the
 * next. The housekeeper looks now and then for due work beside sleeping waiters, so that a client
 * that was woken and then does nothing delays the others only briefly.
 */
#include "core/queue_lock.hpp"

namespace dw::core {

void Dispatcher::unlink_wait(Index waiter, std::uint32_t k) const noexcept {
  WaitLink& link = arena_->waiters[waiter].links[k];
  Queue& q = queue(link.queue);
  const auto at = [this](Index number) -> WaitLink& {
    return arena_->waiters[number / kMostWaitedQueues].links[number % kMostWaitedQueues];
  };
  if (link.previous != kNone) {
    at(link.previous).next = link.next;
  } else {
    q.first_waiter = link.next;
  }
  if (link.next != kNone) {
    at(link.next).previous = link.previous;
  } else {
    q.last_waiter = link.previous;
  }
  link.queue = kNone;
  q.waiter_count--;
  if (q.grouped != 0 && q.waiter_count == 0) last_waiter_left(q);
}

std::uint32_t Dispatcher::take_waiters(Index queue_index, Index* out,
                                       std::uint32_t n) const noexcept {
  const Queue& q = queue(queue_index);
  std::uint32_t taken = 0;
  while (taken < n && q.first_waiter != kNone) {
    const Index waiter = q.first_waiter / kMostWaitedQueues;
    const std::uint32_t k = q.first_waiter % kMostWaitedQueues;
    unlink_wait(waiter, k);
    Waiter& w = arena_->waiters[waiter];
    std::uint64_t sleeping = 0;
    const std::uint64_t by = (std::uint64_t{queue_index} + 1) << 32 | q.incarnation;
    /* Somebody may have woken it through another queue's list already. */
    if (w.woken_by.compare_exchange_strong(sleeping, by)) out[taken++] = waiter;
  }
  return taken;
}

bool Dispatcher::wait_begin(Index waiter, const QueueRef* queues, std::uint32_t n) noexcept {
  Waiter& w = arena_->waiters[waiter];
  w.woken_by.store(0);
  w.link_count = n;
  for (std::uint32_t k = 0; k < n; k++) w.links[k].queue = kNone;
  for (std::uint32_t k = 0; k < n; k++) {
    QueueLock hold(*this, queues[k].queue);
    Queue& q = queue(queues[k].queue);
    if (q.incarnation != queues[k].incarnation || q.id == 0) {
      /* Dropped since it was looked up; nobody would wake us for that any more. */
      w.link_count = k;
      break;
    }
    const Micros now = platform_->wall_now();
    const bool due = q.ready_count > 0 || (!q.delayed.empty() && q.delayed.begin()->at <= now);
    const bool open =
        q.database != kNone && arena_->databases[q.database].state == DatabaseState::open;
    const bool has_work = due && open && !is_paused(q);
    if (has_work && q.limited == 0) {
      /* The lock of the queues hung on before is not needed here; wait_end takes one at a time. */
      w.link_count = k;
      break;
    }
    WaitLink& link = w.links[k];
    link.queue = queues[k].queue;
    link.incarnation = q.incarnation;
    link.next = kNone;
    link.previous = q.last_waiter;
    const Index number = waiter * kMostWaitedQueues + k;
    if (q.last_waiter != kNone) {
      arena_->waiters[q.last_waiter / kMostWaitedQueues]
          .links[q.last_waiter % kMostWaitedQueues]
          .next = number;
    } else {
      q.first_waiter = number;
    }
    q.last_waiter = number;
    q.waiter_count++;
    if (!q.delayed.empty()) set_due_timer(q, q.delayed.begin()->at);
    if (has_work && q.limited != 0) {
      /* It is there before it looks, or what comes back meanwhile would be for somebody else. */
      if (allowance(&hold, q, 1, platform_->monotonic_now(), false) > 0) {
        w.link_count = k;
        break;
      }
      set_start_timer(q);
    }
  }
  if (w.link_count == n) return true;
  wait_end(waiter);
  pass_wake_on(waiter);
  return false;
}

bool Dispatcher::woken(Index waiter) const noexcept {
  return arena_->waiters[waiter].woken_by.load(std::memory_order_acquire) != 0;
}

void Dispatcher::wait_end(Index waiter) noexcept {
  Waiter& w = arena_->waiters[waiter];
  for (std::uint32_t k = 0; k < kMostWaitedQueues; k++) {
    const Index hung_on = w.links[k].queue;
    if (hung_on == kNone) continue;
    const QueueLock hold(*this, hung_on);
    if (w.links[k].queue == hung_on) unlink_wait(waiter, k);
  }
}

void Dispatcher::settle_wake(Index waiter) noexcept { arena_->waiters[waiter].woken_by.store(0); }

void Dispatcher::pass_wake_on(Index waiter) noexcept {
  const std::uint64_t by = arena_->waiters[waiter].woken_by.exchange(0);
  if (by == 0) return;
  const QueueRef ref{static_cast<Index>((by >> 32) - 1), static_cast<std::uint32_t>(by)};
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation) return;
  forget_call(q);
  if (q.ready_count > 0) wake_for(hold, ref.queue, 1);
  pass_on(hold, q);
}

bool Dispatcher::wake_idle(Index database) noexcept {
  bool woke = false;
  const Micros now = platform_->wall_now();
  for (Index i = 0; i < kMostQueues; i++) {
    if (queue(i).state != QueueState::active || queue(i).database != database ||
        queue(i).waiter_count == 0)
      continue;
    QueueLock hold(*this, i);
    Queue& q = queue(i);
    if (q.state != QueueState::active || q.database != database || is_paused(q)) continue;
    promote_due(q, now);
    if (q.ready_count == 0) continue;
    /* In a group it may be another queue's turn. */
    if (q.grouped != 0 && call_groups(hold, q)) continue;
    wake_for(hold, i, 1);
    woke = woke || hold.woken() > 0;
  }
  return woke;
}

}  // namespace dw::core
