/*
 * Who may do what with which queue.
 *
 * A right on a queue is a privilege of the server on a table that exists for nothing else:
 * durable_work.rights_<id>, a partition of queue_right without rows, made by the first grant
 * (grants.hpp). A privilege on queue_right is a right on every queue. So membership, SET ROLE,
 * renamed and dropped roles, dumps and upgrades of the server are the server's business. The owner
 * of the extension's tables, whoever has that role's privileges, and superusers may do everything.
 *
 * What the current user (GetUserId) may do is remembered per process, and forgotten when the
 * server tells that privileges, roles or memberships changed.
 */
#pragma once

#include "core/types.hpp"

#include "pg/headers.hpp"

#include <string_view>

namespace dw::store {

struct QueueInfo;

/* What a function asks for: one of these, or several of which one is enough. */
enum class Right : uint8 {
  none = 0,
  enqueue = 1,
  work = 2,
  operate = 4,
  monitor = 8,
  read = work | operate, /* payloads, keys, results, errors */
  see = read | monitor,  /* numbers and states */
  any = see | enqueue,
  owner = 16, /* never asked for as a right; see is_owner() */
};

/* The four, with the privilege that stands for each: those that allow nothing else on an empty
 * table, as far as there are such. UPDATE also allows to lock it, which an operator may. */
struct RightName {
  Right right;
  const char* name;
  const char* privilege;
  AclMode mode;
};
constexpr RightName kRights[] = {
    {Right::enqueue, "enqueue", "INSERT", ACL_INSERT},
    {Right::work, "work", "REFERENCES", ACL_REFERENCES},
    {Right::operate, "operate", "UPDATE", ACL_UPDATE},
    {Right::monitor, "monitor", "SELECT", ACL_SELECT},
};

constexpr bool has(Right rights, Right needed) {
  return (static_cast<uint8>(rights) & static_cast<uint8>(needed)) != 0;
}
constexpr Right operator|(Right a, Right b) {
  return static_cast<Right>(static_cast<uint8>(a) | static_cast<uint8>(b));
}

/* Of no queue: the rights on queues that are still to be made. */
constexpr core::QueueId kEveryQueue = 0;

/* All that the current user may do with the queue; cheap. */
Right rights_on(core::QueueId queue);
/* One of these is enough. */
inline bool may(core::QueueId queue, Right needed) { return has(rights_on(queue), needed); }
/* The current user may do everything. */
inline bool is_owner() { return may(kEveryQueue, Right::owner); }

/* Raises unless the current user may: 42501 for a queue that it has another right on, and what an
 * unknown queue raises, word for word, for one that it has none on. */
void require_right(const QueueInfo& queue, Right needed);
/* DW002. */
[[noreturn]] void raise_unknown_queue(std::string_view name);
/* 42501. */
[[noreturn]] void raise_no_right(const char* queue, Right needed);

}  // namespace dw::store
