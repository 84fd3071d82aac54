/*
 * Blocked keys: a used-up job of an ordered queue leaves its key blocked, with or without those
 * that wait behind it, until somebody says how it goes on. The row of the table counts, from the
 * commit that writes it to the one that deletes it.
 */
#include "world.hpp"

#include <iterator>

namespace dw::test {

/* A session has rejected the job; like fail(retryable => false). */
void World::block_key(int session, const Decided& decided, std::size_t action) {
  Session& self = s(session);
  const JobKey key{decided.queue_id, decided.id};
  const ModelJob& job = reference_.job(key);
  if (!settings_.ordered || settings_.on_exhausted == OnExhausted::skip || job.key == 0) return;
  if (!decided.has_turn) throw Violation(fmt::format("job {} was held without its turn", key.id));
  const JobId up_to =
      settings_.on_exhausted == OnExhausted::dead_letter_key ? d().end_of_followers(database_) : 0;
  log_.insert_key_block(self.xid(), KeyBlock{key.queue, job.key, job.key, key.id, up_to});
  self.transaction.settle(action, Decision::block, OutcomeKind::dead_lettered, up_to);
  Effect& effect = self.effects.back();
  effect.decision = Decision::block;
  effect.up_to = up_to;
}

/* The row of a blocked key, as a session locks it; end(): there is none, or another has it, as the
 * housekeeper has one whose followers die. */
World::Blocks::iterator World::lock_block(int session, JobKey dead) {
  const ModelJob& job = reference_.job(dead);
  const auto found = reference_.blocked.find({dead.queue, job.key});
  if (found == reference_.blocked.end() || found->second.job != dead.id)
    return reference_.blocked.end();
  if (found->second.taker != kNobody || found->second.up_to != 0) return reference_.blocked.end();
  found->second.taker = session;
  return found;
}

void World::note_unblocked(int session, JobKey dead, Unblock how, JobId up_to) {
  Session& self = s(session);
  log_.remove_key_block(self.xid(), dead.queue, dead.id);
  const std::uint32_t key = reference_.job(dead).key;
  if (how == Unblock::end)
    log_.insert_key_block(self.xid(), KeyBlock{dead.queue, key, key, dead.id, up_to});
  self.transaction.reserve(1);
  self.transaction.note_unblocked(self.level(), dead.queue, dead.id, how, up_to);
  self.effects.push_back(
      Effect{EffectKind::unblocked, self.level(), dead, 0, false, {}, {}, 0, 0, false});
  self.effects.back().how = how;
  self.effects.back().up_to = up_to;
}

/* Takes the job's row of the table along when its dead letter is redriven. False: another session
 * has that row, and would be waited for. */
bool World::free_key_of(int session, JobKey dead) {
  const auto found = reference_.blocked.find({dead.queue, reference_.job(dead).key});
  if (found == reference_.blocked.end() || found->second.job != dead.id) return true;
  if (lock_block(session, dead) == reference_.blocked.end()) return false;
  note("key retried", "session {} job {} of queue {}", session, dead.id, dead.queue);
  note_unblocked(session, dead, Unblock::retry, 0);
  return true;
}

void World::unblock(int session) {
  if (reference_.blocked.empty()) return;
  const auto any = std::next(reference_.blocked.begin(),
                             static_cast<std::ptrdiff_t>(draw_index(reference_.blocked.size())));
  const JobKey dead{any->first.first, any->second.job};
  if (queues_.at(dead.queue).gone || any->second.taker != kNobody) return;
  if (settings_.redrives && chance(30)) return redrive_jobs(session, {dead});
  if (lock_block(session, dead) == reference_.blocked.end()) return;
  if (chance(50)) {
    note("key skipped", "session {} job {} of queue {}", session, dead.id, dead.queue);
    note_unblocked(session, dead, Unblock::skip, 0);
  } else {
    const JobId up_to = d().end_of_followers(database_);
    note("key ended", "session {} job {} of queue {} up to {}", session, dead.id, dead.queue,
         up_to);
    note_unblocked(session, dead, Unblock::end, up_to);
  }
  statement_fails(session);
}

/* Its commit is visible. */
void World::show_unblocked(const Effect& effect) {
  const auto row = reference_.blocked.find({effect.key.queue, reference_.job(effect.key).key});
  if (row == reference_.blocked.end()) return; /* with its queue */
  row->second.taker = kNobody;
  if (effect.how == Unblock::end)
    row->second = ModelBlock{effect.key.id, effect.up_to, reference_.clock};
  else
    reference_.blocked.erase(row);
}

/* Dying keys without an entry. */
std::uint32_t World::count_aside() {
  std::uint32_t n = 0;
  for (const QueueId queue : committed_queues()) {
    const Index index = slot_index(queue);
    if (index != kNone) n += d().arena().queues[index].aside_count;
  }
  return n;
}

/* At the end of a history: each key that is still blocked goes on. */
void World::unblock_all() {
  while (!reference_.blocked.empty()) {
    std::vector<JobKey> dead;
    for (const auto& [key, block] : reference_.blocked) {
      if (block.up_to == 0 && !queues_.at(key.first).gone) dead.push_back({key.first, block.job});
    }
    if (dead.empty()) return;
    begin(0);
    for (const JobKey key : dead) {
      if (lock_block(0, key) != reference_.blocked.end()) note_unblocked(0, key, Unblock::skip, 0);
    }
    pre_commit(0);
    become_visible(0);
    publish(0);
  }
}

}  // namespace dw::test
