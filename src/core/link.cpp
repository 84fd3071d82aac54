/*
 * Making committed jobs resident: by the transaction that wrote them, or by the loader.
 *
 * A commit publishes only through a pending entry that it linked itself before the commit. A row
 * without one is marked dirty, whatever the queue's mode at that moment, and the loader finds it by
 * its page: between the commit record and the callback the committing process can be stopped for
 * seconds, in which the loader may have loaded, and a worker finished, the same job. Linking it
 * then would hand out a finished job.
 */
#include "core/open_claim.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* What the log says of a job; all of it, so that an entry can also be given another row of its job.
 */
void Dispatcher::take_row(Entry& e, const JobRow& row) noexcept {
  e.at = row.due;
  e.key_hash = row.key_hash;
  e.key_check = row.key_check;
  e.block = row.block;
  e.offset = row.offset & kMostOffset;
  e.segment = row.segment & 0xF;
  e.priority = row.priority & 0xF;
  e.attempts = row.attempts;
  e.unrecorded = 0;
  e.max_attempts = row.max_attempts;
  e.expires_at = 0;
  set_expiry(queue(e.queue), e, row.expires_at);
}

void Dispatcher::link_pending(QueueRef ref, const JobRow* const* rows, EntryRef* refs,
                              std::uint32_t n) noexcept {
  for (std::uint32_t i = 0; i < n; i++) refs[i] = EntryRef{kNone, 0};
  if (ref.queue == kNone) return;
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.id == 0 || q.mode == LoadMode::loading) return;
  const Micros now = platform_->wall_now();
  const Micros parked_until =
      arena_->databases[q.database].parked_until.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < n; i++) {
    const JobRow& row = *rows[i];
    const bool later = row.due > now;
    /* It holds its key up, so it has to be here, however far ahead it is due. */
    const bool holds_up = q.options.ordered && row.key_check != 0;
    /* What the loader comes to by itself. */
    if (!holds_up && row.segment == kParkedSegment && row.due > parked_until) continue;
    if (!holds_up && later && q.delayed_count + q.pending_later >= most_sleepers(q)) continue;
    Entry* e = allocate(ref.queue);
    if (e == nullptr) {
      /* The rest of a deep backlog stays on disk; from now on commits only mark what they wrote. */
      q.mode = LoadMode::loading;
      q.short_of_room = 1;
      return;
    }
    e->id = row.id;
    take_row(*e, row);
    e->state = EntryState::pending;
    if (!hash_add(q.database, *e)) {
      /* Two rows of one id: the log was loaded twice. Leave it to the loader, which reports it. */
      release_entry(*e);
      continue;
    }
    if (later) {
      e->later = 1;
      q.pending_later++;
    }
    enter_gate(q, *e);
    refs[i] = EntryRef{index_of(*e), e->incarnation};
  }
}

/* A queue that was dropped, or has no slot yet: the housekeeper sorts it out from the tables. */
void Dispatcher::note_unknown_queue(Index database) noexcept {
  {
    const LeafLock leaf(*platform_, kArenaLock);
    arena_->databases[database].catalog_stale = 1;
    ask_reload(database);
  }
  platform_->wake_housekeeper(database);
}

void Dispatcher::publish_redriven(Index database, QueueId id, Micros due, Token first,
                                  std::uint32_t n) noexcept {
  const Index index = find_queue(database, id);
  if (index == kNone) {
    note_unknown_queue(database);
    return;
  }
  {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id == id && q.database == database) {
      count_redriven(hold, q, first, n);
      if (q.options.ordered) {
        note_parked_left(q, ParkedLeft::any);
        if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
        hold.wake_housekeeper(database);
      }
    }
  }
  note_parked(database, due);
}

void Dispatcher::publish(Index database, QueueId id, QueueRef ref, const JobRow* const* rows,
                         const EntryRef* refs, std::uint32_t n) noexcept {
  const bool same_slot = queue_matches(ref);
  if (!same_slot) {
    ref.queue = find_queue(database, id);
    if (ref.queue == kNone) {
      note_unknown_queue(database);
      return;
    }
  }
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  /* Who takes the slot from here on reads the whole log. */
  if (q.id != id || q.database != database) return;
  if (same_slot && q.incarnation != ref.incarnation) return;
  const Micros now = platform_->wall_now();
  const std::uint32_t ready_before = due_count(q);
  std::uint32_t had_room = 0;
  bool marked = false;
  bool urgent = false;
  /* Where keys have turns, jobs come in from the disk in the order of their pages. */
  const bool may_overtake = q.mode == LoadMode::loading && !q.options.ordered && !q.options.fair;
  const std::uint8_t worst = may_overtake ? ready_worst(q) : std::uint8_t{0};
  for (std::uint32_t i = 0; i < n; i++) {
    const JobRow& row = *rows[i];
    count_enqueued(hold, q, row.id);
    had_room += same_slot && row.has_room ? 1 : 0;
    if (refs[i].entry != kNone) {
      Entry& e = entry(refs[i].entry);
      if (e.incarnation == refs[i].incarnation && e.state == EntryState::pending) {
        forget_later(q, e);
        make_waiting(q, e, e.at, now);
        continue;
      }
    }
    if (row.segment == kParkedSegment) {
      if (q.options.ordered) {
        note_parked_left(q, ParkedLeft::some);
        lower_frontier(q, row.id);
        marked = true;
      }
      note_parked(database, row.due);
    } else {
      const bool overtakes = row.priority < worst;
      mark_dirty_locked(q, overtakes ? q.urgent : q.dirty, row);
      urgent = urgent || overtakes;
      marked = true;
    }
  }
  q.counters.enqueued += n;
  q.length.reserved -= had_room;
  /* A queue without room is loaded when it runs dry, not at each commit. */
  if (urgent || (marked && (q.mode != LoadMode::loading || q.short_of_room == 0 || runs_dry(q))))
    hold.wake_housekeeper(database);
  if (due_count(q) > ready_before) wake_for_work(hold, ref.queue, hold.waiter_room());
}

void Dispatcher::unlink_pending(QueueRef ref, const EntryRef* refs, std::uint32_t n) noexcept {
  if (ref.queue == kNone) return;
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  for (std::uint32_t i = 0; i < n; i++) {
    if (refs[i].entry == kNone) continue;
    Entry& e = entry(refs[i].entry);
    if (e.incarnation != refs[i].incarnation || e.state != EntryState::pending) continue;
    forget_later(q, e);
    if (e.has_turn != 0) end_turn(q, e);
    if (e.gate != 0) leave_gate(q, e);
    release_entry(e);
  }
}

void Dispatcher::forget_later(Queue& q, Entry& e) noexcept {
  if (e.later == 0) return;
  e.later = 0;
  q.pending_later--;
}

/*
 * What a row that was read meets when the job has an entry already. An entry that somebody is about
 * to decide may turn out to be wrong. So may one whose decision is visible in the log while its
 * callback, or the end of the chunk, is still to come: then the row may be a later one of the job,
 * a dead letter that was redriven, and must be looked at again. While a purge reads, tombstones
 * outlive the chunk whose end brings back what was not finished but forgotten: quarantined, or
 * evicted. They are there until the end of the chunk that runs when it has read.
 *
 * In a slot a job has one row for good, so where that was read now is where it lies: a VACUUM FULL
 * has moved it. In parked a later row of the job may be the one that the entry is about.
 */
LinkResult Dispatcher::met(Index queue_index, const JobRow& row) noexcept {
  const Entry* const e = find_entry(queue_index, row.id);
  if (e == nullptr) return LinkResult::no_room;
  const bool same = e->segment == row.segment && e->block == row.block && e->offset == row.offset;
  switch (e->state) {
    case EntryState::busy:
      return LinkResult::busy;
    case EntryState::tombstone:
      if (queue(queue_index).withheld != Withheld::no) return LinkResult::busy;
      [[fallthrough]];
    case EntryState::completing:
    case EntryState::expiring:
    /* The dead job of a key. Another row of it is one that is to be tried again (see revive). */
    case EntryState::blocked:
      return same ? LinkResult::resident : LinkResult::busy;
    default:
      if (e->segment == row.segment && row.segment != kParkedSegment) {
        Entry& there = entry(index_of(*e));
        there.block = row.block;
        there.offset = row.offset & kMostOffset;
      }
      return LinkResult::resident;
  }
}

/* The dead job of a blocked key waits again: its entry is that of a waiting job from here on. */
bool Dispatcher::revive(Index queue_index, const JobRow& row, Micros now) noexcept {
  Queue& q = queue(queue_index);
  const Entry* const found = find_entry(queue_index, row.id);
  if (found == nullptr || found->state != EntryState::blocked) return false;
  Entry& e = entry(index_of(*found));
  if (e.later == 0 || static_cast<Micros>(q.chunks) <= e.leased_at ||
      row.segment != kParkedSegment || q.withheld != Withheld::no)
    return false;
  e.later = 0;
  end_block(q, e);
  take_row(e, row);
  e.lapsed = end_of_claim(q.options, row);
  make_waiting(q, e, row.due, now);
  return true;
}

LinkResult Dispatcher::link_loaded(Index queue_index, const JobRow& row, Micros now) noexcept {
  Queue& q = queue(queue_index);
  if (q.blocked_count > 0 && revive(queue_index, row, now)) return LinkResult::linked;
  if (q.withheld != Withheld::no) return met(queue_index, row);
  Entry* e = allocate(queue_index);
  if (e == nullptr) return met(queue_index, row);
  e->id = row.id;
  take_row(*e, row);
  if (!hash_add(q.database, *e)) {
    /* Not in the hash: free again without being looked for there. */
    release_entry(*e);
    return met(queue_index, row);
  }
  if (row.due == kAlways && row.enqueued_at != 0) {
    e->at_once = 1;
    e->at = row.enqueued_at;
  }
  e->lapsed = end_of_claim(q.options, row);
  make_waiting(q, *e, row.due, now);
  return LinkResult::linked;
}

void Dispatcher::note_outcome_page(Index database, std::uint8_t segment,
                                   std::uint32_t block) noexcept {
  note_outcome_pages(database, BlockRange{segment, {}, block, block});
}

void Dispatcher::note_outcome_pages(Index database, const BlockRange& pages) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  arena_->databases[database].outcome_pages.add(pages.segment, pages.first, pages.last);
}

void Dispatcher::note_parked(Index database, Micros due) noexcept {
  Database& slot = arena_->databases[database];
  if (due > slot.parked_until.load(std::memory_order_acquire)) return;
  Micros from = slot.parked_from.load(std::memory_order_relaxed);
  while (due < from && !slot.parked_from.compare_exchange_weak(from, due)) {
  }
  platform_->wake_housekeeper(database);
}

void Dispatcher::mark_dirty(Index database, QueueId id, std::uint8_t segment,
                            std::uint32_t block) noexcept {
  const Index index = find_queue(database, id);
  if (index == kNone) return;
  QueueLock hold(*this, index);
  Queue& q = queue(index);
  if (q.id != id || q.database != database) return;
  q.dirty.add(segment, block, block);
  lower_frontier(q, kAlways);
  if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
  hold.wake_housekeeper(database);
}

}  // namespace dw::core
