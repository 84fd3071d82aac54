/*
 * Databases and queues coming and going. Slots are few and change rarely, so they are searched one
 * by one, without a lock by whoever looks again under it. The slot of a database is made and freed
 * under kArenaLock, that of a queue under its own lock as well.
 */
#include "core/queue_lock.hpp"
#include "core/token.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace dw::core {

namespace {

/* A queue that is just made has no rows: all of its jobs are counted by their commits. */
QueueLength new_length(LoadMode mode) noexcept {
  QueueLength length{};
  const bool is_new = mode == LoadMode::live;
  length.from_id = is_new ? kAlways : kNever;
  length.from_token = length.from_id;
  length.known = is_new ? 1 : 0;
  return length;
}

}  // namespace

Index Dispatcher::find_database(DatabaseOid oid) const noexcept {
  for (Index i = 0; i < kMostDatabases; i++) {
    const Database& database = arena_->databases[i];
    if (database.state != DatabaseState::free && database.oid == oid) return i;
  }
  return kNone;
}

Index Dispatcher::attach_database(DatabaseOid oid) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  const Index known = find_database(oid);
  if (known != kNone) return known;
  for (Index i = 0; i < kMostDatabases; i++) {
    Database& database = arena_->databases[i];
    if (database.state != DatabaseState::free) continue;
    database.oid = oid;
    database.incarnation++;
    database.reload.store(Reload::no);
    database.catalog_stale = 0;
    database.redrives_changed = 0;
    database.workers_changed = 0;
    database.paused.store(false);
    database.keys_wanted.store(false);
    database.epoch = 0;
    database.last_token.store(0);
    database.job_ids.store(0);
    database.job_id_sequence.store(0);
    forget_segments(database);
    std::memset(database.tail_block, 0, sizeof(database.tail_block));
    std::memset(database.outcome_tail, 0, sizeof(database.outcome_tail));
    database.outcome_pages.clear();
    database.commit_position.store(0);
    database.parked_until.store(kAlways);
    database.parked_from.store(kNever);
    database.planned_due.store(kNever);
    database.planned_deadline.store(kNever);
    database.next_expiry.store(kNever);
    database.announce_interval.store(0);
    database.state = DatabaseState::attaching;
    return i;
  }
  return kNone;
}

void Dispatcher::open_database(Index index, std::int64_t epoch) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  if (epoch > database.epoch) {
    database.epoch = epoch;
    database.last_token.store(make_token(epoch, 0));
  }
  database.state = DatabaseState::open;
}

void Dispatcher::pause_database(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  /* What is open has handed out jobs already. */
  if (database.state == DatabaseState::attaching) database.paused.store(true);
}

/* A waiter hangs itself on its queue's list after a look at the flag under the queue's lock, so
 * whoever saw it set is met here. */
void Dispatcher::unpause_database(Index index) noexcept {
  arena_->databases[index].paused.store(false);
  for (Index i = 0; i < kMostQueues; i++) {
    if (queue(i).state == QueueState::free || queue(i).database != index) continue;
    QueueLock hold(*this, i);
    Queue& q = queue(i);
    if (q.state == QueueState::free || q.database != index || is_paused(q)) continue;
    promote_due(q, platform_->wall_now());
    wake_for_work(hold, i, hold.waiter_room());
  }
}

/* Not while rows have come that the count does not know of. */
bool Dispatcher::is_counted(const Queue& q) const noexcept {
  return q.length.known != 0 &&
         (q.database == kNone || arena_->databases[q.database].reload.load() == Reload::no);
}

bool Dispatcher::is_paused(const Queue& q) const noexcept {
  return q.options.paused || (q.database != kNone &&
                              arena_->databases[q.database].paused.load(std::memory_order_relaxed));
}

void Dispatcher::note_commit_position(Index index, std::uint64_t position) noexcept {
  std::atomic<std::uint64_t>& last = arena_->databases[index].commit_position;
  std::uint64_t seen = last.load(std::memory_order_relaxed);
  while (position > seen && !last.compare_exchange_weak(seen, position)) {
  }
}

void Dispatcher::detach_database(Index index) noexcept {
  for (Index i = 0; i < kMostQueues; i++) {
    if (queue(i).state != QueueState::free && queue(i).database == index)
      remove_queue(queue_ref(i));
  }
  forget_watches(index);
  forget_members(index);
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  database.state = DatabaseState::free;
  database.incarnation++;
  database.oid = 0;
}

bool Dispatcher::take_reload(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  std::atomic<Reload>& reload = arena_->databases[index].reload;
  if (reload.load() != Reload::asked && reload.load() != Reload::again) return false;
  reload.store(Reload::begun);
  return true;
}

void Dispatcher::reload_begun(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  std::atomic<Reload>& reload = arena_->databases[index].reload;
  if (reload.load() == Reload::begun) reload.store(Reload::no);
}

bool Dispatcher::take_catalog_stale(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  return std::exchange(arena_->databases[index].catalog_stale, std::uint8_t{0}) != 0;
}

bool Dispatcher::take_redrives_changed(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  return std::exchange(arena_->databases[index].redrives_changed, std::uint8_t{0}) != 0;
}

void Dispatcher::note_redrives_changed(DatabaseOid oid) noexcept {
  Index index = kNone;
  {
    const LeafLock leaf(*platform_, kArenaLock);
    index = find_database(oid);
    if (index != kNone) arena_->databases[index].redrives_changed = 1;
  }
  if (index != kNone) platform_->wake_housekeeper(index);
}

void Dispatcher::note_catalog_stale(DatabaseOid oid) noexcept {
  Index index = kNone;
  {
    const LeafLock leaf(*platform_, kArenaLock);
    index = find_database(oid);
    if (index != kNone) arena_->databases[index].catalog_stale = 1;
  }
  if (index != kNone) platform_->wake_housekeeper(index);
}

/* Under kArenaLock. */
void Dispatcher::ask_reload(Index index) noexcept {
  std::atomic<Reload>& reload = arena_->databases[index].reload;
  const bool begun = reload.load() == Reload::begun || reload.load() == Reload::again;
  reload.store(begun ? Reload::again : Reload::asked);
}

void Dispatcher::request_reload(Index index) noexcept {
  {
    const LeafLock leaf(*platform_, kArenaLock);
    ask_reload(index);
    /* Restored rows come with a restored sequence, which may be ahead of the open block. */
    close_job_ids(index);
  }
  platform_->wake_housekeeper(index);
}

Index Dispatcher::find_queue(Index database, QueueId id) const noexcept {
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& q = queue(i);
    if (q.state != QueueState::free && q.database == database && q.id == id) return i;
  }
  return kNone;
}

Index Dispatcher::add_queue(Index database, QueueId id, std::string_view name,
                            const QueueOptions& options, QueueState state, LoadMode mode) noexcept {
  Index index = kNone;
  for (bool made = false; !made;) {
    {
      const LeafLock leaf(*platform_, kArenaLock);
      const Index known = find_queue(database, id);
      if (known != kNone) return known;
      index = unused_queue();
    }
    if (index == kNone) return kNone;
    const QueueLock hold(*this, index);
    const LeafLock leaf(*platform_, kArenaLock);
    /* Somebody else may have made it, or taken the slot, between the locks. */
    if (find_queue(database, id) != kNone || queue(index).state != QueueState::free) continue;
    Queue& q = queue(index);
    begin_queue(q, mode);
    q.id = id;
    q.database = database;
    const std::size_t length = std::min(name.size(), kQueueNameSize - 1);
    std::memcpy(q.name, name.data(), length);
    q.name[length] = '\0';
    q.options = options;
    q.state = state;
    arena_->queue_count++;
    count_borrowed();
    made = true;
  }
  /* At a start the workers may be known before the queue. */
  if (arena_->member_count.load() > 0) find_members_of(index);
  return index;
}

Index Dispatcher::unused_queue() const noexcept {
  Index i = 0;
  while (i < kMostQueues && queue(i).state != QueueState::free) i++;
  return i < kMostQueues ? i : kNone;
}

/* What another one has left in the slot goes. */
void Dispatcher::begin_queue(Queue& q, LoadMode mode) noexcept {
  q.incarnation++;
  q.mode = mode;
  q.last_claim = 0;
  q.last_handed_out = 0;
  q.chunk_active = 0;
  q.short_of_room = 0;
  q.waits_for_room = 0;
  q.parked_left = ParkedLeft::none;
  q.has_sleepers = 0;
  q.withheld = Withheld::no;
  q.pending_later = 0;
  q.deciding = 0;
  q.cancelled = 0;
  /* Of what is on disk nothing is known yet, nor of its blocked keys. */
  q.frontier = mode == LoadMode::live ? kNever : kAlways;
  q.blocks_known = mode == LoadMode::live ? 1 : 0;
  q.blocks_changed = 0;
  q.dirty_from = kNever;
  q.chunks = 0;
  q.round = 0;
  q.served_key = 0;
  q.blocked_count = 0;
  q.ending_count = 0;
  q.aside_count = 0;
  q.turns_passed = 0;
  q.short_of_keys = 0;
  q.dirty.clear();
  q.urgent.clear();
  q.counters = QueueCounters{};
  q.length = new_length(mode);
}

void Dispatcher::find_members_of(Index index) noexcept {
  const QueueRef ref = queue_ref(index);
  const QueueId id = queue(index).id;
  const Index database = queue(index).database;
  bool named = false;
  for (Index i = 0; i < kMostMembers && !named; i++) {
    const LeafLock leaf(*platform_, kMembersLock);
    const Member& member = arena_->members[i];
    const QueueId* const end = member.queues + member.queue_count;
    named = member.state.load() != MemberState::free && member.database == database &&
            std::find(member.queues, end, id) != end;
  }
  if (named && make_owner_table(ref)) find_owners(index);
}

void Dispatcher::activate_queue(QueueRef ref) noexcept {
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation == ref.incarnation && q.state == QueueState::creating)
    q.state = QueueState::active;
}

void Dispatcher::set_queue_options(Index database, QueueId id,
                                   const QueueOptions& options) noexcept {
  const Index index = find_queue(database, id);
  if (index == kNone) return;
  bool others = false;
  {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.state == QueueState::free || q.id != id || q.database != database) return;
    others = q.options.buckets != options.buckets && q.owners != kNone;
    q.options = options;
    if (others) buckets_changed(q);
    wake_for_work(hold, index, hold.waiter_room());
  }
  if (!others) return;
  settle_buckets(index);
  find_owners(index);
}

QueueRef Dispatcher::queue_ref(Index index) const noexcept {
  return QueueRef{index, queue(index).incarnation};
}

bool Dispatcher::queue_matches(QueueRef ref) const noexcept {
  return ref.queue != kNone && queue(ref.queue).incarnation == ref.incarnation &&
         queue(ref.queue).state != QueueState::free;
}

void Dispatcher::free_all_entries(Index index) noexcept {
  for (Index i = 0; i < arena_->capacity;) {
    QueueLock hold(*this, index);
    const Queue& q = queue(index);
    for (std::uint32_t k = 0; k < kEntriesPerHold && i < arena_->capacity; k++, i++) {
      Entry& e = entry(i);
      if (e.queue != index) continue;
      leave_tree(queue(index), e);
      release_entry(e);
    }
    if (q.resident == 0) return;
  }
}

void Dispatcher::remove_queue(QueueRef ref) noexcept {
  const Index index = ref.queue;
  {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.incarnation != ref.incarnation || q.state == QueueState::free) return;
    /* From here nobody links into it or claims from it. */
    q.state = QueueState::creating;
    q.id = 0;
    q.incarnation++;
    q.chunk_active = 0;
    q.first_tombstone = kNone;
    clear_limits(hold, q);
  }
  free_all_entries(index);
  free_keys(index);
  free_weighted_keys(index);
  bool more_waiters = true;
  while (more_waiters) {
    QueueLock hold(*this, index);
    const std::uint32_t taken = take_all_waiters(index, hold.waiters(), hold.waiter_room());
    hold.add_waiters(taken);
    more_waiters = taken > 0;
    if (more_waiters) continue;
    /* Whoever was woken for it owes nothing to the queue that gets the slot next. */
    Queue& q = queue(index);
    q.incarnation++;
    q.owed = 0;
    free_owner_table(q);
  }
  /* Of its jobs nobody says any more that they end. */
  wake_all_awaiting(queue(index).database);
  const QueueLock hold(*this, index);
  const LeafLock leaf(*platform_, kArenaLock);
  Queue& q = queue(index);
  q.state = QueueState::free;
  q.database = kNone;
  q.dirty.clear();
  q.urgent.clear();
  arena_->queue_count--;
  count_borrowed();
}

/*
 * Delayed jobs whose time has come become ready when somebody claims or sleeps. A few that nobody
 * has asked for yet are counted where they are; of many a chunk a hold is moved, so that the figure
 * is exact and the next look costs little.
 */
void Dispatcher::queue_figures(Index index, QueueFigures* out) noexcept {
  const Micros now = platform_->wall_now();
  for (;;) {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    std::uint32_t due = 0;
    for (auto e = q.delayed.begin(); e != q.delayed.end() && e->at <= now && due < kEntriesPerHold;
         ++e)
      due++;
    if (due < kEntriesPerHold) {
      fill_figures(q, due, out);
      return;
    }
    promote_due(q, now);
    wake_for_work(hold, index, hold.waiter_room());
  }
}

/* due: of the delayed ones, those whose time has come. */
void Dispatcher::fill_figures(const Queue& q, std::uint32_t due, QueueFigures* out) const noexcept {
  Micros oldest = ready_oldest_due(q);
  if (due > 0) oldest = std::min(oldest, q.delayed.begin()->at);
  *out = QueueFigures{q.id,
                      q.mode,
                      q.options.paused,
                      is_counted(q),
                      due_count(q) + due,
                      q.delayed_count - due + q.deciding,
                      q.leased_count - q.cancelled,
                      q.options.ordered || q.keys_limited != 0 ? q.waiting_turn : 0,
                      q.blocked_count + q.aside_count,
                      q.resident,
                      q.waiter_count,
                      q.length.before + q.length.since,
                      oldest,
                      q.counters};
}

}  // namespace dw::core
