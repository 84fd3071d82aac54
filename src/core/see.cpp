/* What views and explain functions read: copies made under the queue lock. */
#include "core/queue_lock.hpp"

#include <cstring>

namespace dw::core {

namespace {

Micros wall_of(Micros monotonic_deadline, Micros wall, Micros monotonic) noexcept {
  if (monotonic_deadline == kNever || monotonic_deadline == kAlways) return monotonic_deadline;
  return wall + (monotonic_deadline - monotonic);
}

}  // namespace

void Dispatcher::fill_lease(const Queue& q, const Entry& e, Micros wall, Micros monotonic,
                            LeaseRow* out) const noexcept {
  out->id = e.id;
  out->token = e.token;
  out->leased_at = wall_of(e.leased_at, wall, monotonic);
  out->deadline = e.lapsed != Lapse::none ? wall : wall_of(e.at, wall, monotonic);
  out->queue = q.id;
  out->attempt = e.attempts;
  out->state = e.state;
  out->holder = e.worker;
  std::memcpy(out->worker, arena_->workers[e.worker].name, kWorkerNameSize);
}

bool Dispatcher::see_job(Index database, QueueId queue_id, JobId id, ResidentRow* out) noexcept {
  Index index = kNone;
  Entry* e = lock_job(database, id, 0, queue_id, &index);
  if (e == nullptr) return false;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  const Queue& q = queue(index);
  const Micros wall = platform_->wall_now();
  *out = ResidentRow{};
  out->state = e->state;
  out->token = e->token;
  out->attempts = e->attempts;
  out->segment = e->segment;
  out->paused = q.options.paused;
  out->key_is_limited =
      e->waits_for_key != 0 || (e->state == EntryState::gated && waits_for_limit(q, *e));
  out->lapsed = e->lapsed;
  out->holder = e->worker;
  if (e->worker != kNone) {
    const Micros monotonic = platform_->monotonic_now();
    out->leased_at = wall_of(e->leased_at, wall, monotonic);
    out->deadline = e->lapsed != Lapse::none ? wall : wall_of(e->at, wall, monotonic);
    std::memcpy(out->worker, arena_->workers[e->worker].name, kWorkerNameSize);
  } else {
    out->due = e->at_once != 0 && e->waits_for_key == 0 ? kAlways : e->at;
  }
  return e->state != EntryState::busy;
}

QueueId Dispatcher::queue_of(Index database, JobId id, Token token) noexcept {
  Index index = kNone;
  const Entry* const e = lock_job(database, id, token, 0, &index);
  if (e == nullptr) return 0;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  return queue(index).id;
}

QueueId Dispatcher::queue_of(EntryRef ref) noexcept {
  Index index = kNone;
  const Entry* const e = lock_ref(ref, &index);
  if (e == nullptr) return 0;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  return queue(index).id;
}

bool Dispatcher::see_lease(EntryRef ref, Index worker, LeaseRow* out) noexcept {
  Index index = kNone;
  const Entry* const e = lock_ref(ref, &index);
  if (e == nullptr) return false;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->worker != worker || e->state != EntryState::leased || e->lapsed != Lapse::none)
    return false;
  const Micros wall = platform_->wall_now();
  fill_lease(queue(index), *e, wall, platform_->monotonic_now(), out);
  return true;
}

std::uint32_t Dispatcher::see_leases(Index queue_index, QueueId id, LeaseRow* out,
                                     std::uint32_t n) noexcept {
  const QueueLock hold(*this, queue_index);
  const Queue& q = queue(queue_index);
  if (q.state == QueueState::free || q.id != id) return 0;
  const Micros wall = platform_->wall_now();
  const Micros monotonic = platform_->monotonic_now();
  std::uint32_t count = 0;
  for (auto e = q.leased.begin(); e != q.leased.end(); ++e) {
    if (e->state == EntryState::cancelled || e->worker == kNone) continue;
    if (count < n) fill_lease(q, *e, wall, monotonic, &out[count]);
    count++;
  }
  return count;
}

}  // namespace dw::core
