/* What sessions do to jobs that they hold, and to any others. */
#include "session.hpp"

#include <algorithm>

namespace dw::test {

void Session::write(const Decided& decided, OutcomeKind kind, Micros due) {
  const OutcomeMember member{decided.id, decided.token, decided.attempts, due};
  const Micros now = stage_->platform().wall();
  const Xid xid = xids_.back();
  transaction_.reserve_rows(4);
  const std::vector<std::uint32_t> blocks =
      stage_->log.with([this, xid, now, kind, &decided, &member](FakeLog& log) {
        return log.insert_outcome(xid, static_cast<std::uint32_t>(number_ + 1), decided.segment,
                                  kind, now, decided.queue_id, {member});
      });
  for (const std::uint32_t block : blocks)
    transaction_.note_written(level(), decided.segment, block);
}

void Session::settle(const Decided& decided, std::size_t action, Decision decision,
                     OutcomeKind kind, Micros due) {
  write(decided, kind, due);
  transaction_.settle(action, decision, kind, due);
  if (decision == Decision::finish || decision == Decision::cancel_held)
    effects_.push_back(Effect{decided.id, decided.token, decided.queue_id, level()});
}

void Session::forget_lease(JobId id) {
  std::erase_if(held_, [id](const Held& held) { return held.id == id; });
}

void Session::decide_held(std::size_t which, Decision decision, OutcomeKind kind) {
  const Held held = held_[which];
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(which));
  transaction_.reserve(2);
  Decided decided{};
  std::size_t action = 0;
  const QueueId permitted = chance(50) ? held.queue : 0;
  const Verdict verdict =
      transaction_.begin_decision(level(), held.id, held.token, &decided, &action, permitted);
  if (verdict == Verdict::other_queue)
    stage_->books.broke("a decision found a job in another queue");
  if (verdict != Verdict::ok) return;
  stage_->books.accepted(held.id, held.token);
  Micros due = 0;
  if (decision == Decision::retry || decision == Decision::put_back)
    due = stage_->platform().wall() + static_cast<Micros>(draw(100 * kMillisecond));
  settle(decided, action, decision, kind, due);
}

void Session::decide() {
  if (held_.empty()) return;
  const std::size_t which = static_cast<std::size_t>(draw(held_.size()));
  const std::uint64_t how = draw(10);
  if (how < 6)
    decide_held(which, Decision::finish, OutcomeKind::completed);
  else if (how < 8)
    decide_held(which, Decision::retry, OutcomeKind::attempt_failed);
  else if (how < 9)
    decide_held(which, Decision::put_back, OutcomeKind::rescheduled);
  else
    decide_held(which, Decision::finish, OutcomeKind::dead_lettered);
}

void Session::keep_lease() {
  if (chance(30)) {
    const Index index = d().find_worker(stage_->database(), name_, 0);
    if (index == kNone) return;
    EntryRef refs[16];
    const std::uint32_t n = std::min(d().worker_leases(index, refs, 16), 16U);
    LeaseRow row{};
    HeartbeatState state{};
    for (std::uint32_t i = 0; i < n; i++) (void)d().heartbeat(refs[i], index, 0, &row, &state);
    return;
  }
  if (held_.empty()) return;
  const Held& held = held_[static_cast<std::size_t>(draw(held_.size()))];
  if (chance(50)) {
    Verdict verdict{};
    (void)d().extend(stage_->database(), held.id, held.token, 300 * kMillisecond, &verdict);
    return;
  }
  unsigned char text[kMostProgressBytes] = {};
  (void)d().set_progress(stage_->database(), held.id, held.token, text,
                         static_cast<std::uint16_t>(1 + draw(kMostProgressBytes)));
}

/* Rather a late one. */
JobId Session::any_job() {
  if (last_enqueued_ == 0) return 0;
  const JobId span = std::min<JobId>(last_enqueued_, 300);
  return last_enqueued_ - static_cast<JobId>(draw(static_cast<std::uint64_t>(span)));
}

void Session::cancel_or_change() {
  const JobId id = any_job();
  if (id < 1) return;
  transaction_.reserve(4);
  Decided decided{};
  std::size_t action = 0;
  if (chance(50)) {
    if (transaction_.begin_cancel(level(), id, 0, &decided, &action) != Verdict::ok) return;
    if (decided.before == EntryState::completing) return; /* over what it decided before */
    const bool held = decided.before == EntryState::leased;
    settle(decided, action, held ? Decision::cancel_held : Decision::finish, OutcomeKind::cancelled,
           0);
    return;
  }
  if (transaction_.begin_change(level(), id, 0, false, &decided, &action) != Verdict::ok) return;
  if (chance(20)) return; /* it is given back as it was */
  const Micros due = stage_->platform().wall() + static_cast<Micros>(draw(200 * kMillisecond));
  settle(decided, action, Decision::reschedule, OutcomeKind::rescheduled, due);
}

/* A job that has no entry: placeholder, then the log. */
void Session::take_from_disk() {
  const JobId id = any_job();
  if (id < 1) return;
  const QueueId queue = stage_->books.queue_of(id);
  if (queue == 0) return;
  transaction_.reserve(4);
  std::size_t action = 0;
  if (transaction_.add_placeholder(level(), queue, id, &action) != Verdict::ok) return;
  const LoggedJob found = stage_->log.with(
      [queue, id](FakeLog& log) { return log.look_up(log.snapshot(), queue, id); });
  Decided decided{};
  if (!found.exists || found.finished) {
    transaction_.drop_placeholder(action);
  } else if (transaction_.fill_placeholder(action, found.row, true, found.redriven, &decided)) {
    settle(decided, action, Decision::finish, OutcomeKind::cancelled, 0);
  }
}

/* Waits for the end of a job, if it wants to, and looks again now and then. */
void Session::await_one() {
  const auto waiter = static_cast<Index>(number_);
  const JobId id = any_job();
  if (id < 1) return;
  d().await_end(waiter);
  d().await_begin(waiter, stage_->database(), id);
  if (!d().awaited_ended(waiter)) d().await_again(waiter);
  if (chance(50)) d().await_end(waiter);
}

}  // namespace dw::test
