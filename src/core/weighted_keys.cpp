/*
 * Weights of keys of fair queues: a key of weight w gets up to w jobs a round, any other key one.
 *
 * A record says how many jobs of its key were handed out in the round of the last one. The next job
 * of the key comes in the same round while these are fewer than the weight, and in the round after
 * the one that was served last otherwise; so a round serves each key that has work up to its
 * weight, and ends as soon as nothing is left of it. What a key did not use is gone with the round:
 * one that comes after it begins with the next. Only the job that follows at once on one that is
 * being handed out stays in the round of that one, even if others are further: workers that own
 * keys go on at different speeds, and a key would lose its share to those of the others.
 *
 * Records are found by a hash, whose chains are under stripes, and come from a pool of the server
 * under kLimitsLock; what they say is under the queue lock. The table durable_work.key_weight says
 * the same durably. Until it was read all keys count the same: nothing but shares depends on it.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr std::uint32_t kMask = kMostWeightedKeys - 1;
static_assert((kMostWeightedKeys & kMask) == 0);

std::uint32_t mix(std::uint32_t key_hash, std::uint32_t key_check, Index queue) noexcept {
  std::uint32_t hash = key_hash ^ key_check * 0xC2B2AE35U ^ queue * 0x9E3779B9U;
  hash ^= hash >> 16;
  hash *= 0x7FEB352DU;
  return hash ^ hash >> 15;
}

}  // namespace

/* --- rounds ----------------------------------------------------------------------------------- */

/* Of a job that becomes ready. */
Micros Dispatcher::next_round(const Queue& q, const Entry& e) const noexcept {
  const Micros next = q.round + 1;
  if (q.weighted_keys == 0) return next;
  const WeightedKey* const key = find_weighted_key(q, e.key_hash, e.key_check);
  if (key == nullptr || key->served >= key->weight) return next;
  const bool follows_at_once = q.served_key == static_cast<Index>(key - arena_->weighted_keys) + 1;
  return follows_at_once || key->round == q.round ? key->round : next;
}

/* The job was popped; nullptr: its key has no weight. */
WeightedKey* Dispatcher::begin_serving(Queue& q, const Entry& e) const noexcept {
  WeightedKey* const key = find_weighted_key(q, e.key_hash, e.key_check);
  if (key == nullptr) return nullptr;
  if (key->round != e.leased_at) {
    key->round = e.leased_at;
    key->served = 0;
  }
  q.served_key = static_cast<Index>(key - arena_->weighted_keys) + 1;
  return key;
}

/* --- records ---------------------------------------------------------------------------------- */

WeightedKey* Dispatcher::find_weighted_key(const Queue& q, std::uint32_t key_hash,
                                           std::uint32_t key_check) const noexcept {
  if (key_check == 0) return nullptr;
  const auto self = static_cast<Index>(&q - arena_->queues);
  const std::uint32_t hash = mix(key_hash, key_check, self);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  for (Index i = arena_->weighted_key_buckets[hash & kMask]; i != kNone;
       i = arena_->weighted_keys[i].next_in_chain) {
    WeightedKey& key = arena_->weighted_keys[i];
    if (key.queue == self + 1 && key.key_hash == key_hash && key.key_check == key_check)
      return &key;
  }
  return nullptr;
}

WeightedKey* Dispatcher::make_weighted_key(Queue& q, std::uint32_t key_hash,
                                           std::uint32_t key_check) const noexcept {
  WeightedKey* key = nullptr;
  {
    const LeafLock leaf(*platform_, kLimitsLock);
    if (arena_->first_free_weighted_key != kNone) {
      key = &arena_->weighted_keys[arena_->first_free_weighted_key];
      arena_->first_free_weighted_key = key->next_in_chain;
    } else if (arena_->used_weighted_keys < kMostWeightedKeys) {
      key = &arena_->weighted_keys[arena_->used_weighted_keys++];
    } else {
      return nullptr;
    }
    arena_->weighted_key_count.fetch_add(1, std::memory_order_relaxed);
  }
  const auto self = static_cast<Index>(&q - arena_->queues);
  *key = WeightedKey{};
  key->queue = static_cast<std::uint16_t>(self + 1);
  key->key_hash = key_hash;
  key->key_check = key_check;
  key->round = kNeverServed;
  q.weighted_keys++;
  const std::uint32_t hash = mix(key_hash, key_check, self);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  ShortIndex& head = arena_->weighted_key_buckets[hash & kMask];
  key->next_in_chain = head;
  head = static_cast<Index>(key - arena_->weighted_keys);
  return key;
}

void Dispatcher::free_weighted_key(Queue& q, WeightedKey& key) const noexcept {
  const auto self = static_cast<Index>(&key - arena_->weighted_keys);
  const std::uint32_t hash = mix(key.key_hash, key.key_check, key.queue - 1);
  {
    const LeafLock leaf(*platform_, stripe_lock(hash));
    ShortIndex* link = &arena_->weighted_key_buckets[hash & kMask];
    while (*link != self) link = &arena_->weighted_keys[*link].next_in_chain;
    *link = key.next_in_chain;
  }
  q.weighted_keys--;
  const LeafLock leaf(*platform_, kLimitsLock);
  key.queue = 0;
  key.next_in_chain = arena_->first_free_weighted_key;
  arena_->first_free_weighted_key = self;
  arena_->weighted_key_count.fetch_sub(1, std::memory_order_relaxed);
}

/* --- weights come and go ---------------------------------------------------------------------- */

bool Dispatcher::weigh(Queue& q, std::uint32_t key_hash, std::uint32_t key_check,
                       std::uint32_t weight, std::uint32_t reading) const noexcept {
  WeightedKey* key = find_weighted_key(q, key_hash, key_check);
  if (weight <= 1) {
    if (key != nullptr) free_weighted_key(q, *key);
    return true;
  }
  if (key == nullptr) key = make_weighted_key(q, key_hash, key_check);
  if (key == nullptr) return false;
  key->weight = std::min(weight, kMostWeight);
  key->reading = reading;
  return true;
}

bool Dispatcher::set_key_weight(Index database, QueueId id, std::uint32_t key_hash,
                                std::uint32_t key_check, std::uint32_t weight) noexcept {
  const Index index = find_queue(database, id);
  if (index == kNone) return false;
  const QueueLock hold(*this, index);
  Queue& q = queue(index);
  if (q.state == QueueState::free || q.id != id || q.database != database) return false;
  q.weight_changes++;
  return weigh(q, key_hash, key_check, weight, 0);
}

std::uint32_t Dispatcher::weight_changes(QueueRef ref) noexcept {
  const QueueLock hold(*this, ref.queue);
  return queue(ref.queue).weight_changes;
}

WeightFound Dispatcher::weight_found(QueueRef ref, std::uint32_t changes, const KeyWeight& row,
                                     std::uint32_t reading) noexcept {
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.weight_changes != changes) return WeightFound::stale;
  return weigh(q, row.key_hash, row.key_check, row.weight, reading) ? WeightFound::done
                                                                    : WeightFound::no_room;
}

WeightFound Dispatcher::drop_other_weights(QueueRef ref, std::uint32_t changes,
                                           std::uint32_t reading) noexcept {
  for (Index i = 0; i < kMostWeightedKeys;) {
    const QueueLock hold(*this, ref.queue);
    Queue& q = queue(ref.queue);
    if (q.incarnation != ref.incarnation || q.weight_changes != changes) return WeightFound::stale;
    if (q.weighted_keys == 0) break;
    for (std::uint32_t k = 0; k < kEntriesPerHold && i < kMostWeightedKeys; k++, i++) {
      WeightedKey& key = arena_->weighted_keys[i];
      if (key.queue == ref.queue + 1 && key.reading != reading) free_weighted_key(q, key);
    }
  }
  return WeightFound::done;
}

/* Of a queue that is being removed. */
void Dispatcher::free_weighted_keys(Index index) const noexcept {
  for (Index i = 0; i < kMostWeightedKeys;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.weighted_keys == 0) return;
    for (std::uint32_t k = 0; k < kEntriesPerHold && i < kMostWeightedKeys; k++, i++) {
      WeightedKey& key = arena_->weighted_keys[i];
      if (key.queue == index + 1) free_weighted_key(q, key);
    }
  }
}

}  // namespace dw::core
