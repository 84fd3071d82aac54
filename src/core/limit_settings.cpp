/* Limits come and go, and queues join limit groups and leave them: see limits.cpp. */
#include "core/limit_group.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

namespace {

bool limits_anything(const OwnLimits& limits) noexcept {
  return limits.max_in_flight != kUnlimited || limits.rate.jobs != 0 ||
         limits.key_max_in_flight != kUnlimited || limits.key_rate.jobs != 0;
}

bool is_grouped(const QueueLimits& limits) noexcept {
  return std::any_of(std::begin(kLimitKind), std::end(kLimitKind),
                     [&limits](LimitKind kind) { return limits.group_of(kind)[0] != '\0'; });
}

}  // namespace

Index Dispatcher::find_group(Index database, LimitKind kind, const char* name) const noexcept {
  Index unused = kNone;
  for (Index i = 0; i < kMostLimitGroups; i++) {
    const LimitGroup& group = arena_->limit_groups[i];
    if (group.database == kNone) {
      if (unused == kNone) unused = i;
    } else if (group.database == database && group.kind == kind &&
               std::strcmp(group.name, name) == 0) {
      return i;
    }
  }
  LimitGroup& group = arena_->limit_groups[unused];
  group = LimitGroup{};
  group.database = database;
  group.kind = kind;
  group.first_member = kNone;
  group.max_in_flight = kUnlimited;
  std::memcpy(group.name, name, kGroupNameSize);
  return unused;
}

/* What it has in flight is taken along. */
void Dispatcher::leave_group(Queue& q, LimitKind kind) const noexcept {
  GroupMember& self = q.member[place_of(kind)];
  if (self.group == kNone) return;
  LimitGroup& group = arena_->limit_groups[self.group];
  set_waits(group, self, false);
  if (kind == LimitKind::concurrency) group.in_flight -= q.in_flight;
  if (self.previous != kNone) {
    queue(self.previous).member[place_of(kind)].next = self.next;
  } else {
    group.first_member = self.next;
  }
  if (self.next != kNone) queue(self.next).member[place_of(kind)].previous = self.previous;
  if (--group.members == 0) group.database = kNone;
  self.group = kNone;
}

void Dispatcher::join_group(Queue& q, LimitKind kind, Index index) const noexcept {
  GroupMember& self = q.member[place_of(kind)];
  LimitGroup& group = arena_->limit_groups[index];
  self = GroupMember{};
  self.group = index;
  self.next = group.first_member;
  self.previous = kNone;
  self.served = ++group.turn;
  const auto number = static_cast<Index>(&q - arena_->queues);
  if (self.next != kNone) queue(self.next).member[place_of(kind)].previous = number;
  group.first_member = number;
  group.members++;
  if (kind == LimitKind::concurrency) group.in_flight += q.in_flight;
}

/* The group that it is in from here on; kNone: none. */
Index Dispatcher::set_group(Queue& q, LimitKind kind, const QueueLimits& limits,
                            Micros now) const noexcept {
  const LeafLock leaf(*platform_, kLimitsLock);
  const char* const name = limits.group_of(kind);
  if (name[0] == '\0') {
    leave_group(q, kind);
    return kNone;
  }
  const Index index = find_group(q.database, kind, name);
  if (q.member[place_of(kind)].group != index) {
    leave_group(q, kind);
    join_group(q, kind, index);
  }
  LimitGroup& group = arena_->limit_groups[index];
  if (kind == LimitKind::concurrency) group.max_in_flight = limits.group_max_in_flight;
  if (kind == LimitKind::rate && group.bucket.rate != limits.group_rate)
    group.bucket.begin(limits.group_rate, now);
  return index;
}

void Dispatcher::set_queue_limits(Index database, QueueId id, const QueueLimits& limits) noexcept {
  const Index index = find_queue(database, id);
  if (index == kNone) return;
  Index groups[2 * kLimitKinds] = {kNone, kNone, kNone, kNone};
  bool keys = false;
  {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.state == QueueState::free || q.id != id || q.database != database) return;
    const Micros now = platform_->monotonic_now();
    if (q.limits.rate != limits.rate) q.bucket.begin(limits.rate, now);
    for (const LimitKind kind : kLimitKind) {
      groups[place_of(kind)] = q.member[place_of(kind)].group;
      groups[kLimitKinds + place_of(kind)] = set_group(q, kind, limits, now);
    }
    keys = q.limits.key_max_in_flight != limits.key_max_in_flight ||
           q.limits.key_rate != limits.key_rate;
    if (keys) begin_key_limits(q, limits, now);
    q.limits = limits.own();
    q.grouped = is_grouped(limits) ? 1 : 0;
    q.limited = q.grouped != 0 || limits_anything(limits) ? 1 : 0;
    wake_for_work(hold, index, hold.waiter_room());
  }
  if (keys) key_limits_changed(index, id);
  /* Where there is more now than before, somebody is to take it. */
  for (const Index group : groups) {
    if (group != kNone) wake_group(group);
  }
}

/* Of a queue that is being removed, whose leases go next. */
void Dispatcher::clear_limits(QueueLock& hold, Queue& q) const noexcept {
  for (const LimitKind kind : kLimitKind) {
    const Index group = q.member[place_of(kind)].group;
    if (group == kNone) continue;
    const LeafLock leaf(*platform_, kLimitsLock);
    leave_group(q, kind);
    hold.wake_group(kind, group);
  }
  q.limits = OwnLimits{};
  q.bucket.begin(Rate{}, 0);
  begin_key_limits(q, q.limits, 0);
  q.limited = 0;
  q.grouped = 0;
  q.freed_places = 0;
}

}  // namespace dw::core
