/*
 * What workers say about the jobs they hold.
 *
 * A few slots of a fixed size, found by worker and token, each for one lease. A slot is free again
 * when its lease ends; when all are taken the one that was written longest ago is taken over, so a
 * worker that goes on reporting is the one that is seen. The bytes mean nothing here.
 *
 * Slots, their hash and their order are under kProgressLock. Who ends a lease looks at the worker's
 * count without it: whoever wrote the slot held the lock of the same queue.
 */
#include "core/queue_lock.hpp"

#include <cstring>

namespace dw::core {

Index* Dispatcher::progress_bucket(Token token) const noexcept {
  return &arena_->progress_buckets[static_cast<std::uint64_t>(token) & arena_->progress_mask];
}

Index Dispatcher::find_progress(Index worker, Token token) const noexcept {
  Index number = *progress_bucket(token);
  while (number != kNone &&
         (arena_->progress[number].token != token || arena_->progress[number].worker != worker))
    number = arena_->progress[number].next_in_bucket;
  return number;
}

void Dispatcher::unlink_progress(Index number) noexcept {
  const Progress& slot = arena_->progress[number];
  if (slot.older != kNone) {
    arena_->progress[slot.older].newer = slot.newer;
  } else {
    arena_->oldest_progress = slot.newer;
  }
  if (slot.newer != kNone) {
    arena_->progress[slot.newer].older = slot.older;
  } else {
    arena_->newest_progress = slot.older;
  }
}

void Dispatcher::append_progress(Index number) noexcept {
  Progress& slot = arena_->progress[number];
  slot.newer = kNone;
  slot.older = arena_->newest_progress;
  if (slot.older != kNone) {
    arena_->progress[slot.older].newer = number;
  } else {
    arena_->oldest_progress = number;
  }
  arena_->newest_progress = number;
}

void Dispatcher::free_progress(Index number) noexcept {
  Progress& slot = arena_->progress[number];
  unlink_progress(number);
  Index* link = progress_bucket(slot.token);
  while (*link != number) link = &arena_->progress[*link].next_in_bucket;
  *link = slot.next_in_bucket;
  arena_->workers[slot.worker].progress_count.fetch_sub(1, std::memory_order_relaxed);
  slot.worker = kNone;
  slot.next_in_bucket = arena_->first_free_progress;
  arena_->first_free_progress = number;
}

/* Under the lock of the lease's queue. */
void Dispatcher::write_progress(Index worker, Token token, const void* bytes,
                                std::uint16_t length) noexcept {
  const LeafLock leaf(*platform_, kProgressLock);
  Index number = find_progress(worker, token);
  if (number != kNone) {
    unlink_progress(number);
  } else {
    if (arena_->first_free_progress == kNone) free_progress(arena_->oldest_progress);
    number = arena_->first_free_progress;
    Progress& slot = arena_->progress[number];
    arena_->first_free_progress = slot.next_in_bucket;
    slot.token = token;
    slot.worker = worker;
    Index* const head = progress_bucket(token);
    slot.next_in_bucket = *head;
    *head = number;
    arena_->workers[worker].progress_count.fetch_add(1, std::memory_order_relaxed);
  }
  append_progress(number);
  arena_->progress[number].length = length;
  std::memcpy(arena_->progress[number].bytes, bytes, length);
}

/* Under the lock of the queue of the lease that ends. */
void Dispatcher::forget_progress(Index worker, Token token) noexcept {
  if (arena_->workers[worker].progress_count.load(std::memory_order_relaxed) == 0) return;
  const LeafLock leaf(*platform_, kProgressLock);
  const Index number = find_progress(worker, token);
  if (number != kNone) free_progress(number);
}

Verdict Dispatcher::set_progress(Index database, JobId id, Token token, const void* bytes,
                                 std::uint16_t length) noexcept {
  Index index = kNone;
  Entry* e = lock_job(database, id, token, 0, &index);
  if (e == nullptr) return Verdict::not_resident;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (!is_held(*e, token)) return Verdict::stale;
  write_progress(e->worker, token, bytes, length);
  return Verdict::ok;
}

std::uint16_t Dispatcher::see_progress(Index worker, Token token, void* out) const noexcept {
  if (worker == kNone ||
      arena_->workers[worker].progress_count.load(std::memory_order_relaxed) == 0)
    return 0;
  const LeafLock leaf(*platform_, kProgressLock);
  const Index number = find_progress(worker, token);
  if (number == kNone) return 0;
  const Progress& slot = arena_->progress[number];
  std::memcpy(out, slot.bytes, slot.length);
  return slot.length;
}

}  // namespace dw::core
