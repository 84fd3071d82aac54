/*
 * Ending all jobs of a queue in one transaction, also those that are on disk only.
 *
 * A job on disk is otherwise decided behind a placeholder of its own, and a backlog may be far
 * deeper than the arena. So the whole queue is withheld instead, in this order:
 *
 *   1. withhold(): from here nothing of the queue that is on disk becomes resident or gets a
 *      placeholder, what finishes leaves a tombstone, and no waiting entry is evicted.
 *   2. What is resident is decided entry by entry, as by a cancel.
 *   3. A new snapshot. A row that it sees, that has no end in it and no entry, is ended by a row of
 *      the log alone. Whoever could have ended it otherwise did so through an entry: before 1, then
 *      the snapshot sees the end; or after it, then the entry or its tombstone is still there.
 *   4. stop_reading(): tombstones go. The queue stays withheld until the transaction ends, because
 *      only then the log says what was written in 3.
 *   5. let_go(). A chunk of the loader that runs then goes on reading by a snapshot from before the
 *      commit: until it is over nothing becomes resident either. What a job with an entry leaves
 *      behind for that chunk is a tombstone; what ends on disk only leaves none.
 *
 * Jobs that commit meanwhile have entries of their own, or their pages are marked and read later.
 * One transaction at a time, by a lock of the caller's; it may do so again.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

bool Dispatcher::is_withheld(const Queue& q) noexcept {
  return q.withheld == Withheld::reading || q.withheld == Withheld::deciding;
}

/* But for the long sleepers in parked. A job of a slot that sleeps is not made resident by a loader
 * that finds it, and its queue is live all the same; and so it is when a prepared transaction has
 * committed and the housekeeper does not know yet. */
bool Dispatcher::keeps_all_resident(const Queue& q) const noexcept {
  return q.mode == LoadMode::live && q.has_sleepers == 0 && !has_watches(q.database);
}

bool Dispatcher::withhold(QueueRef ref, bool again, bool* all_resident) noexcept {
  if (ref.queue == kNone) return false;
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  const bool as_expected = again ? q.withheld == Withheld::deciding : !is_withheld(q);
  if (q.incarnation != ref.incarnation || q.state != QueueState::active || !as_expected)
    return false;
  q.withheld = Withheld::reading;
  *all_resident = keeps_all_resident(q);
  return true;
}

void Dispatcher::stop_reading(QueueRef ref) noexcept { end_withholding(ref, Withheld::deciding); }

void Dispatcher::let_go(QueueRef ref) noexcept { end_withholding(ref, Withheld::no); }

void Dispatcher::end_withholding(QueueRef ref, Withheld next) noexcept {
  bool more = true;
  while (more) {
    QueueLock hold(*this, ref.queue);
    Queue& q = queue(ref.queue);
    if (q.incarnation != ref.incarnation) return;
    q.withheld = next == Withheld::no && q.chunk_active != 0 ? Withheld::ended : next;
    more = q.chunk_active == 0 && free_tombstones(q);
    if (!more && next == Withheld::no) hold.wake_housekeeper(q.database);
  }
}

bool Dispatcher::is_resident(QueueRef ref, JobId id) noexcept {
  const QueueLock hold(*this, ref.queue);
  const Queue& q = queue(ref.queue);
  return q.incarnation != ref.incarnation || hash_has(q.database, ref.queue, id);
}

void Dispatcher::publish_purged(Index database, QueueId id, Token first, std::uint32_t n) noexcept {
  const Index index = find_queue(database, id);
  if (index == kNone) return;
  {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id || q.database != database) return;
    count_purged(hold, q, first, n);
    q.counters.cancelled += n;
  }
  /* Whoever waits for the end of one of them looks again. */
  wake_all_awaiting(database);
}

/* --- listing ---------------------------------------------------------------------------------- */

namespace {

bool is_listed(const Entry& e, const ListWish& wish) noexcept {
  if (wish.one_key && e.key_hash != wish.key_hash) return false;
  switch (e.state) {
    case EntryState::ready:
      return !wish.retrying;
    case EntryState::gated:
      return !wish.retrying || (e.attempts > 0 && e.at_once == 0);
    case EntryState::delayed:
      return !wish.retrying || e.attempts > 0;
    case EntryState::leased:
      return wish.leased && e.lapsed == Lapse::none;
    case EntryState::completing:
      return !wish.retrying && (wish.leased || e.worker == kNone);
    default:
      return false;
  }
}

}  // namespace

std::uint32_t Dispatcher::list_jobs(QueueRef ref, const ListWish& wish, Index* position,
                                    ListedJob* out) noexcept {
  std::uint32_t n = 0;
  const QueueLock hold(*this, ref.queue);
  if (queue(ref.queue).incarnation != ref.incarnation) {
    *position = arena_->capacity;
    return 0;
  }
  const Index end = *position + std::min(kEntriesPerHold, arena_->capacity - *position);
  for (; *position < end; ++*position) {
    const Entry& e = entry(*position);
    if (e.queue != ref.queue || !is_listed(e, wish)) continue;
    out[n++] = ListedJob{e.id, e.block, e.offset, e.segment};
  }
  return n;
}

bool Dispatcher::keeps_all(QueueRef ref, std::uint64_t* given_up) const noexcept {
  const QueueLock hold(*this, ref.queue);
  const Queue& q = queue(ref.queue);
  *given_up = q.given_up;
  return q.incarnation == ref.incarnation && keeps_all_resident(q);
}

}  // namespace dw::core
