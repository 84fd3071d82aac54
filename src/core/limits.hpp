/*
 * Limits of queues: how many jobs may be in flight, and how many may start in a time. limits.cpp
 * says how they are kept.
 */
#pragma once

#include "core/token_bucket.hpp"
#include "core/types.hpp"

#include <initializer_list>

namespace dw::core {

constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kGroupNameSize = 64; /* bytes, with the final zero */

enum class LimitKind : std::uint8_t { concurrency, rate };
constexpr std::size_t kLimitKinds = 2;

/* Those that a queue does not share with others. */
struct OwnLimits {
  std::uint32_t max_in_flight = kUnlimited;
  Rate rate;
  std::uint32_t key_max_in_flight = kUnlimited; /* of each key; see key_limits.cpp */
  Rate key_rate;

  friend bool operator==(const OwnLimits&, const OwnLimits&) = default;
};

/*
 * What the row in durable_work.queue says. Names are filled up with zeros, an empty one is none.
 * The limit of a group stands in the rows of all its queues.
 */
struct QueueLimits : OwnLimits {
  std::uint32_t group_max_in_flight = kUnlimited;
  Rate group_rate;
  char group[kLimitKinds][kGroupNameSize] = {};

  [[nodiscard]] const OwnLimits& own() const noexcept { return *this; }
  [[nodiscard]] const char* group_of(LimitKind kind) const noexcept {
    return group[static_cast<std::size_t>(kind)];
  }
  friend bool operator==(const QueueLimits&, const QueueLimits&) = default;
};

/* Of a queue slot, in a group of each kind. */
struct GroupMember {
  Index group; /* kNone: in none */
  Index next;
  Index previous;
  /* The group held jobs of it back, and it has not been seen without such jobs since. */
  std::uint8_t waits;
  std::uint64_t served; /* the group's turn when it last took something */
  /* While it waits: until then it counts as being there, and has its turn before others that were
   * served later. Monotonic; kNever: a waiter of it sleeps. */
  Micros there_until;
};

/* Queues that share a limit of one kind. Everything is under kLimitsLock. */
struct LimitGroup {
  Index database;     /* kNone: free */
  Index first_member; /* queue slot */
  std::uint16_t members;
  std::uint16_t waiting;       /* members that wait */
  std::uint32_t max_in_flight; /* concurrency */
  std::uint32_t in_flight;     /* what its members have, and what a claim has reserved */
  LimitKind kind;
  TokenBucket bucket; /* rate */
  std::uint64_t turn;
  char name[kGroupNameSize];
};

/* A limit as it stands. */
struct LimitFigures {
  bool limits;
  std::uint32_t max_in_flight;
  std::uint32_t in_flight;
  Rate rate;
  std::uint32_t available; /* jobs that it lets start now */
  Micros next;             /* wall, when it lets one start; kNever: when something ends */
  char group[kGroupNameSize];
};

/* Of one queue: its own ones, and those of its groups. */
struct QueueLimitFigures {
  std::uint32_t in_flight;
  Micros last_handed_out; /* wall; 0: none since the server started */
  Micros short_of_keys;   /* wall, when a key last found no room to be counted; 0: never */
  LimitFigures own[kLimitKinds];
  LimitFigures group[kLimitKinds];
};

/* One that lets nothing start now; nullptr: none does that. */
constexpr const LimitFigures* hindrance(const QueueLimitFigures& figures, LimitKind kind) noexcept {
  const auto place = static_cast<std::size_t>(kind);
  for (const LimitFigures* const limit : {&figures.own[place], &figures.group[place]}) {
    if (limit->limits && limit->available == 0) return limit;
  }
  return nullptr;
}

}  // namespace dw::core
