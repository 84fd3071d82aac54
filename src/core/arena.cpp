#include "core/watch.hpp"

#include <algorithm>
#include <new>

namespace dw::core {

namespace {

constexpr std::size_t kLine = 64;

std::size_t padded(std::size_t size) noexcept { return (size + kLine - 1) / kLine * kLine; }

/* At most four entries a bucket bit: the smallest power of two that is not below the number of
 * entries. */
std::uint32_t bucket_count(std::uint32_t entries) noexcept {
  std::uint32_t buckets = kHashStripes;
  while (buckets < entries && buckets < (1U << 31)) buckets *= 2;
  return buckets;
}

/* Half as many; a bucket lies in one stripe. */
std::uint32_t key_bucket_count(std::uint32_t entries) noexcept {
  return std::max(bucket_count(entries) / 2, kHashStripes);
}

/* A request for every so many entries; a batch is mostly more than one job. */
std::uint32_t request_bucket_count(std::uint32_t entries) noexcept {
  std::uint32_t buckets = 16;
  while (buckets < entries / 16 && buckets < (1U << 16)) buckets *= 2;
  return buckets;
}
std::uint32_t request_count(std::uint32_t entries) noexcept {
  return std::min(request_bucket_count(entries), kMostShort);
}

std::uint32_t progress_slots(std::uint32_t entries) noexcept {
  std::uint32_t slots = 16;
  while (slots < entries / 64 && slots < 1024) slots *= 2;
  return slots;
}

/* Most have little to say. The longest finds room when all others have made way. */
constexpr std::uint32_t progress_parts(std::uint32_t slots) noexcept { return slots + slots / 2; }
static_assert(progress_parts(16) * sizeof(ProgressPart::bytes) >= kMostProgressBytes);

/* Decisions that prepared transactions hold, above all; each holds an entry too. */
std::uint32_t held_count(std::uint32_t entries, std::uint32_t watches) noexcept {
  return watches == 0 ? 0 : std::max(1024U, entries / 8);
}

/* As many as there may be queues of registered workers. */
std::uint32_t owner_table_count(std::uint32_t entries) noexcept {
  return std::clamp(entries / 4096, 16U, kMostOwnerTables);
}

/* Each that is in use holds a job. */
std::uint32_t group_count(std::uint32_t entries) noexcept {
  return std::min({std::max(entries / 64, 4096U), std::max(entries, 1U), kMostGroups});
}

std::uint32_t limited_key_count(std::uint32_t entries) noexcept {
  return std::max(entries / 16, 1024U);
}

std::uint32_t limited_key_bucket_count(std::uint32_t entries) noexcept {
  return bucket_count(limited_key_count(entries) / 2);
}

void create_queue_slot(Queue& queue) noexcept {
  new (&queue) Queue();
  queue.state = QueueState::free;
  queue.database = kNone;
  queue.first_tombstone = kNone;
  queue.waiters = WaitList{kNone, kNone};
  queue.owners = kNone;
  queue.oldest_key = kNone;
  queue.newest_key = kNone;
  queue.dirty.clear();
  queue.urgent.clear();
  for (GroupMember& member : queue.member) member.group = kNone;
}

void create_requests(Arena* arena, char* place, std::uint32_t entries) noexcept {
  const std::uint32_t count = request_count(entries);
  const std::uint32_t buckets = request_bucket_count(entries);
  arena->requests = reinterpret_cast<Request*>(place);
  arena->request_buckets = reinterpret_cast<ShortIndex*>(place + padded(sizeof(Request) * count));
  for (std::uint32_t i = 0; i < count; i++) {
    Request* request = new (&arena->requests[i]) Request();
    request->next_in_bucket = i + 1 < count ? i + 1 : kNone;
  }
  for (std::uint32_t i = 0; i < buckets; i++) arena->request_buckets[i] = kNone;
  arena->first_free_request = 0;
  arena->first_finished_request = kNone;
  arena->last_finished_request = kNone;
  arena->request_capacity = count;
  arena->request_mask = buckets - 1;
}

/* Pages of them that are not used yet are not touched. */
void create_groups(Arena* arena, char* place, std::uint32_t entries) noexcept {
  const std::uint32_t tables = owner_table_count(entries);
  arena->owner_tables = reinterpret_cast<OwnerTable*>(place);
  arena->owner_table_capacity = tables;
  arena->groups = reinterpret_cast<Group*>(place + padded(sizeof(OwnerTable) * tables));
  arena->group_capacity = group_count(entries);
}

/* Likewise. */
void create_limited_keys(Arena* arena, char* place, std::uint32_t entries) noexcept {
  const std::uint32_t count = limited_key_count(entries);
  const std::uint32_t buckets = limited_key_bucket_count(entries);
  arena->limited_keys = reinterpret_cast<LimitedKey*>(place);
  arena->limited_key_buckets = reinterpret_cast<Index*>(place + padded(sizeof(LimitedKey) * count));
  for (std::uint32_t i = 0; i < buckets; i++) arena->limited_key_buckets[i] = kNone;
  arena->first_free_key = kNone;
  arena->limited_key_capacity = count;
  arena->limited_key_mask = buckets - 1;
}

/* As many buckets as slots. */
void create_progress(Arena* arena, char* place, std::uint32_t count) noexcept {
  arena->progress = reinterpret_cast<Progress*>(place);
  arena->progress_buckets = reinterpret_cast<Index*>(place + padded(sizeof(Progress) * count));
  for (std::uint32_t i = 0; i < count; i++) {
    Progress* slot = new (&arena->progress[i]) Progress();
    slot->worker = kNone;
    slot->next_in_bucket = i + 1 < count ? i + 1 : kNone;
    arena->progress_buckets[i] = kNone;
  }
  arena->progress_parts =
      reinterpret_cast<ProgressPart*>(place + padded(sizeof(Progress) * std::size_t{count}) +
                                      padded(sizeof(Index) * std::size_t{count}));
  const std::uint32_t parts = progress_parts(count);
  for (std::uint32_t i = 0; i < parts; i++)
    arena->progress_parts[i].next = i + 1 < parts ? i + 1 : kNone;
  arena->first_free_progress_part = 0;
  arena->free_progress_parts = parts;
  arena->first_free_progress = 0;
  arena->oldest_progress = kNone;
  arena->newest_progress = kNone;
  arena->progress_mask = count - 1;
}

void create_watches(Arena* arena, char* place, std::uint32_t watches, std::uint32_t held) noexcept {
  arena->watches = reinterpret_cast<Watch*>(place);
  arena->held = reinterpret_cast<Held*>(place + padded(sizeof(Watch) * std::size_t{watches}));
  for (std::uint32_t i = 0; i < watches; i++) {
    Watch* watch = new (&arena->watches[i]) Watch();
    watch->state = WatchState::free;
    watch->database = kNone;
    watch->first_held = kNone;
    watch->last_held = kNone;
  }
  for (std::uint32_t i = 0; i < held; i++) {
    Held* one = new (&arena->held[i]) Held();
    one->next = i + 1 < held ? i + 1 : kNone;
  }
  arena->watch_capacity = watches;
  arena->first_free_held = held > 0 ? 0 : kNone;
  arena->free_held_count = held;
  arena->held_capacity = held;
}

}  // namespace

std::size_t arena_size(std::uint32_t entries, std::uint32_t waiters,
                       std::uint32_t watches) noexcept {
  return padded(sizeof(Arena)) + padded(sizeof(Entry) * std::size_t{entries}) +
         padded(sizeof(OwnerTable) * std::size_t{owner_table_count(entries)}) +
         padded(sizeof(Group) * std::size_t{group_count(entries)}) +
         padded(sizeof(Index) * std::size_t{bucket_count(entries)}) +
         padded(sizeof(Index) * std::size_t{key_bucket_count(entries)}) +
         padded(sizeof(Waiter) * std::size_t{waiters}) +
         padded(sizeof(Request) * std::size_t{request_count(entries)}) +
         padded(sizeof(ShortIndex) * std::size_t{request_bucket_count(entries)}) +
         padded(sizeof(Progress) * std::size_t{progress_slots(entries)}) +
         padded(sizeof(Index) * std::size_t{progress_slots(entries)}) +
         padded(sizeof(ProgressPart) * std::size_t{progress_parts(progress_slots(entries))}) +
         padded(sizeof(Watch) * std::size_t{watches}) +
         padded(sizeof(Held) * std::size_t{held_count(entries, watches)}) +
         padded(sizeof(LimitedKey) * std::size_t{limited_key_count(entries)}) +
         padded(sizeof(Index) * std::size_t{limited_key_bucket_count(entries)});
}

Arena* arena_create(void* memory, std::uint32_t entries, std::uint32_t waiters,
                    std::uint32_t watches) noexcept {
  char* place = static_cast<char*>(memory);
  Arena* arena = new (place) Arena();
  place += padded(sizeof(Arena));
  arena->entries = reinterpret_cast<Entry*>(place);
  place += padded(sizeof(Entry) * std::size_t{entries});
  create_groups(arena, place, entries);
  place += padded(sizeof(OwnerTable) * owner_table_count(entries)) +
           padded(sizeof(Group) * std::size_t{group_count(entries)});
  arena->buckets = reinterpret_cast<Index*>(place);
  const std::uint32_t buckets = bucket_count(entries);
  place += padded(sizeof(Index) * std::size_t{buckets});
  arena->key_buckets = reinterpret_cast<Index*>(place);
  const std::uint32_t key_buckets = key_bucket_count(entries);
  place += padded(sizeof(Index) * std::size_t{key_buckets});
  arena->waiters = reinterpret_cast<Waiter*>(place);
  place += padded(sizeof(Waiter) * std::size_t{waiters});
  create_requests(arena, place, entries);
  place += padded(sizeof(Request) * request_count(entries)) +
           padded(sizeof(ShortIndex) * request_bucket_count(entries));
  create_progress(arena, place, progress_slots(entries));
  place += padded(sizeof(Progress) * progress_slots(entries)) +
           padded(sizeof(Index) * progress_slots(entries)) +
           padded(sizeof(ProgressPart) * std::size_t{progress_parts(progress_slots(entries))});
  create_watches(arena, place, watches, held_count(entries, watches));
  place += padded(sizeof(Watch) * std::size_t{watches}) +
           padded(sizeof(Held) * std::size_t{held_count(entries, watches)});
  create_limited_keys(arena, place, entries);

  arena->capacity = entries;
  arena->bucket_mask = buckets - 1;
  arena->key_mask = key_buckets - 1;
  arena->waiter_capacity = waiters;
  for (std::uint32_t i = 0; i < entries; i++) {
    Entry* entry = new (&arena->entries[i]) Entry();
    entry->state = EntryState::free;
    entry->queue = kNoQueue;
    entry->worker = kNone;
    entry->next_in_stripe = i + 1 < entries ? i + 1 : kNone;
  }
  arena->first_free = entries > 0 ? 0 : kNone;
  arena->free_count = entries;
  for (std::uint32_t i = 0; i < buckets; i++) arena->buckets[i] = kNone;
  for (std::uint32_t i = 0; i < key_buckets; i++) arena->key_buckets[i] = kNone;
  for (std::uint32_t i = 0; i < waiters; i++) {
    Waiter* waiter = new (&arena->waiters[i]) Waiter();
    for (WaitLink& link : waiter->links) link.queue.store(kNone, std::memory_order_relaxed);
    waiter->awaits_in = kNone;
    waiter->member = kNoOwner;
  }
  for (Queue& queue : arena->queues) create_queue_slot(queue);
  for (Member& member : arena->members) member.utf8_name = kNone;
  arena->first_free_weighted_key = kNone;
  for (ShortIndex& bucket : arena->weighted_key_buckets) bucket = kNone;
  for (LimitGroup& group : arena->limit_groups) {
    group.database = kNone;
    group.first_member = kNone;
  }
  for (Worker& worker : arena->workers) {
    worker.database = kNone;
    worker.first_lease = kNone;
    worker.first_request.store(kNone);
  }
  for (Database& database : arena->databases) {
    database.state = DatabaseState::free;
    database.outcome_pages.clear();
    database.current_segment.store(kParkedSegment);
    for (std::atomic<JobId>& first : database.first_id) first.store(kNever);
    for (Index& list : database.awaiting) list = kNone;
  }
  return arena;
}

}  // namespace dw::core
