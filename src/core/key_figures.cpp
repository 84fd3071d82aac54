/*
 * A key as an operator sees it: the job that comes next, what is behind it, and what the limits of
 * the key let start.
 *
 * In an ordered queue the job that comes next has the turn, whatever becomes of it, and the others
 * hang behind it: both are found without a search. In any other queue jobs of a key may lie
 * anywhere, and several may be in flight, so all entries are walked, a chunk a lock hold; what
 * moves meanwhile may be counted twice or not at all.
 */
#include "core/limit_group.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

namespace {

/* What comes next of a key is a job of the first of these that it has any of. */
enum class Nearness : std::uint8_t { due, later, held, ending, deciding, none };

Nearness nearness_of(const Entry& e, Micros due, Micros now) noexcept {
  switch (e.state) {
    case EntryState::ready:
      return Nearness::due;
    case EntryState::delayed:
    case EntryState::gated:
      return due <= now || e.waits_for_key != 0 ? Nearness::due : Nearness::later;
    case EntryState::leased:
    case EntryState::cancelled:
      return e.worker != kNone ? Nearness::held : Nearness::ending;
    case EntryState::expiring:
    case EntryState::overdue:
      return Nearness::ending;
    case EntryState::pending:
    case EntryState::completing:
    case EntryState::busy:
      return Nearness::deciding;
    default:
      return Nearness::none;
  }
}

/* The turn counts before priority: what has it waits for a token that is its own, or is ready while
 * the others wait for their round. */
KeyLook::Rank rank_of(const Entry& e, Nearness nearness) noexcept {
  const bool by_time = nearness == Nearness::later || nearness == Nearness::held;
  const int place = by_time || e.has_turn != 0 ? 0 : e.state == EntryState::ready ? 1 : 2;
  return {static_cast<int>(nearness), place, by_time ? e.at : kAlways, e.priority, e.id};
}

}  // namespace

bool Dispatcher::look_at_key(Index index, QueueId id, KeyLook* look) noexcept {
  const QueueLock hold(*this, index);
  const Queue& q = queue(index);
  if (q.state == QueueState::free || q.id != id) return false;
  const bool more = q.options.ordered ? look_behind_turn(index, look) : look_for_key(index, look);
  if (!more) look_at_limits(q, look);
  return more;
}

/* As what comes next. */
void Dispatcher::look_at_first(const Entry& e, KeyFigures* out) const noexcept {
  const Micros now = platform_->wall_now();
  out->first = e.id;
  out->state = e.state;
  out->waits_for_key = e.waits_for_key != 0;
  out->at = e.state == EntryState::blocked ? kNever
            : e.waits_for_key != 0         ? e.at
            : e.worker == kNone            ? due_of(e)
                                           : now + (e.at - platform_->monotonic_now());
  out->first_is_due = nearness_of(e, due_of(e), now) == Nearness::due;
}

bool Dispatcher::look_behind_turn(Index index, KeyLook* look) noexcept {
  KeyFigures& out = look->figures;
  const Entry* const first = turn_of(index, look->key_hash, look->key_check);
  if (first != nullptr) {
    look_at_first(*first, &out);
    out.in_flight = first->holds_place;
  }
  Entry place{};
  place.key_hash = look->key_hash;
  place.key_check = look->key_check;
  place.id = look->behind;
  const KeyTree& gated = queue(index).gated;
  auto next = gated.upper_bound(place);
  for (std::uint32_t i = 0; i < kEntriesPerHold; i++, ++next) {
    if (next == gated.end() || next->key_hash != look->key_hash ||
        next->key_check != look->key_check)
      return false;
    out.waiting++;
    look->behind = next->id;
  }
  return true;
}

bool Dispatcher::look_for_key(Index index, KeyLook* look) noexcept {
  KeyFigures& out = look->figures;
  const Micros now = platform_->wall_now();
  const Index end = look->position + std::min(kEntriesPerHold, arena_->capacity - look->position);
  for (; look->position < end; look->position++) {
    const Entry& e = entry(look->position);
    if (e.queue != index || e.key_hash != look->key_hash || e.key_check != look->key_check)
      continue;
    const Nearness nearness = nearness_of(e, due_of(e), now);
    if (nearness == Nearness::none) continue;
    out.in_flight += e.holds_place;
    const bool waits = nearness == Nearness::due || nearness == Nearness::later;
    out.waiting += waits ? 1 : 0;
    const KeyLook::Rank rank = rank_of(e, nearness);
    if (out.first != 0 && look->first <= rank) continue;
    look->first = rank;
    look_at_first(e, &out);
  }
  if (end < arena_->capacity) return true;
  if (out.waiting > 0) out.waiting--; /* the first one */
  return false;
}

void Dispatcher::look_at_limits(const Queue& q, KeyLook* look) const noexcept {
  KeyFigures& out = look->figures;
  out.max_in_flight = q.limits.key_max_in_flight;
  out.limited = out.max_in_flight != kUnlimited || q.limits.key_rate.jobs != 0;
  if (!out.limited) return;
  const LimitedKey* const key = find_key(q, look->key_hash, look->key_check);
  if (q.counts_keys != 0 && !is_counting_keys(q))
    out.in_flight = key == nullptr ? 0 : key->in_flight;
  const std::uint32_t most =
      q.options.ordered ? std::min(out.max_in_flight, 1U) : out.max_in_flight;
  out.available = left_of(most, out.in_flight);
  out.next = kNever;
  if (is_counting_keys(q)) {
    out.available = 0;
    out.hindrance = KeyHindrance::counting;
  } else if (out.available == 0) {
    out.hindrance = KeyHindrance::place;
  } else if (q.limits.key_rate.jobs != 0) {
    TokenBucket bucket = tokens_of(q, key);
    const Micros now = platform_->monotonic_now();
    bucket.fill(now);
    out.available = std::min(out.available, bucket.tokens());
    if (out.available == 0) {
      out.hindrance = KeyHindrance::token;
      out.next = platform_->wall_now() + (bucket.next() - now);
    }
  }
  const Micros now = platform_->wall_now();
  if (out.hindrance != KeyHindrance::none || !out.waits_for_key || out.at <= now) return;
  const bool is_short = q.short_of_keys != 0 && now - q.short_of_keys <= kPauseForRecord;
  out.available = 0;
  out.hindrance = is_short ? KeyHindrance::record : KeyHindrance::token;
  out.next = out.at;
}

}  // namespace dw::core
