/*
 * Numbers of jobs.
 *
 * They come from a sequence, whose increment is the size of a block, and are handed out from shared
 * memory one by one: with an increment of 1 every job would lock the sequence and its page. All
 * sessions share the block, so a job enqueued after another one committed has a higher number, as
 * with a sequence whose cache is 1; a block of its own for each session would not promise that.
 *
 * The word holds the next number and how many are left after the block was opened. A block is
 * opened only above every number given before: two sessions may find the block used up at once,
 * and the one that comes later with the lower block throws it away. Numbers have gaps after a
 * crash, a reload, or a thrown away block, never repetitions: the sequence's log record comes
 * before that of any job in its block, and a sequence is never rolled back.
 *
 * The block is that of one sequence. DROP and CREATE EXTENSION in one transaction make another
 * sequence before the slot is another; whoever sees it takes a number of its own.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr std::uint64_t kLeftBits = 7;
constexpr std::uint64_t kLeftMask = (1U << kLeftBits) - 1;
constexpr JobId kHighestSharedId = (JobId{1} << (63 - kLeftBits)) - kMostJobIds;
static_assert(kMostJobIds - 1 <= kLeftMask);

std::uint64_t word_of(JobId next, std::uint64_t left) noexcept {
  return static_cast<std::uint64_t>(next) << kLeftBits | left;
}

}  // namespace

JobId Dispatcher::take_job_id(Index database, std::uint32_t sequence) noexcept {
  Database& slot = arena_->databases[database];
  std::uint64_t seen = slot.job_ids.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t left = seen & kLeftMask;
    const auto next = static_cast<JobId>(seen >> kLeftBits);
    if (left == 0 || slot.job_id_sequence.load(std::memory_order_relaxed) != sequence) return 0;
    if (slot.job_ids.compare_exchange_weak(seen, word_of(next + 1, left - 1),
                                           std::memory_order_acq_rel))
      return next;
  }
}

bool Dispatcher::open_job_ids(Index database, std::uint32_t sequence, JobId first,
                              std::uint32_t count) noexcept {
  if (first > kHighestSharedId || count < 1) return true;
  const LeafLock leaf(*platform_, kArenaLock);
  Database& slot = arena_->databases[database];
  if (slot.state == DatabaseState::free) return true;
  const std::uint32_t known = slot.job_id_sequence.load(std::memory_order_relaxed);
  if (known != 0 && known != sequence) return true;
  slot.job_id_sequence.store(sequence, std::memory_order_relaxed);
  std::uint64_t seen = slot.job_ids.load(std::memory_order_relaxed);
  do {
    if (static_cast<JobId>(seen >> kLeftBits) > first) return false;
  } while (!slot.job_ids.compare_exchange_weak(
      seen, word_of(first + 1, std::min(count, kMostJobIds) - 1), std::memory_order_acq_rel));
  return true;
}

JobId Dispatcher::next_job_id(Index database) const noexcept {
  return static_cast<JobId>(arena_->databases[database].job_ids.load(std::memory_order_acquire) >>
                            kLeftBits);
}

JobId Dispatcher::end_of_job_ids(Index database) const noexcept {
  const std::uint64_t seen = arena_->databases[database].job_ids.load(std::memory_order_acquire);
  return static_cast<JobId>(seen >> kLeftBits) + static_cast<JobId>(seen & kLeftMask);
}

void Dispatcher::close_job_ids(Index database) noexcept {
  arena_->databases[database].job_ids.fetch_and(~kLeftMask, std::memory_order_acq_rel);
}

void Dispatcher::raise_job_ids(Index database, JobId highest) noexcept {
  if (highest < 1 || highest >= kHighestSharedId) return;
  Database& slot = arena_->databases[database];
  std::uint64_t seen = slot.job_ids.load(std::memory_order_acquire);
  while (static_cast<JobId>(seen >> kLeftBits) <= highest &&
         !slot.job_ids.compare_exchange_weak(seen, word_of(highest + 1, 0),
                                             std::memory_order_acq_rel)) {
  }
}

}  // namespace dw::core
