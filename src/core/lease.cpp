/*
 * Claims, leases and heartbeats. A claim pops due jobs under the queue lock, gives each a token and
 * a deadline, and writes nothing anywhere else: no tuple, no transaction id, no WAL.
 */
#include "core/backoff.hpp"
#include "core/queue_lock.hpp"
#include "core/token.hpp"
#include "core/tree.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

namespace {

/* A deadline or due time far away stays a number: now + span never overflows. */
Micros later(Micros now, Micros span) noexcept { return span > kNever - now ? kNever : now + span; }

/* Pause before a job is offered again whose claiming statement failed. */
constexpr Micros kRefundPause = 1 * kSecond;

}  // namespace

Index Dispatcher::find_worker(Index database, std::string_view name,
                              std::int64_t instance) noexcept {
  const LeafLock leaf(*platform_, kWorkersLock);
  for (Index i = 0; i < kMostWorkers; i++) {
    const Worker& worker = arena_->workers[i];
    if (worker.name[0] == '\0') break;
    if (worker.database == database && worker.instance == instance && name == worker.name) return i;
  }
  return kNone;
}

/*
 * Slots are taken from the front and never emptied, so the search ends at the first unused one. A
 * slot whose worker holds no lease can be given to another name; the least recently used one goes
 * first.
 */
WorkerRef Dispatcher::worker_slot(Index database, std::string_view name,
                                  std::int64_t instance) noexcept {
  const LeafLock leaf(*platform_, kWorkersLock);
  Index idle = kNone;
  for (Index i = 0; i < kMostWorkers; i++) {
    Worker& worker = arena_->workers[i];
    if (worker.name[0] == '\0') {
      idle = i;
      break;
    }
    if (worker.database == database && worker.instance == instance && name == worker.name) {
      worker.last_used = ++arena_->worker_clock;
      return WorkerRef{i, worker.incarnation};
    }
    if (worker.lease_count == 0 &&
        (idle == kNone || worker.last_used < arena_->workers[idle].last_used))
      idle = i;
  }
  if (idle == kNone) return WorkerRef{kNone, 0};
  Worker& worker = arena_->workers[idle];
  worker.database = database;
  worker.instance = instance;
  worker.drains = false;
  worker.incarnation++;
  worker.last_used = ++arena_->worker_clock;
  const std::size_t length = std::min(name.size(), kWorkerNameSize - 1);
  std::memcpy(worker.name, name.data(), length);
  worker.name[length] = '\0';
  return WorkerRef{idle, worker.incarnation};
}

/* An entry that is in no tree: it must not be handed out, and the sweep ends it. */
bool Dispatcher::is_over(Queue& q, Entry& e, Micros now) noexcept {
  if (has_expired(e.expires_at, now)) {
    make_overdue(q, e, Lapse::expired);
    return true;
  }
  if (q.options.at_most_once && e.attempts > 0) {
    /* Handed out before, when the queue was of another kind. */
    make_overdue(q, e, Lapse::attempts_exhausted);
    return true;
  }
  return false;
}

/* Under the queue lock; up to n due jobs, past those that have expired. kWorkerGone: the slot went
 * to another name. What it holds is counted under the lock of the workers, so that two claims of
 * one worker do not exceed its capacity together. */
std::uint32_t Dispatcher::hand_out(Queue& q, WorkerRef worker, Micros now, Micros span, Token first,
                                   ClaimedJob* out, std::uint32_t n,
                                   const Handing& handing) noexcept {
  const Micros monotonic = platform_->monotonic_now();
  const LeafLock leaf(*platform_, kWorkersLock);
  Worker& holder = arena_->workers[worker.worker];
  if (holder.incarnation != worker.incarnation) return kWorkerGone;
  if (handing.capacity != 0)
    n = std::min(n, handing.capacity - std::min(handing.capacity, holder.lease_count));
  std::uint32_t given = 0;
  for (std::uint32_t popped = 0; given < n && popped < n + kEntriesPerHold; popped++) {
    Entry* const next = pop_ready(q, handing.picked);
    if (next == nullptr) break;
    Entry& e = *next;
    if (is_over(q, e, now)) continue;
    e.state = EntryState::leased;
    e.token = first + given;
    e.leased_at = monotonic;
    e.lapsed = Lapse::none;
    if (e.attempts < kMostAttempts) e.attempts++;
    e.worker = worker.worker;
    e.previous_of_worker = kNone;
    e.next_of_worker = holder.first_lease;
    if (holder.first_lease != kNone) entry(holder.first_lease).previous_of_worker = index_of(e);
    holder.first_lease = index_of(e);
    holder.lease_count++;
    make_leased(q, e, later(monotonic, span));
    out[given++] = ClaimedJob{EntryRef{index_of(e), e.incarnation},
                              e.id,
                              e.token,
                              later(now, span),
                              e.block,
                              e.offset,
                              e.segment,
                              e.priority,
                              e.attempts,
                              e.queue};
  }
  q.counters.claimed += given;
  return given;
}

namespace {

Token next_tokens(Database& database, std::uint32_t n, bool* raise) noexcept {
  if (database.state != DatabaseState::open) return 0;
  const std::uint64_t first = database.counter.fetch_add(n, std::memory_order_relaxed) + 1;
  *raise = first >= kCounterRaise;
  if (first + n >= kCounterEnd) {
    /* The epoch's tokens are used up; nothing is claimed until the raise is durable. */
    database.counter.store(kCounterEnd - 1, std::memory_order_relaxed);
    return 0;
  }
  return make_token(database.epoch, first);
}

}  // namespace

Token Dispatcher::draw_tokens(QueueLock& hold, Index index, std::uint32_t n) noexcept {
  bool raise = false;
  const Token first = next_tokens(arena_->databases[index], n, &raise);
  if (raise) hold.wake_housekeeper(index);
  return first;
}

Token Dispatcher::take_tokens(Index index, std::uint32_t n) noexcept {
  bool raise = false;
  Token first = 0;
  {
    /* Not while the epoch is raised. */
    const LeafLock leaf(*platform_, kArenaLock);
    first = next_tokens(arena_->databases[index], n, &raise);
  }
  if (raise) platform_->wake_housekeeper(index);
  return first;
}

/*
 * A claim of owned jobs may have to look at many of others before it meets one. It goes on under
 * another hold of the lock, unless it has some already: tokens of one batch are drawn under one
 * hold.
 */
std::uint32_t Dispatcher::claim(QueueRef ref, WorkerRef worker, Micros lease, ClaimedJob* out,
                                std::uint32_t n, const RequestRef* request,
                                const Claimant* claimant) noexcept {
  ShelfPlace place{};
  bool more = true;
  std::uint32_t taken = 0;
  while (taken == 0 && more) {
    more = false;
    taken = claim_some(ref, worker, lease, out, n, request, claimant, &place, &more);
  }
  return taken;
}

std::uint32_t Dispatcher::claim_some(QueueRef ref, WorkerRef worker, Micros lease, ClaimedJob* out,
                                     std::uint32_t n, const RequestRef* request,
                                     const Claimant* claimant, ShelfPlace* place,
                                     bool* more) noexcept {
  QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || q.id == 0 || q.database == kNone) return 0;
  const Database& database = arena_->databases[q.database];
  if (database.state != DatabaseState::open || is_paused(q)) return 0;
  const Micros now = platform_->wall_now();
  q.last_claim = now;
  promote_due(q, now);
  std::uint32_t taken = std::min(n, q.ready_count);
  Picked picked{kNone, 0, false};
  const bool owned_only = claimant != nullptr && claimant->owned_only;
  if (claimant != nullptr && !may_claim(claimant->member)) taken = 0;
  if (owned_only) {
    if (taken > 0 && q.owners != kNone)
      picked = pick_owned(q, static_cast<OwnerNumber>(claimant->member.member), now, taken, place);
    taken = picked.count;
    *more = picked.more;
  }
  if (taken > 0) {
    const Token first = draw_tokens(hold, q.database, taken);
    if (first == 0) {
      put_back(q, picked.first);
      return 0;
    }
    Micros span = lease > 0 ? lease : q.options.lease;
    if (q.options.max_runtime > 0) span = std::min(span, q.options.max_runtime);
    const Handing handing{owned_only ? &picked.first : nullptr,
                          claimant != nullptr ? claimant->capacity : 0};
    taken = hand_out(q, worker, now, span, first, out, taken, handing);
    put_back(q, picked.first);
    if (taken == kWorkerGone) return kWorkerGone;
    const Micros deadline = later(platform_->monotonic_now(), span);
    if (request != nullptr && taken > 0)
      note_block(*request, worker, out[0].token, taken, deadline);
    set_deadline_timer(q, deadline);
  }
  if (runs_dry(q)) hold.wake_housekeeper(q.database);
  if (q.ready_count > 0 && q.waiter_count > 0)
    hold.add_waiters(take_waiters(ref.queue, hold.waiters(), 1));
  return taken;
}

void Dispatcher::refund_claim(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::leased || e->token != token || e->lapsed != Lapse::none) return;
  Queue& q = queue(index);
  const std::int32_t most = e->max_attempts != 0 ? e->max_attempts : q.options.max_attempts;
  if (e->refunds >= std::min(most, 255)) {
    /* So many failed statements in a row are a property of the job, not of the statement. */
    e->refunds = 0;
    charge_attempt(hold, q, *e, Lapse::claim_rolled_back);
    return;
  }
  leave_tree(q, *e);
  e->refunds++;
  e->attempts--;
  give_back(hold, q, *e, later(platform_->wall_now(), kRefundPause));
}

void Dispatcher::roll_back_claim(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::leased || e->token != token || e->lapsed != Lapse::none) return;
  Queue& q = queue(index);
  charge_attempt(hold, q, *e,
                 q.options.at_most_once ? Lapse::outcome_unknown : Lapse::claim_rolled_back);
}

/* The attempt counts though nothing was recorded: backoff, or the end of the attempts. */
void Dispatcher::charge_attempt(QueueLock& hold, Queue& q, Entry& e, Lapse at_the_end) noexcept {
  if (e.attempts >= most_attempts(q.options, e.max_attempts)) {
    lapse(q, e, at_the_end);
    return;
  }
  leave_tree(q, e);
  const Micros delay = retry_delay(q.options, e.attempts, platform_->random());
  give_back(hold, q, e, later(platform_->wall_now(), delay));
}

void Dispatcher::quarantine(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::leased || e->token != token) return;
  Queue& q = queue(index);
  q.given_up++;
  if (e->segment == kParkedSegment) {
    q.parked_given_up = 1;
  } else {
    const std::uint32_t last =
        std::max(e->block, arena_->databases[q.database].tail_block[e->segment]);
    q.dirty.add(e->segment, 0, last);
  }
  if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
  hold.wake_housekeeper(q.database);
  leave_tree(q, *e);
  /* A chunk that runs may know less of the job than the log does by now. */
  finish_entry(*e);
}

void Dispatcher::record_claim(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->worker != kNone && e->token == token) e->recorded = e->attempts;
}

void Dispatcher::expire_claim(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::leased || e->token != token || e->lapsed != Lapse::none) return;
  Queue& q = queue(index);
  leave_tree(q, *e);
  e->attempts--;
  q.counters.claimed--;
  make_overdue(q, *e, Lapse::expired);
}

/* A job whose completion is not committed yet is still its worker's: an abort gives it back with
 * the deadline it has then. */
bool Dispatcher::is_held(const Entry& e, Token token) noexcept {
  if (e.token != token || e.lapsed != Lapse::none) return false;
  return e.state == EntryState::leased || (e.state == EntryState::completing && e.worker != kNone);
}

/* Under the queue lock: when a lease ends that is to end at `wanted`. What it has it keeps. */
Micros Dispatcher::extended(const Queue& q, const Entry& e, Micros wanted) noexcept {
  if (q.options.max_runtime == 0) return wanted;
  const Micros end = later(e.leased_at, q.options.max_runtime);
  return wanted <= end ? wanted : std::max(end, std::min(wanted, e.at));
}

Micros Dispatcher::extend(Index database, JobId id, Token token, Micros lease,
                          Verdict* verdict) noexcept {
  Index index = kNone;
  Entry* e = lock_job(database, id, token, 0, &index);
  if (e == nullptr) {
    *verdict = Verdict::not_resident;
    return 0;
  }
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  *verdict = Verdict::stale;
  if (e->token != token || e->lapsed != Lapse::none) return 0;
  if (e->state == EntryState::cancelled) *verdict = Verdict::cancelled;
  if (!is_held(*e, token)) return 0;
  Queue& q = queue(index);
  const Micros monotonic = platform_->monotonic_now();
  const Micros wanted = later(monotonic, lease > 0 ? lease : q.options.lease);
  const Micros deadline = extended(q, *e, wanted);
  if (deadline < wanted && deadline == e->at) {
    *verdict = Verdict::used_up;
    return 0;
  }
  q.leased.erase(q.leased.iterator_to(*e));
  e->at = deadline;
  insert_near_end(q.leased, *e);
  set_deadline_timer(q, e->at);
  *verdict = Verdict::ok;
  return deadline == kNever ? kNever : later(platform_->wall_now(), deadline - monotonic);
}

std::uint32_t Dispatcher::worker_leases(Index worker, EntryRef* out, std::uint32_t n) noexcept {
  const LeafLock leaf(*platform_, kWorkersLock);
  std::uint32_t count = 0;
  for (Index i = arena_->workers[worker].first_lease; i != kNone; i = entry(i).next_of_worker) {
    if (count < n) out[count] = EntryRef{i, entry(i).incarnation};
    count++;
  }
  return count;
}

bool Dispatcher::heartbeat(EntryRef ref, Index worker, Micros lease, LeaseRow* out,
                           HeartbeatState* state) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return false;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->worker != worker) return false;
  Queue& q = queue(index);
  const Micros monotonic = platform_->monotonic_now();
  const Micros wall = platform_->wall_now();
  if (e->state == EntryState::cancelled) {
    *state = HeartbeatState::cancelled;
  } else if (e->lapsed != Lapse::none || e->state == EntryState::expiring) {
    *state = HeartbeatState::lost;
  } else {
    *state = HeartbeatState::leased;
    q.leased.erase(q.leased.iterator_to(*e));
    e->at = extended(q, *e, later(monotonic, lease > 0 ? lease : q.options.lease));
    insert_near_end(q.leased, *e);
    set_deadline_timer(q, e->at);
  }
  fill_lease(q, *e, wall, monotonic, out);
  return true;
}

}  // namespace dw::core
