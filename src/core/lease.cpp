/*
 * Claims, leases and heartbeats. A claim pops due jobs under the queue lock, gives each a token and
 * a deadline, and writes nothing anywhere else: no tuple, no transaction id, no WAL.
 */
#include "core/backoff.hpp"
#include "core/queue_lock.hpp"
#include "core/starts.hpp"
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

/* Where the next job for the claim lies; nullptr: there is none. */
Entry* Dispatcher::next_ready(Queue& q, OwnedLook* look) noexcept {
  if (look != nullptr) return first_owned(q, look);
  return q.ready_count > 0 ? ready_first(q) : nullptr;
}

/* The next that is due, past those that have expired; nullptr: none, or enough was looked at. */
Entry* Dispatcher::pop_ready(Queue& q, Micros now, std::uint32_t* looks, OwnedLook* look) noexcept {
  while (*looks > 0) {
    --*looks;
    Entry* const next = next_ready(q, look);
    if (next == nullptr) break;
    Entry& e = *next;
    ready_remove(q, e);
    if (q.options.fair) q.round = std::max(q.round, e.leased_at);
    const bool has_expired_meanwhile = has_expired(e.expires_at, now);
    /* Handed out before, when the queue was of another kind. */
    const bool is_used_up = q.options.at_most_once && e.attempts > 0;
    const bool dies = has_expired_meanwhile || is_used_up;
    const bool is_limited = q.keys_limited != 0 && e.key_check != 0;
    WeightedKey* const weighted = q.weighted_keys != 0 ? begin_serving(q, e) : nullptr;
    if (weighted != nullptr && !dies) weighted->served++;
    if (e.has_turn != 0 && !q.options.ordered && (dies || !is_limited)) end_turn(q, e);
    const bool starts = !dies && (!is_limited || start_of_key(q, e));
    q.served_key = 0;
    if (starts) return &e;
    if (dies)
      make_overdue(q, e, has_expired_meanwhile ? Lapse::expired : Lapse::attempts_exhausted);
    else if (weighted != nullptr)
      weighted->served--;
  }
  return nullptr;
}

/* Under the queue lock; up to n due jobs. kWorkerGone: the slot went to another name. What the
 * worker holds is counted under the lock of the workers, so that two claims of one do not exceed
 * its capacity together. */
std::uint32_t Dispatcher::hand_out(Queue& q, const Claim& claim, Micros now, Micros span,
                                   Token first, ClaimedJob* out, std::uint32_t n) noexcept {
  const Micros monotonic = platform_->monotonic_now();
  Worker& holder = arena_->workers[claim.worker.worker];
  {
    const LeafLock leaf(*platform_, kWorkersLock);
    if (holder.incarnation != claim.worker.incarnation) return kWorkerGone;
    const std::uint32_t capacity = claim.claimant != nullptr ? claim.claimant->capacity : 0;
    if (capacity != 0) n = std::min(n, capacity - std::min(capacity, holder.lease_count));
    /* With leases the slot goes to nobody else. */
    holder.lease_count += n;
  }
  std::uint32_t given = 0;
  std::uint32_t looks = n + kEntriesPerHold;
  while (given < n) {
    Entry* const popped = pop_ready(q, now, &looks, claim.look);
    if (popped == nullptr) break;
    Entry& e = *popped;
    e.state = EntryState::leased;
    e.token = first + given;
    e.leased_at = monotonic;
    e.lapsed = Lapse::none;
    if (e.attempts < kMostAttempts) e.charge();
    e.holds_place = 1;
    if (q.counts_keys != 0 && e.counted_for_key == 0) count_without_key(q, e);
    e.worker = claim.worker.worker;
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
  if (given == 0 && looks == 0) *claim.unfinished = true;
  q.counters.claimed += given;
  q.in_flight += given;
  const LeafLock leaf(*platform_, kWorkersLock);
  for (std::uint32_t i = 0; i < given; i++) {
    Entry& e = entry(out[i].ref.entry);
    e.previous_of_worker = kNone;
    e.next_of_worker = holder.first_lease;
    if (holder.first_lease != kNone)
      entry(holder.first_lease).previous_of_worker = out[i].ref.entry;
    holder.first_lease = out[i].ref.entry;
  }
  holder.lease_count -= n - given;
  if (holder.drains && holder.lease_count == 0) platform_->wake_housekeeper(holder.database);
  return given;
}

namespace {

/* Epoch and counter are one word, so that a raise of the epoch, under no lock of a queue, leaves
 * nobody with a number of the old counter under the new epoch. */
Token next_tokens(Database& database, std::uint32_t n, bool* raise) noexcept {
  if (database.state != DatabaseState::open) return 0;
  const Token first = database.last_token.fetch_add(n, std::memory_order_relaxed) + 1;
  *raise = counter_of(first) >= kCounterRaise;
  if (counter_of(first) + n < kCounterEnd) return first;
  /* The epoch's tokens are used up; nothing is claimed until the raise is durable. */
  const Token end = make_token(epoch_of(first), kCounterEnd);
  Token seen = database.last_token.load(std::memory_order_relaxed);
  while (seen > end && epoch_of(seen) == epoch_of(first) &&
         !database.last_token.compare_exchange_weak(seen, end, std::memory_order_relaxed)) {
  }
  return 0;
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
 * A claim may have to look at many jobs before it meets one that it may have: of other owners,
 * expired, or held back by a limit of their key. It goes on under another hold of the lock, unless
 * it has some already: tokens of one batch are drawn under one hold.
 */
std::uint32_t Dispatcher::claim(QueueRef ref, WorkerRef worker, Micros lease, ClaimedJob* out,
                                std::uint32_t n, const RequestRef* request, Index waiter,
                                const Claimant* claimant) noexcept {
  OwnedLook look{};
  bool unfinished = false;
  Claim claim{ref, worker, lease, request, waiter, claimant, nullptr, &unfinished};
  if (claimant != nullptr && claimant->owned_only) {
    look.member = static_cast<OwnerNumber>(claimant->member.member);
    claim.look = &look;
  }
  std::uint32_t taken = 0;
  do {
    look.more = false;
    look.passed = 0;
    unfinished = false;
    taken = claim_some(claim, out, n);
  } while (taken == 0 && (look.more || unfinished));
  return taken;
}

/* How many jobs a claim may find, at most. */
std::uint32_t Dispatcher::count_for(const Queue& q, const Claimant* claimant) const noexcept {
  /* Behind each that is ready there may be others of its key that may start too. */
  const std::uint32_t behind = q.keys_limited != 0 && !q.options.ordered ? q.gated_count : 0;
  const std::uint32_t all = due_count(q) > 0 ? due_count(q) + behind : 0;
  if (claimant == nullptr) return all;
  if (!may_claim(claimant->member)) return 0;
  if (!claimant->owned_only) return all;
  if (!is_ready_for(q, static_cast<OwnerNumber>(claimant->member.member))) return 0;
  /* Of a fair queue there may be more behind those that are ready. */
  return q.options.fair || behind > 0 ? all : table_of(q).owned[claimant->member.member];
}

std::uint32_t Dispatcher::claim_some(const Claim& claim, ClaimedJob* out,
                                     std::uint32_t n) noexcept {
  const Index index = claim.ref.queue;
  QueueLock hold(*this, index);
  Queue& q = queue(index);
  if (q.incarnation != claim.ref.incarnation || q.id == 0 || q.database == kNone) return 0;
  const Database& database = arena_->databases[q.database];
  if (database.state != DatabaseState::open || is_paused(q)) return 0;
  const Micros now = platform_->wall_now();
  q.last_claim = now;
  promote_due(q, now);
  Starts starts(*this, hold, q, std::min(n, count_for(q, claim.claimant)));
  std::uint32_t taken = starts.reserved();
  if (taken > 0) {
    const Token first = draw_tokens(hold, q.database, taken);
    if (first == 0) return 0;
    Micros span = claim.lease > 0 ? claim.lease : q.options.lease;
    if (q.options.max_runtime > 0) span = std::min(span, q.options.max_runtime);
    taken = hand_out(q, claim, now, span, first, out, taken);
    if (taken == kWorkerGone) return kWorkerGone;
    starts.use(taken);
    if (taken > 0) q.last_handed_out = now;
    const Micros deadline = later(platform_->monotonic_now(), span);
    if (claim.request != nullptr && taken > 0)
      note_block(*claim.request, claim.worker, out[0].token, taken, deadline);
    set_deadline_timer(q, deadline);
  }
  if (runs_dry(q)) hold.wake_housekeeper(q.database);
  starts.end();
  if (taken == 0 && (*claim.unfinished || (claim.look != nullptr && claim.look->more))) return 0;
  /* What it reserved for jobs that their keys hold back is not missing to the queue. */
  if (q.keys_limited != 0 && q.grouped != 0 && due_count(q) == 0)
    allowance(nullptr, q, 0, platform_->monotonic_now(), false);
  if (claim.waiter != kNone) settle_wake(claim.waiter, index, taken);
  wake_for_work(hold, index, 1);
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
  e->refund();
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
  lower_frontier(q, e->id);
  if (e->segment == kParkedSegment) {
    note_parked_left(q, ParkedLeft::some);
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
  if (e->worker != kNone && e->token == token) e->unrecorded = 0;
}

void Dispatcher::expire_claim(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::leased || e->token != token || e->lapsed != Lapse::none) return;
  Queue& q = queue(index);
  leave_tree(q, *e);
  e->refund();
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
  if (e->state == EntryState::cancelled) {
    *verdict = Verdict::cancelled;
    give_place_back(*e);
  }
  if (!is_held(*e, token)) return 0;
  Queue& q = queue(index);
  /* In this order: the process may be stopped in between, and nobody is to be told more than there
   * is. */
  const Micros wall = platform_->wall_now();
  const Micros monotonic = platform_->monotonic_now();
  const Micros wanted = later(monotonic, lease > 0 ? lease : q.options.lease);
  const Micros deadline = extended(q, *e, wanted);
  if (deadline < wanted && deadline == e->at) {
    *verdict = Verdict::used_up;
    return 0;
  }
  q.leased.remove(*e);
  e->at = deadline;
  insert_near_end(q.leased, *e);
  set_deadline_timer(q, e->at);
  *verdict = Verdict::ok;
  return deadline == kNever ? kNever : later(wall, deadline - monotonic);
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
  const Micros wall = platform_->wall_now();
  const Micros monotonic = platform_->monotonic_now();
  if (e->state == EntryState::cancelled) {
    *state = HeartbeatState::cancelled;
    give_place_back(*e);
  } else if (e->lapsed != Lapse::none || e->state == EntryState::expiring) {
    *state = HeartbeatState::lost;
  } else {
    *state = HeartbeatState::leased;
    q.leased.remove(*e);
    e->at = extended(q, *e, later(monotonic, lease > 0 ? lease : q.options.lease));
    insert_near_end(q.leased, *e);
    set_deadline_timer(q, e->at);
  }
  fill_lease(q, *e, wall, monotonic, out);
  return true;
}

}  // namespace dw::core
