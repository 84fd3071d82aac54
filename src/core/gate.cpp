/*
 * Turns of keys: ordered queues, where one job of a key follows the other, and fair queues, where
 * the keys take turns.
 *
 * Of the jobs of a key that are in memory one has the turn: it alone is ready, delayed, leased or
 * being decided. It is found by a hash from the key. All others hang in the tree `gated`, by key
 * and id, so that the end of a turn finds the next one in O(log n), however many wait and however
 * many keys are blocked. A job without a key waits for nobody.
 *
 * Ordered. The turn lasts from the commit of the enqueue until the job is finished, over retries,
 * deferrals, expiry and decisions that are rolled back; so a delayed job holds up its key. It is
 * given in the order of ids. A job that is about to commit queues up before its commit record is
 * written (pending entries are in the tree too), so one that was enqueued after another's commit
 * never passes it. One whose id is lower than that of the job which has the turn, and does not work
 * on it yet, takes the turn over: their transactions were open at the same time.
 *
 * What is on disk comes first. Heap position does not follow the id: a backend goes on filling the
 * page it used last, so a page that is read early may have a late job, and an earlier one of its
 * key lies on a page that is not read yet. `frontier` is an id: every unfinished job before it is
 * in memory. A job from the frontier on gets no turn; it hangs in the tree `held`, by id. The
 * loader reads the pages of an ordered queue in their order and raises the frontier at the end of a
 * chunk to the first id on the first page that it has left. Why the first id: it was drawn before
 * everything behind it on the page was written, so whatever was enqueued after the commit of one of
 * these has a higher id. Whoever leaves a committed job without an entry, or takes its entry away,
 * lowers the frontier to its id in the same lock hold.
 *
 * Blocked keys. A job that is used up may block its key. Its entry stays, as `blocked`, and keeps
 * the turn. The table durable_work.blocked_key says the same durably, written by the transaction
 * that writes the death; the loader raises no frontier before that table was read.
 *
 * Fair. The turn lasts while the job is ready; the next one gets it when a worker takes the job, or
 * it leaves otherwise. Ready jobs lie by round, priority and id. A job that becomes ready gets the
 * round after the one that was served last: so each key with work is served once a round, and a key
 * that comes new waits for one round at most, however much the others have. (Start-time fair
 * queueing, Goyal et al. 1996, with every job of the same length.) Keys without work cost nothing.
 * A key with a weight may get several jobs a round (weighted_keys.cpp).
 *
 * Limits of keys (key_limits.cpp) use the same turns and the same tree, in queues of any kind.
 */
#include "core/open_claim.hpp"
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

#include <algorithm>

namespace dw::core {

namespace {

bool same_key(const Entry& a, const Entry& b) noexcept {
  return a.key_hash == b.key_hash && a.key_check == b.key_check;
}

std::uint32_t mix(std::uint32_t key_hash, std::uint32_t key_check, Index queue) noexcept {
  std::uint32_t hash = key_hash ^ key_check * 0x9E3779B9U ^ queue * 0x85EBCA6BU;
  hash ^= hash >> 16;
  hash *= 0x7FEB352DU;
  return hash ^ hash >> 15;
}

/* Nobody works on it: another may have its turn. */
bool may_step_back(const Entry& e) noexcept {
  return e.state == EntryState::ready || e.state == EntryState::delayed ||
         e.state == EntryState::pending || (e.state == EntryState::completing && e.worker == kNone);
}

}  // namespace

bool Dispatcher::waits_for_turn(const Queue& q, const Entry& e) noexcept {
  return q.options.ordered && e.key_check != 0;
}

/* Where keys are limited, what waits behind others may have to wait for longer, but one of each key
 * that may start a job is ready. */
std::uint32_t Dispatcher::due_count(const Queue& q) noexcept {
  /* What waits behind a job that has expired in its turn is not to be had before that is swept. */
  if (is_counting_keys(q) || q.ready_count == 0) return 0;
  const bool follows = q.options.fair && !q.options.ordered && q.keys_limited == 0;
  return follows ? q.ready_count + q.gated_count : q.ready_count;
}

Micros Dispatcher::due_of(const Entry& e) noexcept { return e.at_once != 0 ? kAlways : e.at; }

/* --- who has the turn ------------------------------------------------------------------------- */

std::uint32_t Dispatcher::key_hash_of(const Entry& e) const noexcept {
  return mix(e.key_hash, e.key_check, e.queue);
}

Entry* Dispatcher::turn_of(Index queue_index, std::uint32_t key_hash,
                           std::uint32_t key_check) const noexcept {
  const std::uint32_t hash = mix(key_hash, key_check, queue_index);
  const LeafLock leaf(*platform_, stripe_lock(hash));
  for (Index i = arena_->key_buckets[hash & arena_->key_mask]; i != kNone;
       i = entry(i).next_of_key) {
    Entry& e = entry(i);
    if (e.queue == queue_index && e.key_hash == key_hash && e.key_check == key_check) return &e;
  }
  return nullptr;
}

Entry* Dispatcher::turn_of(const Entry& e) const noexcept {
  return turn_of(e.queue, e.key_hash, e.key_check);
}

void Dispatcher::give_turn(Entry& e) noexcept {
  const std::uint32_t hash = key_hash_of(e);
  e.has_turn = 1;
  const LeafLock leaf(*platform_, stripe_lock(hash));
  Index* const head = &arena_->key_buckets[hash & arena_->key_mask];
  e.next_of_key = *head;
  *head = index_of(e);
}

void Dispatcher::take_turn_from(Entry& e) noexcept {
  const std::uint32_t hash = key_hash_of(e);
  e.has_turn = 0;
  const LeafLock leaf(*platform_, stripe_lock(hash));
  Index* link = &arena_->key_buckets[hash & arena_->key_mask];
  const Index self = index_of(e);
  while (*link != kNone && *link != self) link = &entry(*link).next_of_key;
  if (*link == self) *link = e.next_of_key;
}

/* --- the trees -------------------------------------------------------------------------------- */

/* It waits from here on. */
void Dispatcher::become_gated(Queue& q, Entry& e) noexcept {
  e.state = EntryState::gated;
  q.waiting_turn++;
}

void Dispatcher::gate_add(Queue& q, Entry& e, Gate gate) noexcept {
  if (e.state == EntryState::gated) q.waiting_turn++;
  e.gate = static_cast<std::uint8_t>(gate) & 3U;
  if (gate == Gate::waits_for_turn) {
    e.leased_at = q.options.ordered || q.options.fair ? 0 : Micros{e.priority};
    insert_near_end(q.gated, e);
    q.gated_count++;
  } else {
    insert_near_end(q.held, e);
    q.held_count++;
  }
}

void Dispatcher::gate_remove(Queue& q, Entry& e) noexcept {
  if (e.state == EntryState::gated) q.waiting_turn--;
  if (static_cast<Gate>(e.gate) == Gate::waits_for_turn) {
    q.gated.remove(e);
    q.gated_count--;
  } else {
    q.held.remove(e);
    q.held_count--;
  }
  e.gate = 0;
}

/* --- getting the turn ------------------------------------------------------------------------- */

/* Of an ordered queue: true if it has the turn now, or needs none. */
bool Dispatcher::enter_gate(Queue& q, Entry& e) noexcept {
  if (!waits_for_turn(q, e) || e.has_turn != 0) return true;
  if (e.gate != 0) return false;
  /* Its key may be one that is set aside: the loader knows (aside_keys.hpp). */
  if (q.aside_count != 0 && e.id < q.frontier && turn_of(e) == nullptr) lower_frontier(q, e.id);
  if (e.id < q.frontier) return queue_up(q, e);
  gate_add(q, e, Gate::waits_for_loader);
  return false;
}

bool Dispatcher::queue_up(Queue& q, Entry& e) noexcept {
  Entry* const first = turn_of(e);
  if (first != nullptr && (e.id > first->id || !may_step_back(*first))) {
    gate_add(q, e, Gate::waits_for_turn);
    return false;
  }
  if (first != nullptr) step_back(q, *first);
  give_turn(e);
  return true;
}

void Dispatcher::step_back(Queue& q, Entry& e) noexcept {
  take_turn_from(e);
  if (e.state == EntryState::ready || e.state == EntryState::delayed) {
    leave_tree(q, e);
    e.state = EntryState::gated;
  }
  gate_add(q, e, Gate::waits_for_turn);
}

/* Due; a limit of its key may hold it back, and of a fair queue it may have to wait for its turn
 * first. */
void Dispatcher::make_ready(Queue& q, Entry& e) noexcept {
  if (q.keys_limited != 0 && e.key_check != 0 && !key_lets_start(q, e)) return;
  const bool takes_turns = q.options.fair && e.key_check != 0;
  Micros round = kNeverServed;
  if (takes_turns && e.has_turn == 0) {
    /* An earlier job that takes the turn over has the key's place in its round. */
    const Entry* const first = turn_of(e);
    if (first != nullptr && first->state == EntryState::ready) round = first->leased_at;
    if (!queue_up(q, e)) {
      become_gated(q, e);
      return;
    }
  }
  if (round == kNeverServed) round = q.options.fair ? next_round(q, e) : 0;
  e.leased_at = round;
  ready_add(q, e);
}

/*
 * The next job of the key gets the turn. One that is about to commit, or that a transaction is
 * deciding, gets it as it is: what comes behind it waits for the end of that.
 */
void Dispatcher::end_turn(Queue& q, Entry& e) noexcept {
  take_turn_from(e);
  pass_turn(q, e);
}

/* Some may wait behind a job that is held itself, and that goes. */
void Dispatcher::leave_gate(Queue& q, Entry& e) noexcept {
  const bool was_held = static_cast<Gate>(e.gate) == Gate::waits_for_loader;
  gate_remove(q, e);
  if (was_held && turn_of(e) == nullptr) pass_turn(q, e);
}

void Dispatcher::pass_turn(Queue& q, const Entry& e) noexcept {
  Entry place{};
  place.key_hash = e.key_hash;
  place.key_check = e.key_check;
  place.id = std::numeric_limits<JobId>::min();
  const auto found = q.gated.lower_bound(place);
  if (found == q.gated.end() || !same_key(*found, e)) return;
  Entry& next = *found;
  gate_remove(q, next);
  if (q.options.ordered && next.id >= q.frontier) {
    gate_add(q, next, Gate::waits_for_loader);
    return;
  }
  give_turn(next);
  if (next.state != EntryState::gated) return;
  make_waiting(q, next, due_of(next), platform_->wall_now());
  if (next.state == EntryState::ready) q.turns_passed++;
}

/* --- what is on disk -------------------------------------------------------------------------- */

void Dispatcher::lower_frontier(Queue& q, JobId id) noexcept {
  if (!q.options.ordered) return;
  q.frontier = std::min(q.frontier, id);
  q.dirty_from = std::min(q.dirty_from, id);
  if (q.mode == LoadMode::live) q.mode = LoadMode::handover;
}

/*
 * In the order of ids, and the frontier follows: a job that commits between two steps does not get
 * a turn before an earlier one of its key that is still held.
 */
bool Dispatcher::raise_frontier(Queue& q, JobId to) noexcept {
  for (std::uint32_t i = 0; i < kEntriesPerHold; i++) {
    if (q.held.empty() || q.held.begin()->id >= to) {
      q.frontier = to;
      return true;
    }
    Entry& e = *q.held.begin();
    gate_remove(q, e);
    if (!queue_up(q, e) || e.state != EntryState::gated) continue;
    make_waiting(q, e, due_of(e), platform_->wall_now());
    if (e.state == EntryState::ready) q.turns_passed++;
  }
  q.frontier = q.held.empty() ? to : std::min(to, q.held.begin()->id);
  return false;
}

/* A job that found no room has to come before those with higher ids: those that wait for the
 * loader, and those that wait behind others, which may be blocked until it has come past the job.
 */
bool Dispatcher::evict_younger(Queue& q, JobId id) noexcept {
  constexpr int kSteps = 64;
  if (q.withheld == Withheld::reading) return false;
  const auto may_go = [id](const Entry& e) {
    return e.id > id && e.state == EntryState::gated && e.is_recorded();
  };
  Entry* found = nullptr;
  auto held = q.held.end();
  for (int i = 0; i < kSteps && found == nullptr && held != q.held.begin(); i++)
    if (may_go(*--held)) found = &*held;
  auto gated = q.gated.end();
  for (int i = 0; i < kSteps && found == nullptr && gated != q.gated.begin(); i++)
    if (may_go(*--gated)) found = &*gated;
  if (found == nullptr) return false;
  evict(q, *found);
  return true;
}

/* One that waits for the loader, the latest, or else one that waits behind others. */
Entry* Dispatcher::gated_to_go(Queue& q) noexcept {
  constexpr int kSteps = 64;
  const auto may_go = [](const Entry& e) {
    return e.state == EntryState::gated && e.is_recorded();
  };
  auto held = q.held.end();
  for (int i = 0; i < kSteps && held != q.held.begin(); i++)
    if (may_go(*--held)) return &*held;
  auto gated = q.gated.end();
  for (int i = 0; i < kSteps && gated != q.gated.begin(); i++)
    if (may_go(*--gated)) return &*gated;
  return nullptr;
}

/* --- blocked keys ----------------------------------------------------------------------------- */

/* It is dead, and keeps the turn. The row that the entry stands for was there to be seen before,
 * and somebody may have deleted it: the table is read once more. */
void Dispatcher::block(Queue& q, Entry& e, JobId up_to) noexcept {
  if (e.has_turn == 0) {
    finish_entry(e);
    return;
  }
  q.blocks_changed = 1;
  e.state = EntryState::blocked;
  e.lapsed = Lapse::none;
  e.later = 0;
  e.at = up_to;
  q.blocked_count++;
  if (up_to != 0) q.ending_count++;
}

/* It is dead no more, or its key waits no more. */
void Dispatcher::end_block(Queue& q, const Entry& e) noexcept {
  q.blocked_count--;
  if (e.at != 0) q.ending_count--;
}

/*
 * A retry: the job waits in parked, and the loader turns the entry into that of a waiting job. Only
 * a chunk that begins later does so: the snapshot of one that runs may be from before the death.
 */
bool Dispatcher::unblock(Index database, QueueId queue_id, JobId job, Unblock how,
                         JobId up_to) noexcept {
  Index index = kNone;
  Entry* const e = lock_job(database, job, 0, queue_id, &index);
  if (e == nullptr) return false;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::blocked) return false;
  Queue& q = queue(index);
  switch (how) {
    case Unblock::skip:
      end_block(q, *e);
      finish_entry(*e);
      break;
    case Unblock::retry:
      e->later = 1;
      e->leased_at = static_cast<Micros>(q.chunks);
      break;
    case Unblock::end:
      if (e->at == 0) q.ending_count++;
      e->at = up_to;
      break;
  }
  hold.wake_housekeeper(database);
  return true;
}

/*
 * Its row is gone and nobody's callback has said how the key goes on, so the log is asked: the dead
 * job may wait again, and comes before those behind it. They are held until the loader has read on.
 */
void Dispatcher::forget_block(Index database, QueueId queue_id, JobId job) noexcept {
  Index index = kNone;
  Entry* const e = lock_job(database, job, 0, queue_id, &index);
  if (e == nullptr) return;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::blocked || e->later != 0) return;
  Queue& q = queue(index);
  lower_frontier(q, job);
  note_parked_left(q, ParkedLeft::some);
  end_block(q, *e);
  finish_entry(*e);
  hold.wake_housekeeper(database);
}

bool Dispatcher::block_found(QueueRef ref, const JobRow& dead, JobId up_to) noexcept {
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation || !q.options.ordered) return true;
  if (const Entry* const found = find_entry(ref.queue, dead.id)) {
    Entry& there = entry(index_of(*found));
    if (there.state == EntryState::blocked && there.later == 0 && there.at == 0 && up_to != 0) {
      there.at = up_to;
      q.ending_count++;
    }
    return true;
  }
  Entry* const first = turn_of(ref.queue, dead.key_hash, dead.key_check);
  if (first != nullptr && first->state == EntryState::blocked) return true;
  if (first != nullptr && !may_step_back(*first)) return false;
  Entry* e = allocate(ref.queue);
  if (e == nullptr && evict_last(q)) e = allocate(ref.queue);
  if (e == nullptr) return false;
  e->id = dead.id;
  take_row(*e, dead);
  hash_add(q.database, *e);
  if (first != nullptr) step_back(q, *first);
  give_turn(*e);
  block(q, *e, up_to);
  return true;
}

void Dispatcher::set_blocks_known(QueueRef ref) noexcept {
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation == ref.incarnation) q.blocks_known = 1;
}

/* Before the snapshot. */
void Dispatcher::begin_reading_blocks(Index index) noexcept {
  const QueueLock hold(*this, index);
  queue(index).blocks_changed = 0;
}

bool Dispatcher::end_followers(QueueRef ref, JobId dead, std::uint32_t n) noexcept {
  const QueueLock hold(*this, ref.queue);
  Queue& q = queue(ref.queue);
  if (q.incarnation != ref.incarnation) return true;
  const Entry* const e = find_entry(ref.queue, dead);
  if (e == nullptr || e->state != EntryState::blocked || e->at == 0) return true;
  const JobId up_to = e->at;
  Entry place{};
  place.key_hash = e->key_hash;
  place.key_check = e->key_check;
  place.id = e->id;
  auto next = q.gated.upper_bound(place);
  bool more = q.frontier < up_to;
  while (next != q.gated.end() && same_key(*next, *e) && next->id < up_to) {
    Entry& follower = *next;
    ++next;
    if (follower.state != EntryState::gated || n == 0) {
      more = true;
      if (n == 0) break;
      continue;
    }
    n--;
    gate_remove(q, follower);
    make_overdue(q, follower, Lapse::key_dead);
  }
  return !more;
}

}  // namespace dw::core
