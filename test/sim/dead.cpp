/* Dead letters that are redriven or discarded. */
#include "world.hpp"

namespace dw::test {

/* Redrives or discards some of the younger dead letters; whose row is locked is left out. */
void World::redrive(int session) {
  if (!settings_.redrives) return;
  const bool discards = chance(15);
  std::size_t left = 1 + draw_index(5);
  std::vector<JobKey> dead;
  for (auto job = reference_.jobs.rbegin(); job != reference_.jobs.rend() && left > 0; ++job) {
    const ModelJob& known = job->second;
    if (!known.dead || known.gone || known.taker != kNobody || chance(30)) continue;
    if (!queues_.at(job->first.queue).visible || queues_.at(job->first.queue).gone) continue;
    dead.push_back(job->first);
    left--;
  }
  if (!discards) return redrive_jobs(session, dead);
  for (const JobKey key : dead) {
    if (reference_.job(key).taker != kNobody || !reference_.job(key).dead) continue;
    discard(session, key);
    if (statement_fails(session)) return;
  }
}

Token World::draw_token() {
  const Token token = d().take_tokens(database_, 1);
  if (token <= reference_.last_token) throw Violation("a token did not rise");
  reference_.last_token = token;
  return token;
}

/* Under the table's lock, under which slots are emptied. */
bool World::emptied_since(std::uint8_t segment, JobId id) {
  return segment != kParkedSegment && d().segment_of(database_, id) != segment;
}

void World::discard(int session, JobKey key) {
  Session& self = s(session);
  const Token token = draw_token();
  self.transaction.reserve(2);
  reference_.job(key).taker = session;
  self.effects.push_back(Effect{
      EffectKind::discarded, self.level(), key, token, false, {}, {}, platform().wall, 0, false});
  note("discard", "session {} job {} of queue {}", session, key.id, key.queue);
  const LoggedJob found = log_.look_up(log_.snapshot(), key.queue, key.id);
  if (!found.exists) return;
  maybe_stop();
  lock_table(session, found.row.segment, true);
  if (emptied_since(found.row.segment, key.id)) return;
  const auto blocks =
      log_.insert_outcome(self.xid(), self.writer, found.row.segment, OutcomeKind::purged,
                          platform().wall, key.queue, {OutcomeMember{key.id, token, 0, 0}});
  self.transaction.note_written(self.level(), found.row.segment, blocks.at(0));
}

void World::redrive_jobs(int session, const std::vector<JobKey>& dead) {
  Session& self = s(session);
  for (const JobKey key : dead) {
    ModelJob& job = reference_.job(key);
    if (!job.dead || job.taker != kNobody) continue;
    job.taker = session;
    const std::size_t before = self.effects.size();
    if (!free_key_of(session, key)) {
      job.taker = kNobody;
      continue;
    }
    const bool keeps_place = self.effects.size() > before;
    const Token token = draw_token();
    self.transaction.reserve(2);
    self.effects.push_back(Effect{
        EffectKind::redrove, self.level(), key, token, false, {}, {}, platform().wall, 0, false});
    self.effects.back().keeps_place = keeps_place;
    write_redriven(session, key, token);
    if (statement_fails(session)) return;
  }
}

void World::write_redriven(int session, JobKey key, Token token) {
  Session& self = s(session);
  LoggedJob found = log_.look_up(log_.snapshot(), key.queue, key.id);
  if (found.exists && !found.dead) throw Violation("the log does not say that a job is dead");
  if (!found.exists) {
    note("redriven after its segment");
    found.row = dead_letters_.at(key);
  }
  const Micros now = platform().wall;
  const std::uint8_t segment = d().segment_of(database_, key.id);
  JobRow row = found.row;
  row.attempts = 0;
  row.due = now;
  if (row.expires_at != 0 && expiry_time(row.expires_at) <= now) row.expires_at = 0;
  self.effects.back().expires_at = row.expires_at;
  note("redrive", "session {} job {} of queue {} out of segment {} token {}", session, key.id,
       key.queue, segment, token & 0xFFFFFFFF);
  const bool was_there = log_.park_job(self.xid(), self.writer, key.queue, &row);
  const auto write = [&](OutcomeKind kind, std::uint8_t where, Micros due) {
    const auto blocks = log_.insert_outcome(self.xid(), self.writer, where, kind, now, key.queue,
                                            {OutcomeMember{key.id, token, 0, due}});
    self.transaction.note_written(self.level(), where, blocks.at(0));
  };
  write(OutcomeKind::redriven, kParkedSegment, explicit_due(now, now));
  if (!was_there && segment != kParkedSegment) {
    maybe_stop();
    lock_table(session, segment, true);
    if (!emptied_since(segment, key.id)) write(OutcomeKind::moved, segment, 0);
  }
  self.transaction.note_redriven(self.level(), key.queue, now, 1, token);
}

}  // namespace dw::test
