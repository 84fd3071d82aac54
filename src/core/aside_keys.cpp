#include "core/aside_keys.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

bool AsideKeys::lacks_room(QueueRef ref) const {
  const QueueLock hold(*dispatcher_, ref.queue);
  const Queue& q = dispatcher_->queue(ref.queue);
  return q.incarnation == ref.incarnation &&
         dispatcher_->room(q) < enough_room(dispatcher_->arena().capacity);
}

bool AsideKeys::has_waiting(Queue& q, std::uint32_t key_hash, std::uint32_t key_check) noexcept {
  Entry place{};
  place.key_hash = key_hash;
  place.key_check = key_check;
  place.id = std::numeric_limits<JobId>::min();
  const auto first = q.gated.lower_bound(place);
  return first != q.gated.end() && first->key_hash == key_hash && first->key_check == key_check;
}

/* Known here before the entry goes: to add it may throw. */
void AsideKeys::set_aside(QueueRef ref, const KeyBlock& block) {
  const auto key = keys_.insert_or_assign(place_of(ref, block.key_hash, block.key_check),
                                          Dying{block.job, block.takes_along, false, false});
  {
    const QueueLock hold(*dispatcher_, ref.queue);
    Queue& q = dispatcher_->queue(ref.queue);
    const Entry* const found =
        q.incarnation == ref.incarnation ? dispatcher_->find_entry(ref.queue, block.job) : nullptr;
    const bool goes = found != nullptr && found->state == EntryState::blocked &&
                      found->later == 0 && found->at == block.takes_along &&
                      !has_waiting(q, block.key_hash, block.key_check);
    if (goes) {
      Entry& e = dispatcher_->entry(dispatcher_->index_of(*found));
      Dispatcher::end_block(q, e);
      dispatcher_->finish_entry(e);
      q.aside_count++;
      return;
    }
  }
  keys_.erase(key.first);
}

bool AsideKeys::add(QueueRef ref, const KeyBlock& block) {
  const auto key = keys_.try_emplace(place_of(ref, block.key_hash, block.key_check),
                                     Dying{block.job, block.takes_along, true, false});
  if (!key.second) return true; /* by another dead job of it */
  {
    const QueueLock hold(*dispatcher_, ref.queue);
    Queue& q = dispatcher_->queue(ref.queue);
    if (q.incarnation == ref.incarnation &&
        dispatcher_->turn_of(ref.queue, block.key_hash, block.key_check) == nullptr &&
        !has_waiting(q, block.key_hash, block.key_check)) {
      q.aside_count++;
      return true;
    }
  }
  keys_.erase(key.first);
  return false;
}

void AsideKeys::begin_reading(QueueRef ref) {
  std::uint32_t n = 0;
  for (auto key = first_of(ref); key != keys_.end() && is_of(key->first, ref); ++key, n++)
    key->second.seen = false;
  const QueueLock hold(*dispatcher_, ref.queue);
  Queue& q = dispatcher_->queue(ref.queue);
  if (q.incarnation == ref.incarnation) q.aside_count = n;
}

bool AsideKeys::has(QueueRef ref, const KeyBlock& block) {
  const auto key = keys_.find(place_of(ref, block.key_hash, block.key_check));
  if (key == keys_.end() || key->second.dead != block.job) return false;
  key->second.seen = true;
  return true;
}

AsideKeys::Keys::iterator AsideKeys::erase(Keys::iterator key) {
  {
    const Index index = std::get<0>(key->first);
    const QueueLock hold(*dispatcher_, index);
    Queue& q = dispatcher_->queue(index);
    if (q.incarnation == std::get<1>(key->first)) q.aside_count--;
  }
  return keys_.erase(key);
}

void AsideKeys::forget_others() {
  for (auto key = keys_.begin(); key != keys_.end();)
    key = key->second.seen ? std::next(key) : erase(key);
}

std::vector<AsideKeys::Ended> AsideKeys::list_ended(QueueRef ref) const {
  JobId frontier = kAlways;
  {
    const QueueLock hold(*dispatcher_, ref.queue);
    const Queue& q = dispatcher_->queue(ref.queue);
    if (q.incarnation == ref.incarnation) frontier = q.frontier;
  }
  std::vector<Ended> ended;
  for (auto key = first_of(ref); key != keys_.end() && is_of(key->first, ref); ++key) {
    if (key->second.up_to <= frontier)
      ended.push_back(Ended{key->second.dead, std::get<2>(key->first), std::get<3>(key->first)});
  }
  return ended;
}

void AsideKeys::remove(QueueRef ref, const Ended& ended) {
  const auto key = keys_.find(place_of(ref, ended.key_hash, ended.key_check));
  if (key != keys_.end()) erase(key);
}

void AsideKeys::stand_again(QueueRef ref) {
  for (auto key = first_of(ref); key != keys_.end() && is_of(key->first, ref);) {
    JobRow dead{};
    dead.id = key->second.dead;
    dead.key_hash = std::get<2>(key->first);
    dead.key_check = std::get<3>(key->first);
    if (key->second.stands && dispatcher_->block_found(ref, dead, key->second.up_to))
      key = erase(key);
    else
      ++key;
  }
}

bool AsideKeys::make_way(QueueRef ref, Queue& q, JobId* to) noexcept {
  auto next = q.held.begin();
  for (std::uint32_t i = 0; i < kEntriesPerHold && next != q.held.end() && next->id < *to; i++) {
    Entry& e = *next;
    ++next;
    const auto key = keys_.find(place_of(ref, e.key_hash, e.key_check));
    if (key == keys_.end()) continue;
    Dying& dying = key->second;
    const bool follows = e.id > dying.dead && e.id < dying.up_to;
    if (!follows || e.state != EntryState::gated) {
      dying.stands = dying.stands || e.id < dying.up_to;
      *to = e.id;
      return true;
    }
    Dispatcher::gate_remove(q, e);
    dispatcher_->make_overdue(q, e, Lapse::key_dead);
  }
  if (next == q.held.end() || next->id >= *to) return true;
  *to = next->id;
  return false;
}

}  // namespace dw::core
