/* What a limit group and its members are asked under kLimitsLock. */
#pragma once

#include "core/layout.hpp"

namespace dw::core {

/* How long the others leave its turn to a queue nobody of which sleeps. */
constexpr Micros kTurn = 100 * kMillisecond;

constexpr LimitKind kLimitKind[kLimitKinds] = {LimitKind::concurrency, LimitKind::rate};

constexpr std::size_t place_of(LimitKind kind) noexcept { return static_cast<std::size_t>(kind); }

constexpr std::uint32_t left_of(std::uint32_t most, std::uint32_t used) noexcept {
  return most > used ? most - used : 0;
}

/* What the group lets start, whoever asks. */
inline std::uint32_t available(LimitGroup& group, Micros now) noexcept {
  if (group.kind == LimitKind::concurrency) return left_of(group.max_in_flight, group.in_flight);
  if (!group.bucket.limits()) return kUnlimited;
  group.bucket.fill(now);
  return group.bucket.tokens();
}

inline void set_waits(LimitGroup& group, GroupMember& member, bool waits) noexcept {
  if (waits == (member.waits != 0)) return;
  member.waits = waits ? 1 : 0;
  if (waits) {
    group.waiting++;
  } else {
    group.waiting--;
  }
}

inline bool is_there(const GroupMember& member, Micros now) noexcept {
  return member.waits != 0 && member.there_until > now;
}

/* until: unless a waiter sleeps. */
inline void set_presence(const Queue& q, GroupMember& member, Micros until) noexcept {
  member.there_until = q.waiter_count > 0 ? kNever : until;
}

}  // namespace dw::core
