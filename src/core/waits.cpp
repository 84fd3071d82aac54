/*
 * Why jobs of a queue wait. Counters are read under one hold of the queue lock. What has to be
 * counted entry by entry (leases, and delayed jobs whose time has come) is walked a chunk to a
 * hold, so a claim beside it waits for one chunk at most; what moves meanwhile may be counted twice
 * or not at all. Nothing is changed here, not even what has come due: whoever makes a job ready
 * owes its waiters a wake.
 */
#include "core/waits.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* Visits entries of one of the time trees until visit returns false; false if the queue is gone. */
template <typename Visit>
bool Dispatcher::walk_by_time(Index index, QueueId id, TimeTree Queue::*tree,
                              Visit visit) noexcept {
  Entry place{};
  bool from_start = true;
  for (;;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id) return false;
    TimeTree& entries = q.*tree;
    auto at = from_start ? entries.begin() : entries.upper_bound(place);
    for (std::uint32_t i = 0; i < kEntriesPerHold; i++, ++at) {
      if (at == entries.end() || !visit(q, *at)) return true;
      place.at = at->at;
      place.priority = at->priority;
      place.id = at->id;
    }
    from_start = false;
  }
}

void Dispatcher::count_delayed(Index index, QueueId id, QueueWaits* out) noexcept {
  const Micros now = platform_->wall_now();
  std::uint32_t looked_at = 0;
  walk_by_time(index, id, &Queue::delayed, [&](const Queue&, const Entry& e) noexcept {
    if (e.waits_for_key != 0) {
      out->next_token = std::min(out->next_token, e.at);
      looked_at += e.at > now ? 1 : 0;
      return looked_at < kEntriesPerHold;
    }
    const bool retry = e.attempts > 0;
    if (e.at <= now) {
      std::uint32_t& counted_as = retry ? out->retrying : out->later;
      if (counted_as > 0) counted_as--;
      out->ready++;
      out->oldest_due = std::min(out->oldest_due, e.at);
      return true;
    }
    Micros& next = retry ? out->next_retry : out->next_due;
    next = std::min(next, e.at);
    looked_at++;
    return looked_at < kEntriesPerHold && (out->next_retry == kNever || out->next_due == kNever);
  });
}

void Dispatcher::count_leased(Index index, QueueId id, QueueWaits* out) noexcept {
  const Micros wall = platform_->wall_now();
  const Micros monotonic = platform_->monotonic_now();
  walk_by_time(index, id, &Queue::leased, [&](const Queue& q, const Entry& e) noexcept {
    if (e.state == EntryState::cancelled) return true;
    if (e.state == EntryState::completing) {
      out->deciding++;
    } else if (e.state != EntryState::leased || e.worker == kNone || e.lapsed != Lapse::none) {
      out->ending++;
    } else {
      if (out->held == 0) fill_lease(q, e, wall, monotonic, &out->first_to_end);
      out->held++;
    }
    return true;
  });
}

void Dispatcher::count_gated(Index index, QueueId id, QueueWaits* out) noexcept {
  Entry place{};
  bool from_start = true;
  std::uint32_t behind = 0;
  for (;;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id) return;
    auto at = from_start ? q.gated.begin() : q.gated.upper_bound(place);
    bool blocked = false;
    for (std::uint32_t i = 0; i < kEntriesPerHold; i++, ++at) {
      if (at == q.gated.end()) {
        out->key_blocked = std::min(behind, out->key_busy);
        out->key_busy -= out->key_blocked;
        return;
      }
      if (i == 0 || at->key_hash != place.key_hash || at->key_check != place.key_check) {
        const Entry* const first = turn_of(*at);
        blocked = first != nullptr && first->state == EntryState::blocked;
      }
      behind += blocked && at->state == EntryState::gated ? 1 : 0;
      place.key_hash = at->key_hash;
      place.key_check = at->key_check;
      place.id = at->id;
    }
    from_start = false;
  }
}

/* What limits of keys hold back; of a fair queue others wait for their round, which is no reason.
 */
void Dispatcher::count_key_waits(Index index, QueueId id, QueueWaits* out) noexcept {
  Entry place{};
  place.leased_at = kAlways;
  KeyWait wait = KeyWait::none;
  for (bool more = true; more;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id || q.options.ordered) return;
    auto at = q.gated.upper_bound(place);
    for (std::uint32_t i = 0; i < kEntriesPerHold && at != q.gated.end(); i++, ++at) {
      if (i == 0 || at->key_hash != place.key_hash || at->key_check != place.key_check)
        wait = key_start(q, at->key_hash, at->key_check).wait;
      (wait == KeyWait::place   ? out->key_places
       : wait == KeyWait::token ? out->key_tokens
                                : out->ready)++;
      place.key_hash = at->key_hash;
      place.key_check = at->key_check;
      place.leased_at = at->leased_at;
      place.id = at->id;
    }
    more = at != q.gated.end();
  }
}

bool Dispatcher::queue_waits(Index index, QueueId id, QueueWaits* out) noexcept {
  *out = QueueWaits{};
  out->next_token = kNever;
  out->next_due = kNever;
  out->next_retry = kNever;
  bool limits_keys = false;
  {
    const QueueLock hold(*this, index);
    const Queue& q = queue(index);
    if (q.state == QueueState::free || q.id != id) return false;
    std::uint32_t tombstones = 0;
    for (Index i = q.first_tombstone; i != kNone; i = entry(i).next_of_worker) tombstones++;
    out->mode = q.mode;
    out->paused = q.options.paused;
    out->open = q.database != kNone && arena_->databases[q.database].state == DatabaseState::open;
    out->ready = q.ready_count;
    out->unowned = ready_unowned(q);
    out->retrying = q.retrying;
    out->later = q.delayed_count - q.retrying - q.key_waits;
    limits_keys = q.keys_limited != 0;
    (q.limits.key_max_in_flight == 0 ? out->key_places : out->key_tokens) = q.key_waits;
    out->counting_keys = is_counting_keys(q);
    out->short_of_keys = q.short_of_keys;
    /* Entries that hang in no tree: a transaction is deciding or enqueuing them. */
    out->deciding = q.resident - q.ready_count - q.delayed_count - q.leased_count - tombstones -
                    q.waiting_turn - q.blocked_count;
    out->blocked_keys = q.blocked_count + q.aside_count;
    out->key_busy = q.options.ordered ? q.waiting_turn : 0;
    if (!q.options.ordered && !limits_keys) out->ready += q.waiting_turn;
    out->waiters = has_sleeper_for_work(q) ? q.waiter_count : 0;
    out->oldest_due = ready_oldest_due(q);
    out->last_claim = q.last_claim;
    out->last_handed_out = q.last_handed_out;
    out->short_of_room = q.short_of_room != 0 || q.waits_for_room != 0;
    out->counted = is_counted(q);
    const std::int64_t in_memory = std::int64_t{q.ready_count} + q.delayed_count + q.deciding +
                                   q.leased_count - q.cancelled + q.waiting_turn;
    const std::int64_t unfinished = q.length.before + q.length.since;
    out->on_disk = std::max<std::int64_t>(0, unfinished - in_memory);
  }
  if (limits_keys) count_key_waits(index, id, out);
  count_delayed(index, id, out);
  count_leased(index, id, out);
  if (out->blocked_keys > 0) count_gated(index, id, out);
  return true;
}

}  // namespace dw::core
