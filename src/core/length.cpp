/*
 * How many jobs of a queue are unfinished: what commits add and take away. census.hpp has the rest
 * of the protocol.
 */
#include "core/queue_lock.hpp"

namespace dw::core {

bool Dispatcher::length_of(Index queue_index, std::int64_t* unfinished) const noexcept {
  const QueueLock hold(*this, queue_index);
  const QueueLength& length = queue(queue_index).length;
  *unfinished = length.before + length.since;
  return length.known != 0;
}

void Dispatcher::count_enqueued(QueueLock& hold, Queue& q, JobId id) noexcept {
  if (id >= q.length.from_id) {
    q.length.since++;
  } else {
    disturb_count(hold, q);
  }
}

void Dispatcher::count_ended(QueueLock& hold, Queue& q, JobId id, Token token) noexcept {
  note_end(hold, q, id);
  if (id >= q.length.from_id || token >= q.length.from_token) {
    q.length.since--;
  } else {
    disturb_count(hold, q);
  }
}

/* Below the boundary the census counts them, if it saw their outcomes. */
void Dispatcher::count_redriven(QueueLock& hold, Queue& q, Token first, std::uint32_t n) noexcept {
  if (first >= q.length.from_token) {
    q.length.since += n;
  } else {
    disturb_count(hold, q);
  }
}

/*
 * Jobs that were on disk only and are ended together, under tokens that were drawn at once after
 * their rows were read. If those are below the boundary, so are the ids: the census counts again.
 */
void Dispatcher::count_purged(QueueLock& hold, Queue& q, Token first, std::uint32_t n) noexcept {
  if (first >= q.length.from_token) {
    q.length.since -= n;
  } else {
    disturb_count(hold, q);
  }
}

void Dispatcher::disturb_count(QueueLock& hold, Queue& q) noexcept {
  q.length.disturbed = 1;
  if (q.length.known == 0) return;
  q.length.known = 0;
  hold.wake_housekeeper(q.database);
}

/* By a new boundary, as after a restore. */
void Dispatcher::count_anew(Queue& q) noexcept {
  q.length.from_id = kNever;
  q.length.from_token = kNever;
  q.length.before = 0;
  q.length.since = 0;
}

/*
 * Unfinished jobs and those of open transactions together never exceed the limit, so no commit has
 * to be refused. A job that such a transaction drops for one of its own counts once, see leaving.
 */
Room Dispatcher::reserve_room(QueueRef ref, std::uint32_t n, RoomFigures* figures) noexcept {
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.state == QueueState::free) return Room::no_queue;
  if (q.options.max_length == 0) return Room::unlimited;
  if (q.length.known == 0) return Room::counting;
  *figures = RoomFigures{q.length.before + q.length.since, q.length.reserved, q.options.max_length};
  if (figures->unfinished - q.length.leaving + q.length.reserved + n > q.options.max_length)
    return Room::full;
  q.length.reserved += n;
  return Room::granted;
}

void Dispatcher::release_room(QueueRef ref, std::uint32_t n) noexcept {
  if (ref.queue == kNone || n == 0) return;
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation == ref.incarnation) q.length.reserved -= n;
}

void Dispatcher::begin_deciding(Queue& q, Entry& e) noexcept {
  e.state = EntryState::completing;
  e.deciding = 1;
  q.deciding++;
}

void Dispatcher::end_deciding(Queue& q, Entry& e) noexcept {
  if (e.deciding != 0) q.deciding--;
  if (e.leaving != 0) q.length.leaving--;
  e.deciding = 0;
  e.leaving = 0;
  e.straddles = 0;
}

Entry* Dispatcher::oldest_waiting(Queue& q) noexcept {
  if (Entry* const oldest = ready_oldest(q); oldest != nullptr) return oldest;
  if (!q.delayed.empty()) return &*q.delayed.begin();
  /* All keys are at their limit: the next of one of them. */
  return q.options.ordered || q.gated.empty() ? nullptr : &*q.gated.begin();
}

/*
 * Its end is counted when the transaction commits, in one lock hold with leaving; until then
 * leaving makes up for the room that its successor holds. A transaction that rolls back gives the
 * job back before the room.
 */
Room Dispatcher::exchange_room(QueueRef ref, RoomFigures* figures, Decided* out) noexcept {
  const Room room = reserve_room(ref, 1, figures);
  if (room != Room::full) return room;
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.state == QueueState::free) return Room::no_queue;
  if (q.length.known == 0) return Room::counting;
  promote_due(q, platform_->wall_now());
  Entry* const oldest = oldest_waiting(q);
  if (oldest == nullptr) return Room::full;
  fill_decided(q, *oldest, out);
  const Verdict verdict = begin_waiting(hold, q, *oldest, out);
  /* For what else has come due. */
  wake_for_work(hold, ref.queue, hold.waiter_room());
  if (verdict != Verdict::ok) return Room::counting;
  oldest->leaving = 1;
  q.length.leaving++;
  q.length.reserved++;
  return Room::exchanged;
}

}  // namespace dw::core
