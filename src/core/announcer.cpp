#include "core/announcer.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

/* Commits read the interval under a queue's lock. Whoever read the old one is met by the look that
 * follows, which takes the same lock. */
void Announcer::set_interval(Micros interval) noexcept {
  interval_ = interval;
  dispatcher_->arena().databases[database_].announce_interval.store(interval);
  if (interval == 0) next_ = kNever;
}

void Announcer::look_at(Index index, Micros now) {
  const Queue& q = dispatcher_->queue(index);
  /* Read without the lock: what comes meanwhile wakes this process. */
  if (q.state != QueueState::active || q.database != database_ ||
      (q.ready_count == 0 && q.gated_count == 0 && q.delayed_count == 0))
    return;
  const QueueRef ref = dispatcher_->queue_ref(index);
  const Told& told = told_[index];
  const Micros due = told.any && told.incarnation == ref.incarnation ? told.at + interval_ : now;
  if (!dispatcher_->calls_for_work(ref)) return;
  if (due > now) {
    next_ = std::min(next_, due);
    return;
  }
  next_ = std::min(next_, now + interval_);
  Call call{ref, {}};
  {
    const QueueLock hold(*dispatcher_, index);
    if (!dispatcher_->queue_matches(ref)) return;
    std::memcpy(call.name, q.name, sizeof call.name);
  }
  calls_.push_back(call);
}

const std::vector<Announcer::Call>& Announcer::look() {
  calls_.clear();
  next_ = kNever;
  if (interval_ == 0) return calls_;
  const Micros now = dispatcher_->platform().monotonic_now();
  for (Index i = 0; i < kMostQueues; i++) look_at(i, now);
  return calls_;
}

void Announcer::told() noexcept {
  const Micros now = dispatcher_->platform().monotonic_now();
  for (const Call& call : calls_) told_[call.queue.queue] = Told{call.queue.incarnation, true, now};
  calls_.clear();
}

}  // namespace dw::core
