/*
 * Ready jobs by bucket, for workers that take jobs of their own buckets only. Under the queue's
 * lock.
 *
 * Finding a worker's next job on the shelf would mean passing over the jobs of all others, each
 * time again. So whoever passes over a job puts it into the group of its bucket, and nobody passes
 * over it a second time: each job is moved at most once on its way, which is a constant number of
 * steps in trees of the queue. Jobs of its own it takes straight from the shelf. What lies behind
 * the worker's first group is not looked at, and a worker for whom nothing is ready looks at
 * nothing, for that is counted (owners.cpp). A queue whose claims take any job never has a group.
 *
 * When owners change, groups move between owners, not jobs. When the number of buckets changes, the
 * groups there are become stale, and their jobs go back to the shelf.
 *
 * Groups come from a pool. When it is used up a job stays on the shelf where it is, and is passed
 * over again by the next claim: that costs time, and nothing else.
 */
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

#include <new>

namespace dw::core {

/* --- the pool: a stack without a lock, since groups come and go under leaf locks --- */

Index Dispatcher::take_group() noexcept {
  std::uint64_t head = arena_->free_groups.load(std::memory_order_acquire);
  while (static_cast<Index>(head) != 0) {
    const Index index = static_cast<Index>(head) - 1;
    const Index next = arena_->groups[index].next_free.load(std::memory_order_relaxed);
    const std::uint64_t rest = ((head >> 32) + 1) << 32 | next;
    if (arena_->free_groups.compare_exchange_weak(head, rest, std::memory_order_acq_rel))
      return index;
  }
  std::uint32_t used = arena_->used_groups.load(std::memory_order_relaxed);
  while (used < arena_->group_capacity) {
    if (!arena_->used_groups.compare_exchange_weak(used, used + 1)) continue;
    new (&arena_->groups[used]) Group();
    return used;
  }
  return kNone;
}

void Dispatcher::free_group(Group& group) noexcept {
  const auto index = static_cast<Index>(&group - arena_->groups);
  group.queue = kNone;
  std::uint64_t head = arena_->free_groups.load(std::memory_order_relaxed);
  std::uint64_t with = 0;
  do {
    group.next_free.store(static_cast<Index>(head), std::memory_order_relaxed);
    with = ((head >> 32) + 1) << 32 | (index + 1);
  } while (!arena_->free_groups.compare_exchange_weak(head, with, std::memory_order_acq_rel));
}

/* --- entries in groups --- */

void Dispatcher::hang_group(Queue& q, Group& group) noexcept {
  q.groups.insert(group);
  q.groups_by_owner.insert(group);
}

void Dispatcher::unhang_group(Queue& q, Group& group) noexcept {
  q.groups.erase(q.groups.iterator_to(group));
  q.groups_by_owner.erase(q.groups_by_owner.iterator_to(group));
}

/* The first job of a group is its place in the trees, so it is out of them while that changes. */
void Dispatcher::leave_group(Queue& q, Entry& e) noexcept {
  Group& group = arena_->groups[e.next_of_worker];
  e.next_of_worker = kNone;
  if (&group.first() != &e) {
    group.jobs.erase(group.jobs.iterator_to(e));
    return;
  }
  unhang_group(q, group);
  group.jobs.erase(group.jobs.begin());
  if (!group.jobs.empty()) {
    hang_group(q, group);
    return;
  }
  if (group.owner != kStaleGroup) table_of(q).group[group.bucket] = 0;
  free_group(group);
}

/* From the shelf; false: there is no group to be had, it stays. */
bool Dispatcher::enter_group(Queue& q, Entry& e) noexcept {
  OwnerTable& table = table_of(q);
  const std::uint32_t bucket = bucket_of_entry(q, e);
  const bool is_new = table.group[bucket] == 0;
  const Index index = is_new ? take_group() : table.group[bucket] - Index{1};
  if (index == kNone) return false;
  Group& group = arena_->groups[index];
  q.ready.erase(q.ready.iterator_to(e));
  e.next_of_worker = index;
  if (!is_new && !ReadyOrder{}(e, group.first())) {
    insert_near_end(group.jobs, e);
    return true;
  }
  if (is_new) {
    table.group[bucket] = static_cast<std::uint16_t>(index + 1);
    group.queue = static_cast<Index>(&q - arena_->queues);
    group.bucket = static_cast<std::uint16_t>(bucket);
    group.owner = table.owner[bucket];
  } else {
    unhang_group(q, group);
  }
  group.jobs.insert(e);
  hang_group(q, group);
  return true;
}

Group* Dispatcher::first_group_of(Queue& q, OwnerNumber owner) noexcept {
  struct ByOwner {
    bool operator()(OwnerNumber a, const Group& g) const noexcept { return a < g.owner; }
    bool operator()(const Group& g, OwnerNumber a) const noexcept { return g.owner < a; }
  };
  const auto first = q.groups_by_owner.lower_bound(owner, ByOwner{});
  return first != q.groups_by_owner.end() && first->owner == owner ? &*first : nullptr;
}

void Dispatcher::change_owner(Queue& q, Group& group, OwnerNumber owner) noexcept {
  q.groups_by_owner.erase(q.groups_by_owner.iterator_to(group));
  group.owner = owner;
  q.groups_by_owner.insert(group);
}

/* --- claims --- */

/*
 * The member's next job, where it lies; nullptr: none is ready, or so many of others lie in front
 * of it that the lock is to be let go first (look->more). One that is on the shelf in front of the
 * member's first group is its own, or somebody else's and put into a group. look->place is how far
 * the shelf was looked through, if anything had to stay there.
 */
Entry* Dispatcher::first_owned(Queue& q, OwnedLook* look) noexcept {
  const OwnerTable& table = table_of(q);
  if (table.owned[look->member] == 0) return nullptr;
  Group* const group = first_group_of(q, look->member);
  Entry* const grouped = group != nullptr ? &*group->jobs.begin() : nullptr;
  const auto is_before = [](const ReadyPlace& a, const Entry& e) noexcept {
    return a.is_before(e);
  };
  auto at = look->begun ? q.ready.upper_bound(look->place, is_before) : q.ready.begin();
  while (at != q.ready.end() && (grouped == nullptr || ReadyOrder{}(*at, *grouped))) {
    Entry& e = *at;
    if (table.owner[bucket_of_entry(q, e)] == look->member) return &e;
    if (look->passed == kEntriesPerHold) {
      look->more = true;
      return nullptr;
    }
    ++at;
    look->passed++;
    if (enter_group(q, e)) continue;
    look->begun = true;
    look->place = ReadyPlace::of(e);
  }
  return grouped;
}

/* --- another number of buckets --- */

void Dispatcher::make_groups_stale(Queue& q) noexcept {
  q.groups_by_owner.clear();
  for (Group& group : q.groups) {
    group.owner = kStaleGroup;
    q.groups_by_owner.insert(group);
  }
}

/* Puts jobs of stale groups back on the shelf, as many as one lock hold may move; false: none is
 * left. */
bool Dispatcher::dissolve_some(Queue& q) noexcept {
  for (std::uint32_t i = 0; i < kEntriesPerHold; i++) {
    Group* const group = first_group_of(q, kStaleGroup);
    if (group == nullptr) return false;
    Entry& e = *group->jobs.begin();
    leave_group(q, e);
    q.ready.insert(e);
    count_ready(q, e, 1);
  }
  return true;
}

}  // namespace dw::core
