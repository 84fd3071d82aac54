/*
 * Owner tables: which registered worker owns which bucket of a queue, and for how many ready jobs.
 *
 * A queue gets its table when the first worker is registered for it, and keeps it until it is
 * dropped. All of a table is under its queue's lock.
 *
 * Owners. Whoever changes the members of a ring (registered, gone, draining, dead, back) raises
 * members_version with the change, and then has the owners of each queue concerned computed anew:
 * under kMembersLock, from the members there are then; installed under the queue's lock if the
 * version is still the same, else computed again. So whatever order two of them work in, what stays
 * was computed after the last change: the one that installs an older result would have to do so
 * after the version was raised, and it looks. Claims find their owners in the table and compute
 * nothing.
 *
 * Counts. ready[b], and owned[m] and unowned as its sums, count jobs up to a place in the order, up
 * to which the jobs that were there before the table have been counted, a chunk to a hold, in the
 * end all of them. What comes and goes in front of the place is counted as it does.
 *
 * Another number of buckets makes the groups stale and counts from the start again. The same
 * process moves their jobs back and counts, a chunk to a hold, and then computes the owners.
 * Meanwhile, for milliseconds, nobody owns anything, and jobs are there for claims that take any.
 */
#include "core/queue_lock.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

OwnerTable& Dispatcher::table_of(const Queue& q) const noexcept {
  return arena_->owner_tables[q.owners];
}

std::uint32_t Dispatcher::bucket_of_entry(const Queue& q, const Entry& e) noexcept {
  return bucket_of(e.key_hash, static_cast<std::uint32_t>(q.options.buckets));
}

/* A ready entry came or goes. */
void Dispatcher::count_ready(Queue& q, const Entry& e, int change) noexcept {
  OwnerTable& table = table_of(q);
  if (table.all_counted == 0 && table.counted_to.is_before(e)) return;
  if (e.next_of_worker != kNone && arena_->groups[e.next_of_worker].owner == kStaleGroup) return;
  const std::uint32_t bucket = bucket_of_entry(q, e);
  const auto by = static_cast<std::uint32_t>(change);
  table.ready[bucket] += by;
  const OwnerNumber owner = table.owner[bucket];
  (owner == kNoOwner ? table.unowned : table.owned[owner]) += by;
}

void Dispatcher::begin_counting(OwnerTable& table) noexcept {
  table.counted_to = kBeforeAllReady;
  table.all_counted = 0;
  table.unowned = 0;
  std::memset(table.ready, 0, sizeof(table.ready));
  std::memset(table.owned, 0, sizeof(table.owned));
  std::fill(std::begin(table.owner), std::end(table.owner), kNoOwner);
  std::memset(table.group, 0, sizeof(table.group));
  std::memset(table.loses, 0, sizeof(table.loses));
  table.losers = 0;
  table.moved_to = kBeforeAllReady;
}

/* Counts on, as many as one lock hold may; false: all are counted. */
bool Dispatcher::count_some(Queue& q) noexcept {
  OwnerTable& table = table_of(q);
  if (table.all_counted != 0) return false;
  struct AfterPlace {
    bool operator()(const OwnerTable& a, const Entry& e) const noexcept {
      return a.counted_to.is_before(e);
    }
  };
  auto at = q.ready.upper_bound(table, AfterPlace{});
  for (std::uint32_t i = 0; i < kEntriesPerHold; i++, ++at) {
    if (at == q.ready.end()) {
      table.all_counted = 1;
      return false;
    }
    table.counted_to = ReadyPlace::of(*at);
    count_ready(q, *at, 1);
  }
  return true;
}

void Dispatcher::settle_buckets(Index index) noexcept {
  bool more = true;
  while (more) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.owners == kNone) return;
    /* Stale groups first: what they hold is not on the shelf that is counted. */
    more = dissolve_some(q) || count_some(q);
  }
}

bool Dispatcher::make_owner_table(QueueRef ref) noexcept {
  {
    const QueueLock hold(*this, ref.queue);
    Queue& q = queue(ref.queue);
    if (q.incarnation != ref.incarnation || q.id == 0 || q.owners != kNone) return true;
    const LeafLock leaf(*platform_, kArenaLock);
    Index slot = 0;
    while (slot < arena_->owner_table_capacity && arena_->owner_tables[slot].queue != 0) slot++;
    if (slot == arena_->owner_table_capacity) return false;
    OwnerTable& table = arena_->owner_tables[slot];
    table.queue = ref.queue + 1;
    begin_counting(table);
    std::fill(std::begin(table.waiters), std::end(table.waiters), WaitList{kNone, kNone});
    std::memset(table.owed, 0, sizeof(table.owed));
    std::memset(table.waited_for, 0, sizeof(table.waited_for));
    table.stale_groups = 0;
    q.owners = slot;
  }
  settle_buckets(ref.queue);
  return true;
}

/* Under the queue lock, of a queue without entries and waiters. */
void Dispatcher::free_owner_table(Queue& q) noexcept {
  if (q.owners == kNone) return;
  const LeafLock leaf(*platform_, kArenaLock);
  table_of(q).queue = 0;
  q.owners = kNone;
}

namespace {

bool names(const Member& member, QueueId queue) noexcept {
  const QueueId* const end = member.queues + member.queue_count;
  return std::find(member.queues, end, queue) != end;
}

}  // namespace

/* Of one queue; the version that the members had. */
std::uint64_t Dispatcher::compute_owners(Index database, QueueId id, std::uint32_t buckets,
                                         OwnerNumber* owner) const noexcept {
  RingWorker workers[kMostMembers];
  std::uint32_t nearest[kMostBuckets];
  std::uint32_t place[kMostBuckets];
  std::uint32_t count = 0;
  const LeafLock leaf(*platform_, kMembersLock);
  for (Index i = 0; i < kMostMembers; i++) {
    const Member& member = arena_->members[i];
    if (member.state.load() != MemberState::alive || member.database != database ||
        !names(member, id))
      continue;
    workers[count++] = RingWorker{utf8_name_of(member), member.ring_seed, member.vnodes,
                                  static_cast<OwnerNumber>(i)};
  }
  assign_owners(workers, count, buckets, nearest, place, owner);
  return arena_->members_version.load();
}

void Dispatcher::install_owners(Queue& q, const OwnerNumber* owner) noexcept {
  OwnerTable& table = table_of(q);
  const auto buckets = static_cast<std::uint32_t>(q.options.buckets);
  table.unowned = 0;
  std::memset(table.owned, 0, sizeof(table.owned));
  for (std::uint32_t b = 0; b < buckets; b++) {
    if (owner[b] != table.owner[b]) {
      if (table.ready[b] != 0) lose_bucket(q, b);
      table.owner[b] = owner[b];
    }
    (owner[b] == kNoOwner ? table.unowned : table.owned[owner[b]]) += table.ready[b];
  }
}

void Dispatcher::find_owners(Index index) noexcept {
  OwnerNumber owner[kMostBuckets];
  for (;;) {
    QueueRef ref{index, 0};
    QueueId id = 0;
    Index database = kNone;
    std::uint32_t buckets = 0;
    {
      const QueueLock hold(*this, index);
      const Queue& q = queue(index);
      if (q.state == QueueState::free || q.id == 0 || q.owners == kNone) return;
      ref.incarnation = q.incarnation;
      id = q.id;
      database = q.database;
      buckets = static_cast<std::uint32_t>(q.options.buckets);
    }
    const std::uint64_t version = compute_owners(database, id, buckets, owner);
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.incarnation != ref.incarnation || q.owners == kNone) return;
    if (arena_->members_version.load() != version ||
        static_cast<std::uint32_t>(q.options.buckets) != buckets)
      continue;
    install_owners(q, owner);
    wake_for_work(hold, index, hold.waiter_room());
    break;
  }
  move_jobs(index);
}

/* To the present owners of their buckets. */
void Dispatcher::move_jobs(Index index) noexcept {
  bool more = true;
  while (more) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    more = q.owners != kNone && table_of(q).losers != 0 && move_some(q);
  }
}

/* Under the queue lock: the options say another number of buckets than before. */
void Dispatcher::buckets_changed(Queue& q) noexcept {
  make_groups_stale(q);
  begin_counting(table_of(q));
}

/* --- seeing --- */

Index Dispatcher::owner_of_bucket(Index index, QueueId id, std::uint32_t key_hash,
                                  char* name) noexcept {
  const QueueLock hold(*this, index);
  const Queue& q = queue(index);
  if (q.id != id || q.owners == kNone) return kNone;
  const OwnerTable& table = table_of(q);
  const OwnerNumber owner =
      table.owner[bucket_of(key_hash, static_cast<std::uint32_t>(q.options.buckets))];
  if (owner == kNoOwner) return kNone;
  const LeafLock leaf(*platform_, kMembersLock);
  std::memcpy(name, arena_->members[owner].name, kWorkerNameSize);
  return owner;
}

std::uint32_t Dispatcher::owned_buckets(Index index, QueueId id, MemberRef member,
                                        std::uint16_t* out) noexcept {
  const QueueLock hold(*this, index);
  const Queue& q = queue(index);
  if (q.id != id || q.owners == kNone || !is_current(member)) return 0;
  const OwnerTable& table = table_of(q);
  std::uint32_t count = 0;
  for (std::uint32_t b = 0; b < static_cast<std::uint32_t>(q.options.buckets); b++) {
    if (table.owner[b] == member.member) out[count++] = static_cast<std::uint16_t>(b);
  }
  return count;
}

/* Under the queue lock: ready jobs in buckets that nobody owns, though workers were registered for
 * the queue. */
std::uint32_t Dispatcher::ready_unowned(const Queue& q) const noexcept {
  return q.owners != kNone ? table_of(q).unowned : 0;
}

}  // namespace dw::core
