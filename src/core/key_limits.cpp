/*
 * Limits of keys: how many jobs of one key of a queue may be in flight, and how many may start in a
 * time. Jobs without a key are not limited by them.
 *
 * Places and tokens. A key that has jobs in flight, or whose bucket is not what it would be without
 * a record, has a record (limited_keys.cpp). A lease counts in it from the hand-out until it gives
 * its place back (Entry.counted_for_key), so this count, too, is nothing but the number of such
 * entries. Where at most one job of a key is in flight anyway, in an ordered queue, nothing is
 * counted.
 *
 * What a limit holds back does not lie in the way of other keys' jobs, and nobody looks at it again
 * and again. Whatever is about to become ready, or is popped, of a key that may not start one:
 *
 *   no place: it hangs in `gated`, by key, without a turn. The end of a lease of the key brings one
 *             back, the first by priority and id.
 *   no token: it is delayed until the key's next one, and has the key's turn meanwhile; if another
 *             has the turn, it hangs in `gated`. So there is one timer a key, however many wait.
 *
 * Of an ordered queue the job that has the turn keeps it, whatever it waits for: it is delayed, and
 * for good if the limit is 0.
 *
 * The rule that keeps every job moving, in queues that are not ordered: if jobs of a key hang in
 * `gated` and there is a place for one, then a job of the key has the turn, and is ready or
 * delayed. Only one has it, so what came back and finds the last place taken is one job. Whoever
 * changes what the rule speaks of restores it in the same lock hold: who starts a job
 * (start_of_key), who ends a lease (leave_key), and who takes the job away that has the turn
 * (end_turn). A new limit is settled key by key after it is in force; meanwhile too little may
 * start, never too much.
 *
 * In flight before the limit. Leases that are out when the first limit is set do not count for
 * their keys yet. They are counted a chunk a lock hold, and until counted_places is in_flight
 * nothing is handed out. Once the limit is gone new leases do not count; those that did end as they
 * would.
 *
 * No record to be had: a job that would need one waits for a moment and tries again.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* --- what may start --------------------------------------------------------------------------- */

Dispatcher::KeyStart Dispatcher::key_start(const Queue& q, std::uint32_t key_hash,
                                           std::uint32_t key_check) const noexcept {
  const std::uint32_t most = q.limits.key_max_in_flight;
  if (most == 0) return KeyStart{KeyWait::place, kNever};
  const LimitedKey* const key = find_key(q, key_hash, key_check);
  if (q.counts_keys != 0 && key != nullptr && key->in_flight >= most)
    return KeyStart{KeyWait::place, kNever};
  if (q.limits.key_rate.jobs == 0) return KeyStart{KeyWait::none, kAlways};
  TokenBucket bucket = tokens_of(q, key);
  const Micros now = platform_->monotonic_now();
  bucket.fill(now);
  if (bucket.tokens() > 0) return KeyStart{KeyWait::none, kAlways};
  return KeyStart{KeyWait::token, platform_->wall_now() + (bucket.next() - now)};
}

/* Of a gated job: not for an earlier one of an ordered queue, nor for its round of a fair one. */
bool Dispatcher::waits_for_limit(const Queue& q, const Entry& e) const noexcept {
  return q.keys_limited != 0 && !q.options.ordered &&
         key_start(q, e.key_hash, e.key_check).wait != KeyWait::none;
}

/* Of a job that is in no tree and about to become ready; false: it waits for its key now. */
bool Dispatcher::key_lets_start(Queue& q, Entry& e) noexcept {
  const KeyStart start = key_start(q, e.key_hash, e.key_check);
  if (start.wait == KeyWait::none) return true;
  keep_for_key(q, e, start);
  return false;
}

void Dispatcher::keep_for_key(Queue& q, Entry& e, const KeyStart& start) noexcept {
  const bool keeps_turn = q.options.ordered || start.wait == KeyWait::token;
  if (e.has_turn != 0 && !keeps_turn) take_turn_from(e);
  if (keeps_turn && e.has_turn == 0 && turn_of(e) == nullptr) give_turn(e);
  if (e.has_turn == 0) {
    e.state = EntryState::gated;
    gate_add(q, e, Gate::waits_for_turn);
    return;
  }
  /* It is due, whatever becomes of it: this is no due time of its own. */
  e.at = start.at;
  e.at_once = 1;
  e.waits_for_key = 1;
  delayed_add(q, e);
}

/* Of a job that was popped: it takes a place and a token of its key, and is handed out next. */
bool Dispatcher::start_of_key(Queue& q, Entry& e) noexcept {
  if (!key_lets_start(q, e)) return false;
  const bool takes_token = q.limits.key_rate.jobs != 0;
  LimitedKey* const key = find_or_make_key(q, e);
  if (key == nullptr) {
    const Micros now = platform_->wall_now();
    if (now - q.short_of_keys >= kPauseForRecord) ask_for_keys();
    q.short_of_keys = now;
    keep_for_key(q, e, KeyStart{KeyWait::token, now + kPauseForRecord});
    return false;
  }
  if (q.counts_keys != 0) {
    key->in_flight++;
    count_without_key(q, e);
  }
  if (takes_token) take_token_of(q, *key);
  if (e.has_turn != 0 && !q.options.ordered) take_turn_from(e);
  settle_key(q, e);
  return true;
}

/* Restores the rule for the key of that entry. */
void Dispatcher::settle_key(Queue& q, const Entry& of) noexcept {
  if (q.options.ordered) return;
  Entry* const first = turn_of(of);
  const bool limited = q.keys_limited != 0;
  if (limited && key_start(q, of.key_hash, of.key_check).wait == KeyWait::place) {
    if (first != nullptr && first->state == EntryState::ready) step_back(q, *first);
  } else if (first == nullptr) {
    pass_turn(q, of);
  }
}

/* --- places ----------------------------------------------------------------------------------- */

void Dispatcher::count_without_key(Queue& q, Entry& e) noexcept {
  e.counted_for_key = 1;
  q.counted_places++;
}

/* Of a lease that is out; false: there is no record to be had. */
bool Dispatcher::count_for_key(Queue& q, Entry& e) const noexcept {
  if (e.key_check != 0) {
    LimitedKey* const key = find_or_make_key(q, e);
    if (key == nullptr) return false;
    key->in_flight++;
  }
  count_without_key(q, e);
  return true;
}

/* The lease is over, and so is its place. */
void Dispatcher::leave_key(Queue& q, Entry& e) noexcept {
  e.counted_for_key = 0;
  q.counted_places--;
  if (e.key_check == 0) return;
  LimitedKey* const key = find_key(q, e.key_hash, e.key_check);
  key->in_flight--;
  if (says_nothing(q, *key)) free_key(q, *key);
  if (q.keys_limited != 0) settle_key(q, e);
}

/* --- limits come and go ----------------------------------------------------------------------- */

/* From here on they are in force. */
void Dispatcher::begin_key_limits(Queue& q, const OwnLimits& limits, Micros now) noexcept {
  if (q.limits.key_rate != limits.key_rate) {
    q.key_era++;
    q.keys_since = now;
  }
  const bool has_places = limits.key_max_in_flight != kUnlimited;
  const bool has_rate = limits.key_rate.jobs != 0;
  q.counts_keys = has_places && !q.options.ordered ? 1 : 0;
  /* One at a time is not more than any other limit. */
  const bool holds_places = q.options.ordered ? limits.key_max_in_flight == 0 : has_places;
  q.keys_limited = holds_places || has_rate ? 1 : 0;
}

/* What it has in flight counts for its keys. One that is extended may move behind the place where
 * the walk is, so it goes on until all are counted. */
void Dispatcher::count_leases(Index index, QueueId id) noexcept {
  Entry place{};
  bool from_start = true;
  for (;;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id || !is_counting_keys(q)) return;
    auto at = from_start ? q.leased.begin() : q.leased.upper_bound(place);
    for (std::uint32_t i = 0; i < kEntriesPerHold && at != q.leased.end(); i++, ++at) {
      if (at->holds_place != 0 && at->counted_for_key == 0 && !count_for_key(q, *at)) return;
      place.at = at->at;
      place.priority = at->priority;
      place.id = at->id;
    }
    from_start = at == q.leased.end();
  }
}

/* What waits for a token of another rate, or for a limit that was 0, is due now. */
void Dispatcher::look_at_key_waits(Index index, QueueId id) noexcept {
  const Micros now = platform_->wall_now();
  Entry place{};
  place.at = now;
  place.priority = kLowestPriority;
  place.id = kNever;
  bool more = true;
  while (more) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id || q.key_waits == 0) return;
    auto next = q.delayed.upper_bound(place);
    for (std::uint32_t i = 0; i < kEntriesPerHold && next != q.delayed.end(); i++) {
      Entry& e = *next;
      ++next;
      place.at = e.at;
      place.priority = e.priority;
      place.id = e.id;
      if (e.waits_for_key == 0) continue;
      q.delayed.remove(e);
      e.at = now;
      q.delayed.insert(e);
    }
    more = next != q.delayed.end();
  }
}

/* Each key that has jobs behind its turn; without a limit and without turns all of them go on. */
void Dispatcher::settle_keys(Index index, QueueId id) noexcept {
  Entry place{};
  place.leased_at = kAlways;
  for (bool more = true; more;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id || q.options.ordered) return;
    const bool lets_all = q.keys_limited == 0 && !q.options.fair;
    for (std::uint32_t i = 0; i < kEntriesPerHold && more; i++) {
      const auto next = lets_all ? q.gated.begin() : q.gated.upper_bound(place);
      more = next != q.gated.end();
      if (!more) break;
      Entry& e = *next;
      if (lets_all) {
        gate_remove(q, e);
        make_waiting(q, e, due_of(e), platform_->wall_now());
        if (e.state == EntryState::ready) q.turns_passed++;
        continue;
      }
      place.key_hash = e.key_hash;
      place.key_check = e.key_check;
      place.leased_at = kNever;
      settle_key(q, e);
    }
  }
}

void Dispatcher::key_limits_changed(Index index, QueueId id) noexcept {
  count_leases(index, id);
  look_at_key_waits(index, id);
  settle_keys(index, id);
  const Micros now = platform_->wall_now();
  for (bool more = true; more;) {
    QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id) return;
    promote_due(q, now);
    more = !q.delayed.empty() && q.delayed.begin()->at <= now;
    wake_for_work(hold, index, hold.waiter_room());
  }
  drop_idle_keys_of(index, id);
}

}  // namespace dw::core
