/* Who is woken for what is ready, and who was woken and has not asked yet: see wait.cpp. */
#include "core/queue_lock.hpp"

#include <algorithm>
#include <bit>

namespace dw::core {

/* --- who owes a claim ------------------------------------------------------------------------- */

void Dispatcher::owes_claim(Queue& q, OwnerNumber member) const noexcept {
  q.owed++;
  q.counters.woken++;
  /* Only a queue that is being removed wakes more. */
  if (member != kNoOwner && table_of(q).owed[member] < kMostOwed) table_of(q).owed[member]++;
}

void Dispatcher::owes_no_claim(Queue& q, OwnerNumber member) const noexcept {
  q.owed--;
  if (member != kNoOwner && table_of(q).owed[member] > 0) table_of(q).owed[member]--;
}

/* --- jobs for which somebody sleeps ------------------------------------------------------------
 */

bool Dispatcher::is_ready_for(const Queue& q, OwnerNumber member) const noexcept {
  if (member == kNoOwner) return due_count(q) > 0;
  return q.owners != kNone && table_of(q).owned[member] > 0 && !is_counting_keys(q);
}

template <typename Visit>
void Dispatcher::for_each_waiting_member(const Queue& q, Visit visit) const noexcept {
  if (q.owners == kNone) return;
  const OwnerTable& table = table_of(q);
  for (std::uint32_t word = 0; word < kMostMembers / 64; word++) {
    for (std::uint64_t left = table.waited_for[word]; left != 0; left &= left - 1)
      visit(
          static_cast<OwnerNumber>(word * 64 + static_cast<std::uint32_t>(std::countr_zero(left))));
  }
}

/* Jobs of the member that none of its will ask for, or as many of them as it may have woken. */
std::uint32_t Dispatcher::unasked_of(const Queue& q, OwnerNumber member) const noexcept {
  const std::uint32_t owned = table_of(q).owned[member];
  const std::uint32_t owed = table_of(q).owed[member];
  return std::min(owned - std::min(owned, owed), kMostOwed - owed);
}

std::uint32_t Dispatcher::unasked(const Queue& q) noexcept {
  return due_count(q) - std::min(due_count(q), q.owed);
}

/* Jobs that nobody is going to ask for, and that somebody sleeps for. */
std::uint32_t Dispatcher::jobs_to_wake_for(const Queue& q) const noexcept {
  if (q.waiter_count == 0) return 0;
  std::uint32_t of_members = 0;
  for_each_waiting_member(
      q, [this, &q, &of_members](OwnerNumber member) { of_members += unasked_of(q, member); });
  return q.waiters.first != kNone ? std::max(of_members, unasked(q)) : of_members;
}

bool Dispatcher::has_sleeper_for_work(const Queue& q) const noexcept {
  bool found = q.waiters.first != kNone && due_count(q) > 0;
  for_each_waiting_member(
      q, [this, &q, &found](OwnerNumber member) { found = found || is_ready_for(q, member); });
  return found;
}

/* --- waking ----------------------------------------------------------------------------------- */

/* Up to n of who waits for that member's jobs, or for any; those first that have waited longest. */
std::uint32_t Dispatcher::take_from(Index queue_index, OwnerNumber member, Index* out,
                                    std::uint32_t n) const noexcept {
  Queue& q = queue(queue_index);
  const std::uint64_t word = wake_word(queue_index, q.incarnation);
  std::uint32_t taken = 0;
  Index next = kNone;
  for (Index at = waiter_of(wait_list(q, member).first, member); at != kNone && taken < n;
       at = waiter_of(next, member)) {
    const Index waiter = at / kMostWaitedQueues;
    next = wait_link(at).next;
    unlink_wait(waiter, at % kMostWaitedQueues);
    Waiter& w = arena_->waiters[waiter];
    /* Somebody may have woken it through another queue's list already. */
    std::uint64_t sleeping = 0;
    w.woken_at.store(platform_->monotonic_now(), std::memory_order_relaxed);
    if (!w.woken_by.compare_exchange_strong(sleeping, word)) continue;
    owes_claim(q, member);
    out[taken++] = waiter;
  }
  return taken;
}

std::uint32_t Dispatcher::take_waiters(Index queue_index, Index* out,
                                       std::uint32_t n) const noexcept {
  const Queue& q = queue(queue_index);
  if (q.owners == kNone) return take_from(queue_index, kNoOwner, out, n);
  std::uint32_t taken = 0;
  for_each_waiting_member(q, [&, this](OwnerNumber member) {
    const std::uint32_t most = std::min(n - taken, unasked_of(q, member));
    taken += take_from(queue_index, member, out + taken, most);
  });
  return taken + take_from(queue_index, kNoOwner, out + taken, std::min(n - taken, unasked(q)));
}

/* Whatever they wait for. */
std::uint32_t Dispatcher::take_all_waiters(Index queue_index, Index* out,
                                           std::uint32_t n) const noexcept {
  std::uint32_t taken = take_from(queue_index, kNoOwner, out, n);
  for_each_waiting_member(queue(queue_index), [&, this](OwnerNumber member) {
    taken += take_from(queue_index, member, out + taken, n - taken);
  });
  return taken;
}

void Dispatcher::wake_member(Index index, OwnerNumber member) noexcept {
  bool more = true;
  while (more) {
    QueueLock hold(*this, index);
    const Queue& q = queue(index);
    if (q.owners == kNone) return;
    const std::uint32_t room = std::min(hold.waiter_room(), kMostOwed - table_of(q).owed[member]);
    const std::uint32_t taken = take_from(index, member, hold.waiters(), room);
    hold.add_waiters(taken);
    more = taken > 0 && taken == room;
  }
}

void Dispatcher::wake_for_work(QueueLock& hold, Index index, std::uint32_t most) const noexcept {
  Queue& q = queue(index);
  if (is_paused(q)) return;
  if (!wake_waiters(hold, index, most)) set_start_timer(q);
  call_announcer(hold, q);
}

/* False: limits keep some asleep. */
bool Dispatcher::wake_waiters(QueueLock& hold, Index index, std::uint32_t most) const noexcept {
  Queue& q = queue(index);
  if (due_count(q) == 0 || (q.owners == kNone && due_count(q) <= q.owed)) return true;
  const std::uint32_t wanted = std::min(jobs_to_wake_for(q), most);
  if (wanted == 0) return true;
  const std::uint32_t all = q.owed + wanted;
  const std::uint32_t may = q.limited != 0 ? claimable(&hold, q, all) : all;
  const std::uint32_t n = std::min(may > q.owed ? may - q.owed : 0, hold.waiter_room());
  hold.add_waiters(take_waiters(index, hold.waiters(), n));
  return may >= all;
}

/* In a group it may be another queue's turn; who is told and asks gets one, too. */
bool Dispatcher::calls_for_listeners(Queue& q) const noexcept {
  if (due_count(q) <= q.owed || has_sleeper_for_work(q)) return false;
  if (q.grouped != 0) return starts_at(q) <= platform_->monotonic_now();
  return claimable(nullptr, q, due_count(q)) > q.owed;
}

void Dispatcher::call_announcer(QueueLock& hold, Queue& q) const noexcept {
  if (q.database == kNone) return;
  const Database& database = arena_->databases[q.database];
  const Micros interval = database.announce_interval.load(std::memory_order_relaxed);
  if (interval != 0 && calls_for_listeners(q) &&
      platform_->wall_now() + interval < database.planned_due.load(std::memory_order_acquire))
    hold.wake_housekeeper(q.database);
}

/* --- who was woken ---------------------------------------------------------------------------- */

/* Under the lock of the word's queue. False: the waiter is not, or no longer, on its account. */
bool Dispatcher::take_wake_back(Index waiter, std::uint64_t word, std::uint64_t now) noexcept {
  Waiter& w = arena_->waiters[waiter];
  const auto index = static_cast<Index>((word >> 32) - 1);
  /* Once the word is another one the waiter may go on and become a member's. */
  const OwnerNumber member = w.member.load();
  std::uint64_t expected = word;
  if (!w.woken_by.compare_exchange_strong(expected, now)) return false;
  Queue& q = queue(index);
  if (word != wake_word(index, q.incarnation)) return false;
  owes_no_claim(q, member);
  return true;
}

void Dispatcher::settle_wake(Index waiter, Index index, std::uint32_t taken) noexcept {
  Queue& q = queue(index);
  Waiter& w = arena_->waiters[waiter];
  const std::uint64_t word = wake_word(index, q.incarnation);
  if (taken > 0 && w.kept_for != 0) w.kept_for = 0;
  if (w.woken_by.load(std::memory_order_relaxed) != word || !take_wake_back(waiter, word, 0))
    return;
  if (taken > 0) return;
  q.counters.woken_in_vain++;
  const bool has_none = !is_ready_for(q, w.member.load()) || claimable(nullptr, q, 1) == 0;
  w.kept_for = has_none ? word : 0;
}

void Dispatcher::pass_wake_on(Index waiter) noexcept {
  Waiter& w = arena_->waiters[waiter];
  const std::uint64_t word = w.woken_by.load(std::memory_order_acquire);
  if (word == 0) return;
  if (word != kForfeited) {
    const auto index = static_cast<Index>((word >> 32) - 1);
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (take_wake_back(waiter, word, 0)) {
      q.counters.woken_in_vain++;
      gives_turn_up(q);
      wake_for_work(hold, index, 1);
      pass_on(hold, q);
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
    if (due_count(q) == 0) continue;
    const std::uint64_t before = q.counters.woken;
    /* In a group it may be another queue's turn. */
    if (q.grouped == 0 || !call_groups(hold, q)) wake_for_work(hold, i, hold.waiter_room());
    woke += q.counters.woken != before ? 1 : 0;
    owed = owed || (has_sleeper_for_work(q) && q.owed > 0);
  }
  return (owed && forfeit_wakes(database)) || woke > 0;
}

bool Dispatcher::calls_for_work(QueueRef ref) noexcept {
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.state != QueueState::active || is_paused(q))
    return false;
  promote_due(q, platform_->wall_now());
  /* By the housekeeper, which plans afterwards: a timer set here would wake itself, again and
   * again.
   */
  (void)wake_waiters(hold, ref.queue, hold.waiter_room());
  return calls_for_listeners(q);
}

}  // namespace dw::core
