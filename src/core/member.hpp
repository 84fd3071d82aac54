/* Registered workers as the dispatcher is told of them and tells of them; see members.cpp. */
#pragma once

#include "core/layout.hpp"

namespace dw::core {

/* A registered worker, as one registration of its name. */
struct MemberRef {
  Index member;
  std::uint32_t incarnation;
};
/* A row of the table of registered workers. */
struct MemberRow {
  std::int64_t instance;
  Micros drain_deadline; /* wall; kNever: it does not drain */
  std::uint32_t vnodes;
  std::uint32_t capacity; /* most jobs in flight; 0: any number */
  std::uint32_t queue_count;
  QueueId queues[kMostWaitedQueues];
  char name[kWorkerNameSize];
  char utf8_name[kUtf8NameSize];
};
struct MemberFacts {
  std::int64_t instance;
  std::uint32_t capacity;
};
enum class MemberChange : std::uint8_t { none, done, no_room };
/* What views show of a member. */
struct MemberFigures {
  MemberRef ref;
  MemberState state;
  std::int64_t instance;
  Micros last_seen;      /* monotonic */
  Micros drain_deadline; /* wall */
  std::uint32_t in_flight;
  std::uint32_t queue_count;
  QueueId queues[kMostWaitedQueues];
  char name[kWorkerNameSize];
};

/* A worker that was not seen for so long does not come back. */
constexpr Micros kForgottenAfter = Micros{24} * 60 * kMinute;

/* What the housekeeper has to do about a member now. */
enum class MemberDuty : std::uint8_t {
  none,
  deregister,   /* it does not come back, or has drained */
  release_jobs, /* its deadline has come; and then to deregister it */
};

constexpr MemberDuty duty_about(const MemberFigures& member, Micros monotonic,
                                Micros wall) noexcept {
  if (member.state == MemberState::dead)
    return monotonic - member.last_seen < kForgottenAfter ? MemberDuty::none
                                                          : MemberDuty::deregister;
  if (member.state != MemberState::draining) return MemberDuty::none;
  if (member.in_flight == 0) return MemberDuty::deregister;
  return wall < member.drain_deadline ? MemberDuty::none : MemberDuty::release_jobs;
}

/* Who claims, if it is a registered worker. */
struct Claimant {
  MemberRef member;
  std::uint32_t capacity; /* 0: any number */
  bool owned_only;        /* jobs of its own buckets */
};

}  // namespace dw::core
