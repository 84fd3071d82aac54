#include "core/sweeper.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

namespace {

constexpr Micros kPauseAfterFailure = 1 * kSecond;
constexpr Micros kPauseOfBadJob = 10 * kSecond;

}  // namespace

/* Gives the leases back unless the batch was written. */
class Sweeper::BatchEnd {
 public:
  explicit BatchEnd(Sweeper* sweeper) : sweeper_(sweeper) {}
  BatchEnd(const BatchEnd&) = delete;
  BatchEnd& operator=(const BatchEnd&) = delete;
  ~BatchEnd() { sweeper_->resolve(written_); }
  void written() { written_ = true; }

 private:
  Sweeper* sweeper_;
  bool written_ = false;
};

void Sweeper::collect(Index index, Micros now) {
  QueueLock hold(*dispatcher_, index);
  Queue& q = dispatcher_->queue(index);
  if (q.state != QueueState::active || q.database != database_) return;
  for (auto next = q.leased.begin(); next != q.leased.end() && expiries_.size() < batch_size_;) {
    Entry& e = *next;
    ++next;
    if (e.at > now) break;
    if (e.state == EntryState::cancelled) {
      /* The holder had its time to hear of it. */
      dispatcher_->leave_tree(q, e);
      dispatcher_->finish_entry(e);
      continue;
    }
    /* Already decided by an open transaction: its abort gives the lease back, and it is swept then.
     */
    if (e.state != EntryState::leased && e.state != EntryState::overdue) continue;
    if (!take(hold, q, e)) return;
  }
}

/* False: no token can be had for a decision on a job that nobody holds. */
bool Sweeper::take(QueueLock& hold, Queue& q, Entry& e) {
  Expiry expiry{};
  if (e.worker == kNone) {
    const Token token = dispatcher_->draw_tokens(hold, database_, 1);
    if (token == 0) return false;
    e.token = token;
  } else {
    std::memcpy(expiry.worker, dispatcher_->arena().workers[e.worker].name, kWorkerNameSize);
  }
  expiry.id = e.id;
  expiry.token = e.token;
  expiry.queue = q.id;
  expiry.segment = e.segment;
  expiry.block = e.block;
  expiry.offset = e.offset;
  expiry.attempt = e.attempts;
  expiry.key_hash = e.key_hash;
  expiry.key_check = e.key_check;
  expiry.reason = e.lapsed != Lapse::none  ? e.lapsed
                  : q.options.at_most_once ? Lapse::outcome_unknown
                                           : Lapse::lease_expired;
  const bool dead =
      ends_job(expiry.reason) || e.attempts >= most_attempts(q.options, e.max_attempts);
  expiry.outcome = dead ? OutcomeKind::dead_lettered : OutcomeKind::attempt_failed;
  expiry.blocks_key = dead && uses_up(expiry.reason) && e.has_turn != 0 && q.options.ordered &&
                      q.options.on_exhausted != OnExhausted::skip;
  expiry.takes_along = expiry.blocks_key && q.options.on_exhausted == OnExhausted::dead_letter_key
                           ? dispatcher_->end_of_followers(database_)
                           : 0;
  expiries_.push_back(expiry);
  refs_.push_back(EntryRef{dispatcher_->index_of(e), e.incarnation});
  e.state = EntryState::expiring;
  return true;
}

void Sweeper::resolve(bool written) noexcept {
  for (std::size_t i = 0; i < refs_.size(); i++) {
    Index index = kNone;
    Entry* e = dispatcher_->lock_ref(refs_[i], &index);
    if (e == nullptr) continue;
    QueueLock hold(*dispatcher_, index, QueueLock::Adopt{});
    Queue& q = dispatcher_->queue(index);
    if (e->state != EntryState::expiring || e->token != expiries_[i].token) continue;
    if (!written) {
      e->state = e->worker != kNone ? EntryState::leased : EntryState::overdue;
      if (batch_size_ == 1) {
        /* This one is what fails. Its token stays void, the others go on. */
        q.leased.remove(*e);
        e->lapsed = expiries_[i].reason;
        e->at = dispatcher_->platform().monotonic_now() + kPauseOfBadJob;
        q.leased.insert(*e);
      }
      continue;
    }
    if (e->worker != kNone) q.counters.expired++;
    dispatcher_->leave_tree(q, *e);
    e->lapsed = Lapse::none;
    e->unrecorded = 0;
    if (expiries_[i].outcome == OutcomeKind::dead_lettered) {
      q.counters.dead_lettered++;
      dispatcher_->count_ended(hold, q, e->id, e->token);
      if (expiries_[i].blocks_key) {
        dispatcher_->block(q, *e, expiries_[i].takes_along);
        if (expiries_[i].takes_along != 0) hold.wake_housekeeper(q.database);
      } else {
        dispatcher_->finish_entry(*e);
      }
      continue;
    }
    const Micros now = dispatcher_->platform().wall_now();
    dispatcher_->make_waiting(q, *e, now, now);
    if (e->state == EntryState::ready) dispatcher_->wake_for_work(hold, index, 1);
  }
  if (!written) {
    if (batch_size_ > 1)
      paused_until_ = dispatcher_->platform().monotonic_now() + kPauseAfterFailure;
    batch_size_ = 1;
    singles_left_ = kMostInBatch;
  } else if (singles_left_ > 0 && --singles_left_ == 0) {
    batch_size_ = kMostInBatch;
  }
}

bool Sweeper::step() {
  const Micros now = dispatcher_->platform().monotonic_now();
  if (now < paused_until_) return false;
  expiries_.clear();
  refs_.clear();
  expiries_.reserve(kMostInBatch);
  refs_.reserve(kMostInBatch);
  for (Index i = 0; i < kMostQueues && expiries_.size() < batch_size_; i++) {
    const Queue& q = dispatcher_->queue(i);
    if (q.state == QueueState::active && q.database == database_ && q.leased_count > 0)
      collect(i, now);
  }
  if (expiries_.empty()) return false;
  const bool full = expiries_.size() == batch_size_;
  BatchEnd end(this);
  store_->begin();
  store_->write_expiries(expiries_.data(), expiries_.size(), dispatcher_->platform().wall_now());
  store_->commit();
  end.written();
  return full;
}

Micros Sweeper::next_deadline() const {
  Micros next = kNever;
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& slot = dispatcher_->queue(i);
    if (slot.state != QueueState::active || slot.database != database_ || slot.leased_count == 0)
      continue;
    const QueueLock hold(*dispatcher_, i);
    const Queue& q = dispatcher_->queue(i);
    /* A job being decided does not count: when that ends in an abort, the timer is set again. */
    for (auto e = q.leased.begin(); e != q.leased.end() && e->at < next; ++e) {
      if (e->state == EntryState::leased || e->state == EntryState::cancelled ||
          e->state == EntryState::overdue)
        next = e->at;
    }
  }
  return std::max(next, paused_until_);
}

/* When somebody is to look after its ready jobs. Those that the limits hold back have to wait for a
 * token, or for the end of a lease, which wakes by itself. Who listens was told of what may start
 * now. */
Micros Sweeper::next_look(const Queue& q, Micros wall) const {
  const Micros round = q.waiter_count > 0 ? wall + kIdleRound : kNever;
  if (Dispatcher::due_count(q) == 0) return round;
  const Micros at = dispatcher_->starts_at(q);
  if (at == kNever) return round;
  const Micros monotonic = dispatcher_->platform().monotonic_now();
  if (at > monotonic) return std::min(round, wall + (at - monotonic));
  return dispatcher_->has_sleeper_for_work(q) ? wall + kWakePatience : round;
}

Micros Sweeper::next_due() const {
  Micros next = kNever;
  const Micros now = dispatcher_->platform().wall_now();
  const bool announces = dispatcher_->arena().databases[database_].announce_interval.load() != 0;
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& slot = dispatcher_->queue(i);
    if (slot.state != QueueState::active || slot.database != database_ ||
        (slot.waiter_count == 0 && !announces))
      continue;
    const QueueLock hold(*dispatcher_, i);
    const Queue& q = dispatcher_->queue(i);
    if (dispatcher_->is_paused(q)) continue;
    next = std::min(next, next_look(q, now));
    if (!q.delayed.empty()) next = std::min(next, q.delayed.begin()->at);
  }
  return next;
}

}  // namespace dw::core
