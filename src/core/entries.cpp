/*
 * Entries: room accounting, the hash from job id, and the trees. Everything here runs under the
 * lock of the entry's queue.
 *
 * An entry with a worker is in its queue's tree of leases, whatever else it is, and so is an
 * overdue one; ready and delayed entries are in the tree of that name. Of the others some hang in a
 * gate (gate.cpp), whatever their state.
 *
 * Room: half of the arena is guaranteed in equal shares, the other half is lent. A queue below its
 * share always gets an entry as long as one is free; beyond it, only while the lent half lasts.
 */
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

#include <algorithm>

namespace dw::core {

constexpr std::uint32_t kSmallestShare = 16;

/* Ids are dense and jobs come and go in their order, so neighbours in time are neighbours in the
 * table too. */
std::uint32_t Dispatcher::hash_of(Index database, JobId id) noexcept {
  return static_cast<std::uint32_t>(id) + database * 0x9E3779B9U;
}

std::uint32_t Dispatcher::share() const noexcept {
  const std::uint32_t queues = std::max(arena_->queue_count.get(), 1U);
  /* More queues than a small arena has room for get less than the smallest share each. */
  const std::uint32_t smallest = std::clamp(arena_->capacity / queues, 1U, kSmallestShare);
  return std::max(smallest, arena_->capacity / (2 * queues));
}

std::uint32_t Dispatcher::most_sleepers(const Queue& q) const noexcept {
  return std::max(std::max(share(), q.resident.get()) / 2, 1U);
}

void Dispatcher::count_borrowed() noexcept {
  const std::uint32_t guaranteed = share();
  arena_->borrowed = 0;
  for (const Queue& q : arena_->queues) {
    if (q.resident > guaranteed) arena_->borrowed += q.resident - guaranteed;
  }
}

std::uint32_t Dispatcher::room(const Queue& q) const noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  const std::uint32_t guaranteed = share();
  const std::uint64_t shares = std::uint64_t{guaranteed} * arena_->queue_count;
  const std::uint32_t pool =
      shares < arena_->capacity ? static_cast<std::uint32_t>(arena_->capacity - shares) : 0;
  std::uint32_t entries = q.resident < guaranteed ? guaranteed - q.resident : 0;
  if (arena_->borrowed < pool) entries += pool - arena_->borrowed;
  return std::min(entries, arena_->free_count);
}

/* Loading it would be worth while: there is room for many, or it has nothing left to hand out. */
bool Dispatcher::worth_loading(const Queue& q) const noexcept {
  const std::uint32_t entries = room(q);
  return entries >= enough_room(arena_->capacity) || (entries > 0 && due_count(q) == 0);
}

/*
 * A loading queue has little left and could have more: the housekeeper is to be told. When it has
 * looked already and found no room, there must be some now, or each commit and each claim would
 * wake it in vain while others hold the arena. It takes room back from them, and looks again by
 * itself.
 */
bool Dispatcher::runs_dry(const Queue& q) const noexcept {
  if (q.mode != LoadMode::loading || due_count(q) >= kLowWater) return false;
  return q.waits_for_room == 0 || worth_loading(q);
}

Entry* Dispatcher::allocate(Index queue_index) noexcept {
  Queue& q = queue(queue_index);
  const LeafLock leaf(*platform_, kArenaLock);
  if (arena_->first_free == kNone) return nullptr;
  const std::uint32_t guaranteed = share();
  if (q.resident >= guaranteed) {
    const std::uint64_t shares = std::uint64_t{guaranteed} * arena_->queue_count;
    if (shares + arena_->borrowed >= arena_->capacity) return nullptr;
    arena_->borrowed++;
  }
  Entry& e = entry(arena_->first_free);
  arena_->first_free = e.next_in_stripe;
  arena_->free_count--;
  q.resident++;
  e.queue = static_cast<std::uint16_t>(queue_index);
  e.token = 0;
  e.worker = kNone;
  e.refunds = 0;
  e.lapsed = Lapse::none;
  e.later = 0;
  e.deciding = 0;
  e.leaving = 0;
  e.straddles = 0;
  e.at_once = 0;
  e.has_turn = 0;
  e.gate = 0;
  e.counted_for_key = 0;
  e.waits_for_key = 0;
  e.unrecorded = 0;
  e.expires_at = 0;
  return &e;
}

void Dispatcher::release_entry(Entry& e) noexcept {
  Queue& q = queue(e.queue);
  hash_remove(q.database, e);
  if (e.has_turn != 0) take_turn_from(e);
  if (e.gate != 0) gate_remove(q, e);
  e.state = EntryState::free;
  e.expires_at = 0;
  e.queue = kNoQueue;
  const LeafLock leaf(*platform_, kArenaLock);
  e.incarnation++;
  if (q.resident > share() && arena_->borrowed > 0) arena_->borrowed--;
  q.resident--;
  e.next_in_stripe = arena_->first_free;
  arena_->first_free = index_of(e);
  arena_->free_count++;
}

void Dispatcher::finish_entry(Entry& e) noexcept {
  Queue& q = queue(e.queue);
  if (e.has_turn != 0) end_turn(q, e);
  if (e.gate != 0) leave_gate(q, e);
  if (q.chunk_active == 0 && q.withheld != Withheld::reading) {
    release_entry(e);
    return;
  }
  e.state = EntryState::tombstone;
  e.incarnation++;
  e.next_of_worker = q.first_tombstone;
  q.first_tombstone = index_of(e);
}

/* Under the queue lock. True: there are more. */
bool Dispatcher::free_tombstones(Queue& q) noexcept {
  for (std::uint32_t i = 0; i < kEntriesPerHold && q.first_tombstone != kNone; i++) {
    Entry& e = entry(q.first_tombstone);
    q.first_tombstone = e.next_of_worker;
    release_entry(e);
  }
  return q.first_tombstone != kNone;
}

bool Dispatcher::hash_add(Index database, Entry& e) noexcept {
  const std::uint32_t hash = hash_of(database, e.id);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  Index* head = &arena_->buckets[hash & arena_->bucket_mask];
  for (Index i = *head; i != kNone; i = entry(i).next_in_stripe) {
    if (entry(i).id == e.id && entry(i).queue == e.queue) return false;
  }
  e.next_in_stripe = *head;
  *head = index_of(e);
  return true;
}

void Dispatcher::hash_remove(Index database, Entry& e) noexcept {
  const std::uint32_t hash = hash_of(database, e.id);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  Index* link = &arena_->buckets[hash & arena_->bucket_mask];
  const Index self = index_of(e);
  while (*link != kNone && *link != self) link = &entry(*link).next_in_stripe;
  if (*link == self) *link = e.next_in_stripe;
}

const Entry* Dispatcher::find_entry(Index queue_index, JobId id) noexcept {
  const std::uint32_t hash = hash_of(queue(queue_index).database, id);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  for (Index i = arena_->buckets[hash & arena_->bucket_mask]; i != kNone;
       i = entry(i).next_in_stripe) {
    if (entry(i).id == id && entry(i).queue == queue_index) return &entry(i);
  }
  return nullptr;
}

bool Dispatcher::hash_has(Index database, Index queue_index, JobId id) noexcept {
  const std::uint32_t hash = hash_of(database, id);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  for (Index i = arena_->buckets[hash & arena_->bucket_mask]; i != kNone;
       i = entry(i).next_in_stripe) {
    if (entry(i).id == id && entry(i).queue == queue_index) return true;
  }
  return false;
}

/* With several queues on one topic an id has several entries: the one with the token is preferred,
 * else the one of the queue asked for, else any. */
EntryRef Dispatcher::find_job(Index database, JobId id, Token token, QueueId queue_id,
                              Index* queue_index) noexcept {
  const std::uint32_t hash = hash_of(database, id);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  EntryRef ref{kNone, 0};
  for (Index i = arena_->buckets[hash & arena_->bucket_mask]; i != kNone;
       i = entry(i).next_in_stripe) {
    const Entry& e = entry(i);
    if (e.id != id || queue(e.queue).database != database) continue;
    if (queue_id != 0 && queue(e.queue).id != queue_id) continue;
    const bool wanted = token != 0 && e.token == token;
    if (ref.entry == kNone || wanted) {
      ref = EntryRef{i, e.incarnation};
      *queue_index = e.queue;
    }
    if (wanted) break;
  }
  return ref;
}

/* Finds the entry of a job and takes its queue's lock. */
Entry* Dispatcher::lock_job(Index database, JobId id, Token token, QueueId queue_id,
                            Index* queue_index) noexcept {
  while (true) {
    const EntryRef ref = find_job(database, id, token, queue_id, queue_index);
    if (ref.entry == kNone) return nullptr;
    const Index in_queue = *queue_index;
    lock(kFirstQueueLock + in_queue);
    Entry& e = entry(ref.entry);
    const bool is_same = e.incarnation == ref.incarnation && e.queue == in_queue;
    /* Of a slot that is being given up nothing is decided any more: its outcome would be nobody's.
     */
    if (is_same && queue(in_queue).id != 0 && e.state != EntryState::free &&
        e.state != EntryState::tombstone)
      return &e;
    unlock(kFirstQueueLock + in_queue);
    if (is_same) return nullptr;
    /* Between the two locks it left memory, and may have come back into another entry and been
     * claimed there. */
  }
}

Entry* Dispatcher::lock_ref(EntryRef ref, Index* queue_index) noexcept {
  Entry& e = entry(ref.entry);
  const Index in_queue = e.queue;
  if (in_queue == kNoQueue) return nullptr;
  lock(kFirstQueueLock + in_queue);
  if (e.incarnation == ref.incarnation && e.queue == in_queue) {
    *queue_index = in_queue;
    return &e;
  }
  unlock(kFirstQueueLock + in_queue);
  return nullptr;
}

void Dispatcher::make_waiting(Queue& q, Entry& e, Micros due, Micros now) noexcept {
  if (e.lapsed != Lapse::none || has_expired(e.expires_at, now)) {
    make_overdue(q, e, e.lapsed != Lapse::none ? e.lapsed : Lapse::expired);
    return;
  }
  /* What is due at once stays so when the clock is set back; since when it waits is for showing. */
  e.at = due != kAlways ? due : e.at_once != 0 && e.at > 0 && e.at < now ? e.at : now;
  e.at_once = due == kAlways ? 1 : 0;
  if (!enter_gate(q, e)) {
    become_gated(q, e);
  } else if (due <= now) {
    make_ready(q, e);
  } else {
    delayed_add(q, e);
  }
}

void Dispatcher::give_back(QueueLock& hold, Queue& q, Entry& e, Micros due) noexcept {
  make_waiting(q, e, due, platform_->wall_now());
  if (e.state == EntryState::ready) wake_for_work(hold, e.queue, 1);
}

/* Out of attempts: the sweep writes the dead letter, a callback cannot. */
void Dispatcher::lapse(Queue& q, Entry& e, Lapse reason) noexcept {
  q.leased.remove(e);
  e.lapsed = reason;
  e.at = kAlways;
  q.leased.insert(e);
  set_deadline_timer(q, kAlways);
}

void Dispatcher::make_leased(Queue& q, Entry& e, Micros deadline) noexcept {
  e.at = deadline;
  insert_near_end(q.leased, e);
  q.leased_count++;
}

/* Likewise, of a job that nobody holds. It hangs where the sweep looks. */
void Dispatcher::make_overdue(Queue& q, Entry& e, Lapse reason) noexcept {
  if (e.gate != 0) leave_gate(q, e);
  e.state = EntryState::overdue;
  e.lapsed = reason;
  e.at = kAlways;
  q.leased.insert(e);
  q.leased_count++;
  set_deadline_timer(q, kAlways);
}

bool Dispatcher::is_in_leased(const Entry& e) noexcept {
  return e.worker != kNone || e.state == EntryState::overdue || e.state == EntryState::expiring;
}

/*
 * The fence: a walk over the entries first resets next_expiry, then reads them. Either it sees this
 * entry, or this process sees the reset value and lowers it.
 */
void Dispatcher::set_expiry(const Queue& q, Entry& e, std::uint32_t expires_at) noexcept {
  if (expires_at == 0) return;
  e.expires_at = expires_at;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (q.database != kNone) lower_next_expiry(q.database, expiry_time(expires_at));
}

void Dispatcher::lower_next_expiry(Index index, Micros at) noexcept {
  Database& database = arena_->databases[index];
  Micros next = database.next_expiry.load(std::memory_order_seq_cst);
  while (at < next && !database.next_expiry.compare_exchange_weak(next, at)) {
  }
  if (at < next && at < database.planned_due.load(std::memory_order_acquire))
    platform_->wake_housekeeper(index);
}

void Dispatcher::leave_tree(Queue& q, Entry& e) noexcept {
  if (is_in_leased(e)) {
    q.leased.remove(e);
    q.leased_count--;
    if (e.state == EntryState::cancelled) q.cancelled--;
    if (e.worker != kNone) drop_lease_link(e);
  } else if (e.state == EntryState::ready) {
    ready_remove(q, e);
    if (e.has_turn != 0 && !q.options.ordered) end_turn(q, e);
  } else if (e.state == EntryState::gated) {
    leave_gate(q, e);
  } else if (e.state == EntryState::delayed) {
    delayed_remove(q, e);
    if (e.has_turn != 0 && !q.options.ordered) end_turn(q, e);
  }
}

void Dispatcher::delayed_add(Queue& q, Entry& e) noexcept {
  e.state = EntryState::delayed;
  insert_near_end(q.delayed, e);
  q.delayed_count++;
  if (e.waits_for_key != 0) {
    q.key_waits++;
  } else if (e.attempts > 0) {
    q.retrying++;
  }
  set_due_timer(q, e.at);
}

void Dispatcher::delayed_remove(Queue& q, Entry& e) noexcept {
  q.delayed.remove(e);
  q.delayed_count--;
  if (e.waits_for_key != 0) {
    q.key_waits--;
  } else if (e.attempts > 0) {
    q.retrying--;
  }
  e.waits_for_key = 0;
}

void Dispatcher::drop_lease_link(Entry& e) noexcept {
  leave_request(e.worker, e.token);
  forget_progress(e.worker, e.token);
  give_place_back(e);
  const LeafLock leaf(*platform_, kWorkersLock);
  Worker& worker = arena_->workers[e.worker];
  if (e.previous_of_worker != kNone) {
    entry(e.previous_of_worker).next_of_worker = e.next_of_worker;
  } else {
    worker.first_lease = e.next_of_worker;
  }
  if (e.next_of_worker != kNone) entry(e.next_of_worker).previous_of_worker = e.previous_of_worker;
  worker.lease_count--;
  if (worker.drains && worker.lease_count == 0) platform_->wake_housekeeper(worker.database);
  e.worker = kNone;
}

/*
 * Moves what has come due to the ready tree. Bounded, so that a claim stays cheap when many fall
 * due at once; among more than a chunk of them the earlier due ones come first.
 */
void Dispatcher::promote_due(Queue& q, Micros now) noexcept {
  for (std::uint32_t i = 0; i < kEntriesPerHold && !q.delayed.empty(); i++) {
    Entry& e = *q.delayed.begin();
    if (e.at > now) return;
    delayed_remove(q, e);
    make_ready(q, e);
  }
}

void Dispatcher::mark_dirty_locked(Queue& q, DirtyPages& pages, const JobRow& row) noexcept {
  pages.add(row.segment, row.block, row.block, row.priority);
  lower_frontier(q, row.id);
  if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
}

/* The housekeeper looks at a timer set earlier than what it sleeps for. */
void Dispatcher::set_deadline_timer(const Queue& q, Micros deadline) noexcept {
  if (q.database != kNone &&
      deadline < arena_->databases[q.database].planned_deadline.load(std::memory_order_acquire))
    platform_->wake_housekeeper(q.database);
}

/* Only a sleeping waiter, or a client that listens, needs somebody to notice that a job has come
 * due: a claim looks for itself. */
void Dispatcher::set_due_timer(const Queue& q, Micros due) const noexcept {
  if (q.database == kNone) return;
  const Database& database = arena_->databases[q.database];
  if (q.waiter_count == 0 && database.announce_interval.load(std::memory_order_relaxed) == 0)
    return;
  set_timer(q.database, due);
}

void Dispatcher::set_timer(Index database, Micros due) const noexcept {
  if (due < arena_->databases[database].planned_due.load(std::memory_order_acquire))
    platform_->wake_housekeeper(database);
}

}  // namespace dw::core
