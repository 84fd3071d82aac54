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
  for (std::size_t i = 0; i < actions_.size(); i++) {
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
                                    std::size_t* action) noexcept {
  if (database_ == kNone) return Verdict::not_resident;
  const Verdict verdict = dispatcher_->begin_decision(database_, id, token, out);
  if (verdict == Verdict::in_doubt && find_own(*out, action)) return Verdict::own_duplicate;
  return note_decision(level, *out, verdict, action);
}

Verdict Transaction::begin_cancel(std::int32_t level, JobId id, QueueId queue, Decided* out,
                                  std::size_t* action) noexcept {
  if (database_ == kNone) return Verdict::not_resident;
  const Verdict verdict = dispatcher_->begin_cancel(database_, id, queue, out);
  std::size_t own = 0;
  if (verdict == Verdict::in_doubt && find_own(*out, &own) &&
      actions_[own].outcome == OutcomeKind::cancelled)
    return Verdict::cancelled;
  return note_decision(level, *out, verdict, action);
}

Verdict Transaction::begin_change(std::int32_t level, JobId id, QueueId queue, Decided* out,
                                  std::size_t* action) noexcept {
  if (database_ == kNone) return Verdict::not_resident;
  const Verdict verdict = dispatcher_->begin_change(database_, id, queue, out);
  if (verdict == Verdict::in_doubt && find_own(*out, action)) return Verdict::own_duplicate;
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

bool Transaction::fill_placeholder(std::size_t index, const JobRow& row, bool waits,
                                   Decided* out) noexcept {
  Action& action = actions_[index];
  if (!dispatcher_->fill_placeholder(action.ref, row, waits, out)) return false;
  action.kind = ActionKind::decide;
  action.token = out->token;
  action.before = out->before;
  return true;
}

void Transaction::drop_placeholder(std::size_t index) noexcept {
  dispatcher_->drop_placeholder(actions_[index].ref);
  actions_[index].ref = EntryRef{kNone, 0};
}

}  // namespace dw::core
