/*
 * The decisions of a transaction: on leased jobs, on jobs that wait, on jobs that only the log
 * knows.
 */
#include "core/transaction.hpp"

#include <algorithm>

namespace dw::core {

Verdict Transaction::note_decision(std::int32_t level, const Decided& decided, Verdict verdict,
                                   std::size_t* action) noexcept {
  if (verdict == Verdict::ok) {
    *action = actions_.size();
    Action& noted = add(level, ActionKind::decide);
    noted.ref = decided.ref;
    noted.token = decided.token;
    noted.before = decided.before;
  }
  return verdict;
}

bool Transaction::find_own(const Decided& decided, std::size_t* action) const noexcept {
  for (std::size_t i = actions_.size(); i-- > 0;) {
    const Action& own = actions_[i];
    if (own.kind != ActionKind::decide || own.ref.entry != decided.ref.entry ||
        own.ref.incarnation != decided.ref.incarnation)
      continue;
    *action = i;
    return true;
  }
  return false;
}

Verdict Transaction::begin_decision(std::int32_t level, JobId id, Token token, Decided* out,
                                    std::size_t* action, QueueId permitted) noexcept {
  if (database_ == kNone) return Verdict::not_resident;
  const Verdict verdict = dispatcher_->begin_decision(database_, id, token, out, permitted);
  if (verdict == Verdict::in_doubt && find_own(*out, action)) return Verdict::own_duplicate;
  return note_decision(level, *out, verdict, action);
}

/*
 * A waiting job that this transaction has changed, or only held back, and that goes on waiting: it
 * is decided anew, under another token. The earlier action stays in front of this one. At the
 * commit its token no longer fits, so only the last one does something; a rollback takes them back
 * in reverse order, each restoring the token of the one before it. One that decided nothing says
 * nothing of the job's row: the last one that did is where this one starts from.
 */
Verdict Transaction::decide_again(std::int32_t level, std::size_t earlier, Decided* out,
                                  std::size_t* action) noexcept {
  *action = earlier;
  const Action& before = actions_[earlier];
  const bool held_back =
      !before.settled && before.before != EntryState::leased && before.before != EntryState::free;
  const bool changed = before.settled && before.decision == Decision::reschedule;
  if (!held_back && !changed) return Verdict::own_duplicate;
  const Token token = dispatcher_->redecide(before.ref, before.token);
  if (token == 0) return Verdict::not_open;
  out->token = token;
  std::size_t known = earlier;
  while (!actions_[known].settled && actions_[known].before == EntryState::completing)
    known = actions_[known].earlier;
  if (actions_[known].settled) out->due = actions_[known].due;
  if (actions_[known].row != 0) out->take_row(rows_[actions_[known].row - 1]);
  out->before = EntryState::completing;
  *action = actions_.size();
  Action& again = add(level, ActionKind::decide);
  again.ref = out->ref;
  again.token = token;
  again.before = EntryState::completing;
  again.earlier = earlier;
  actions_[earlier].superseded = true;
  return Verdict::ok;
}

Verdict Transaction::begin_cancel(std::int32_t level, JobId id, QueueId queue, Decided* out,
                                  std::size_t* action) noexcept {
  if (database_ == kNone) return Verdict::not_resident;
  const Verdict verdict = dispatcher_->begin_cancel(database_, id, queue, out);
  std::size_t own = 0;
  if (verdict == Verdict::in_doubt && find_own(*out, &own)) {
    const bool ended = actions_[own].outcome == OutcomeKind::cancelled ||
                       actions_[own].outcome == OutcomeKind::purged;
    if (actions_[own].settled && ended) return Verdict::cancelled;
    const Verdict again = decide_again(level, own, out, action);
    return again == Verdict::own_duplicate ? Verdict::in_doubt : again;
  }
  return note_decision(level, *out, verdict, action);
}

Verdict Transaction::begin_change(std::int32_t level, JobId id, QueueId queue, bool again,
                                  Decided* out, std::size_t* action) noexcept {
  if (database_ == kNone) return Verdict::not_resident;
  const Verdict verdict = dispatcher_->begin_change(database_, id, queue, out);
  if (verdict == Verdict::in_doubt && find_own(*out, action))
    return again ? decide_again(level, *action, out, action) : Verdict::own_duplicate;
  return note_decision(level, *out, verdict, action);
}

bool Transaction::ended_here(JobId id) const noexcept {
  return std::any_of(actions_.begin(), actions_.end(), [this, id](const Action& action) {
    return action.kind == ActionKind::decide && action.settled && is_final(action.outcome) &&
           dispatcher_->is_entry_of(action.ref, id);
  });
}

void Transaction::settle(std::size_t action, Decision decision, OutcomeKind outcome,
                         Micros due) noexcept {
  actions_[action].settled = true;
  actions_[action].decision = decision;
  actions_[action].outcome = outcome;
  actions_[action].due = due;
}

void Transaction::set_row(std::size_t action, const JobRow& row) {
  rows_.push_back(row);
  actions_[action].row = rows_.size();
}

void Transaction::note_outcome_row(std::size_t action, std::uint8_t segment,
                                   std::uint32_t block) noexcept {
  const std::int32_t level = actions_[action].level;
  /* The many members of one row, and rows that follow each other, are mostly on one page. */
  if (!pages_.empty() && pages_.back().segment == segment && pages_.back().block == block) return;
  pages_.push_back(OutcomePage{level, block, segment});
}

Verdict Transaction::add_placeholder(std::int32_t level, QueueId queue, JobId id,
                                     std::size_t* action) noexcept {
  if (database_ == kNone) return Verdict::no_room;
  EntryRef ref{kNone, 0};
  const Verdict verdict = dispatcher_->add_placeholder(database_, queue, id, &ref);
  if (verdict == Verdict::ok) {
    *action = actions_.size();
    add(level, ActionKind::placeholder).ref = ref;
  }
  return verdict;
}

bool Transaction::redriven_here(QueueId queue, Token token) const noexcept {
  return std::any_of(actions_.begin(), actions_.end(), [queue, token](const Action& action) {
    return action.kind == ActionKind::redriven && action.number == queue && token >= action.token &&
           token - action.token < action.count;
  });
}

bool Transaction::fill_placeholder(std::size_t index, const JobRow& row, bool waits, Token redriven,
                                   Decided* out) noexcept {
  Action& action = actions_[index];
  if (!dispatcher_->fill_placeholder(action.ref, row, waits, out)) return false;
  action.kind = ActionKind::decide;
  action.token = out->token;
  action.before = out->before;
  action.vanishes = redriven_here(row.queue, redriven);
  return true;
}

void Transaction::drop_placeholder(std::size_t index) noexcept {
  dispatcher_->drop_placeholder(actions_[index].ref);
  actions_[index].ref = EntryRef{kNone, 0};
}

}  // namespace dw::core
