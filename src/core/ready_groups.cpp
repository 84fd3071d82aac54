/*
 * Ready jobs by owner, for workers that take jobs of their own buckets only. Under the queue's
 * lock.
 *
 * Finding a worker's next job on the shelf would mean passing over the jobs of all others, each
 * time again. So whoever passes over a job puts it into the group of its owner, and nobody passes
 * over it a second time: each job is moved at most once on its way, which is a constant number of
 * steps in trees of the queue; one that becomes ready while its owner has a group goes there at
 * once. Jobs of its own a worker takes from its group, or straight from the shelf. What lies behind
 * the first of its group is not looked at, and a worker for whom nothing is ready looks at nothing,
 * for that is counted (owners.cpp). A queue whose claims take any job never has a group.
 *
 * When a bucket gets another owner, jobs of it may lie in the group of the one before. Whoever
 * installs the new owners looks those groups through, a chunk to a hold of the lock; a claim of own
 * jobs that comes before the end goes on with that first. So nobody is given a job of another's
 * bucket, nor a later one of his own before an earlier one. When the number of buckets changes, the
 * groups there are become stale, and their jobs go back to the shelf.
 *
 * Groups come from a pool. When it is used up a job stays on the shelf where it is, and is passed
 * over again by the next claim: that costs time, and nothing else.
 */
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

#include <bit>
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

namespace {

std::uint32_t place_of(OwnerNumber owner) noexcept {
  return owner == kNoOwner ? kMostMembers : owner;
}

}  // namespace

void Dispatcher::list_group(Queue& q, Group& group) noexcept {
  group.listed = ReadyPlace::of(group.first());
  q.groups.insert(group);
}

/* A group whose first job goes stays where it hangs: only claims of any job go by that, see
 * first_group(). */
void Dispatcher::leave_group(Queue& q, Entry& e) noexcept {
  Group& group = arena_->groups[e.next_of_worker];
  e.next_of_worker = kNone;
  group.jobs.remove(e);
  if (!group.jobs.empty()) {
    /* Likely the next to be taken; unlike those of the shelf it does not lie beside this one. */
    const auto* const next = reinterpret_cast<const char*>(&group.first());
    __builtin_prefetch(next, 1);
    __builtin_prefetch(next + kCacheLine, 1);
    return;
  }
  q.groups.remove(group);
  if (group.owner == kStaleGroup)
    table_of(q).stale_groups--;
  else
    table_of(q).group[place_of(group.owner)] = 0;
  free_group(group);
}

/* An entry that lies nowhere, into a group that hangs in its queue. */
void Dispatcher::put_into_group(Queue& q, Entry& e, Group& group) noexcept {
  e.next_of_worker = static_cast<Index>(&group - arena_->groups);
  insert_near_end(group.jobs, e);
  if (!ReadyPlace::of(e).is_before(group.listed)) return;
  q.groups.remove(group);
  list_group(q, group);
}

/* Of an entry that lies nowhere: into the group of its owner, if there is one. */
bool Dispatcher::join_group(Queue& q, Entry& e) noexcept {
  const OwnerTable& table = table_of(q);
  /* What is not counted yet is looked for on the shelf. */
  if (table.all_counted == 0) return false;
  const std::uint32_t number = table.group[place_of(table.owner[bucket_of_entry(q, e)])];
  if (number == 0) return false;
  put_into_group(q, e, arena_->groups[number - 1]);
  return true;
}

/* Likewise, and makes it if there is none; false: there is none to be had, it still lies nowhere.
 */
bool Dispatcher::enter_group(Queue& q, Entry& e) noexcept {
  OwnerTable& table = table_of(q);
  const OwnerNumber owner = table.owner[bucket_of_entry(q, e)];
  std::uint16_t& number = table.group[place_of(owner)];
  if (number != 0) {
    put_into_group(q, e, arena_->groups[number - 1]);
    return true;
  }
  const Index index = take_group();
  if (index == kNone) return false;
  Group& group = arena_->groups[index];
  number = static_cast<std::uint16_t>(index + 1);
  group.queue = static_cast<Index>(&q - arena_->queues);
  group.owner = owner;
  e.next_of_worker = index;
  group.jobs.insert(e);
  list_group(q, group);
  return true;
}

/*
 * That with the first job of all; there is one. A group that hangs too far in front is put where it
 * belongs: that happens at most as often as its first job went.
 */
Group& Dispatcher::first_group(Queue& q) noexcept {
  for (;;) {
    Group& group = *q.groups.begin();
    if (!group.listed.is_before(group.first())) return group;
    q.groups.erase(q.groups.begin());
    list_group(q, group);
  }
}

/* --- claims --- */

/*
 * The member's next job, where it lies; nullptr: none is ready, or so many of others lie in front
 * of it that the lock is to be let go first (look->more). One that is on the shelf in front of the
 * first of the member's group is its own, or somebody else's and put into a group. look->place is
 * how far the shelf was looked through, if anything had to stay there.
 */
Entry* Dispatcher::first_owned(Queue& q, OwnedLook* look) noexcept {
  OwnerTable& table = table_of(q);
  if (table.owned[look->member] == 0) return nullptr;
  if (table.losers != 0 && move_some(q)) {
    look->more = true;
    return nullptr;
  }
  const std::uint32_t number = table.group[look->member];
  Entry* const grouped = number != 0 ? &arena_->groups[number - 1].first() : nullptr;
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
    at = q.ready.erase(at);
    look->passed++;
    if (enter_group(q, e)) continue;
    q.ready.insert_before(at, e);
    look->begun = true;
    look->place = ReadyPlace::of(e);
  }
  return grouped;
}

/* --- another owner --- */

/* Before the bucket gets it. */
void Dispatcher::lose_bucket(Queue& q, std::uint32_t bucket) noexcept {
  OwnerTable& table = table_of(q);
  const std::uint32_t place = place_of(table.owner[bucket]);
  if (table.group[place] == 0) return;
  const std::uint64_t bit = std::uint64_t{1} << (place % 64);
  if ((table.loses[place / 64] & bit) == 0) table.losers++;
  table.loses[place / 64] |= bit;
  /* A group that was being looked through has jobs of the bucket in front of that, or this is now
   * the first of them. */
  table.moved_to = kBeforeAllReady;
}

/* Jobs that lie with a former owner go to the present one, as many as one lock hold may look at;
 * false: none is left. */
bool Dispatcher::move_some(Queue& q) noexcept {
  OwnerTable& table = table_of(q);
  std::uint32_t looks = kEntriesPerHold;
  for (std::uint32_t word = 0; table.losers != 0; word++) {
    while (table.loses[word] != 0) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(table.loses[word]));
      const std::uint32_t place = word * 64 + bit;
      const OwnerNumber owner = place == kMostMembers ? kNoOwner : static_cast<OwnerNumber>(place);
      const auto is_before = [](const ReadyPlace& a, const Entry& e) noexcept {
        return a.is_before(e);
      };
      /* A job that goes may be its last. */
      while (table.group[place] != 0) {
        ReadyTree& jobs = arena_->groups[table.group[place] - 1].jobs;
        const auto at = jobs.upper_bound(table.moved_to, is_before);
        if (at == jobs.end()) break;
        if (looks-- == 0) return true;
        Entry& e = *at;
        table.moved_to = ReadyPlace::of(e);
        if (table.owner[bucket_of_entry(q, e)] == owner) continue;
        leave_group(q, e);
        if (!enter_group(q, e)) q.ready.insert(e);
      }
      table.loses[word] &= ~(std::uint64_t{1} << bit);
      table.losers--;
      table.moved_to = kBeforeAllReady;
    }
  }
  return false;
}

/* --- another number of buckets --- */

void Dispatcher::make_groups_stale(Queue& q) noexcept {
  std::uint32_t count = 0;
  for (Group& group : q.groups) {
    group.owner = kStaleGroup;
    count++;
  }
  table_of(q).stale_groups = count;
}

/* Puts jobs of stale groups back on the shelf, as many as one lock hold may move; false: none is
 * left. While one is left nothing is counted, so nothing enters a group, and all are stale. */
bool Dispatcher::dissolve_some(Queue& q) noexcept {
  const OwnerTable& table = table_of(q);
  for (std::uint32_t i = 0; i < kEntriesPerHold && table.stale_groups != 0; i++) {
    Entry& e = q.groups.begin()->first();
    leave_group(q, e);
    q.ready.insert(e);
  }
  return table.stale_groups != 0;
}

}  // namespace dw::core
