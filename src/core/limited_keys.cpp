/*
 * Records of keys whose queues limit them, see key_limits.cpp. Under the queue's lock; they are
 * found by a hash, whose chains are under stripes, and come from a pool under kLimitsLock.
 *
 * A record goes as soon as it says nothing: nothing of the key is in flight, and its bucket is what
 * that of a key without a record is. A bucket fills by itself, so such records are looked for where
 * they are: a queue's hang in the order in which their keys last took a token, and whoever takes
 * one looks at the oldest. When a queue finds none, the housekeepers look in all queues.
 */
#include "core/queue_lock.hpp"

namespace dw::core {

namespace {

/* By each job that takes a token. A key that comes brings one record. */
constexpr std::uint32_t kLooksAtOnce = 2;

std::uint32_t mix(std::uint32_t key_hash, std::uint32_t key_check, Index queue) noexcept {
  std::uint32_t hash = key_hash ^ key_check * 0x85EBCA6BU ^ queue * 0x9E3779B9U;
  hash ^= hash >> 16;
  hash *= 0x7FEB352DU;
  return hash ^ hash >> 15;
}

}  // namespace

/* Of a key without a record: nullptr. */
TokenBucket Dispatcher::tokens_of(const Queue& q, const LimitedKey* key) noexcept {
  TokenBucket bucket{};
  bucket.begin(q.limits.key_rate, q.keys_since);
  if (key == nullptr || key->era != q.key_era) return bucket;
  bucket.level = key->level;
  bucket.as_of = key->as_of;
  return bucket;
}

LimitedKey* Dispatcher::find_key(const Queue& q, std::uint32_t key_hash,
                                 std::uint32_t key_check) const noexcept {
  if (q.oldest_key == kNone) return nullptr;
  const auto self = static_cast<Index>(&q - arena_->queues);
  const std::uint32_t hash = mix(key_hash, key_check, self);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  for (Index i = arena_->limited_key_buckets[hash & arena_->limited_key_mask]; i != kNone;
       i = arena_->limited_keys[i].next_in_chain) {
    LimitedKey& key = arena_->limited_keys[i];
    if (key.queue == self + 1 && key.key_hash == key_hash && key.key_check == key_check)
      return &key;
  }
  return nullptr;
}

LimitedKey* Dispatcher::find_or_make_key(Queue& q, const Entry& e) const noexcept {
  LimitedKey* const known = find_key(q, e.key_hash, e.key_check);
  if (known != nullptr) return known;
  LimitedKey* const key = take_key_record();
  if (key == nullptr) return nullptr;
  const auto self = static_cast<Index>(&q - arena_->queues);
  *key = LimitedKey{};
  key->queue = self + 1;
  key->key_hash = e.key_hash;
  key->key_check = e.key_check;
  key->era = q.key_era;
  key->as_of = q.keys_since;
  link_key(q, *key);
  const std::uint32_t hash = mix(e.key_hash, e.key_check, self);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  Index& head = arena_->limited_key_buckets[hash & arena_->limited_key_mask];
  key->next_in_chain = head;
  head = static_cast<Index>(key - arena_->limited_keys);
  return key;
}

/* --- the pool --- */

LimitedKey* Dispatcher::take_key_record() const noexcept {
  const LeafLock leaf(*platform_, kLimitsLock);
  if (arena_->first_free_key != kNone) {
    LimitedKey& key = arena_->limited_keys[arena_->first_free_key];
    arena_->first_free_key = key.next_in_chain;
    return &key;
  }
  if (arena_->used_keys == arena_->limited_key_capacity) return nullptr;
  return &arena_->limited_keys[arena_->used_keys++];
}

void Dispatcher::free_key(Queue& q, LimitedKey& key) const noexcept {
  const auto self = static_cast<Index>(&key - arena_->limited_keys);
  unlink_key(q, key);
  const std::uint32_t hash = mix(key.key_hash, key.key_check, key.queue - 1);
  {
    const LeafLock leaf(*platform_, stripe_lock(hash));
    Index* link = &arena_->limited_key_buckets[hash & arena_->limited_key_mask];
    while (*link != self) link = &arena_->limited_keys[*link].next_in_chain;
    *link = key.next_in_chain;
  }
  const LeafLock leaf(*platform_, kLimitsLock);
  key.queue = 0;
  key.next_in_chain = arena_->first_free_key;
  arena_->first_free_key = self;
}

/* --- those of a queue --- */

void Dispatcher::link_key(Queue& q, LimitedKey& key) const noexcept {
  const auto self = static_cast<Index>(&key - arena_->limited_keys);
  key.newer = kNone;
  key.older = q.newest_key;
  (q.newest_key == kNone ? q.oldest_key : arena_->limited_keys[q.newest_key].newer) = self;
  q.newest_key = self;
}

void Dispatcher::unlink_key(Queue& q, LimitedKey& key) const noexcept {
  (key.older == kNone ? q.oldest_key : arena_->limited_keys[key.older].newer) = key.newer;
  (key.newer == kNone ? q.newest_key : arena_->limited_keys[key.newer].older) = key.older;
}

void Dispatcher::take_token_of(Queue& q, LimitedKey& key) const noexcept {
  TokenBucket bucket = tokens_of(q, &key);
  bucket.fill(platform_->monotonic_now());
  bucket.take(1);
  key.era = q.key_era;
  key.level = bucket.level;
  key.as_of = bucket.as_of;
  unlink_key(q, key);
  link_key(q, key);
  drop_idle_keys(q, kLooksAtOnce);
}

/* --- records that say nothing --- */

bool Dispatcher::says_nothing(const Queue& q, const LimitedKey& key) const noexcept {
  if (key.in_flight > 0) return false;
  if (q.limits.key_rate.jobs == 0) return true;
  const Micros now = platform_->monotonic_now();
  TokenBucket bucket = tokens_of(q, &key);
  TokenBucket without = tokens_of(q, nullptr);
  bucket.fill(now);
  without.fill(now);
  return bucket.level == without.level;
}

/* The oldest so many; what is in flight is passed over. */
void Dispatcher::drop_idle_keys(Queue& q, std::uint32_t looks) const noexcept {
  for (std::uint32_t i = 0; i < looks && q.oldest_key != kNone; i++) {
    LimitedKey& key = arena_->limited_keys[q.oldest_key];
    if (says_nothing(q, key)) {
      free_key(q, key);
    } else if (key.in_flight > 0) {
      unlink_key(q, key);
      link_key(q, key);
    } else {
      return;
    }
  }
}

void Dispatcher::drop_idle_keys_of(Index index, QueueId id) const noexcept {
  /* No queue has more. */
  for (std::uint32_t i = 0; i < arena_->limited_key_capacity; i += kEntriesPerHold) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    if (q.id != id || q.oldest_key == kNone) return;
    drop_idle_keys(q, kEntriesPerHold);
  }
}

/* Of a queue whose entries are gone. */
void Dispatcher::free_keys(Index index) const noexcept {
  for (bool more = true; more;) {
    const QueueLock hold(*this, index);
    Queue& q = queue(index);
    for (std::uint32_t i = 0; i < kEntriesPerHold && q.oldest_key != kNone; i++)
      free_key(q, arena_->limited_keys[q.oldest_key]);
    more = q.oldest_key != kNone;
  }
}

/* Any queue may have what is missing here. */
void Dispatcher::ask_for_keys() const noexcept {
  for (Index i = 0; i < kMostDatabases; i++) {
    Database& database = arena_->databases[i];
    if (database.state == DatabaseState::free) continue;
    database.keys_wanted.store(true);
    platform_->wake_housekeeper(i);
  }
}

void Dispatcher::drop_idle_keys(Index database) const noexcept {
  if (!arena_->databases[database].keys_wanted.exchange(false)) return;
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& q = queue(i);
    if (q.state == QueueState::active && q.database == database && q.oldest_key != kNone)
      drop_idle_keys_of(i, q.id);
  }
}

}  // namespace dw::core
