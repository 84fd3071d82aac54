/*
 * Sleeping until one job has ended.
 *
 * A process that waits for a job hangs on a list of its database, one of 64 by the job's id, and a
 * bit of the database's mask says that the list is not empty. Whoever ends a job looks at the mask
 * and nothing else; only if the bit is set he takes the lock and wakes those who wait for this job.
 *
 * No wake is lost: the waiter hangs on the list first and then reads the log with a new snapshot.
 * If the snapshot does not see the end, the end's transaction was still open to it; taking a
 * snapshot and ending a transaction are ordered by the server's own lock, so whoever ends the job
 * looks at the mask later, and finds the bit. The end of a queue wakes all, to find that the job is
 * gone.
 */
#include "core/queue_lock.hpp"

namespace dw::core {

namespace {

constexpr JobId kEveryJob = 0;

std::uint64_t bit_of(JobId id) noexcept {
  return std::uint64_t{1} << (static_cast<std::uint64_t>(id) % kAwaitingLists);
}

}  // namespace

Index* Dispatcher::awaiting_list(Index database, JobId id) const noexcept {
  return &arena_->databases[database].awaiting[static_cast<std::uint64_t>(id) % kAwaitingLists];
}

void Dispatcher::await_begin(Index waiter, Index database, JobId id) noexcept {
  const LeafLock leaf(*platform_, kAwaitingLock);
  Waiter& w = arena_->waiters[waiter];
  w.ended.store(0);
  w.awaited = id;
  w.awaits_in = database;
  Index* const head = awaiting_list(database, id);
  w.next_awaiting = *head;
  *head = waiter;
  arena_->databases[database].awaited.fetch_or(bit_of(id));
}

void Dispatcher::await_again(Index waiter) noexcept { arena_->waiters[waiter].ended.store(0); }

bool Dispatcher::awaited_ended(Index waiter) const noexcept {
  return arena_->waiters[waiter].ended.load(std::memory_order_acquire) != 0;
}

void Dispatcher::await_end(Index waiter) noexcept {
  Waiter& w = arena_->waiters[waiter];
  if (w.awaits_in == kNone) return; /* changed by its owner alone */
  const LeafLock leaf(*platform_, kAwaitingLock);
  Index* const head = awaiting_list(w.awaits_in, w.awaited);
  Index* link = head;
  while (*link != waiter) link = &arena_->waiters[*link].next_awaiting;
  *link = w.next_awaiting;
  if (*head == kNone) arena_->databases[w.awaits_in].awaited.fetch_and(~bit_of(w.awaited));
  w.awaits_in = kNone;
}

/* Under the lock of the job's queue; the wakes are sent after it. */
void Dispatcher::note_end(QueueLock& hold, const Queue& q, JobId id) const noexcept {
  const std::uint64_t awaited =
      arena_->databases[q.database].awaited.load(std::memory_order_relaxed);
  if ((awaited & bit_of(id)) != 0) hold.wake_awaiting(q.database, id);
}

/* Marked first, so that each is taken once and the list may be walked in parts. */
std::uint32_t Dispatcher::take_awaiting(Index database, Index list, JobId id, Index* out,
                                        std::uint32_t n) const noexcept {
  const LeafLock leaf(*platform_, kAwaitingLock);
  std::uint32_t taken = 0;
  for (Index i = arena_->databases[database].awaiting[list]; i != kNone && taken < n;
       i = arena_->waiters[i].next_awaiting) {
    Waiter& w = arena_->waiters[i];
    if (id != kEveryJob && w.awaited != id) continue;
    if (w.ended.exchange(1) == 0) out[taken++] = i;
  }
  return taken;
}

void Dispatcher::wake_list(Index database, Index list, JobId id) const noexcept {
  Index waiters[QueueLock::kMostWakes];
  std::uint32_t taken = 0;
  do {
    taken = take_awaiting(database, list, id, waiters, QueueLock::kMostWakes);
    for (std::uint32_t i = 0; i < taken; i++) platform_->wake_waiter(waiters[i]);
  } while (taken == QueueLock::kMostWakes);
}

void Dispatcher::wake_awaiting(Index database, JobId id) const noexcept {
  wake_list(database, static_cast<Index>(static_cast<std::uint64_t>(id) % kAwaitingLists), id);
}

void Dispatcher::wake_all_awaiting(Index database) const noexcept {
  const std::uint64_t awaited = arena_->databases[database].awaited.load();
  for (Index list = 0; list < kAwaitingLists; list++) {
    if ((awaited >> list & 1) != 0) wake_list(database, list, kEveryJob);
  }
}

}  // namespace dw::core
