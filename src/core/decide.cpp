/*
 * Deciding a job: complete, fail, release, defer, reject, and for one that waits cancel and
 * changes.
 *
 * begin_decision marks the entry as being decided, the caller writes the outcome into the log, and
 * the commit or abort callback calls commit_decision or abort_decision. Between the two the token's
 * holder may extend the lease, everybody else is told that the job is in doubt. Business writes,
 * outcome and successors are one transaction.
 *
 * A job that waits has no lease to decide it under: the decision draws a new token, which the entry
 * keeps whatever becomes of the decision. So the outcomes of a job are ordered by their tokens,
 * wherever they lie, and every outcome that ends a job carries a token of an epoch that was open
 * when it was decided.
 */
#include "core/open_claim.hpp"
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

#include <algorithm>
#include <cstring>

namespace dw::core {

void Dispatcher::fill_decided(const Queue& q, const Entry& e, Decided* out) const noexcept {
  out->ref = EntryRef{index_of(e), e.incarnation};
  out->id = e.id;
  out->token = e.token;
  out->queue = e.queue;
  out->queue_incarnation = q.incarnation;
  out->queue_id = q.id;
  out->block = e.block;
  out->offset = e.offset;
  out->segment = e.segment;
  out->before = e.state;
  out->due = e.at_once != 0 ? kAlways : e.at;
  out->attempts = e.attempts;
  out->max_attempts = static_cast<std::uint16_t>(most_attempts(q.options, e.max_attempts));
  out->expires_at = e.expires_at;
  out->has_turn = e.has_turn != 0;
  out->claim_is_recorded = e.worker != kNone && e.is_recorded();
  out->options = q.options;
  out->worker_name[0] = '\0';
  /* The slot cannot go to another name while a lease hangs on it. */
  if (e.worker != kNone)
    std::memcpy(out->worker_name, arena_->workers[e.worker].name, kWorkerNameSize);
}

void Decided::take_row(const JobRow& row) noexcept {
  block = row.block;
  offset = row.offset;
  segment = row.segment;
  due = row.due;
  attempts = row.attempts;
  max_attempts = static_cast<std::uint16_t>(most_attempts(options, row.max_attempts));
  expires_at = row.expires_at;
}

Verdict Dispatcher::begin_decision(Index database, JobId id, Token token, Decided* out,
                                   QueueId permitted) noexcept {
  Index index = kNone;
  Entry* e = lock_job(database, id, token, 0, &index);
  if (e == nullptr) return Verdict::not_resident;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  Queue& q = queue(index);
  if (permitted != 0 && q.id != permitted) {
    out->queue_id = q.id;
    return Verdict::other_queue;
  }
  if (e->token != token || e->lapsed != Lapse::none) return Verdict::stale;
  fill_decided(q, *e, out);
  switch (e->state) {
    case EntryState::leased:
      e->state = EntryState::completing;
      return Verdict::ok;
    case EntryState::completing:
      return e->worker != kNone ? Verdict::in_doubt : Verdict::stale;
    case EntryState::cancelled:
      /* Its holder knows now. */
      give_place_back(*e);
      return Verdict::cancelled;
    default:
      return Verdict::stale;
  }
}

/* Under the queue lock, of an entry that waits. One that waits for its turn keeps its place in the
 * key: what comes behind it must not pass while it is not certain that it is gone. */
Verdict Dispatcher::begin_waiting(QueueLock& hold, Queue& q, Entry& e, Decided* out) noexcept {
  const Token token = draw_tokens(hold, q.database, 1);
  if (token == 0) return Verdict::not_open;
  e.token = token;
  out->token = token;
  const bool keeps_place = e.state == EntryState::gated && q.options.ordered;
  if (keeps_place)
    q.waiting_turn--;
  else
    leave_tree(q, e);
  begin_deciding(q, e);
  return Verdict::ok;
}

Verdict Dispatcher::begin_cancel(Index database, JobId id, QueueId queue_id,
                                 Decided* out) noexcept {
  Index index = kNone;
  Entry* e = lock_job(database, id, 0, queue_id, &index);
  if (e == nullptr) return Verdict::not_resident;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  Queue& q = queue(index);
  fill_decided(q, *e, out);
  switch (e->state) {
    case EntryState::ready:
    case EntryState::delayed:
    case EntryState::gated:
      return begin_waiting(hold, q, *e, out);
    case EntryState::leased:
      if (e->lapsed != Lapse::none) return Verdict::in_doubt;
      e->state = EntryState::completing;
      return Verdict::ok;
    case EntryState::cancelled:
      return Verdict::cancelled;
    default:
      return Verdict::in_doubt;
  }
}

Verdict Dispatcher::begin_change(Index database, JobId id, QueueId queue_id,
                                 Decided* out) noexcept {
  Index index = kNone;
  Entry* e = lock_job(database, id, 0, queue_id, &index);
  if (e == nullptr) return Verdict::not_resident;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  Queue& q = queue(index);
  fill_decided(q, *e, out);
  switch (e->state) {
    case EntryState::ready:
    case EntryState::delayed:
    case EntryState::gated:
      return begin_waiting(hold, q, *e, out);
    case EntryState::leased:
      return e->lapsed != Lapse::none ? Verdict::in_doubt : Verdict::leased;
    case EntryState::cancelled:
      return Verdict::cancelled;
    default:
      return Verdict::in_doubt;
  }
}

/*
 * A placeholder keeps the loader from making the job resident while the caller reads what the log
 * says about it. When there is no room the queue's own last waiting job makes way: its page is
 * marked dirty under the same lock hold.
 */
Verdict Dispatcher::add_placeholder(Index database, QueueId queue_id, JobId id,
                                    EntryRef* out) noexcept {
  const Index index = find_queue(database, queue_id);
  if (index == kNone) return Verdict::no_room;
  QueueLock hold(*this, index);
  Queue& q = queue(index);
  if (q.id != queue_id || q.database != database) return Verdict::no_room;
  if (is_withheld(q) || hash_has(database, index, id)) return Verdict::in_doubt;
  const Token token = draw_tokens(hold, database, 1);
  if (token == 0) return Verdict::not_open;
  Entry* e = allocate(index);
  if (e == nullptr && evict_last(q)) e = allocate(index);
  if (e == nullptr) return Verdict::no_room;
  e->id = id;
  e->token = token;
  e->state = EntryState::busy;
  hash_add(database, *e);
  *out = EntryRef{index_of(*e), e->incarnation};
  return Verdict::ok;
}

/* Under another token: the job may have died and been redriven, under a later token than the
 * placeholder's, before the log was read. */
bool Dispatcher::fill_placeholder(EntryRef ref, const JobRow& row, bool waits,
                                  Decided* out) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return false;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  /* Of a slot that is being given up nothing is decided any more, see lock_job(). */
  if (e->state != EntryState::busy || queue(index).id == 0) return false;
  const Token token = draw_tokens(hold, queue(index).database, 1);
  if (token == 0) return false;
  e->token = token;
  take_row(*e, row);
  e->lapsed = end_of_claim(queue(index).options, row);
  e->state = EntryState::delayed;
  e->at_once = row.due == kAlways ? 1 : 0;
  fill_decided(queue(index), *e, out);
  if (waits) {
    enter_gate(queue(index), *e);
    begin_deciding(queue(index), *e);
  } else {
    e->state = EntryState::completing;
    out->before = EntryState::free;
  }
  return true;
}

bool Dispatcher::is_entry_of(EntryRef ref, JobId id) noexcept {
  Index index = kNone;
  const Entry* const e = lock_ref(ref, &index);
  if (e == nullptr) return false;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  return e->id == id;
}

void Dispatcher::drop_placeholder(EntryRef ref) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state == EntryState::busy) release_entry(*e);
}

void Dispatcher::evict(Queue& q, Entry& e) noexcept {
  q.given_up++;
  lower_frontier(q, e.id);
  if (e.segment == kParkedSegment)
    note_parked_left(q, ParkedLeft::some);
  else
    q.dirty.add(e.segment, e.block, e.block, e.priority);
  q.mode = LoadMode::loading;
  q.short_of_room = 1;
  leave_tree(q, e);
  /* A chunk that runs may know less of the job than the log does by now; the next one brings it
   * back. */
  finish_entry(e);
}

bool Dispatcher::evict_sleeper(Queue& q) noexcept {
  if (q.withheld == Withheld::reading) return false;
  Entry* last = last_to_go(q.delayed);
  if (last == nullptr) return false;
  evict(q, *last);
  return true;
}

bool Dispatcher::evict_last(Queue& q) noexcept {
  if (q.withheld == Withheld::reading) return false;
  Entry* last = q.gated_count + q.held_count > 0 ? gated_to_go(q) : nullptr;
  if (last == nullptr && q.delayed_count > q.ready_count) last = last_to_go(q.delayed);
  if (last == nullptr) last = ready_last_to_go(q);
  if (last == nullptr) last = last_to_go(q.delayed);
  if (last == nullptr) return false;
  evict(q, *last);
  return true;
}

/* What came past the engine may say that a waiting job is finished, or lies elsewhere: it is known
 * when it is loaded the next time. Nothing is added meanwhile, commits to a loading queue mark
 * pages only. What somebody holds or decides stays. Of a slot that is being given up all entries go
 * anyway. */
void Dispatcher::forget_waiting(Index database) noexcept {
  for (Index i = 0; i < kMostQueues; i++) {
    bool more = queue(i).state != QueueState::free && queue(i).database == database;
    while (more) {
      const QueueLock hold(*this, i);
      Queue& q = queue(i);
      more = q.state != QueueState::free && q.id != 0 && q.database == database;
      for (std::uint32_t k = 0; more && k < kEntriesPerHold; k++) more = evict_last(q);
    }
  }
}

/*
 * Of the same priority only what lies on a later page: the loader reads the pages in their order
 * and would bring what went before it brings the job. Rows of parked it reads by their due time, so
 * they stay.
 */
bool Dispatcher::evict_behind(Queue& q, const JobRow& row) noexcept {
  if (q.withheld != Withheld::no) return false;
  Entry* const last = ready_last_to_go(q);
  if (last == nullptr || last->priority < row.priority) return false;
  if (last->segment == kParkedSegment) return false;
  const bool later = last->id > row.id && last->segment == row.segment && last->block > row.block;
  if (last->priority == row.priority && !later) return false;
  evict(q, *last);
  return true;
}

/*
 * The job may have been moved to parked under the earlier token, and what becomes of it is counted
 * by the later one: when a boundary of the census lies between the two, the count depends on the
 * moment.
 */
Token Dispatcher::redecide(EntryRef ref, Token token) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return 0;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::completing || e->token != token) return 0;
  const Queue& q = queue(index);
  const Token next = draw_tokens(hold, q.database, 1);
  if (next == 0) return 0;
  const Token boundary = q.length.from_token;
  if (e->segment != kParkedSegment && e->token < boundary && next >= boundary) e->straddles = 1;
  e->token = next;
  return next;
}

void Dispatcher::withdraw_decision(EntryRef ref, Token token, Token earlier) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state == EntryState::completing && e->token == token) e->token = earlier;
}

/*
 * The job lies in parked from here on, and a census that looked at its old row must count again if
 * the boundary was drawn while the transaction was open: see census.hpp about `moved`.
 */
void Dispatcher::change_row(QueueLock& hold, Queue& q, Entry& e, const JobRow& row) noexcept {
  const Token token = e.token;
  if (e.segment != row.segment && token < q.length.from_token) disturb_count(hold, q);
  take_row(e, row);
}

void Dispatcher::commit_decision(EntryRef ref, Token token, Decision decision, OutcomeKind outcome,
                                 Micros due, const JobRow* row) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::completing || e->token != token) return;
  Queue& q = queue(index);
  if (e->straddles != 0) disturb_count(hold, q);
  end_deciding(q, *e);
  if (decision == Decision::cancel_held && e->worker != kNone) {
    e->state = EntryState::cancelled;
    q.cancelled++;
    q.counters.cancelled++;
    count_ended(hold, q, e->id, token);
    return;
  }
  leave_tree(q, *e);
  switch (decision) {
    case Decision::block:
      count_ended(hold, q, e->id, token);
      q.counters.dead_lettered++;
      block(q, *e, due);
      hold.wake_housekeeper(q.database);
      return;
    case Decision::finish:
    case Decision::cancel_held:
      count_ended(hold, q, e->id, token);
      finish_entry(*e);
      if (outcome == OutcomeKind::completed) q.counters.completed++;
      if (outcome == OutcomeKind::dead_lettered) q.counters.dead_lettered++;
      if (outcome == OutcomeKind::cancelled || outcome == OutcomeKind::purged)
        q.counters.cancelled++;
      if (runs_dry(q)) hold.wake_housekeeper(q.database);
      return;
    case Decision::retry:
      q.counters.failed++;
      e->unrecorded = 0;
      break;
    case Decision::put_back:
      e->refund();
      break;
    case Decision::reschedule:
      if (row != nullptr) change_row(hold, q, *e, *row);
      e->unrecorded = 0;
      break;
  }
  e->refunds = 0;
  give_back(hold, q, *e, due);
}

void Dispatcher::abort_decision(EntryRef ref, Token token, EntryState before) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(ref, &index);
  if (e == nullptr) return;
  QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::completing || e->token != token) return;
  Queue& q = queue(index);
  end_deciding(q, *e);
  if (before == EntryState::leased) {
    /* Past its deadline it is simply swept next. */
    e->state = EntryState::leased;
    set_deadline_timer(q, e->at);
    return;
  }
  if (before == EntryState::free) {
    /* What the log says of it is not known here: its key may have to wait. */
    lower_frontier(q, e->id);
    finish_entry(*e);
    if (q.options.ordered) hold.wake_housekeeper(q.database);
    return;
  }
  give_back(hold, q, *e, e->at_once != 0 ? kAlways : e->at);
}

}  // namespace dw::core
