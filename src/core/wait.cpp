/*
 * Sleeping until a queue has a job, without polling and without NOTIFY.
 *
 * A waiter hangs a link on the list of each queue it waits for. Whoever makes a job ready takes one
 * waiter a job off the list and sets its latch. A woken waiter owes a claim from that queue:
 *
 *   sleeping -> woken (by the queue that has a job) -> settled   by its claim from that queue
 *                                                   -> settled   it goes on without: passed on
 *                                                   -> forfeited it was too slow: passed on
 *
 * No herd: a queue counts who owes it a claim, and nobody is woken for a job that one of those will
 * ask for. Without that count a claim that finds the next job behind its own would wake a second
 * waiter for it. No job is forgotten: whenever the lock of a queue is let go, there is nobody to be
 * woken, or as many owe a claim as jobs are ready, or somebody who owes one will wake the next: a
 * claim that leaves work behind does, and so does everybody who leaves without a claim, on any
 * path. A client that was woken and does nothing is found by the housekeeper, which looks now and
 * then while anybody sleeps; its wake is forfeited.
 *
 * Fair: waiters are served by place, a number that rises with the time they began to wait. Workers
 * that do not sleep do not queue up behind them, so a woken waiter may find nothing; it then keeps
 * its place when it waits again. Only if the queue is empty, though: had the job been one that it
 * cannot have, it would stand in front of those who can.
 *
 * woken_by goes from 0 to a queue's word under the lock of that queue, by whoever wakes it, and
 * back under the same lock. It is on at most one queue's account, the one of its word.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* --- lists ------------------------------------------------------------------------------------ */

WaitLink& Dispatcher::wait_link(Index number) const noexcept {
  return arena_->waiters[number / kMostWaitedQueues].links[number % kMostWaitedQueues];
}

/* By place. One that has just come is the last; one that kept its place was the first, and only
 * others like it stand before it. */
void Dispatcher::link_wait(Index waiter, std::uint32_t k, QueueRef ref) noexcept {
  Queue& q = queue(ref.queue);
  const std::uint64_t place = arena_->waiters[waiter].place;
  const auto place_of = [this](Index number) {
    return arena_->waiters[number / kMostWaitedQueues].place;
  };
  Index next = kNone;
  if (q.last_waiter != kNone && place_of(q.last_waiter) > place) {
    next = q.first_waiter;
    while (place_of(next) < place) next = wait_link(next).next;
  }
  const Index previous = next == kNone ? q.last_waiter : wait_link(next).previous;
  const Index number = waiter * kMostWaitedQueues + k;
  wait_link(number) = WaitLink{next, previous, ref.queue, ref.incarnation};
  (previous == kNone ? q.first_waiter : wait_link(previous).next) = number;
  (next == kNone ? q.last_waiter : wait_link(next).previous) = number;
  q.waiter_count++;
}

void Dispatcher::unlink_wait(Index waiter, std::uint32_t k) noexcept {
  WaitLink& link = arena_->waiters[waiter].links[k];
  Queue& q = queue(link.queue);
  (link.previous == kNone ? q.first_waiter : wait_link(link.previous).next) = link.next;
  (link.next == kNone ? q.last_waiter : wait_link(link.next).previous) = link.previous;
  link.queue = kNone;
  q.waiter_count--;
}

/* --- waking ----------------------------------------------------------------------------------- */

std::uint32_t Dispatcher::take_waiters(Index queue_index, Index* out, std::uint32_t n) noexcept {
  Queue& q = queue(queue_index);
  const std::uint64_t word = wake_word(queue_index, q.incarnation);
  std::uint32_t taken = 0;
  while (taken < n && q.first_waiter != kNone) {
    const Index waiter = q.first_waiter / kMostWaitedQueues;
    unlink_wait(waiter, q.first_waiter % kMostWaitedQueues);
    Waiter& w = arena_->waiters[waiter];
    /* Somebody may have woken it through another queue's list already. */
    std::uint64_t sleeping = 0;
    w.woken_at.store(platform_->monotonic_now(), std::memory_order_relaxed);
    if (!w.woken_by.compare_exchange_strong(sleeping, word)) continue;
    q.owed++;
    q.counters.woken++;
    out[taken++] = waiter;
  }
  return taken;
}

void Dispatcher::wake_for_work(QueueLock& hold, Index index, std::uint32_t most) noexcept {
  Queue& q = queue(index);
  if (due_count(q) <= q.owed || is_paused(q)) return;
  if (q.waiter_count > 0) {
    const std::uint32_t wanted = std::min(due_count(q) - q.owed, most);
    hold.add_waiters(take_waiters(index, hold.waiters(), std::min(wanted, hold.waiter_room())));
  }
  if (q.waiter_count > 0 || due_count(q) <= q.owed || q.database == kNone) return;
  const Database& database = arena_->databases[q.database];
  const Micros interval = database.announce_interval.load(std::memory_order_relaxed);
  if (interval != 0 &&
      platform_->wall_now() + interval < database.planned_due.load(std::memory_order_acquire))
    hold.wake_housekeeper(q.database);
}

/* --- who sleeps ------------------------------------------------------------------------------- */

bool Dispatcher::wait_begin(Index waiter, const QueueRef* queues, std::uint32_t n) noexcept {
  pass_wake_on(waiter);
  Waiter& w = arena_->waiters[waiter];
  bool keeps_place = false;
  for (std::uint32_t k = 0; k < n && w.kept_for != 0 && !keeps_place; k++)
    keeps_place = w.kept_for == wake_word(queues[k].queue, queues[k].incarnation);
  if (!keeps_place) w.place = arena_->places.fetch_add(1) + 1;
  w.link_count = n;
  for (std::uint32_t k = 0; k < n; k++) w.links[k].queue = kNone;
  for (std::uint32_t k = 0; k < n; k++) {
    const QueueLock hold(*this, queues[k].queue);
    const Queue& q = queue(queues[k].queue);
    if (q.incarnation != queues[k].incarnation || q.id == 0) {
      /* Dropped since it was looked up; nobody would wake us for that any more. */
      w.link_count = k;
      break;
    }
    const Micros now = platform_->wall_now();
    const bool due = due_count(q) > 0 || (!q.delayed.empty() && q.delayed.begin()->at <= now);
    const bool open =
        q.database != kNone && arena_->databases[q.database].state == DatabaseState::open;
    if (due && open && !is_paused(q)) {
      /* The lock of the queues hung on before is not needed here; wait_end takes one at a time. */
      w.link_count = k;
      break;
    }
    link_wait(waiter, k, queues[k]);
    set_due_timer(q, q.delayed.empty() ? now + kIdleRound
                                       : std::min(now + kIdleRound, q.delayed.begin()->at));
  }
  if (w.link_count == n) {
    w.kept_for = 0;
    return true;
  }
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

/* --- who was woken ---------------------------------------------------------------------------- */

/* Under the lock of the word's queue. False: the waiter is not, or no longer, on its account. */
bool Dispatcher::take_wake_back(Index waiter, std::uint64_t word, std::uint64_t now) noexcept {
  std::uint64_t expected = word;
  return arena_->waiters[waiter].woken_by.compare_exchange_strong(expected, now);
}

void Dispatcher::settle_wake(Index waiter, Index index, std::uint32_t taken) noexcept {
  Queue& q = queue(index);
  Waiter& w = arena_->waiters[waiter];
  const std::uint64_t word = wake_word(index, q.incarnation);
  if (taken > 0 && w.kept_for != 0) w.kept_for = 0;
  if (w.woken_by.load(std::memory_order_relaxed) != word || !take_wake_back(waiter, word, 0))
    return;
  q.owed--;
  if (taken > 0) return;
  q.counters.woken_in_vain++;
  w.kept_for = due_count(q) == 0 ? word : 0;
}

void Dispatcher::pass_wake_on(Index waiter) noexcept {
  Waiter& w = arena_->waiters[waiter];
  const std::uint64_t word = w.woken_by.load(std::memory_order_acquire);
  if (word == 0) return;
  if (word != kForfeited) {
    const auto index = static_cast<Index>((word >> 32) - 1);
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (take_wake_back(waiter, word, 0) && word == wake_word(index, q.incarnation)) {
      q.owed--;
      q.counters.woken_in_vain++;
      wake_for_work(hold, index, 1);
    }
  }
  w.woken_by.store(0);
}

/* --- the housekeeper's part ------------------------------------------------------------------- */

/*
 * Who was woken a while ago, for a queue that still has work, gives the wake up. It may claim all
 * the same when it comes.
 */
bool Dispatcher::forfeit_wakes(Index database) noexcept {
  const Micros before = platform_->monotonic_now() - kWakePatience;
  bool woke = false;
  for (Index i = 0; i < arena_->waiter_capacity; i++) {
    const Waiter& w = arena_->waiters[i];
    const std::uint64_t word = w.woken_by.load(std::memory_order_acquire);
    if (word == 0 || word == kForfeited || w.woken_at.load(std::memory_order_relaxed) > before)
      continue;
    const auto index = static_cast<Index>((word >> 32) - 1);
    if (queue(index).database != database) continue;
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (word != wake_word(index, q.incarnation) || due_count(q) == 0 || q.waiter_count == 0 ||
        !take_wake_back(i, word, kForfeited))
      continue;
    q.owed--;
    q.counters.woken_in_vain++;
    wake_for_work(hold, index, 1);
    woke = true;
  }
  return woke;
}

bool Dispatcher::wake_idle(Index database) noexcept {
  const Micros now = platform_->wall_now();
  std::uint32_t woke = 0;
  bool owed = false;
  for (Index i = 0; i < kMostQueues; i++) {
    if (queue(i).state != QueueState::active || queue(i).database != database ||
        queue(i).waiter_count == 0)
      continue;
    QueueLock hold(*this, i);
    Queue& q = queue(i);
    if (q.state != QueueState::active || q.database != database || is_paused(q)) continue;
    promote_due(q, now);
    const std::uint64_t before = q.counters.woken;
    wake_for_work(hold, i, hold.waiter_room());
    woke += q.counters.woken != before ? 1 : 0;
    owed = owed || (due_count(q) > 0 && q.waiter_count > 0 && q.owed > 0);
  }
  return (owed && forfeit_wakes(database)) || woke > 0;
}

bool Dispatcher::calls_for_work(QueueRef ref) noexcept {
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.state != QueueState::active || is_paused(q))
    return false;
  promote_due(q, platform_->wall_now());
  wake_for_work(hold, ref.queue, hold.waiter_room());
  return q.waiter_count == 0 && due_count(q) > q.owed;
}

}  // namespace dw::core
