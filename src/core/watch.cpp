#include "core/watch.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* --- taking and giving back ------------------------------------------------------------------- */

Index Dispatcher::reserve_watch(Index database, TransactionNumber transaction,
                                std::uint32_t held) noexcept {
  const LeafLock leaf(*platform_, kWatchLock);
  if (arena_->free_held_count < held) return kNone;
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    Watch& watch = arena_->watches[i];
    if (watch.state != WatchState::free) continue;
    watch.state = WatchState::preparing;
    watch.transaction = transaction;
    watch.database = database;
    watch.found = 0;
    watch.parked_from = kNever;
    watch.job_pages.clear();
    watch.outcome_pages.clear();
    watch.first_held = held > 0 ? arena_->first_free_held : kNone;
    watch.last_held = kNone;
    for (std::uint32_t k = 0; k < held; k++) {
      watch.last_held = k == 0 ? arena_->first_free_held : arena_->held[watch.last_held].next;
    }
    if (held > 0) {
      Held& last = arena_->held[watch.last_held];
      arena_->first_free_held = last.next;
      last.next = kNone;
    }
    arena_->free_held_count -= held;
    arena_->watch_count.fetch_add(1);
    return i;
  }
  return kNone;
}

bool Dispatcher::add_held(Index watch_index, const Held& held) noexcept {
  const LeafLock leaf(*platform_, kWatchLock);
  if (arena_->first_free_held == kNone) return false;
  Watch& watch = arena_->watches[watch_index];
  const Index place = arena_->first_free_held;
  arena_->first_free_held = arena_->held[place].next;
  arena_->free_held_count--;
  arena_->held[place] = held;
  arena_->held[place].next = kNone;
  if (watch.last_held != kNone)
    arena_->held[watch.last_held].next = place;
  else
    watch.first_held = place;
  watch.last_held = place;
  return true;
}

/* Under kWatchLock. */
void Dispatcher::free_watch(Watch& watch) noexcept {
  while (watch.first_held != kNone) {
    const Index place = watch.first_held;
    watch.first_held = arena_->held[place].next;
    arena_->held[place].next = arena_->first_free_held;
    arena_->first_free_held = place;
    arena_->free_held_count++;
  }
  watch.last_held = kNone;
  watch.state = WatchState::free;
  watch.database = kNone;
  arena_->watch_count.fetch_sub(1);
}

void Dispatcher::drop_watch(Index index) noexcept {
  const LeafLock leaf(*platform_, kWatchLock);
  free_watch(arena_->watches[index]);
}

void Dispatcher::activate_watch(Index index) noexcept {
  Index database = kNone;
  {
    const LeafLock leaf(*platform_, kWatchLock);
    Watch& watch = arena_->watches[index];
    database = watch.database;
    if (database == kNone)
      free_watch(watch);
    else
      watch.state = WatchState::prepared;
  }
  if (database != kNone) platform_->wake_housekeeper(database);
}

/* One that is being prepared is still in its process's hands. */
void Dispatcher::forget_watches(Index database) noexcept {
  const LeafLock leaf(*platform_, kWatchLock);
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    Watch& watch = arena_->watches[i];
    if (watch.state == WatchState::free || watch.database != database) continue;
    if (watch.state == WatchState::prepared)
      free_watch(watch);
    else
      watch.database = kNone;
  }
}

void Dispatcher::forget_found(Index database) noexcept {
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    const Watch& watch = arena_->watches[i];
    {
      const LeafLock leaf(*platform_, kWatchLock);
      if (watch.state == WatchState::free || watch.database != database || watch.found == 0)
        continue;
    }
    /* Nobody but the housekeeper touches one that was found. */
    for (Index k = watch.first_held; k != kNone; k = arena_->held[k].next) {
      const Held& held = arena_->held[k];
      if (held.kind == HeldKind::decision)
        abort_decision(held.ref, held.token, held.before);
      else
        release_room(held.queue, held.with_room);
    }
    drop_watch(i);
  }
}

/* --- looking ---------------------------------------------------------------------------------- */

bool Dispatcher::has_watches(Index database) const noexcept {
  if (arena_->watch_count.load() == 0) return false;
  const LeafLock leaf(*platform_, kWatchLock);
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    const Watch& watch = arena_->watches[i];
    if (watch.state != WatchState::free && watch.database == database) return true;
  }
  return false;
}

bool Dispatcher::is_watched(Index database, std::uint8_t segment) const noexcept {
  if (arena_->watch_count.load() == 0) return false;
  const LeafLock leaf(*platform_, kWatchLock);
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    const Watch& watch = arena_->watches[i];
    if (watch.state == WatchState::free || watch.database != database) continue;
    /* Its pages are being written down. */
    if (watch.state == WatchState::preparing) return true;
    for (const BoundedRanges* pages : {&watch.job_pages, &watch.outcome_pages}) {
      for (std::uint32_t k = 0; k < pages->size(); k++) {
        if (pages->at(k).segment == segment) return true;
      }
    }
  }
  return false;
}

bool Dispatcher::has_watch_of(Index database, TransactionNumber transaction) const noexcept {
  const LeafLock leaf(*platform_, kWatchLock);
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    const Watch& watch = arena_->watches[i];
    if (watch.state != WatchState::free && watch.database == database &&
        watch.transaction == transaction)
      return true;
  }
  return false;
}

TransactionNumber Dispatcher::prepared_decider(Index database, QueueId queue_id,
                                               JobId id) noexcept {
  if (!has_watches(database)) return 0;
  Index index = kNone;
  EntryRef ref{kNone, 0};
  {
    const Entry* const e = lock_job(database, id, 0, queue_id, &index);
    if (e == nullptr) return 0;
    const QueueLock hold(*this, index, QueueLock::Adopt{});
    if (e->state != EntryState::completing) return 0;
    ref = EntryRef{index_of(*e), e->incarnation};
  }
  const LeafLock leaf(*platform_, kWatchLock);
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    const Watch& watch = arena_->watches[i];
    if (watch.state != WatchState::prepared || watch.database != database) continue;
    for (Index k = watch.first_held; k != kNone; k = arena_->held[k].next) {
      const Held& held = arena_->held[k];
      if (held.kind == HeldKind::decision && held.ref.entry == ref.entry &&
          held.ref.incarnation == ref.incarnation)
        return watch.transaction;
    }
  }
  return 0;
}

std::uint32_t Dispatcher::prepared_deciders(QueueRef ref, TransactionNumber* out, std::uint32_t n,
                                            std::uint32_t* jobs) const noexcept {
  *jobs = 0;
  const Index database = queue(ref.queue).database;
  if (database == kNone || !queue_matches(ref) || !has_watches(database)) return 0;
  std::uint32_t count = 0;
  const LeafLock leaf(*platform_, kWatchLock);
  for (Index i = 0; i < arena_->watch_capacity; i++) {
    const Watch& watch = arena_->watches[i];
    if (watch.state != WatchState::prepared || watch.database != database) continue;
    std::uint32_t decided = 0;
    for (Index k = watch.first_held; k != kNone; k = arena_->held[k].next) {
      /* What a watch decides keeps its entry, and its queue. */
      const Held& held = arena_->held[k];
      if (held.kind == HeldKind::decision && entry(held.ref.entry).queue == ref.queue) decided++;
    }
    if (decided == 0) continue;
    if (count < n) out[count] = watch.transaction;
    count++;
    *jobs += decided;
  }
  return count;
}

/* --- what is done at the end ------------------------------------------------------------------ */

/*
 * Its jobs have no entries. The numbers between the least and the most are those of a transaction
 * that may have been open when the boundary of the census was drawn; one that lies on both sides
 * of it can only be counted anew, by another boundary.
 */
void Dispatcher::publish_prepared(Index database, const Held& jobs,
                                  const BoundedRanges& pages) noexcept {
  const bool same_slot = queue_matches(jobs.queue);
  const Index index = same_slot ? jobs.queue.queue : find_queue(database, jobs.id);
  if (index == kNone) {
    note_unknown_queue(database);
    return;
  }
  QueueLock hold(*this, index);
  Queue& q = queue(index);
  if (q.id != jobs.id || q.database != database) return;
  if (jobs.least >= q.length.from_id) {
    q.length.since += jobs.count;
  } else {
    if (jobs.most >= q.length.from_id) count_anew(q);
    disturb_count(hold, q);
  }
  q.counters.enqueued += jobs.count;
  if (same_slot) q.length.reserved -= jobs.with_room;
  for (std::uint32_t i = 0; i < pages.size(); i++) {
    q.dirty.add(pages.at(i).segment, pages.at(i).first, pages.at(i).last);
    if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
  }
  if (q.options.ordered) note_parked_left(q, ParkedLeft::some);
  lower_frontier(q, jobs.least);
  hold.wake_housekeeper(database);
}

/*
 * Pages on which rows of any queue may have become work, or have lost the entry that stood for
 * them. committed: what was counted has changed, too, and a job may have blocked its key; nobody
 * gets a turn before the table that says so was read.
 */
void Dispatcher::look_at_pages(Index database, const BoundedRanges& pages,
                               bool committed) noexcept {
  for (Index i = 0; i < kMostQueues; i++) {
    QueueLock hold(*this, i);
    Queue& q = queue(i);
    if (q.state == QueueState::free || q.database != database) continue;
    if (committed) {
      disturb_count(hold, q);
      q.blocks_known = 0;
    }
    for (std::uint32_t k = 0; k < pages.size(); k++) {
      q.dirty.add(pages.at(k).segment, pages.at(k).first, pages.at(k).last);
      if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
    }
    if (pages.size() > 0 || committed) lower_frontier(q, kAlways);
  }
}

/* An entry for a job that an earlier prepared transaction decides; kNone: no room. */
EntryRef Dispatcher::hold_found(Index database, const JobRow& row, Token token) noexcept {
  const Index index = find_queue(database, row.queue);
  if (index == kNone) return EntryRef{kNone, 0};
  const QueueLock hold(*this, index);
  Queue& q = queue(index);
  /* Dropped meanwhile; its slot may be another's. */
  if (q.id != row.queue || q.database != database) return EntryRef{kNone, 0};
  Entry* const e = allocate(index);
  if (e == nullptr) return EntryRef{kNone, 0};
  e->id = row.id;
  take_row(*e, row);
  e->token = token;
  if (!hash_add(q.database, *e)) {
    release_entry(*e);
    return EntryRef{kNone, 0};
  }
  enter_gate(q, *e);
  begin_deciding(q, *e);
  return EntryRef{index_of(*e), e->incarnation};
}

/* --- the housekeeper's part ------------------------------------------------------------------- */

bool WatchKeeper::next(Index* index, TransactionNumber* transaction) const {
  const Arena& arena = dispatcher_->arena();
  const LeafLock leaf(dispatcher_->platform(), kWatchLock);
  for (; *index < arena.watch_capacity; ++*index) {
    const Watch& watch = arena.watches[*index];
    if (watch.state != WatchState::prepared || watch.database != database_) continue;
    *transaction = watch.transaction;
    return true;
  }
  return false;
}

bool WatchKeeper::waits() const {
  Index index = 0;
  TransactionNumber transaction = 0;
  return dispatcher_->arena().watch_count.load() > 0 && next(&index, &transaction);
}

void WatchKeeper::step() {
  if (dispatcher_->arena().watch_count.load() == 0) return;
  TransactionNumber transaction = 0;
  for (Index index = 0; next(&index, &transaction); index++) {
    const Fate fate = store_->fate(transaction);
    if (fate == Fate::open) continue;
    finish(index, fate != Fate::aborted);
    /* Whatever it was, the log says it. */
    if (fate == Fate::forgotten) dispatcher_->request_reload(database_);
  }
}

void WatchKeeper::finish_decision(const Held& held, bool committed) noexcept {
  if (!committed || !held.settled) {
    dispatcher_->abort_decision(held.ref, held.token, held.before);
    return;
  }
  if (held.token != held.written)
    dispatcher_->withdraw_decision(held.ref, held.token, held.written);
  dispatcher_->commit_decision(held.ref, held.written, held.decision, held.outcome, held.due,
                               held.has_row ? &held.row : nullptr);
}

void WatchKeeper::finish_held(const Held& held, const Watch& watch, bool committed) noexcept {
  const DatabaseOid oid = dispatcher_->arena().databases[database_].oid;
  switch (held.kind) {
    case HeldKind::decision:
      finish_decision(held, committed);
      break;
    case HeldKind::room:
      dispatcher_->release_room(held.queue, held.count);
      break;
    case HeldKind::enqueued:
      if (committed)
        dispatcher_->publish_prepared(database_, held, watch.job_pages);
      else
        dispatcher_->release_room(held.queue, held.with_room);
      break;
    case HeldKind::redriven:
      if (committed)
        dispatcher_->publish_redriven(database_, held.id, held.due, held.token, held.count);
      break;
    case HeldKind::redrives_changed:
      if (committed) dispatcher_->note_redrives_changed(oid);
      break;
    case HeldKind::rows_arrived:
      if (committed) dispatcher_->request_reload(database_);
      break;
    case HeldKind::queues_arrived:
      if (committed) dispatcher_->note_catalog_stale(oid);
      break;
  }
}

/*
 * Its jobs lose their entries, or are none of ours any more: the log says what became of them. What
 * it counted lies on the far side of every boundary that was drawn since.
 */
void WatchKeeper::finish_found(const Watch& watch, bool committed) noexcept {
  dispatcher_->look_at_pages(database_, watch.job_pages, committed);
  dispatcher_->note_parked(database_, kAlways);
  if (!committed) return;
  /* Rows of other tables were not looked for. */
  const DatabaseOid oid = dispatcher_->arena().databases[database_].oid;
  dispatcher_->note_catalog_stale(oid);
  dispatcher_->note_redrives_changed(oid);
}

/*
 * In the order of a commit callback: first the pages of outcomes, then the entries, so that a
 * loader which no longer finds an entry finds the outcome; ends before the room they make up for.
 */
void WatchKeeper::finish(Index index, bool committed) noexcept {
  Arena& arena = dispatcher_->arena();
  const Watch& watch = arena.watches[index];
  if (committed) {
    const LeafLock leaf(dispatcher_->platform(), kArenaLock);
    BoundedRanges& noted = arena.databases[database_].outcome_pages;
    for (std::uint32_t i = 0; i < watch.outcome_pages.size(); i++) {
      const BlockRange pages = watch.outcome_pages.at(i);
      noted.add(pages.segment, pages.first, pages.last);
    }
  }
  /* Before entries go, with which the turns of their keys do. */
  if (watch.found != 0) finish_found(watch, committed);
  for (Index i = watch.first_held; i != kNone; i = arena.held[i].next)
    finish_held(arena.held[i], watch, committed);
  if (committed && watch.parked_from != kNever)
    dispatcher_->note_parked(database_, watch.parked_from);
  dispatcher_->drop_watch(index);
}

}  // namespace dw::core
