/*
 * Purges, step by step as purge_queue does them, while everybody else goes on.
 *
 * When one begins, the reference notes what it owes: jobs whose enqueue is over and that nobody
 * decides. Each must be ended by it, unless somebody else got at the job first: then its entry
 * says so.
 */
#include "world.hpp"

#include <algorithm>

namespace dw::test {

bool World::is_held_for_purge(QueueId queue, int except) const {
  for (std::size_t i = 0; i < sessions_.size(); i++) {
    if (static_cast<int>(i) == except) continue;
    for (const auto& [held, level] : sessions_[i].purged) {
      if (held == queue) return true;
    }
  }
  return false;
}

void World::begin_purge(int session) {
  Session& self = s(session);
  const QueueId queue = any_queue(session);
  if (queue == 0 || is_held_for_purge(queue)) return;
  const ModelQueue& row = queues_.at(queue);
  const Index slot = slot_index(queue);
  if (slot == kNone || row.creator != kNobody || row.dropper != kNobody) return;
  Purge purge;
  purge.queue = queue;
  purge.slot = d().queue_ref(slot);
  self.transaction.reserve(1);
  if (!self.transaction.withhold(self.level(), purge.slot, &purge.all_resident)) {
    if (d().arena().queues[slot].state == QueueState::active)
      throw Violation(fmt::format("queue {} cannot be withheld", queue));
    return;
  }
  for (auto job = reference_.jobs.lower_bound({queue, 0});
       job != reference_.jobs.end() && job->first.queue == queue; ++job) {
    const ModelJob& known = job->second;
    if (known.published && !known.finished && !known.gone && known.decider == kNobody &&
        known.flux == kNobody)
      purge.owed.insert(job->first.id);
  }
  for (const Session& other : sessions_) {
    if (other.has_placeholder && other.placeholder.queue == queue)
      purge.owed.erase(other.placeholder.id);
  }
  note("purge", "session {} queue {}: {} jobs, level {}", session, queue, purge.owed.size(),
       self.level());
  self.purged.emplace_back(queue, self.level());
  self.purge = std::move(purge);
}

void World::go_on_with_purge(int session) {
  if (statement_fails(session)) return;
  Purge& purge = *s(session).purge;
  switch (purge.step) {
    case Purge::Step::list:
      return list_for_purge(session);
    case Purge::Step::resident:
      return purge_resident(session);
    case Purge::Step::look:
      purge.snapshot = log_.snapshot();
      purge.oldest_open = oldest_open();
      purge.step = Purge::Step::parked;
      return;
    case Purge::Step::parked:
      purge_on_disk(session, kParkedSegment);
      purge.step = Purge::Step::slots;
      return;
    case Purge::Step::slots:
      for (std::uint64_t n = 1 + draw(kSegments); n > 0 && !purge.all_resident; n--) {
        if (purge.segment == kSegments) break;
        purge_on_disk(session, purge.segment++);
      }
      if (purge.all_resident || purge.segment == kSegments) end_purge(session);
      return;
  }
}

void World::list_for_purge(int session) {
  Purge& purge = *s(session).purge;
  std::vector<ListedJob> listed(kEntriesPerHold);
  ListWish wish{};
  wish.leased = true;
  for (Index position = 0; position < d().arena().capacity;) {
    const std::uint32_t n = d().list_jobs(purge.slot, wish, &position, listed.data());
    for (std::uint32_t i = 0; i < n; i++) purge.listed.push_back(listed[i].id);
  }
  /* Who has an entry and is not listed is somebody else's, or about to end. */
  std::sort(purge.listed.begin(), purge.listed.end());
  for (Index i = 0; i < d().arena().capacity; i++) {
    const Entry& e = d().arena().entries[i];
    if (e.state == EntryState::free || e.queue != purge.slot.queue) continue;
    if (std::binary_search(purge.listed.begin(), purge.listed.end(), e.id)) continue;
    const bool waits = e.state == EntryState::ready || e.state == EntryState::delayed ||
                       (e.state == EntryState::leased && e.lapsed == Lapse::none);
    if (waits) throw Violation(fmt::format("job {} is not listed", e.id));
    purge.owed.erase(e.id);
  }
  purge.step = Purge::Step::resident;
}

void World::purge_resident(int session) {
  Session& self = s(session);
  for (std::uint64_t n = 1 + draw(8); n > 0; n--) {
    Purge& purge = *self.purge;
    if (purge.listed.empty()) {
      purge.step = Purge::Step::look;
      return;
    }
    const JobKey key{purge.queue, purge.listed.back()};
    purge.listed.pop_back();
    purge.owed.erase(key.id);
    ModelJob& job = reference_.job(key);
    if (job.flux != kNobody) continue;
    Decided decided{};
    std::size_t action = 0;
    self.transaction.reserve(2);
    const Verdict verdict = operation(key, [&] {
      return self.transaction.begin_cancel(self.level(), key.id, key.queue, &decided, &action);
    });
    if (verdict == Verdict::ok) check_decided(key, decided);
    const bool again = verdict == Verdict::ok && decided.before == EntryState::completing;
    if (again) {
      check_again(session, key, decided);
    } else {
      reference_.cancel_answered(key, session, verdict);
    }
    if (verdict != Verdict::ok) continue;
    const bool held = decided.before == EntryState::leased;
    if (held != job.held) throw Violation("a purge found the job in another state");
    job.decider = session;
    self.effects.push_back(Effect{EffectKind::decided, self.level(), key, decided.token, false,
                                  Decision::retry, OutcomeKind::claimed, 0, decided.attempts,
                                  held});
    self.effects.back().again = again;
    note_outcome(session, decided, action, held ? Decision::cancel_held : Decision::finish,
                 OutcomeKind::purged, decided.attempts, 0);
    note("purged in memory", "session {} job {} of queue {}", session, key.id, key.queue);
  }
}

void World::purge_on_disk(int session, std::uint8_t segment) {
  Session& self = s(session);
  lock_table(session, segment, true);
  Purge& purge = *self.purge;
  std::vector<JobId> ids;
  for (const JobId id : log_.unfinished(purge.snapshot, purge.queue, segment)) {
    if (!d().is_resident(purge.slot, id)) ids.push_back(id);
  }
  if (ids.empty()) return;
  const auto n = static_cast<std::uint32_t>(ids.size());
  const Token first = d().take_tokens(database_, n);
  if (first <= reference_.last_token) throw Violation("a token did not rise");
  reference_.last_token = first + n - 1;
  std::vector<OutcomeMember> members;
  for (std::uint32_t i = 0; i < n; i++) {
    const JobKey key{purge.queue, ids[i]};
    ModelJob& job = reference_.job(key);
    if (!job.visible) throw Violation(fmt::format("job {} is purged but not committed", key.id));
    if (job.finished) throw Violation(fmt::format("job {} is purged but finished", key.id));
    if (job.flux == kNobody && (job.held || job.decider != kNobody))
      throw Violation(fmt::format("job {} is purged on disk but somebody has it", key.id));
    purge.owed.erase(key.id);
    job.decider = session;
    job.purged_on_disk = true;
    members.push_back({key.id, first + i, 0, 0});
    self.effects.push_back(Effect{EffectKind::decided, self.level(), key, first + i, false,
                                  Decision::finish, OutcomeKind::purged, 0, 0, false});
    self.effects.back().on_disk = true;
    note("purged on disk", "session {} job {} of queue {} in segment {}", session, key.id,
         key.queue, segment);
  }
  for (const std::uint32_t block :
       log_.insert_outcome(self.xid(), self.writer, segment, OutcomeKind::purged, platform().wall,
                           purge.queue, members)) {
    self.transaction.reserve_rows(1);
    self.transaction.note_written(self.level(), segment, block);
  }
  self.transaction.reserve(1);
  self.transaction.note_purged(self.level(), purge.queue, n, first);
}

void World::end_purge(int session) {
  const Purge& purge = *s(session).purge;
  for (const JobId id : purge.owed) {
    const ModelJob& job = reference_.job({purge.queue, id});
    if (!job.finished && !job.gone) throw Violation(fmt::format("a purge passed job {} over", id));
  }
  d().stop_reading(purge.slot);
  note("purge done", "session {} queue {}", session, purge.queue);
  s(session).purge.reset();
}

}  // namespace dw::test
