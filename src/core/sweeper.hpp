/*
 * The sweep of leases that ended without an answer, and of jobs that are overdue.
 *
 * Under the queue lock a lease past its deadline becomes EXPIRING: from here every call with its
 * token is stale, so a renewal or a completion that comes now is refused and cannot be undone by
 * the sweep. Then the failed attempts of up to a hundred leases are written in one short
 * transaction, and the jobs become ready, or dead letters. If that transaction fails, the leases
 * are given back as they were and tried again after a pause, one at a time, so that one bad row
 * does not stop the others. An overdue job, which nobody holds, goes the same way; its dead letter
 * is written under a token of its own, drawn when it becomes EXPIRING.
 */
#pragma once

#include "core/store.hpp"

#include <vector>

namespace dw::core {

class Sweeper {
 public:
  Sweeper(Dispatcher* dispatcher, Index database, Store* store)
      : dispatcher_(dispatcher), store_(store), database_(database) {}

  /* Sweeps one batch. True if there may be more. May throw; then the caller aborts the store's
   * transaction. */
  bool step();

  /* Monotonic time of the earliest deadline; kNever when nothing is leased. */
  [[nodiscard]] Micros next_deadline() const;
  /* Wall time when a sleeping waiter's queue has a job that comes due; kNever when there is none.
   */
  [[nodiscard]] Micros next_due() const;

 private:
  static constexpr std::size_t kMostInBatch = 100;
  class BatchEnd;
  friend class BatchEnd;

  void collect(Index queue, Micros now);
  bool take(QueueLock& hold, Queue& q, Entry& e);
  void resolve(bool written) noexcept;
  [[nodiscard]] Micros next_look(const Queue& q, Micros wall) const;

  Dispatcher* dispatcher_;
  Store* store_;
  Index database_;
  std::size_t batch_size_ = kMostInBatch;
  std::size_t singles_left_ = 0;  /* batches of one still to go after a failure */
  Micros paused_until_ = kAlways; /* monotonic, after a failure */
  std::vector<EntryRef> refs_;
  std::vector<Expiry> expiries_;
};

}  // namespace dw::core
