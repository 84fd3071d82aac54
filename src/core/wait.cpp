/*
 * Sleeping until a queue has a job, without polling and without NOTIFY.
 *
 * A waiter hangs a link on a list of each queue it waits for. Whoever makes a job ready takes one
 * waiter a job off the lists and sets its latch. A woken waiter owes a claim from that queue:
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
 * its place when it waits again. Only if there is nothing to be had, though: had the job been one
 * that it cannot have, it would stand in front of those who can.
 *
 * Who takes only jobs of its own buckets hangs on a list of its member in the queue's owner table,
 * which may be that of a few others, too, and is woken only while jobs are ready for that member
 * and nobody of it owes a claim for them: a wake for a job that it may not have would be lost on
 * it. Others, who take any job, are woken for what is left.
 *
 * What limits hold back is not to be had (claimable): nobody is woken for it until a token comes or
 * a lease ends. See limits.cpp.
 *
 * woken_by goes from 0 to a queue's word under the lock of that queue, by whoever wakes it, and
 * back under the same lock. It is on at most one queue's account, the one of its word. Who is woken
 * is in wake.cpp.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* --- lists ------------------------------------------------------------------------------------ */

WaitLink& Dispatcher::wait_link(Index number) const noexcept {
  return arena_->waiters[number / kMostWaitedQueues].links[number % kMostWaitedQueues];
}

WaitList& Dispatcher::wait_list(Queue& q, OwnerNumber member) const noexcept {
  return member == kNoOwner ? q.waiters : table_of(q).waiters[wait_class(member)];
}

/* From a link of a list on: the first of somebody who waits for that member's jobs, or for any. */
Index Dispatcher::waiter_of(Index number, OwnerNumber member) const noexcept {
  while (number != kNone && arena_->waiters[number / kMostWaitedQueues].member.load() != member)
    number = wait_link(number).next;
  return number;
}

namespace {

void set_waited_for(OwnerTable& table, OwnerNumber member, bool waited_for) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << member % 64U;
  std::uint64_t& word = table.waited_for[member / 64U];
  word = waited_for ? word | bit : word & ~bit;
}

}  // namespace

/* By place. One that has just come is the last; one that kept its place was the first of its
 * member, and only others like it, or of other members, stand before it. */
void Dispatcher::link_wait(Index waiter, std::uint32_t k, QueueRef ref) noexcept {
  Queue& q = queue(ref.queue);
  const std::uint64_t place = arena_->waiters[waiter].place;
  const OwnerNumber member = arena_->waiters[waiter].member.load();
  WaitList& list = wait_list(q, member);
  const auto place_of = [this](Index number) {
    return arena_->waiters[number / kMostWaitedQueues].place;
  };
  Index next = kNone;
  if (list.last != kNone && place_of(list.last) > place) {
    next = list.first;
    while (place_of(next) < place) next = wait_link(next).next;
  }
  const Index previous = next == kNone ? list.last : wait_link(next).previous;
  const Index number = waiter * kMostWaitedQueues + k;
  WaitLink& link = wait_link(number);
  link.next = next;
  link.previous = previous;
  link.queue.store(ref.queue, std::memory_order_relaxed);
  (previous == kNone ? list.first : wait_link(previous).next) = number;
  (next == kNone ? list.last : wait_link(next).previous) = number;
  q.waiter_count++;
  if (member != kNoOwner) set_waited_for(table_of(q), member, true);
}

void Dispatcher::unlink_wait(Index waiter, std::uint32_t k) const noexcept {
  WaitLink& link = arena_->waiters[waiter].links[k];
  Queue& q = queue(link.queue.load(std::memory_order_relaxed));
  const OwnerNumber member = arena_->waiters[waiter].member.load();
  WaitList& list = wait_list(q, member);
  (link.previous == kNone ? list.first : wait_link(link.previous).next) = link.next;
  (link.next == kNone ? list.last : wait_link(link.next).previous) = link.previous;
  link.queue.store(kNone, std::memory_order_release);
  q.waiter_count--;
  if (member != kNoOwner && waiter_of(list.first, member) == kNone)
    set_waited_for(table_of(q), member, false);
  if (q.grouped != 0 && q.waiter_count == 0) last_waiter_left(q);
}

/* --- who sleeps ------------------------------------------------------------------------------- */

/* Due now, for somebody who takes any job, or whose buckets a member owns. */
bool Dispatcher::has_work_for(QueueLock& hold, Index index, OwnerNumber member) noexcept {
  Queue& q = queue(index);
  const Micros now = platform_->wall_now();
  const bool open =
      q.database != kNone && arena_->databases[q.database].state == DatabaseState::open;
  if (!open || is_paused(q)) return false;
  const bool due = !q.delayed.empty() && q.delayed.begin()->at <= now;
  if (member == kNoOwner) return due || due_count(q) > 0;
  if (due) {
    /* Whose they are is counted only of those that are ready. */
    promote_due(q, now);
    wake_for_work(hold, index, hold.waiter_room());
  }
  return is_ready_for(q, member);
}

/* The queue is as it was looked up, and somebody would wake the waiter. */
bool Dispatcher::can_wait_for(QueueRef ref, const MemberRef* member) const noexcept {
  const Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.id == 0) return false;
  /* Whoever ends the member wakes its waiters after it has said so. */
  return member == nullptr || (may_claim(*member) && q.owners != kNone);
}

bool Dispatcher::wait_begin(Index waiter, const QueueRef* queues, std::uint32_t n,
                            const MemberRef* member) noexcept {
  pass_wake_on(waiter);
  Waiter& w = arena_->waiters[waiter];
  bool keeps_place = false;
  for (std::uint32_t k = 0; k < n && w.kept_for != 0 && !keeps_place; k++)
    keeps_place = w.kept_for == wake_word(queues[k].queue, queues[k].incarnation);
  if (!keeps_place) w.place = arena_->places.fetch_add(1) + 1;
  const OwnerNumber number =
      member != nullptr ? static_cast<OwnerNumber>(member->member) : kNoOwner;
  w.member.store(number);
  w.link_count = n;
  for (std::uint32_t k = 0; k < n; k++) w.links[k].queue.store(kNone, std::memory_order_relaxed);
  for (std::uint32_t k = 0; k < n; k++) {
    QueueLock hold(*this, queues[k].queue);
    Queue& q = queue(queues[k].queue);
    if (!can_wait_for(queues[k], member)) {
      w.link_count = k;
      break;
    }
    const bool has_work = has_work_for(hold, queues[k].queue, number);
    if (has_work && q.limited == 0) {
      /* The lock of the queues hung on before is not needed here; wait_end takes one at a time. */
      w.link_count = k;
      break;
    }
    link_wait(waiter, k, queues[k]);
    const Micros round = platform_->wall_now() + kIdleRound;
    set_due_timer(q, q.delayed.empty() ? round : std::min(round, q.delayed.begin()->at));
    if (!has_work) continue;
    /* It is there before it looks, or what comes back meanwhile would be for somebody else. */
    if (allowance(&hold, q, 1, platform_->monotonic_now(), false) > 0) {
      w.link_count = k;
      break;
    }
    set_start_timer(q);
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
    const Index hung_on = w.links[k].queue.load(std::memory_order_acquire);
    if (hung_on == kNone) continue;
    const QueueLock hold(*this, hung_on);
    if (w.links[k].queue.load(std::memory_order_relaxed) == hung_on) unlink_wait(waiter, k);
  }
}

}  // namespace dw::core
