/*
 * The loader's part about the parked table: long sleepers, redriven dead letters, jobs that were
 * given another row.
 *
 * Each queue has a place in the order of the stored due times: what lies in front of it has been
 * looked at. A pass goes from there to the time that the database has come to, in as many chunks as
 * it takes, and stops where there is no room. The database's time is moved before the snapshot of
 * the pass is taken: a commit that comes later finds its due time behind it and lowers parked_from,
 * which takes every queue's place back. A job's due time in force is never earlier than the stored
 * one, so a row that must be seen again is found by going back to the latter.
 */
#include "core/loader.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr JobId kBeforeAll = std::numeric_limits<JobId>::min();
constexpr JobId kBehindAll = std::numeric_limits<JobId>::max();

}  // namespace

class Loader::ParkedRows : public JobSink {
 public:
  ParkedRows(Loader* loader, QueueLoad* load, Micros until)
      : loader_(loader), load_(load), until_(until) {}
  bool take(const StoredJob& job) override {
    goes_on_ = loader_->take_parked(*load_, job) && !loader_->out_of_time(until_);
    return goes_on_;
  }
  [[nodiscard]] bool ended() const { return goes_on_; }

 private:
  Loader* loader_;
  QueueLoad* load_;
  Micros until_;
  bool goes_on_ = true;
};

void Loader::forget_parked(QueueLoad& load) {
  load.parked = true;
  load.parked_at = ParkedPlace{kAlways, kBeforeAll};
  load.parked_tried = kAlways;
  load.parked_again = kNever;
  load.parked_from = kNever;
  load.parked_id = kBeforeAll;
  load.parked_busy_id = kNever;
}

void Loader::go_back(QueueLoad& load, Micros due) {
  if (load.ordered) return go_back_to_id(load, kBeforeAll);
  load.parked = true;
  if (due <= load.parked_at.due) load.parked_at = ParkedPlace{due, kBeforeAll};
}

void Loader::look_again(QueueLoad& load, Micros at, Micros stored) {
  load.parked_again = std::min(load.parked_again, at);
  load.parked_from = std::min(load.parked_from, stored);
}

void Loader::wake_parked(Micros now) {
  Database& database = dispatcher_->arena().databases[database_];
  const Micros position = database.parked_until.load();
  /* Never less than was read before: the horizon may have been lowered, the clock set back. */
  const Micros until = std::max(position, now + horizon_);
  const bool advance = position == kAlways || until - position > horizon_ / 4;
  if (advance || database.parked_from.load() != kNever) {
    const Micros from = std::min(position, database.parked_from.exchange(kNever));
    database.parked_until.store(until);
    /* Ordered queues have theirs in memory, whenever they are due; but not those that came. */
    for (QueueLoad& load : queues_) {
      if (!load.ordered || from < position) go_back(load, from);
    }
  }
  for (QueueLoad& load : queues_) {
    if (load.parked_again > now) continue;
    if (load.ordered)
      go_back_to_id(load, load.parked_busy_id - 1);
    else
      go_back(load, load.parked_from);
    load.parked_busy_id = kNever;
    load.parked_again = kNever;
    load.parked_from = kNever;
  }
}

/* True: there is more to be read, and time was over. */
bool Loader::scan_parked(Micros until) {
  const Micros position = dispatcher_->arena().databases[database_].parked_until.load();
  for (QueueLoad& load : queues_) {
    if (!load.active || load.full || !load.parked) continue;
    if (load.ordered) {
      gather_parked(load, until);
      continue;
    }
    ParkedRows sink(this, &load, until);
    store_->scan_parked(load.topic, load.parked_at, position, sink);
    if (sink.ended()) {
      load.parked = false;
      load.parked_at = ParkedPlace{position, kBehindAll};
    }
    if (out_of_time(until)) return true;
  }
  return false;
}

/* False: the pass ends in front of this row. */
bool Loader::take_parked(QueueLoad& load, StoredJob job) {
  const Micros now = dispatcher_->platform().wall_now();
  const Micros stored = job.row.due;
  job.row.queue = load.id;
  job.row.expires_at = expiry_seconds(job.expires_at);
  known_.apply(load.id, kParkedSegment, job.row.id, &job.row.attempts, &job.row.due);
  job.row.claim_is_open = known_.last_claim(load.id, kParkedSegment, job.row.id).open;
  const Micros expires = expiry_time(job.row.expires_at);
  const bool sleeps = job.row.due > now && expires > now && !job.row.claim_is_open;
  if (known_.finished(load.id, kParkedSegment, job.row.id)) {
    load.parked_at = ParkedPlace{stored, job.row.id};
    return true;
  }
  if (sleeps && job.row.due - now > horizon_) {
    look_again(load, std::min(job.row.due - horizon_ / 2, expires), stored);
    load.parked_at = ParkedPlace{stored, job.row.id};
    return true;
  }

  QueueLock hold(*dispatcher_, load.ref.queue);
  Queue& q = dispatcher_->queue(load.ref.queue);
  if (q.incarnation != load.ref.incarnation) {
    load.full = true; /* dropped meanwhile */
    return false;
  }
  if (sleeps && q.delayed_count + q.pending_later >= dispatcher_->most_sleepers(q)) {
    look_again(load, std::min(std::max(now + kParkedRetry, job.row.due), expires), stored);
    if (stored > now) {
      /* So do all behind it. */
      load.parked = false;
      return false;
    }
    load.parked_at = ParkedPlace{stored, job.row.id};
    return true;
  }
  switch (dispatcher_->link_loaded(load.ref.queue, job.row, now)) {
    case LinkResult::no_room:
      load.full = true;
      return false;
    case LinkResult::busy:
      look_again(load, now + kBusyRetry, stored);
      break;
    case LinkResult::linked:
      loaded_++;
      if (job.row.due <= now) dispatcher_->wake_for_work(hold, load.ref.queue, 1);
      break;
    case LinkResult::resident:
      break;
  }
  load.parked_at = ParkedPlace{stored, job.row.id};
  return true;
}

}  // namespace dw::core
