/*
 * Limits: how many jobs of a queue may be in flight, how many may start in a time, and both for
 * several queues together, which are a limit group then. Those of keys are in key_limits.cpp.
 *
 * Places. A lease takes a place when it is handed out (hand_out) and gives it back when it leaves
 * its worker (drop_lease_link), which is where every lease ends, however it ends; a lease that was
 * cancelled also when its holder is told so. Entry.holds_place says which of the two was last, so
 * Queue.in_flight is the number of such entries by construction, and there is nothing beside them
 * that could be forgotten. LimitGroup.in_flight is the sum over the members: a queue brings what
 * it has when it joins and takes it along when it leaves.
 *
 * Tokens. A job that is handed out takes one; see token_bucket.hpp. Whatever becomes of the claim
 * afterwards, the token is gone.
 *
 * A claim reserves under all limits at once what it may start, before it pops anything, and returns
 * in the same lock hold what it did not use (Starts). What a queue has of its own is under its
 * lock, what groups have under kLimitsLock, which is a leaf.
 *
 * Turns. What a group has is divided among the member that claims and those that wait and are
 * there: in equal parts, and what is left over goes to those that were served least recently. A
 * member waits when the group held jobs of it back; it is there while a waiter of it sleeps, or for
 * a moment after a claim that got nothing and after a waiter was called. So a queue whose
 * workers ask without a pause does not take everything from one whose workers sleep, and one whose
 * workers stay away holds nobody up for longer than that moment.
 *
 * Wakes. Whoever gives a place back, lets a claim go with something left, or is called and does not
 * come, calls one waiter: of the queue, or of the member whose turn it is (wake_group, after the
 * queue's lock is let go, because the other queue's is needed). A member begins to wait under
 * kLimitsLock after a look at what the group has, and places come back under that lock: either the
 * member sees the place, or whoever brings it sees the member. For tokens there is a timer.
 */
#include "core/limits.hpp"

#include "core/limit_group.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

namespace {

std::uint32_t own_allowance(Queue& q, std::uint32_t n, Micros now) noexcept {
  if (q.limits.max_in_flight != kUnlimited)
    n = std::min(n, left_of(q.limits.max_in_flight, q.in_flight));
  if (q.bucket.limits()) {
    q.bucket.fill(now);
    n = std::min(n, q.bucket.tokens());
  }
  return n;
}

LimitFigures figures_of_places(std::uint32_t most, std::uint32_t in_flight) noexcept {
  LimitFigures out{};
  out.limits = most != kUnlimited;
  out.max_in_flight = most;
  out.in_flight = in_flight;
  out.available = left_of(most, in_flight);
  out.next = kNever;
  return out;
}

/* A copy of the bucket. offset: from monotonic times to those to be told. */
LimitFigures figures_of_tokens(TokenBucket bucket, Micros monotonic, Micros offset) noexcept {
  LimitFigures out{};
  out.limits = bucket.limits();
  out.rate = bucket.rate;
  if (!out.limits) return out;
  bucket.fill(monotonic);
  out.available = bucket.tokens();
  out.next = bucket.next() + offset;
  return out;
}

}  // namespace

/* The part of a group's that the member may take now. */
std::uint32_t Dispatcher::share_of(LimitGroup& group, const Queue& q, Micros now) const noexcept {
  const std::size_t kind = place_of(group.kind);
  const GroupMember& self = q.member[kind];
  const std::uint32_t all = available(group, now);
  if (group.waiting <= self.waits) return all;
  std::uint32_t sharers = 1;
  std::uint32_t before = 0;
  for (Index i = group.first_member; i != kNone; i = queue(i).member[kind].next) {
    const GroupMember& other = queue(i).member[kind];
    if (&other == &self || !is_there(other, now)) continue;
    sharers++;
    if (other.served < self.served) before++;
  }
  return all / sharers + (before < all % sharers ? 1 : 0);
}

/* The same for n jobs in all of its groups. */
std::uint32_t Dispatcher::group_allowance(QueueLock* hold, Queue& q, std::uint32_t n, Micros now,
                                          bool take) const noexcept {
  const LeafLock leaf(*platform_, kLimitsLock);
  std::uint32_t shares[kLimitKinds];
  std::uint32_t may = n;
  for (std::size_t kind = 0; kind < kLimitKinds; kind++) {
    const Index index = q.member[kind].group;
    shares[kind] = index == kNone ? n : std::min(n, share_of(arena_->limit_groups[index], q, now));
    may = std::min(may, shares[kind]);
  }
  for (const LimitKind kind : kLimitKind) {
    GroupMember& self = q.member[place_of(kind)];
    if (self.group == kNone) continue;
    LimitGroup& group = arena_->limit_groups[self.group];
    const bool held_back = may < n && shares[place_of(kind)] == may;
    if (held_back || take || n == 0) set_waits(group, self, held_back);
    /* Who got something is busy with that. */
    if (held_back && hold != nullptr) set_presence(q, self, may > 0 ? now : now + kTurn);
    if (take) {
      if (kind == LimitKind::concurrency) group.in_flight += may;
      if (kind == LimitKind::rate) group.bucket.take(may);
      if (may > 0) self.served = ++group.turn;
    }
    if (hold != nullptr && group.waiting > self.waits) tell_others(*hold, q, group, now);
  }
  return may;
}

/* Of the group who wait, other than this queue: now, or when there is a token. */
void Dispatcher::tell_others(QueueLock& hold, const Queue& q, LimitGroup& group,
                             Micros now) const noexcept {
  if (available(group, now) > 0) {
    hold.wake_group(group.kind, static_cast<Index>(&group - arena_->limit_groups));
  } else if (group.kind == LimitKind::rate) {
    set_timer(q.database, platform_->wall_now() + (group.bucket.next() - now));
  }
}

/*
 * How many of n ready jobs of the queue may start now. Notes in which group they have to wait, and
 * has others of the group called if they may take what is left. take: they start. hold nullptr:
 * nobody of the queue asks for them, it is only looked at.
 */
std::uint32_t Dispatcher::allowance(QueueLock* hold, Queue& q, std::uint32_t n, Micros now,
                                    bool take) const noexcept {
  std::uint32_t may = own_allowance(q, n, now);
  if (q.grouped != 0) may = group_allowance(hold, q, may, now, take);
  if (take && q.bucket.limits()) q.bucket.take(may);
  return may;
}

/* How many of n jobs a claim may find and hand out now. */
std::uint32_t Dispatcher::claimable(QueueLock* hold, Queue& q, std::uint32_t n) const noexcept {
  n = std::min(n, due_count(q));
  if (q.limited == 0 || n == 0) return n;
  return allowance(hold, q, n, platform_->monotonic_now(), false);
}

void Dispatcher::return_starts(QueueLock& hold, Queue& q, std::uint32_t n,
                               Micros taken_at) const noexcept {
  if (q.bucket.limits()) q.bucket.give_back(n, taken_at);
  if (q.grouped == 0) return;
  {
    const LeafLock leaf(*platform_, kLimitsLock);
    for (const GroupMember& self : q.member) {
      if (self.group == kNone) continue;
      LimitGroup& group = arena_->limit_groups[self.group];
      if (group.kind == LimitKind::concurrency) group.in_flight -= n;
      if (group.kind == LimitKind::rate) group.bucket.give_back(n, taken_at);
    }
  }
  pass_on(hold, q);
}

void Dispatcher::give_place_back(Entry& e) noexcept {
  if (e.holds_place == 0) return;
  Queue& q = queue(e.queue);
  e.holds_place = 0;
  q.in_flight--;
  if (e.counted_for_key != 0) leave_key(q, e);
  if (q.limited == 0) return;
  q.freed_places++;
  const Index group = q.member[place_of(LimitKind::concurrency)].group;
  if (group == kNone) return;
  const LeafLock leaf(*platform_, kLimitsLock);
  arena_->limit_groups[group].in_flight--;
}

/* Monotonic time from which the limits let a job start if nothing else does; kNever: not before a
 * lease ends. */
Micros Dispatcher::starts_at(const Queue& q) const noexcept {
  if (q.limited == 0) return kAlways;
  QueueLimitFigures figures{};
  fill_limits(q, platform_->monotonic_now(), 0, &figures);
  Micros at = kAlways;
  for (const LimitFigures* const limits : {figures.own, figures.group}) {
    for (const LimitKind kind : kLimitKind) {
      const LimitFigures& limit = limits[place_of(kind)];
      if (limit.limits && limit.available == 0) at = std::max(at, limit.next);
    }
  }
  return at;
}

/* --- seeing ----------------------------------------------------------------------------------- */

/* offset: from monotonic times to those to be told. */
void Dispatcher::fill_limits(const Queue& q, Micros monotonic, Micros offset,
                             QueueLimitFigures* out) const noexcept {
  *out = QueueLimitFigures{};
  out->in_flight = q.in_flight;
  out->last_handed_out = q.last_handed_out;
  out->short_of_keys = q.short_of_keys;
  out->own[place_of(LimitKind::concurrency)] =
      figures_of_places(q.limits.max_in_flight, q.in_flight);
  out->own[place_of(LimitKind::rate)] = figures_of_tokens(q.bucket, monotonic, offset);
  const LeafLock leaf(*platform_, kLimitsLock);
  for (const GroupMember& self : q.member) {
    if (self.group == kNone) continue;
    const LimitGroup& group = arena_->limit_groups[self.group];
    LimitFigures& figures = out->group[place_of(group.kind)];
    figures = group.kind == LimitKind::concurrency
                  ? figures_of_places(group.max_in_flight, group.in_flight)
                  : figures_of_tokens(group.bucket, monotonic, offset);
    std::memcpy(figures.group, group.name, kGroupNameSize);
  }
}

bool Dispatcher::see_limits(Index index, QueueId id, QueueLimitFigures* out) const noexcept {
  const QueueLock hold(*this, index);
  const Queue& q = queue(index);
  if (q.state == QueueState::free || q.id != id) return false;
  const Micros monotonic = platform_->monotonic_now();
  fill_limits(q, monotonic, platform_->wall_now() - monotonic, out);
  return true;
}

}  // namespace dw::core
