/*
 * Members: registered workers, and whether they are alive.
 *
 * What a worker was registered with is a row of the log's tables; it comes here when the
 * transaction that wrote it commits, or when the housekeeper reads the table. Whether the worker is
 * alive is known here only: last_seen is written by each of its heartbeats and claims, the
 * housekeeper makes a member dead that was not seen for long enough, and one that is seen again
 * comes back by itself.
 *
 * Seen and dead at the same time: the housekeeper writes `dead` and then looks at last_seen again;
 * who is seen writes last_seen and then looks at the state. One of the two sees the other.
 *
 * A reference is (slot, incarnation). The incarnation rises with each registration and when the
 * member goes, so what an earlier process of the name still holds does not match. Each change of a
 * ring raises members_version and is followed by find_owners() for every queue concerned; see
 * owners.cpp.
 */
#include "core/queue_lock.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace dw::core {

namespace {

void copy_name(char* to, std::size_t room, std::string_view from) noexcept {
  const std::size_t length = std::min(from.size(), room - 1);
  std::memcpy(to, from.data(), length);
  to[length] = '\0';
}

bool is_here(const Member& member, Index database) noexcept {
  return member.state.load() != MemberState::free && member.database == database;
}

}  // namespace

/* Under kMembersLock. */
Index Dispatcher::member_named(Index database, std::string_view name) const noexcept {
  for (Index i = 0; i < kMostMembers; i++) {
    const Member& member = arena_->members[i];
    if (is_here(member, database) && name == member.name) return i;
  }
  return kNone;
}

MemberRef Dispatcher::find_member(Index database, std::string_view name,
                                  MemberFacts* out) noexcept {
  if (arena_->member_count.load() == 0) return MemberRef{kNone, 0};
  const LeafLock leaf(*platform_, kMembersLock);
  const Index index = member_named(database, name);
  if (index == kNone) return MemberRef{kNone, 0};
  const Member& member = arena_->members[index];
  out->instance = member.instance;
  out->capacity = member.capacity;
  return MemberRef{index, member.incarnation.load()};
}

bool Dispatcher::is_current(MemberRef ref) const noexcept {
  return ref.member != kNone && arena_->members[ref.member].incarnation.load() == ref.incarnation;
}

bool Dispatcher::may_claim(MemberRef ref) const noexcept {
  return is_current(ref) && arena_->members[ref.member].state.load() != MemberState::draining;
}

bool Dispatcher::serves(MemberRef ref, QueueId queue) const noexcept {
  const LeafLock leaf(*platform_, kMembersLock);
  if (!is_current(ref)) return false;
  const Member& member = arena_->members[ref.member];
  const QueueId* const end = member.queues + member.queue_count;
  return std::find(member.queues, end, queue) != end;
}

const char* Dispatcher::utf8_name_of(const Member& member) const noexcept {
  return member.utf8_name == kNone ? member.name : arena_->utf8_names[member.utf8_name].text;
}

Index Dispatcher::unused_utf8_name() const noexcept {
  Index i = 0;
  while (i < kMostUtf8Names && arena_->utf8_names[i].text[0] != '\0') i++;
  return i < kMostUtf8Names ? i : kNone;
}

bool Dispatcher::has_room_for_name(const Member& member, const MemberRow& row) const noexcept {
  return std::strcmp(row.name, row.utf8_name) == 0 || member.utf8_name != kNone ||
         unused_utf8_name() != kNone;
}

bool Dispatcher::has_room_for_member(Index database, std::string_view name,
                                     std::string_view utf8_name) noexcept {
  const LeafLock leaf(*platform_, kMembersLock);
  if (member_named(database, name) != kNone) return true;
  return arena_->member_count.load() < kMostMembers &&
         (name == utf8_name || unused_utf8_name() != kNone);
}

void Dispatcher::note_queues(const Member& member, QueueNumbers* queues) noexcept {
  for (std::uint32_t i = 0; i < member.queue_count; i++)
    queues->ids[queues->count++] = member.queues[i];
}

void Dispatcher::fill_member(Member& member, Index database, const MemberRow& row) noexcept {
  member.database = database;
  member.instance = row.instance;
  member.drain_deadline = row.drain_deadline;
  member.capacity = row.capacity;
  member.vnodes = row.vnodes;
  member.ring_seed = ring_seed(row.utf8_name);
  member.queue_count = std::min(row.queue_count, kMostWaitedQueues);
  std::copy(row.queues, row.queues + member.queue_count, member.queues);
  copy_name(member.name, sizeof(member.name), row.name);
  if (std::strcmp(row.name, row.utf8_name) != 0) {
    if (member.utf8_name == kNone) member.utf8_name = unused_utf8_name();
    copy_name(arena_->utf8_names[member.utf8_name].text, kUtf8NameSize, row.utf8_name);
  }
  member.last_seen.store(platform_->monotonic_now());
  member.state.store(row.drain_deadline != kNever ? MemberState::draining : MemberState::alive);
  member.incarnation.fetch_add(1);
}

/* Under no lock. Who sleeps as the member looks again, and its buckets get other owners. */
void Dispatcher::ring_changed(Index database, Index member, const QueueNumbers& queues) noexcept {
  for (std::uint32_t i = 0; i < queues.count; i++) {
    const Index index = find_queue(database, queues.ids[i]);
    if (index == kNone) continue;
    (void)make_owner_table(queue_ref(index));
    wake_member(index, static_cast<OwnerNumber>(member));
    find_owners(index);
  }
  wake_sleepers(member);
  platform_->wake_housekeeper(database);
}

/* Whoever sleeps as a member says so, and then looks whether it may still claim; whoever changes a
 * member does so, and then looks who sleeps. */
void Dispatcher::wake_sleepers(Index member) noexcept {
  for (Index i = 0; i < arena_->waiter_capacity; i++) {
    if (arena_->waiters[i].sleeps_as.load() == member + 1) platform_->wake_waiter(i);
  }
}

void Dispatcher::sleep_as(Index waiter, const MemberRef* member) noexcept {
  arena_->waiters[waiter].sleeps_as.store(member != nullptr ? member->member + 1 : 0);
}

/* Under kMembersLock; false: the member is what the row says, or a later one. */
bool Dispatcher::take_member_row(Member& member, Index database, const MemberRow& row,
                                 QueueNumbers* queues) noexcept {
  const MemberState state = member.state.load();
  if (state == MemberState::free) {
    arena_->member_count.fetch_add(1);
  } else if (row.instance < member.instance) {
    return false;
  } else {
    note_queues(member, queues);
    if (row.instance == member.instance) {
      if (row.drain_deadline == kNever ||
          (state == MemberState::draining && row.drain_deadline == member.drain_deadline))
        return false;
      member.drain_deadline = row.drain_deadline;
      member.state.store(MemberState::draining);
      return true;
    }
  }
  fill_member(member, database, row);
  note_queues(member, queues);
  return true;
}

Index Dispatcher::unused_member() const noexcept {
  Index i = 0;
  while (i < kMostMembers && arena_->members[i].state.load() != MemberState::free) i++;
  return i < kMostMembers ? i : kNone;
}

MemberChange Dispatcher::add_member(Index database, const MemberRow& row) noexcept {
  QueueNumbers queues{};
  Index index = kNone;
  {
    const LeafLock leaf(*platform_, kMembersLock);
    index = member_named(database, row.name);
    if (index == kNone) index = unused_member();
    if (index == kNone || !has_room_for_name(arena_->members[index], row))
      return MemberChange::no_room;
    if (!take_member_row(arena_->members[index], database, row, &queues)) return MemberChange::none;
    arena_->members_version.fetch_add(1);
  }
  ring_changed(database, index, queues);
  if (row.drain_deadline != kNever) {
    /* By now no claim of it is under way in its queues. */
    watch_last_lease(database, row);
    platform_->wake_housekeeper(database);
  }
  return MemberChange::done;
}

/* The housekeeper is told when the worker that drains holds nothing any more. */
void Dispatcher::watch_last_lease(Index database, const MemberRow& row) noexcept {
  const Index worker = find_worker(database, row.name, row.instance);
  if (worker == kNone) return;
  const LeafLock leaf(*platform_, kWorkersLock);
  Worker& slot = arena_->workers[worker];
  if (slot.database == database && slot.instance == row.instance) slot.drains = true;
}

/* Under kMembersLock. */
void Dispatcher::free_member(Member& member, QueueNumbers* queues) noexcept {
  note_queues(member, queues);
  if (member.utf8_name != kNone) arena_->utf8_names[member.utf8_name].text[0] = '\0';
  member.utf8_name = kNone;
  member.state.store(MemberState::free);
  member.incarnation.fetch_add(1);
  arena_->member_count.fetch_sub(1);
  arena_->members_version.fetch_add(1);
}

bool Dispatcher::remove_member(Index database, std::string_view name,
                               std::int64_t instance) noexcept {
  QueueNumbers queues{};
  Index index = kNone;
  {
    const LeafLock leaf(*platform_, kMembersLock);
    index = member_named(database, name);
    if (index == kNone || arena_->members[index].instance != instance) return false;
    free_member(arena_->members[index], &queues);
  }
  ring_changed(database, index, queues);
  return true;
}

void Dispatcher::forget_members(Index database) noexcept {
  for (Index i = 0; i < kMostMembers && arena_->member_count.load() > 0; i++) {
    QueueNumbers queues{};
    {
      const LeafLock leaf(*platform_, kMembersLock);
      if (!is_here(arena_->members[i], database)) continue;
      free_member(arena_->members[i], &queues);
    }
    ring_changed(database, i, queues);
  }
}

bool Dispatcher::note_seen(MemberRef ref) noexcept {
  if (!is_current(ref)) return false;
  Member& member = arena_->members[ref.member];
  member.last_seen.store(platform_->monotonic_now());
  if (member.state.load() != MemberState::dead) return true;
  QueueNumbers queues{};
  Index database = kNone;
  {
    const LeafLock leaf(*platform_, kMembersLock);
    if (!is_current(ref) || member.state.load() != MemberState::dead) return is_current(ref);
    member.state.store(MemberState::alive);
    note_queues(member, &queues);
    database = member.database;
    arena_->members_version.fetch_add(1);
  }
  ring_changed(database, ref.member, queues);
  return true;
}

/* Under kMembersLock: false: it was seen at the last moment. */
bool Dispatcher::make_dead(Member& member, Micros before) noexcept {
  member.state.store(MemberState::dead);
  if (member.last_seen.load() <= before) return true;
  member.state.store(MemberState::alive);
  return false;
}

Micros Dispatcher::check_members(Index database, Micros dead_after) noexcept {
  Micros next = kNever;
  if (arena_->member_count.load() == 0) return next;
  for (Index i = 0; i < kMostMembers; i++) {
    Member& member = arena_->members[i];
    if (member.state.load() != MemberState::alive) continue;
    QueueNumbers queues{};
    {
      const LeafLock leaf(*platform_, kMembersLock);
      if (member.state.load() != MemberState::alive || member.database != database) continue;
      const Micros before = platform_->monotonic_now() - dead_after;
      if (member.last_seen.load() > before || !make_dead(member, before)) {
        next = std::min(next, member.last_seen.load() + dead_after);
        continue;
      }
      note_queues(member, &queues);
      arena_->members_version.fetch_add(1);
    }
    ring_changed(database, i, queues);
  }
  return next;
}

bool Dispatcher::see_member(Index index, Index database, MemberFigures* out) noexcept {
  {
    const LeafLock leaf(*platform_, kMembersLock);
    const Member& member = arena_->members[index];
    if (!is_here(member, database)) return false;
    out->ref = MemberRef{index, member.incarnation.load()};
    out->state = member.state.load();
    out->instance = member.instance;
    out->last_seen = member.last_seen.load();
    out->drain_deadline = member.drain_deadline;
    out->queue_count = member.queue_count;
    std::copy(member.queues, member.queues + member.queue_count, out->queues);
    std::memcpy(out->name, member.name, sizeof(out->name));
  }
  out->in_flight = leases_held(database, out->name, out->instance);
  return true;
}

std::uint32_t Dispatcher::leases_held(Index database, std::string_view name,
                                      std::int64_t instance) noexcept {
  const Index worker = find_worker(database, name, instance);
  if (worker == kNone) return 0;
  const LeafLock leaf(*platform_, kWorkersLock);
  const Worker& slot = arena_->workers[worker];
  return slot.database == database && slot.instance == instance && name == slot.name
             ? slot.lease_count
             : 0;
}

void Dispatcher::note_workers_changed(DatabaseOid oid) noexcept {
  Index index = kNone;
  {
    const LeafLock leaf(*platform_, kArenaLock);
    index = find_database(oid);
    if (index != kNone) arena_->databases[index].workers_changed = 1;
  }
  if (index != kNone) platform_->wake_housekeeper(index);
}

bool Dispatcher::take_workers_changed(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  return std::exchange(arena_->databases[index].workers_changed, std::uint8_t{0}) != 0;
}

}  // namespace dw::core
