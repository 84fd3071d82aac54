/* Cancels, reschedules, other rows for jobs that wait or are not committed yet, and placeholders.
 */
#include "world.hpp"

#include <algorithm>

namespace dw::test {

JobKey World::any_job() {
  /* Rather the younger ones: the older are finished. */
  const std::size_t span = std::min<std::size_t>(written_.size(), 200);
  return written_[written_.size() - 1 - draw_index(span)];
}

/* Cancel, of any job that is not finished, or a change, of one that waits. */
void World::change(int session) {
  Session& self = s(session);
  if (written_.empty()) return;
  JobKey key = any_job();
  /* Rather one that this transaction has decided. */
  if (chance(25) && !self.effects.empty()) {
    const Effect& effect = self.effects[draw_index(self.effects.size())];
    if (effect.kind == EffectKind::decided) key = effect.key;
  }
  ModelJob& job = reference_.job(key);
  if (job.flux != kNobody) return;
  Decided decided{};
  std::size_t action = 0;
  self.transaction.reserve(2);
  self.cancels = chance(40);
  const bool takes_again = chance(70);
  Verdict verdict = operation(key, [&] {
    return self.cancels
               ? self.transaction.begin_cancel(self.level(), key.id, key.queue, &decided, &action)
               : self.transaction.begin_change(self.level(), key.id, key.queue, takes_again,
                                               &decided, &action);
  });
  note(self.cancels ? "cancel" : "change", "session {} job {} of queue {}: verdict {}", session,
       key.id, key.queue, static_cast<int>(verdict));
  if (verdict == Verdict::ok) check_decided(key, decided);
  const bool again = verdict == Verdict::ok && decided.before == EntryState::completing;
  if (again) {
    check_again(session, key, decided);
  } else if (self.cancels) {
    reference_.cancel_answered(key, session, verdict);
  } else {
    reference_.change_answered(key, session, verdict);
  }
  if (verdict == Verdict::ok) {
    const bool held = decided.before == EntryState::leased;
    if (held != job.held && !job.gone) throw Violation("a cancel found the job in another state");
    job.decider = session;
    self.effects.push_back(Effect{EffectKind::decided, self.level(), key, decided.token, false,
                                  Decision::retry, OutcomeKind::claimed, 0, decided.attempts,
                                  held});
    self.effects.back().again = again;
    maybe_stop();
    if (statement_fails(session)) return;
    end_change(session, decided, action);
  } else if (verdict == Verdict::not_resident) {
    verdict = operation(std::nullopt, [&] {
      return self.transaction.add_placeholder(self.level(), key.queue, key.id, &action);
    });
    if (verdict != Verdict::ok) return;
    note("placeholder", "session {} job {} of queue {}", session, key.id, key.queue);
    self.has_placeholder = true;
    self.placeholder = key;
    self.placeholder_action = action;
    self.placeholder_level = self.level();
    self.placeholder_oldest = oldest_open();
  }
}

/* It is decided over what this transaction decided last, and found as that left it. */
void World::check_again(int session, JobKey key, const Decided& decided) {
  note("decided again", "session {} job {} of queue {}", session, key.id, key.queue);
  const ModelJob& job = reference_.job(key);
  if (job.gone) return;
  if (job.decider != session || job.finished || job.held)
    throw Violation("a decision was taken back that was not the session's own");
  const Effect* last = nullptr;
  bool moved = false;
  const std::vector<Effect>& effects = s(session).effects;
  for (auto effect = effects.rbegin(); effect != effects.rend(); ++effect) {
    if (effect->kind != EffectKind::decided || !(effect->key == key)) continue;
    if (last == nullptr && effect->outcome != OutcomeKind::claimed) last = &*effect;
    moved = moved || effect->row.has_value();
    if (decided.token <= effect->token) throw Violation("a decision's token did not rise");
    if (!effect->again) break;
  }
  if (last != nullptr &&
      (is_final(last->outcome) || last->due != decided.due || last->attempt != decided.attempts))
    throw Violation(fmt::format("job {} is not decided over what was decided last", key.id));
  if (moved && decided.segment != kParkedSegment)
    throw Violation(fmt::format("job {} is decided where it no longer lies", key.id));
}

void World::end_change(int session, const Decided& decided, std::size_t action) {
  if (s(session).cancels) {
    const bool held = decided.before == EntryState::leased;
    note_outcome(session, decided, action, held ? Decision::cancel_held : Decision::finish,
                 OutcomeKind::cancelled, decided.attempts, 0);
    return;
  }
  if (chance(10)) return; /* nothing is settled: given back at the commit */
  if (decided.segment == kParkedSegment || chance(50)) return write_row(session, decided, action);
  const Micros now = platform().wall;
  const Micros due =
      now - kSecond + static_cast<Micros>(draw(static_cast<std::uint64_t>(3 * settings_.horizon)));
  note_outcome(session, decided, action, Decision::reschedule, OutcomeKind::rescheduled,
               decided.attempts, explicit_due(due, now));
}

void World::go_on_with_placeholder(int session) {
  Session& self = s(session);
  if (statement_fails(session)) return;
  const JobKey key = self.placeholder;
  const LoggedJob found = look_up(key);
  self.has_placeholder = false;
  if (!found.exists || found.finished) {
    note("placeholder dropped", "session {} job {}", session, key.id);
    self.transaction.drop_placeholder(self.placeholder_action);
    return;
  }
  Decided decided{};
  if (!fill_placeholder(session, key, self.placeholder_action, found, &decided)) return;
  note("placeholder filled", "session {} job {}", session, key.id);
  if (statement_fails(session)) return;
  end_change(session, decided, self.placeholder_action);
}

/* False: its queue is gone. */
bool World::fill_placeholder(int session, JobKey key, std::size_t action, const LoggedJob& found,
                             Decided* decided) {
  Session& self = s(session);
  ModelJob& job = reference_.job(key);
  if (!job.gone && (job.held || job.decider != kNobody || job.finished))
    throw Violation("the log says of a job in work that it waits");
  const bool filled = operation(key, [&] {
    return self.transaction.fill_placeholder(action, found.row, true, found.redriven, decided);
  });
  if (!filled) {
    if (!job.gone) throw Violation("a placeholder was lost");
    return false;
  }
  job.decider = session;
  /* What is known of it now is what the log said. */
  job.attempts = found.row.attempts;
  job.due = std::min(job.due, found.row.due);
  self.effects.push_back(Effect{EffectKind::decided, self.level(), key, decided->token, false,
                                Decision::retry, OutcomeKind::claimed, 0, decided->attempts,
                                false});
  return true;
}

/* Everything but its attempts. What is due at once has a time in parked, by which it is found. */
JobRow World::another_row(JobKey key) {
  JobRow row = row_of(key.queue, key.id);
  const Micros now = platform().wall;
  row.enqueued_at = next_version_++;
  /* None: its queue was dropped, and the slot is another's. */
  const auto known = reference_.jobs.find(key);
  row.key_hash = row.key_check = known != reference_.jobs.end() ? known->second.key : 0;
  row.priority = static_cast<std::uint8_t>(draw(10));
  row.due = chance(50)
                ? 1
                : now - kSecond +
                      static_cast<Micros>(draw(static_cast<std::uint64_t>(3 * settings_.horizon)));
  if (chance(20)) row.max_attempts = static_cast<std::uint16_t>(1 + draw(3));
  if (chance(15))
    row.expires_at =
        expiry_seconds(std::max(row.due, now) + 1 +
                       static_cast<Micros>(draw(static_cast<std::uint64_t>(settings_.horizon))));
  return row;
}

void World::write_row(int session, const Decided& decided, std::size_t action) {
  Session& self = s(session);
  const JobKey key{decided.queue_id, decided.id};
  const Micros now = platform().wall;
  JobRow row = another_row(key);
  const bool replaces = chance(50);
  const std::int32_t attempts = replaces ? 0 : decided.attempts;
  if (!replaces) row.max_attempts = decided.max_attempts;
  const OutcomeKind kind = chance(50) ? OutcomeKind::payload_replaced : OutcomeKind::rescheduled;
  lock_table(session, decided.segment, true);
  const bool was_there = log_.park_job(self.xid(), self.writer, key.queue, &row);
  row.attempts = static_cast<std::uint16_t>(attempts);
  const auto write = [&](OutcomeKind what, std::uint8_t where, const OutcomeMember& member) {
    const auto blocks =
        log_.insert_outcome(self.xid(), self.writer, where, what, now, key.queue, {member});
    self.transaction.reserve_rows(1);
    self.transaction.note_written(self.level(), where, blocks.at(0));
  };
  write(kind, kParkedSegment, {key.id, decided.token, attempts, explicit_due(row.due, now)});
  if (!was_there) write(OutcomeKind::moved, decided.segment, {key.id, decided.token, 0, 0});
  self.transaction.set_row(action, row);
  self.transaction.settle(action, Decision::reschedule, kind, row.due);
  note("row changed", "session {} job {} of queue {}: row {}, out of segment {}, due in {} ms",
       session, key.id, key.queue, row.enqueued_at, decided.segment, (row.due - now) / 1000);
  Effect& effect = self.effects.back();
  effect.decision = Decision::reschedule;
  effect.outcome = kind;
  effect.due = row.due;
  effect.attempt = attempts;
  effect.row = row;
}

/* A job that this transaction enqueued gets another row. */
void World::replace(int session) {
  Session& self = s(session);
  std::vector<JobKey> own;
  for (const Effect& effect : self.effects) {
    if (effect.kind == EffectKind::wrote) own.push_back(effect.key);
  }
  if (own.empty()) return;
  const JobKey key = own[draw_index(own.size())];
  const JobRow known = *self.transaction.enqueued_row(key.id);
  if (known.segment != kParkedSegment) log_.remove_job(self.xid(), known);
  JobRow row = another_row(key);
  log_.park_job(self.xid(), self.writer, key.queue, &row);
  self.transaction.replace_enqueued(self.level(), key.id, row);
  note("replaced", "session {} job {} of queue {}: row {}, level {}", session, key.id, key.queue,
       row.enqueued_at, self.level());
  self.effects.push_back(
      Effect{EffectKind::replaced, self.level(), key, 0, false, {}, {}, row.due, 0, false});
  self.effects.back().row = row;
  statement_fails(session);
}

/* Its commit is visible. */
void World::show_row(ModelJob& job, const JobRow& row) const {
  job.version = row.enqueued_at;
  job.priority = row.priority;
  job.expires_at = row.expires_at;
  job.most_attempts = row.max_attempts != 0 ? row.max_attempts : settings_.most_attempts;
  job.due = job.logged_due = row.due;
}

}  // namespace dw::test
