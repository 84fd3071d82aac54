/* The housekeeper moves jobs to parked: as whoever changes them, in a transaction of its own. */
#include "world.hpp"

namespace dw::test {

namespace {

constexpr int kFailedPercent = 3;

}  // namespace

void World::rotate() {
  note("rotate");
  guard([this] {
    while (rotation_->step(chance(50) ? 0 : kMinute, !census_->complete(), chance(2)) &&
           chance(95)) {
    }
  });
}

/* What a failed or killed step leaves. */
void World::end_move() {
  rotation_->abandon();
  if (s(movers_place()).stage != Stage::idle) abort(movers_place());
}

void World::relocate(std::uint8_t segment, const Straggler* jobs, std::size_t n,
                     Relocation* results) {
  const int mover = movers_place();
  if (current_ != nullptr) current_->stops = Stops::nowhere;
  begin(mover);
  at_store_call(FakeStore::Call::before_snapshot);
  for (std::size_t i = 0; i < n; i++) {
    open_savepoint(mover);
    results[i] = relocate_job(segment, {jobs[i].queue, jobs[i].id});
    maybe_stop();
    if (!calm_ && chance(kFailedPercent)) {
      /* One that fails does not keep the others. */
      roll_back_savepoint(mover);
      results[i] = Relocation::held;
    } else {
      release_savepoint(mover);
    }
  }
  at_store_call(FakeStore::Call::before_commit);
  pre_commit(mover);
  become_visible(mover);
  at_store_call(FakeStore::Call::committed);
  publish(mover);
  if (current_ != nullptr) current_->stops = Stops::at_locks;
}

Relocation World::relocate_job(std::uint8_t segment, JobKey key) {
  const int mover = movers_place();
  Session& self = s(mover);
  ModelJob& job = reference_.job(key);
  if (job.flux != kNobody) return Relocation::held;
  Decided decided{};
  std::size_t action = 0;
  self.transaction.reserve(4);
  const Verdict verdict = operation(key, [&] {
    return self.transaction.begin_change(self.level(), key.id, key.queue, false, &decided, &action);
  });
  note("relocate", "job {} of queue {}: verdict {}", key.id, key.queue, static_cast<int>(verdict));
  reference_.change_answered(key, mover, verdict);
  switch (verdict) {
    case Verdict::ok:
      check_decided(key, decided);
      job.decider = mover;
      self.effects.push_back(Effect{EffectKind::decided, self.level(), key, decided.token, false,
                                    Decision::retry, OutcomeKind::claimed, 0, decided.attempts,
                                    false});
      return write_relocated(segment, decided, action);
    case Verdict::not_resident:
      return relocate_from_disk(segment, key);
    case Verdict::cancelled:
      return Relocation::finished;
    case Verdict::not_open:
      return Relocation::no_room;
    default:
      note("relocation put off");
      return Relocation::held;
  }
}

Relocation World::relocate_from_disk(std::uint8_t segment, JobKey key) {
  Session& self = s(movers_place());
  if (queues_.at(key.queue).gone) return Relocation::finished;
  LoggedJob found = look_up(key);
  if (!found.exists || found.finished) return Relocation::finished;
  std::size_t action = 0;
  const Verdict verdict = operation(std::nullopt, [&] {
    return self.transaction.add_placeholder(self.level(), key.queue, key.id, &action);
  });
  if (verdict == Verdict::no_room || verdict == Verdict::not_open) return Relocation::no_room;
  if (verdict != Verdict::ok) return Relocation::held;
  found = look_up(key);
  if (!found.exists || found.finished) {
    self.transaction.drop_placeholder(action);
    return Relocation::finished;
  }
  Decided decided{};
  if (!fill_placeholder(movers_place(), key, action, found, &decided)) return Relocation::held;
  note("relocated from disk", "job {} of queue {}", key.id, key.queue);
  return write_relocated(segment, decided, action);
}

/* All that is known of it goes along. */
Relocation World::write_relocated(std::uint8_t segment, const Decided& decided,
                                  std::size_t action) {
  Session& self = s(movers_place());
  /* It went to parked before: the commit gives it back as it was. */
  if (decided.segment != segment) return Relocation::finished;
  const JobKey key{decided.queue_id, decided.id};
  const ModelJob& job = reference_.job(key);
  const Micros now = platform().wall;
  JobRow row = log_.job_pages(segment).at(decided.block).at(decided.offset - 1U).row;
  if (row.id != key.id || row.queue != key.queue)
    throw Violation(fmt::format("the row of job {} lies elsewhere", key.id));
  row.due = decided.due == kAlways ? 1 : decided.due;
  lock_table(movers_place(), segment, true);
  const bool was_there = log_.park_job(self.xid(), self.writer, key.queue, &row);
  row.attempts = decided.attempts;
  const auto write = [&](OutcomeKind what, std::uint8_t where, const OutcomeMember& member) {
    const auto blocks =
        log_.insert_outcome(self.xid(), self.writer, where, what, now, key.queue, {member});
    self.transaction.reserve_rows(1);
    self.transaction.note_written(self.level(), where, blocks.at(0));
  };
  write(OutcomeKind::relocated, kParkedSegment,
        {key.id, decided.token, decided.attempts, explicit_due(row.due, now)});
  if (!was_there) write(OutcomeKind::moved, segment, {key.id, decided.token, 0, 0});
  self.transaction.set_row(action, row);
  self.transaction.settle(action, Decision::reschedule, OutcomeKind::relocated, row.due);
  Effect& effect = self.effects.back();
  effect.decision = Decision::reschedule;
  effect.outcome = OutcomeKind::relocated;
  effect.due = job.due;
  effect.attempt = job.attempts;
  note("relocated", "job {} of queue {} out of segment {}", key.id, key.queue, segment);
  return Relocation::moved;
}

/* When all jobs have ended, the ring comes to have nothing but the segment that is written to. */
void World::empty_ring() {
  constexpr int kMostLooks = 400;
  for (int i = 0; i < kMostLooks; i++) {
    while (loader_->step(kMinute)) {
    }
    while (rotation_->step(kMinute, !census_->complete())) {
    }
    std::uint8_t segments[kSegments];
    if (d().segments_in_order(database_, segments) <= 1) break;
    platform().advance(10 * kSecond);
  }
  const std::uint8_t current = d().arena().databases[database_].current_segment.load();
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    if (segment == current) continue;
    if (d().arena().databases[database_].segment_state[segment].load() != SegmentState::empty)
      throw Violation(fmt::format("segment {} was not emptied, reason {}", segment,
                                  static_cast<int>(d().see_hold(database_, segment).reason)));
    if (!log_.job_pages(segment).empty() || !log_.outcome_pages(segment).empty())
      throw Violation(fmt::format("segment {} is empty and has rows", segment));
  }
}

}  // namespace dw::test
