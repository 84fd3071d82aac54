/*
 * PREPARE TRANSACTION: what the list of the transaction becomes when another process is to end it.
 *
 * Everything is written into the watch before the transaction is prepared, when an error can still
 * refuse it; nothing in the dispatcher changes by that. So PREPARE itself only turns a switch, and
 * an abort before it goes by the list as ever.
 */
#include "core/transaction.hpp"
#include "core/watch.hpp"

#include <algorithm>

namespace dw::core {

/* The decision that stands when this one, the last on its job, is the last word: a job that was
 * only held back after it had been changed stays as it was changed. */
const Transaction::Action& Transaction::in_force(const Action& last) const noexcept {
  const Action* action = &last;
  while (!action->settled && action->before == EntryState::completing)
    action = &actions_[action->earlier];
  return *action;
}

const Transaction::Action& Transaction::first_of(const Action& last) const noexcept {
  const Action* action = &last;
  while (action->before == EntryState::completing) action = &actions_[action->earlier];
  return *action;
}

/*
 * Of what is refused: leases are held in memory only, so a claim of a transaction that goes on
 * after a restart would be nobody's. A purge keeps the whole queue from being loaded until it ends.
 * A job that is held back without a row in the log would be free after a restart.
 */
Preparation Transaction::obstacle() const noexcept {
  for (const Action& action : actions_) {
    switch (action.kind) {
      case ActionKind::claim:
      case ActionKind::request:
        return Preparation::has_claims;
      case ActionKind::withheld:
      case ActionKind::purged:
        return Preparation::has_purge;
      case ActionKind::queue_created:
      case ActionKind::queue_changed:
      case ActionKind::queue_dropped:
      case ActionKind::key_unblocked:
      case ActionKind::key_weighed:
      case ActionKind::limits_changed:
        return Preparation::has_queues;
      case ActionKind::attach:
      case ActionKind::detach:
        return Preparation::has_extension;
      case ActionKind::worker_changed:
      case ActionKind::worker_left:
        return Preparation::has_workers;
      case ActionKind::decide:
        if (!action.superseded && !in_force(action).settled) return Preparation::holds_back;
        break;
      case ActionKind::placeholder:
      case ActionKind::room:
      case ActionKind::rows_arrived:
      case ActionKind::queues_arrived:
      case ActionKind::redriven:
      case ActionKind::redrives_changed:
      case ActionKind::segment_emptied:
        break;
    }
  }
  return Preparation::ready;
}

Held Transaction::held_decision(const Action& last) const noexcept {
  const Action& decision = in_force(last);
  Held held{};
  held.kind = HeldKind::decision;
  held.ref = last.ref;
  held.token = last.token;
  held.written = decision.token;
  const Action& first = first_of(last);
  held.before = first.vanishes ? EntryState::free : first.before;
  held.settled = decision.settled;
  held.decision = decision.decision;
  held.outcome = decision.outcome;
  held.due = decision.due;
  held.has_row = decision.row != 0;
  if (held.has_row) held.row = rows_[decision.row - 1];
  return held;
}

/* False: the action leaves nothing to be done. */
bool Transaction::leaves(const Action& action, Held* held) const noexcept {
  *held = Held{};
  held->ref = EntryRef{kNone, 0};
  held->queue = action.queue;
  held->count = action.count;
  held->token = action.token;
  held->due = action.due;
  held->id = static_cast<QueueId>(action.number);
  switch (action.kind) {
    case ActionKind::decide:
      if (action.superseded) return false;
      *held = held_decision(action);
      return true;
    case ActionKind::room:
      held->kind = HeldKind::room;
      held->count = static_cast<std::uint32_t>(action.number);
      return action.number > 0;
    case ActionKind::redriven:
      held->kind = HeldKind::redriven;
      return true;
    case ActionKind::redrives_changed:
      held->kind = HeldKind::redrives_changed;
      return true;
    case ActionKind::rows_arrived:
      held->kind = HeldKind::rows_arrived;
      return true;
    case ActionKind::queues_arrived:
      held->kind = HeldKind::queues_arrived;
      return true;
    default:
      return false;
  }
}

/* The jobs from that one on that go to one queue; their number. */
std::uint32_t Transaction::held_jobs(std::size_t first, Held* held) const noexcept {
  const NewJob& head = jobs_[first];
  *held = Held{};
  held->kind = HeldKind::enqueued;
  held->ref = EntryRef{kNone, 0};
  held->queue = head.queue;
  held->id = head.row.queue;
  held->least = head.row.id;
  held->most = head.row.id;
  for (; first < jobs_.size(); first++) {
    const NewJob& job = jobs_[first];
    if (job.row.queue != head.row.queue || job.queue.queue != head.queue.queue ||
        job.queue.incarnation != head.queue.incarnation)
      break;
    held->count++;
    held->with_room += job.row.has_room ? 1 : 0;
    held->least = std::min(held->least, job.row.id);
    held->most = std::max(held->most, job.row.id);
  }
  return held->count;
}

/* In the order in which it is to be done: ends before the jobs that take their room. */
void Transaction::fill_watch() noexcept {
  Arena& arena = dispatcher_->arena();
  Watch& watch = arena.watches[watch_];
  Index place = watch.first_held;
  const auto put = [&arena, &place](const Held& held) noexcept {
    const Index next = arena.held[place].next;
    arena.held[place] = held;
    arena.held[place].next = next;
    place = next;
  };
  Held held;
  for (const Action& action : actions_) {
    if (leaves(action, &held)) put(held);
  }
  for (std::size_t i = 0; i < jobs_.size();) {
    i += held_jobs(i, &held);
    put(held);
  }
  for (const OutcomePage& page : pages_)
    watch.outcome_pages.add(page.segment, page.block, page.block);
  for (const NewJob& job : jobs_) {
    if (job.row.segment == kParkedSegment)
      watch.parked_from = std::min(watch.parked_from, job.row.due);
    else
      watch.job_pages.add(job.row.segment, job.row.block, job.row.block);
  }
}

std::uint32_t Transaction::queues_used(QueueId* out) const noexcept {
  std::uint32_t n = 0;
  const auto add = [out, &n](QueueId id) noexcept {
    if (n < kMostQueues && id != 0 && std::find(out, out + n, id) == out + n) out[n++] = id;
  };
  for (const NewJob& job : jobs_) add(job.row.queue);
  const Arena& arena = dispatcher_->arena();
  for (const Action& action : actions_) {
    if (action.kind == ActionKind::redriven) add(static_cast<QueueId>(action.number));
    /* An entry that this transaction decides stays where it is, unless its queue is dropped. */
    if (action.kind == ActionKind::decide)
      add(arena.queues[arena.entries[action.ref.entry].queue].id);
  }
  return n;
}

Preparation Transaction::prepare(TransactionNumber self, QueueId* gone) noexcept {
  const Preparation answer = obstacle();
  if (answer != Preparation::ready) return answer;
  if (database_ == kNone) database_ = dispatcher_->find_database(oid_);
  if (database_ == kNone) return Preparation::not_attached;
  if (!settle_queues(gone)) return Preparation::queue_gone;
  std::uint32_t n = 0;
  Held held;
  for (const Action& action : actions_) n += leaves(action, &held) ? 1 : 0;
  for (std::size_t i = 0; i < jobs_.size(); n++) i += held_jobs(i, &held);
  watch_ = dispatcher_->reserve_watch(database_, self, n);
  if (watch_ == kNone) return Preparation::no_room;
  fill_watch();
  return Preparation::ready;
}

void Transaction::prepared() noexcept {
  if (watch_ != kNone) dispatcher_->activate_watch(watch_);
  clear();
}

}  // namespace dw::core
