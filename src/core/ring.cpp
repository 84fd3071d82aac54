/*
 * The ring of segments: which one a job is written to, and the steps of a segment's life as shared
 * memory has them. When they are taken: rotation.hpp.
 *
 * empty -> open. The first id of the new segment is chosen some way above all ids given so far, is
 * on disk before it is published, and is published under kArenaLock while every id that was handed
 * out lies below it. Ids come from blocks that are opened under that lock, so whoever has an id
 * from it on sees the segment: no id is ever looked for in one segment and written to another. Ids
 * below it, of sessions that drew theirs before, go on to the old segment.
 *
 * open -> quiet, while a lock on the segment's table proves that no transaction has written to it
 * that is still open. Writers lock the table first and read the state after that, until the end of
 * their transactions; so nobody writes to a quiet segment. A job whose id belongs to one that may
 * not be written goes to parked, which takes any id.
 *
 * quiet -> empty, in the commit callback of the transaction that truncates its tables, before that
 * lets its locks go.
 *
 * The words are read without a lock. Whoever acts on what it read locks the table and reads again.
 */
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

void Dispatcher::forget_segments(Database& database) noexcept {
  database.current_segment.store(kParkedSegment);
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    database.segment_state[segment].store(SegmentState::empty);
    database.first_id[segment].store(kNever);
    database.holds[segment] = SegmentHold{};
  }
}

/* Under kArenaLock. */
void Dispatcher::find_current(Database& database) noexcept {
  std::uint8_t current = kParkedSegment;
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    const JobId first = database.first_id[segment].load();
    if (first == kNever) continue;
    if (current == kParkedSegment || first > database.first_id[current].load()) current = segment;
  }
  database.current_segment.store(current);
}

void Dispatcher::begin_log(Index index) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  if (database.current_segment.load() != kParkedSegment) return;
  database.first_id[0].store(kAlways);
  database.segment_state[0].store(SegmentState::open);
  database.current_segment.store(0);
}

void Dispatcher::know_segment(Index index, std::uint8_t segment, JobId first) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  const JobId known = database.first_id[segment].load();
  /* That of a new database is only an assumption. */
  if (known <= first && known != kAlways) return;
  database.first_id[segment].store(first);
  if (known == kNever) database.segment_state[segment].store(SegmentState::open);
  find_current(database);
}

bool Dispatcher::open_segment(Index index, std::uint8_t segment, JobId first) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  if (database.segment_state[segment].load() != SegmentState::empty) return false;
  /* The open block's end; the block can only be used up meanwhile, not be followed by another. */
  if (end_of_job_ids(index) > first) return false;
  database.holds[segment] = SegmentHold{};
  database.segment_state[segment].store(SegmentState::open);
  database.first_id[segment].store(first);
  find_current(database);
  return true;
}

void Dispatcher::make_quiet(Index index, std::uint8_t segment) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  if (segment == database.current_segment.load()) return;
  if (database.segment_state[segment].load() == SegmentState::open)
    database.segment_state[segment].store(SegmentState::quiet);
}

void Dispatcher::note_rows_gone(Index index) noexcept {
  arena_->databases[index].rows_gone.fetch_add(1);
}

void Dispatcher::empty_segment(Index index, std::uint8_t segment) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  Database& database = arena_->databases[index];
  if (segment == database.current_segment.load()) return;
  database.first_id[segment].store(kNever);
  database.segment_state[segment].store(SegmentState::empty);
  database.rows_gone.fetch_add(1);
  database.tail_block[segment] = 0;
  database.outcome_tail[segment] = 0;
  database.holds[segment] = SegmentHold{};
}

std::uint8_t Dispatcher::segment_of(Index index, JobId id) const noexcept {
  const Database& database = arena_->databases[index];
  const std::uint8_t current = database.current_segment.load(std::memory_order_acquire);
  if (current == kParkedSegment) return kParkedSegment;
  if (database.first_id[current].load(std::memory_order_acquire) <= id &&
      database.current_segment.load(std::memory_order_acquire) == current)
    return current;
  std::uint8_t best = kParkedSegment;
  JobId best_first = kAlways;
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    const JobId first = database.first_id[segment].load(std::memory_order_acquire);
    if (first > id || (best != kParkedSegment && first < best_first)) continue;
    best = segment;
    best_first = first;
  }
  return best;
}

bool Dispatcher::may_write(Index index, std::uint8_t segment) const noexcept {
  return segment != kParkedSegment && arena_->databases[index].segment_state[segment].load(
                                          std::memory_order_acquire) == SegmentState::open;
}

std::uint8_t Dispatcher::segments_in_order(Index index, std::uint8_t* out) const noexcept {
  const Database& database = arena_->databases[index];
  JobId first[kSegments];
  std::uint8_t n = 0;
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    first[segment] = database.first_id[segment].load(std::memory_order_acquire);
    if (first[segment] != kNever) out[n++] = segment;
  }
  std::sort(out, out + n, [&first](std::uint8_t a, std::uint8_t b) { return first[a] < first[b]; });
  return n;
}

void Dispatcher::note_hold(Index index, std::uint8_t segment, SegmentHold hold) noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  SegmentHold& known = arena_->databases[index].holds[segment];
  hold.since = known.reason == hold.reason ? known.since : platform_->wall_now();
  known = hold;
}

SegmentHold Dispatcher::see_hold(Index index, std::uint8_t segment) const noexcept {
  const LeafLock leaf(*platform_, kArenaLock);
  return arena_->databases[index].holds[segment];
}

/* Entries lie in no order: the queue of the first one is locked for it and for those behind it that
 * are the same queue's. */
std::uint32_t Dispatcher::residents_of(Index index, std::uint8_t segment, std::uint32_t most,
                                       Straggler* oldest) const noexcept {
  std::uint32_t count = 0;
  for (Index i = 0; i < arena_->capacity && count <= most;) {
    const Index number = entry(i).queue;
    if (number == kNoQueue || queue(number).database != index) {
      i++;
      continue;
    }
    const QueueLock hold(*this, number);
    const Index end = i + std::min(kEntriesPerHold, arena_->capacity - i);
    const bool is_here = queue(number).database == index;
    for (const Index from = i; i < end && count <= most; i++) {
      const Entry& e = entry(i);
      if (e.queue != number) {
        /* The first one may have gone since. */
        if (e.queue != kNoQueue && i > from) break;
        continue;
      }
      if (!is_here || e.segment != segment || e.state == EntryState::tombstone ||
          e.state == EntryState::busy || e.state == EntryState::blocked)
        continue;
      if (count == 0 || e.id < oldest->id) *oldest = Straggler{e.id, queue(number).id};
      count++;
    }
  }
  return count;
}

}  // namespace dw::core
