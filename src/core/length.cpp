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
  if (id >= q.length.from_id || token >= q.length.from_token) {
    q.length.since--;
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

}  // namespace dw::core
