#include "core/hot_keys.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr std::uint32_t kEmpty = kNone;

}  // namespace

KeyCounter::KeyCounter(KeyCount* counters, std::uint32_t capacity, std::uint32_t* index) noexcept
    : counters_(counters), index_(index), capacity_(capacity) {
  make_index();
}

/* Where the key's counter is noted, or would be. */
std::uint32_t* KeyCounter::place_of(std::uint32_t key_hash) const noexcept {
  const std::uint32_t places = index_size(capacity_);
  std::uint32_t at = static_cast<std::uint32_t>(std::uint64_t{key_hash} * places >> 32);
  while (index_[at] != kEmpty && counters_[index_[at]].key_hash != key_hash)
    at = at + 1 < places ? at + 1 : 0;
  return &index_[at];
}

void KeyCounter::make_index() noexcept {
  std::fill_n(index_, index_size(capacity_), kEmpty);
  for (std::uint32_t i = 0; i < count_; i++) *place_of(counters_[i].key_hash) = i;
}

void KeyCounter::take_one_from_all() noexcept {
  took_ = true;
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < count_; i++) {
    if (--counters_[i].left > 0) counters_[kept++] = counters_[i];
  }
  const bool any_went = kept < count_;
  count_ = kept;
  if (any_went) make_index();
}

void KeyCounter::add(const KeyedJob& job) noexcept {
  jobs_++;
  std::uint32_t* const place = place_of(job.key_hash);
  if (*place == kEmpty) {
    if (again_) return;
    if (count_ == capacity_) {
      take_one_from_all();
      return;
    }
    *place = count_;
    counters_[count_++] = KeyCount{job.key_hash, 0, 0, 0, 0, job.job};
  }
  KeyCount& count = counters_[*place];
  count.left++;
  count.processing += job.processing ? 1 : 0;
  count.waiting += job.processing ? 0 : 1;
  count.due += job.due ? 1 : 0;
}

void KeyCounter::count_again() noexcept {
  again_ = true;
  jobs_ = 0;
  for (std::uint32_t i = 0; i < count_; i++) {
    counters_[i].waiting = 0;
    counters_[i].due = 0;
    counters_[i].processing = 0;
  }
}

std::uint32_t KeyCounter::sort() noexcept {
  std::sort(counters_, counters_ + count_, [](const KeyCount& a, const KeyCount& b) {
    return a.jobs() != b.jobs() ? a.jobs() > b.jobs() : a.key_hash < b.key_hash;
  });
  return count_;
}

/* --- the walk --------------------------------------------------------------------------------- */

namespace {

enum class KeyClass : std::uint8_t { none, waiting, processing };

/* As queue_figures() counts: what a transaction decides is where it was, what the sweep is about to
 * end is still held. */
KeyClass class_of(const Entry& e) noexcept {
  switch (e.state) {
    case EntryState::ready:
    case EntryState::delayed:
    case EntryState::gated:
      return KeyClass::waiting;
    case EntryState::leased:
    case EntryState::expiring:
    case EntryState::overdue:
      return KeyClass::processing;
    case EntryState::completing:
      return e.worker != kNone ? KeyClass::processing : KeyClass::waiting;
    default:
      return KeyClass::none;
  }
}

}  // namespace

std::uint32_t Dispatcher::list_keys(QueueRef ref, Index* position, KeyedJob* out) noexcept {
  std::uint32_t n = 0;
  const Micros now = platform_->wall_now();
  const QueueLock hold(*this, ref.queue);
  if (queue(ref.queue).incarnation != ref.incarnation) {
    *position = arena_->capacity;
    return 0;
  }
  const Index end = *position + std::min(kEntriesPerHold, arena_->capacity - *position);
  for (; *position < end; ++*position) {
    const Entry& e = entry(*position);
    if (e.queue != ref.queue) continue;
    const KeyClass kind = class_of(e);
    if (kind == KeyClass::none) continue;
    const bool due =
        e.state == EntryState::ready ||
        ((e.state == EntryState::delayed || e.state == EntryState::gated) && e.at <= now);
    out[n++] = KeyedJob{
        {e.id, e.block, e.offset, e.segment}, e.key_hash, kind == KeyClass::processing, due};
  }
  return n;
}

}  // namespace dw::core
