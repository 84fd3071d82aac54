#include "core/expiry_walk.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

namespace {

/* A step ends after so many entries, or so much time. */
constexpr Index kMostEntries = 32768;
constexpr Index kEntriesAtOnce = 1024;
constexpr Micros kLongestStep = 2 * kMillisecond;
constexpr Micros kRestForWork = 9;
/* Entries of one queue looked at in one lock hold. */
constexpr Index kMostInHold = 64;

}  // namespace

void ExpiryWalk::reset() noexcept {
  position_ = kIdle;
  dispatcher_->lower_next_expiry(database_, kAlways);
}

/* Under the queue lock. Returns when it will expire. */
Micros ExpiryWalk::look_at(Queue& q, Entry& e, Micros now) noexcept {
  if (e.expires_at == 0 || e.state == EntryState::tombstone) return kNever;
  if (!has_expired(e.expires_at, now)) return expiry_time(e.expires_at);
  if (e.state == EntryState::ready || e.state == EntryState::delayed ||
      e.state == EntryState::gated) {
    dispatcher_->leave_tree(q, e);
    dispatcher_->make_overdue(q, e, Lapse::expired);
  }
  return kNever;
}

/* Looks at the entry, and at those behind it that the same lock protects; returns where to go on.
 */
Index ExpiryWalk::visit(Index from, Index end, Micros now) noexcept {
  const Index index = dispatcher_->entry(from).queue;
  if (index == kNoQueue || dispatcher_->queue(index).database != database_) return from + 1;
  const QueueLock hold(*dispatcher_, index);
  Queue& q = dispatcher_->queue(index);
  const bool ours = q.database == database_ && q.state != QueueState::free;
  Index i = from;
  for (; i < end && i - from < kMostInHold; i++) {
    Entry& e = dispatcher_->entry(i);
    if (e.expires_at == 0) continue;
    if (e.queue != index) break;
    if (ours) earliest_ = std::min(earliest_, look_at(q, e, now));
  }
  /* It went to another queue meanwhile, and lowers next_expiry there. */
  return std::max(i, from + 1);
}

void ExpiryWalk::step() noexcept {
  const Platform& platform = dispatcher_->platform();
  const Micros begun = platform.monotonic_now();
  const Micros now = platform.wall_now();
  if (begun < not_before_) return;
  if (position_ == kIdle) {
    if (database().next_expiry.load() > now) return;
    database().next_expiry.store(kNever, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    position_ = 0;
    earliest_ = kNever;
  }
  const Index capacity = dispatcher_->arena().capacity;
  const Index most = std::min(capacity - position_, kMostEntries) + position_;
  while (position_ < most) {
    const Index end = std::min(most, position_ + kEntriesAtOnce);
    while (position_ < end) {
      position_ = dispatcher_->entry(position_).expires_at == 0 ? position_ + 1
                                                                : visit(position_, end, now);
    }
    if (platform.monotonic_now() - begun >= kLongestStep) break;
  }
  if (position_ >= capacity) {
    position_ = kIdle;
    dispatcher_->lower_next_expiry(database_, earliest_);
  }
  const Micros ended = platform.monotonic_now();
  not_before_ = ended + kRestForWork * (ended - begun);
}

Micros ExpiryWalk::pause() const noexcept {
  const Platform& platform = dispatcher_->platform();
  const Micros monotonic = platform.monotonic_now();
  const Micros rest = not_before_ > monotonic ? not_before_ - monotonic : 0;
  if (position_ != kIdle) return rest;
  const Micros next = database().next_expiry.load();
  if (next == kNever) return kNever;
  const Micros now = platform.wall_now();
  return next > now ? std::max(next - now, rest) : rest;
}

}  // namespace dw::core
