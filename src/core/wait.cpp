/*
 * Sleeping until a queue has a job, without polling and without NOTIFY.
 *
 * A waiter hangs a link on a list of each queue it waits for. Whoever makes a job ready takes one
 * waiter a job off the lists and sets its latch. A woken waiter owes a claim: if it goes away
 * without one, on any path, it passes the wake on, and a claim that leaves work behind wakes the
 * next. The housekeeper looks now and then for due work beside sleeping waiters, so that a client
 * that was woken and then does nothing delays the others only briefly.
 *
 * Who takes only jobs of its own buckets hangs on a list of its member in the queue's owner table,
 * and is woken only while jobs are ready for that member: a wake for a job that it may not have
 * would be lost on it. Others, who take any job, are woken for what is left.
 */
#include "core/queue_lock.hpp"

#include <algorithm>
#include <bit>

namespace dw::core {

WaitList& Dispatcher::list_of(Queue& q, OwnerNumber member) noexcept {
  return member == kNoOwner ? q.waiters : table_of(q).waiters[member];
}

namespace {

WaitLink& link_at(const Arena& arena, Index number) noexcept {
  return arena.waiters[number / kMostWaitedQueues].links[number % kMostWaitedQueues];
}

void set_waited_for(OwnerTable& table, OwnerNumber member, bool waited_for) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << member % 64U;
  std::uint64_t& word = table.waited_for[member / 64U];
  word = waited_for ? word | bit : word & ~bit;
}

}  // namespace

void Dispatcher::link_wait(Queue& q, Index waiter, std::uint32_t k) noexcept {
  WaitLink& link = arena_->waiters[waiter].links[k];
  const OwnerNumber member = arena_->waiters[waiter].member;
  WaitList& list = list_of(q, member);
  link.queue = static_cast<Index>(&q - arena_->queues);
  link.incarnation = q.incarnation;
  link.next = kNone;
  link.previous = list.last;
  const Index number = waiter * kMostWaitedQueues + k;
  if (list.last != kNone) {
    link_at(*arena_, list.last).next = number;
  } else {
    list.first = number;
  }
  list.last = number;
  q.waiter_count++;
  if (member != kNoOwner) set_waited_for(table_of(q), member, true);
}

void Dispatcher::unlink_wait(Index waiter, std::uint32_t k) noexcept {
  WaitLink& link = arena_->waiters[waiter].links[k];
  Queue& q = queue(link.queue);
  const OwnerNumber member = arena_->waiters[waiter].member;
  WaitList& list = list_of(q, member);
  if (link.previous != kNone) {
    link_at(*arena_, link.previous).next = link.next;
  } else {
    list.first = link.next;
  }
  if (link.next != kNone) {
    link_at(*arena_, link.next).previous = link.previous;
  } else {
    list.last = link.previous;
  }
  link.queue = kNone;
  q.waiter_count--;
  if (member != kNoOwner && list.first == kNone) set_waited_for(table_of(q), member, false);
}

/* Up to n waiters of one list, those first that have waited longest. */
std::uint32_t Dispatcher::take_from(Index queue_index, WaitList& list, Index* out,
                                    std::uint32_t n) noexcept {
  const Queue& q = queue(queue_index);
  std::uint32_t taken = 0;
  while (taken < n && list.first != kNone) {
    const Index waiter = list.first / kMostWaitedQueues;
    const std::uint32_t k = list.first % kMostWaitedQueues;
    unlink_wait(waiter, k);
    Waiter& w = arena_->waiters[waiter];
    std::uint64_t sleeping = 0;
    const std::uint64_t by = (std::uint64_t{queue_index} + 1) << 32 | q.incarnation;
    /* Somebody may have woken it through another queue's list already. */
    if (w.woken_by.compare_exchange_strong(sleeping, by)) out[taken++] = waiter;
  }
  return taken;
}

/* Those of members that jobs are ready for. */
std::uint32_t Dispatcher::take_owners_waiters(Index queue_index, Index* out,
                                              std::uint32_t n) noexcept {
  OwnerTable& table = table_of(queue(queue_index));
  std::uint32_t taken = 0;
  for (std::uint32_t word = 0; word < kMostMembers / 64 && taken < n; word++) {
    for (std::uint64_t left = table.waited_for[word]; left != 0 && taken < n; left &= left - 1) {
      const std::uint32_t member = word * 64 + static_cast<std::uint32_t>(std::countr_zero(left));
      const std::uint32_t most = std::min(n - taken, table.owned[member]);
      taken += take_from(queue_index, table.waiters[member], out + taken, most);
    }
  }
  return taken;
}

std::uint32_t Dispatcher::take_waiters(Index queue_index, Index* out, std::uint32_t n) noexcept {
  Queue& q = queue(queue_index);
  const std::uint32_t taken = q.owners != kNone ? take_owners_waiters(queue_index, out, n) : 0;
  return taken + take_from(queue_index, q.waiters, out + taken, n - taken);
}

/* Whatever they wait for. */
std::uint32_t Dispatcher::take_all_waiters(Index queue_index, Index* out,
                                           std::uint32_t n) noexcept {
  Queue& q = queue(queue_index);
  std::uint32_t taken = take_from(queue_index, q.waiters, out, n);
  for (std::uint32_t i = 0; q.owners != kNone && i < kMostMembers; i++)
    taken += take_from(queue_index, table_of(q).waiters[i], out + taken, n - taken);
  return taken;
}

void Dispatcher::wake_member(Index index, OwnerNumber member) noexcept {
  bool more = true;
  while (more) {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.owners == kNone) return;
    const std::uint32_t room = hold.waiter_room();
    const std::uint32_t taken = take_from(index, table_of(q).waiters[member], hold.waiters(), room);
    hold.add_waiters(taken);
    more = taken == room;
  }
}

bool Dispatcher::has_waiter_for_ready(const Queue& q) const noexcept {
  if (q.ready_count == 0 || q.waiter_count == 0) return false;
  if (q.waiters.first != kNone || q.owners == kNone) return true;
  const OwnerTable& table = table_of(q);
  for (std::uint32_t word = 0; word < kMostMembers / 64; word++) {
    for (std::uint64_t left = table.waited_for[word]; left != 0; left &= left - 1) {
      if (table.owned[word * 64 + static_cast<std::uint32_t>(std::countr_zero(left))] > 0)
        return true;
    }
  }
  return false;
}

/* Under the queue lock, and nothing that is due is among the delayed. */
bool Dispatcher::has_work_for(Queue& q, OwnerNumber member) const noexcept {
  if (member == kNoOwner) return q.ready_count > 0;
  return q.owners != kNone && table_of(q).owned[member] > 0;
}

bool Dispatcher::wait_begin(Index waiter, const QueueRef* queues, std::uint32_t n,
                            const MemberRef* member) noexcept {
  Waiter& w = arena_->waiters[waiter];
  w.woken_by.store(0);
  w.link_count = n;
  w.member = member != nullptr ? static_cast<OwnerNumber>(member->member) : kNoOwner;
  for (std::uint32_t k = 0; k < n; k++) w.links[k].queue = kNone;
  for (std::uint32_t k = 0; k < n; k++) {
    QueueLock hold(*this, queues[k].queue);
    Queue& q = queue(queues[k].queue);
    const bool gone = q.incarnation != queues[k].incarnation || q.id == 0;
    /* Whoever ends the member wakes its waiters after it has said so. */
    if (gone || (member != nullptr && (!may_claim(*member) || q.owners == kNone))) {
      /* Nobody would wake us for that any more. */
      w.link_count = k;
      break;
    }
    const Micros now = platform_->wall_now();
    const bool due = !q.delayed.empty() && q.delayed.begin()->at <= now;
    const bool open =
        q.database != kNone && arena_->databases[q.database].state == DatabaseState::open;
    const bool hands_out = open && !is_paused(q);
    if (due && hands_out && member != nullptr) {
      /* Whose they are is counted only of those that are ready. */
      const std::uint32_t before = q.ready_count;
      promote_due(q, now);
      const std::uint32_t arrived = std::min(q.ready_count - before, hold.waiter_room());
      hold.add_waiters(take_waiters(queues[k].queue, hold.waiters(), arrived));
    }
    if (hands_out && (has_work_for(q, w.member) || (due && member == nullptr))) {
      /* The lock of the queues hung on before is not needed here; wait_end takes one at a time. */
      w.link_count = k;
      break;
    }
    link_wait(q, waiter, k);
    if (!q.delayed.empty()) set_due_timer(q, q.delayed.begin()->at);
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
  const Queue& q = queue(ref.queue);
  if (q.incarnation == ref.incarnation && q.ready_count > 0 && !is_paused(q))
    hold.add_waiters(take_waiters(ref.queue, hold.waiters(), 1));
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
    const std::uint32_t taken = take_waiters(i, hold.waiters(), 1);
    hold.add_waiters(taken);
    woke = woke || taken > 0;
  }
  return woke;
}

}  // namespace dw::core
