#include "core/key_blocks.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>
#include <array>

namespace dw::core {

namespace {

constexpr Micros kPause = 200 * kMillisecond;
constexpr std::uint32_t kFollowersAtOnce = 1024;

class Collect : public KeyBlockSink {
 public:
  explicit Collect(std::vector<KeyBlock>* out) : out_(out) {}
  void take(const KeyBlock& block) override { out_->push_back(block); }

 private:
  std::vector<KeyBlock>* out_;
};

}  // namespace

/* Ordered ones of the database, as they were when they were looked at. */
template <typename Each>
void KeyBlocks::for_each_queue(Each each) const {
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& q = dispatcher_->queue(i);
    if (q.state != QueueState::active || q.database != database_) continue;
    Seen seen{};
    {
      const QueueLock hold(*dispatcher_, i);
      if (q.state != QueueState::active || q.database != database_ || !q.options.ordered) continue;
      seen = Seen{dispatcher_->queue_ref(i),
                  q.id,
                  q.blocks_known == 0 || q.blocks_changed != 0,
                  q.blocked_count > 0,
                  q.ending_count > 0,
                  q.aside_count > 0};
    }
    each(seen);
  }
}

bool KeyBlocks::is_wanted() const {
  bool unknown = wants_;
  for_each_queue([&unknown](const Seen& seen) { unknown = unknown || seen.unknown; });
  return unknown;
}

/* Before the snapshot: what is blocked later is not in it. */
void KeyBlocks::list_standing() {
  standing_.clear();
  for_each_queue([this](const Seen& seen) {
    const Index index = seen.ref.queue;
    dispatcher_->begin_reading_blocks(index);
    aside_.begin_reading(seen.ref);
    if (!seen.blocks) return;
    for (Index i = 0; i < dispatcher_->arena().capacity;) {
      const QueueLock hold(*dispatcher_, index);
      const Queue& q = dispatcher_->queue(index);
      for (std::uint32_t k = 0; k < kEntriesPerHold && i < dispatcher_->arena().capacity;
           k++, i++) {
        const Entry& e = dispatcher_->entry(i);
        if (e.queue == index && e.state == EntryState::blocked && e.later == 0)
          standing_.push_back(Standing{q.id, e.id});
      }
    }
  });
}

/*
 * A row may be gone whose deleter's callback, which knows how the key goes on, is still to come. So
 * only what stands a second time without a row is let go: it was deleted by hand, or by a
 * transaction whose callback came before that of the death, or comes late. The log knows whether
 * the dead job waits again; all of it, for the page that says so is noted by that callback.
 */
void KeyBlocks::let_go_of_others(std::uint32_t parked_outcomes) {
  std::vector<Standing> missing;
  for (const Standing& one : standing_) {
    const bool stays = std::any_of(found_.begin(), found_.end(), [&one](const KeyBlock& block) {
      return block.queue == one.queue && block.job == one.job;
    });
    if (stays) continue;
    if (std::find(missing_.begin(), missing_.end(), one) == missing_.end()) {
      missing.push_back(one);
      continue;
    }
    if (parked_outcomes > 0)
      dispatcher_->note_outcome_pages(database_,
                                      BlockRange{kParkedSegment, {}, 0, parked_outcomes - 1});
    dispatcher_->forget_block(database_, one.queue, one.job);
  }
  missing_.swap(missing);
}

void KeyBlocks::read() {
  wants_ = true; /* if it breaks off */
  list_standing();
  found_.clear();
  store_->begin();
  Collect sink(&found_);
  store_->scan_key_blocks(sink);
  const std::uint32_t parked_outcomes = store_->outcome_blocks(kParkedSegment);
  store_->commit();
  again_ = false;
  let_go_of_others(parked_outcomes);
  wants_ = !missing_.empty();
  std::array<bool, kMostQueues> lacks{};
  for (const KeyBlock& block : found_) {
    const Index index = dispatcher_->find_queue(database_, block.queue);
    if (index == kNone) continue;
    JobRow dead{};
    dead.id = block.job;
    dead.queue = block.queue;
    dead.key_hash = block.key_hash;
    dead.key_check = block.key_check;
    const QueueRef ref = dispatcher_->queue_ref(index);
    if (aside_.has(ref, block) || dispatcher_->block_found(ref, dead, block.takes_along)) continue;
    if (block.takes_along != 0 && aside_.add(ref, block)) continue;
    lacks[index] = true;
    again_ = true;
  }
  aside_.forget_others();
  again_ = again_ || wants_;
  /* Until all of a queue are there none of its jobs may get a turn by the loader. */
  for_each_queue([this, &lacks](const Seen& seen) {
    if (!lacks[seen.ref.queue]) dispatcher_->set_blocks_known(seen.ref);
  });
}

/* Keys whose followers are to die. */
std::vector<KeyBlock> KeyBlocks::list_ending(QueueRef ref, QueueId id) const {
  std::vector<KeyBlock> keys;
  for (Index i = 0; i < dispatcher_->arena().capacity;) {
    const QueueLock hold(*dispatcher_, ref.queue);
    for (std::uint32_t k = 0; k < kEntriesPerHold && i < dispatcher_->arena().capacity; k++, i++) {
      const Entry& e = dispatcher_->entry(i);
      if (e.queue == ref.queue && e.state == EntryState::blocked && e.later == 0 && e.at != 0)
        keys.push_back(KeyBlock{id, e.key_hash, e.key_check, e.id, e.at});
    }
  }
  return keys;
}

/* Keys with followers whose death the sweep has not written yet. */
std::vector<KeyBlocks::Key> KeyBlocks::list_dying(Index index) const {
  std::vector<Key> keys;
  for (Index i = 0; i < dispatcher_->arena().capacity;) {
    const QueueLock hold(*dispatcher_, index);
    for (std::uint32_t k = 0; k < kEntriesPerHold && i < dispatcher_->arena().capacity; k++, i++) {
      const Entry& e = dispatcher_->entry(i);
      if (e.queue != index || e.lapsed != Lapse::key_dead) continue;
      const Key key{e.key_hash, e.key_check};
      const bool is_dying = e.state == EntryState::overdue || e.state == EntryState::expiring;
      if (is_dying && (keys.empty() || keys.back() != key)) keys.push_back(key);
    }
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

void KeyBlocks::end_keys(const Seen& seen) {
  std::vector<AsideKeys::Ended> ended;
  std::vector<KeyBlock> others;
  if (seen.ends) {
    for (const KeyBlock& key : list_ending(seen.ref, seen.id)) {
      if (dispatcher_->end_followers(seen.ref, key.job, kFollowersAtOnce))
        ended.push_back(AsideKeys::Ended{key.job, key.key_hash, key.key_check});
      else
        others.push_back(key);
    }
  }
  if (!others.empty() && aside_.lacks_room(seen.ref)) {
    for (const KeyBlock& key : others) aside_.set_aside(seen.ref, key);
  }
  if (seen.aside) {
    aside_.stand_again(seen.ref);
    const std::vector<AsideKeys::Ended> without_entry = aside_.list_ended(seen.ref);
    ended.insert(ended.end(), without_entry.begin(), without_entry.end());
  }
  if (ended.empty()) return;
  const std::vector<Key> dying = list_dying(seen.ref.queue);
  for (const AsideKeys::Ended& key : ended) {
    if (std::binary_search(dying.begin(), dying.end(), Key{key.key_hash, key.key_check})) continue;
    store_->begin();
    store_->remove_key_block(seen.id, key.dead);
    store_->commit();
    dispatcher_->unblock(database_, seen.id, key.dead, Unblock::skip, 0);
    aside_.remove(seen.ref, key);
  }
}

void KeyBlocks::end_keys() {
  for_each_queue([this](const Seen& seen) {
    if (seen.ends || seen.aside) end_keys(seen);
  });
}

void KeyBlocks::step() {
  const Micros now = dispatcher_->platform().monotonic_now();
  if (is_wanted() && (!again_ || now >= not_before_)) {
    read();
    not_before_ = now + kPause;
  }
  end_keys();
}

Micros KeyBlocks::next_step() const {
  bool ending = is_wanted();
  for_each_queue([&ending](const Seen& seen) { ending = ending || seen.ends || seen.aside; });
  return ending ? dispatcher_->platform().monotonic_now() + kPause : kNever;
}

}  // namespace dw::core
