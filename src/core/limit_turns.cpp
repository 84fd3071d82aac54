/* Who is woken when the limits let something start: see limits.cpp. */
#include "core/limit_group.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>
#include <utility>

namespace dw::core {

/* When the next token comes; or, if it is not this queue's turn, when that may have passed. */
void Dispatcher::set_start_timer(const Queue& q) const noexcept {
  const Micros at = starts_at(q);
  if (at == kNever) return;
  const Micros monotonic = platform_->monotonic_now();
  set_due_timer(q, platform_->wall_now() + (at > monotonic ? at - monotonic : kTurn));
}

/* Others of its groups are called if they may take something. */
void Dispatcher::pass_on(QueueLock& hold, const Queue& q) const noexcept {
  if (q.grouped == 0) return;
  const Micros now = platform_->monotonic_now();
  const LeafLock leaf(*platform_, kLimitsLock);
  for (const GroupMember& self : q.member) {
    if (self.group == kNone) continue;
    LimitGroup& group = arena_->limit_groups[self.group];
    if (group.waiting > self.waits && available(group, now) > 0)
      hold.wake_group(group.kind, self.group);
  }
}

/* If it waits in groups of its: whoever's turn it is there is called. */
bool Dispatcher::call_groups(QueueLock& hold, const Queue& q) const noexcept {
  bool waits = false;
  for (const LimitKind kind : kLimitKind) {
    const GroupMember& self = q.member[place_of(kind)];
    if (self.group == kNone || self.waits == 0) continue;
    hold.wake_group(kind, self.group);
    waits = true;
  }
  return waits;
}

/* Leases of the queue ended under this lock hold. */
void Dispatcher::after_ends(QueueLock& hold, Index index) const noexcept {
  Queue& q = queue(index);
  const std::uint32_t ended = std::exchange(q.freed_places, 0U);
  wake_for_work(hold, index, ended);
  pass_on(hold, q);
}

/* A waiter that was woken through this queue goes away without a claim. */
void Dispatcher::gives_turn_up(Queue& q) const noexcept {
  if (q.grouped == 0 || q.waiter_count > 0) return;
  const Micros now = platform_->monotonic_now();
  const LeafLock leaf(*platform_, kLimitsLock);
  for (GroupMember& self : q.member) self.there_until = std::min(self.there_until, now);
}

/* The last waiter has left the queue's list. It may be about to claim, or to come back. */
void Dispatcher::last_waiter_left(Queue& q) const noexcept {
  const Micros now = platform_->monotonic_now();
  const LeafLock leaf(*platform_, kLimitsLock);
  for (GroupMember& self : q.member) set_presence(q, self, now + kTurn);
}

/* False: the member cannot use what its group has, or its waiters are on their way already. */
bool Dispatcher::call_member(Index index, Index group_index, LimitKind kind) const noexcept {
  QueueLock hold(*this, index);
  Queue& q = queue(index);
  GroupMember& self = q.member[place_of(kind)];
  if (self.group != group_index) return false;
  const bool has_work = q.id != 0 && due_count(q) > 0 && !is_paused(q);
  const Micros now = platform_->monotonic_now();
  const std::uint32_t may = allowance(nullptr, q, has_work ? due_count(q) : 0, now, false);
  if (may == 0 || q.waiter_count == 0) {
    if (may > 0) call_announcer(hold, q);
    /* Who was called keeps its turn for a moment. */
    const LeafLock leaf(*platform_, kLimitsLock);
    if (!is_there(self, now)) set_waits(arena_->limit_groups[group_index], self, false);
    return false;
  }
  if (may <= q.owed) return false;
  const std::uint32_t taken = take_waiters(index, hold.waiters(), 1);
  hold.add_waiters(taken);
  if (taken == 0) gives_turn_up(q); /* they are awake, through other queues */
  return taken > 0;
}

/* Of those that wait and were served after `tried`, the one that was served least recently. */
Index Dispatcher::next_to_call(const LimitGroup& group, std::uint64_t tried) const noexcept {
  const std::size_t kind = place_of(group.kind);
  Index next = kNone;
  for (Index i = group.first_member; i != kNone; i = queue(i).member[kind].next) {
    const GroupMember& member = queue(i).member[kind];
    if (member.waits == 0 || member.served <= tried) continue;
    if (next == kNone || member.served < queue(next).member[kind].served) next = i;
  }
  return next;
}

/* Calls one waiter of the group, of the member whose turn it is. */
bool Dispatcher::wake_group(Index group_index) const noexcept {
  std::uint64_t tried = 0; /* turns begin with 1 */
  bool somebody_sleeps = false;
  for (;;) {
    Index next = kNone;
    LimitKind kind{};
    {
      const Micros now = platform_->monotonic_now();
      const LeafLock leaf(*platform_, kLimitsLock);
      LimitGroup& group = arena_->limit_groups[group_index];
      if (group.database == kNone || available(group, now) == 0) return false;
      kind = group.kind;
      next = next_to_call(group, tried);
      if (next == kNone) {
        /* It is the turn of one that is not there: it passes by time. */
        if (somebody_sleeps) set_timer(group.database, platform_->wall_now() + kTurn);
        return false;
      }
      const GroupMember& member = queue(next).member[place_of(kind)];
      tried = member.served;
      somebody_sleeps = somebody_sleeps || member.there_until == kNever;
    }
    if (call_member(next, group_index, kind)) return true;
  }
}

}  // namespace dw::core
