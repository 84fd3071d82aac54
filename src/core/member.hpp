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

/* Who claims, if it is a registered worker. */
struct Claimant {
  MemberRef member;
  std::uint32_t capacity; /* 0: any number */
  bool owned_only;        /* jobs of its own buckets */
};

}  // namespace dw::core
