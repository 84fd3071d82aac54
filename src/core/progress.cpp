/*
 * What workers say about the jobs they hold.
 *
 * A few slots, found by worker and token, each for one lease, and the bytes of each in as many
 * parts as they need. Both are free again when the lease ends; when all of either are taken the
 * slots that were written longest ago make way, so a worker that goes on reporting is the one that
 * is seen. The bytes mean nothing here.
 *
 * Slots, their hash and their order, and the parts are under kProgressLock. Who ends a lease looks
 * at the worker's count without it: whoever wrote the slot held the lock of the same queue.
 */
#include "core/queue_lock.hpp"

#include <algorithm>
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

void Dispatcher::free_progress_bytes(Progress& slot) noexcept {
  while (slot.first_part != kNone) {
    const Index number = slot.first_part;
    ProgressPart& part = arena_->progress_parts[number];
    slot.first_part = part.next;
    part.next = arena_->first_free_progress_part;
    arena_->first_free_progress_part = number;
    arena_->free_progress_parts++;
  }
  slot.length = 0;
}

void Dispatcher::free_progress(Index number) noexcept {
  Progress& slot = arena_->progress[number];
  free_progress_bytes(slot);
  unlink_progress(number);
  Index* link = progress_bucket(slot.token);
  while (*link != number) link = &arena_->progress[*link].next_in_bucket;
  *link = slot.next_in_bucket;
  arena_->workers[slot.worker].progress_count.fetch_sub(1, std::memory_order_relaxed);
  slot.worker = kNone;
  slot.next_in_bucket = arena_->first_free_progress;
  arena_->first_free_progress = number;
}

/* Of the slot written last, which has none; others that were written longer ago make way. */
void Dispatcher::put_progress_bytes(Progress& slot, const unsigned char* bytes,
                                    std::uint16_t length) noexcept {
  constexpr std::size_t kSize = sizeof(ProgressPart::bytes);
  while (arena_->free_progress_parts * kSize < length) free_progress(arena_->oldest_progress);
  Index* link = &slot.first_part;
  for (std::size_t done = 0; done < length; done += kSize) {
    *link = arena_->first_free_progress_part;
    ProgressPart& part = arena_->progress_parts[*link];
    arena_->first_free_progress_part = part.next;
    arena_->free_progress_parts--;
    std::memcpy(part.bytes, bytes + done, std::min(length - done, kSize));
    link = &part.next;
  }
  *link = kNone;
  slot.length = length;
}

/* Under the lock of the lease's queue. */
void Dispatcher::write_progress(Index worker, Token token, const void* bytes,
                                std::uint16_t length) noexcept {
  const LeafLock leaf(*platform_, kProgressLock);
  Index number = find_progress(worker, token);
  if (number != kNone) {
    free_progress_bytes(arena_->progress[number]);
    unlink_progress(number);
  } else {
    if (arena_->first_free_progress == kNone) free_progress(arena_->oldest_progress);
    number = arena_->first_free_progress;
    Progress& slot = arena_->progress[number];
    arena_->first_free_progress = slot.next_in_bucket;
    slot.token = token;
    slot.worker = worker;
    slot.first_part = kNone;
    Index* const head = progress_bucket(token);
    slot.next_in_bucket = *head;
    *head = number;
    arena_->workers[worker].progress_count.fetch_add(1, std::memory_order_relaxed);
  }
  append_progress(number);
  put_progress_bytes(arena_->progress[number], static_cast<const unsigned char*>(bytes), length);
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
  auto* const to = static_cast<unsigned char*>(out);
  std::size_t done = 0;
  for (Index part = slot.first_part; part != kNone; part = arena_->progress_parts[part].next) {
    const std::size_t size = std::min(slot.length - done, sizeof(ProgressPart::bytes));
    std::memcpy(to + done, arena_->progress_parts[part].bytes, size);
    done += size;
  }
  return slot.length;
}

}  // namespace dw::core
