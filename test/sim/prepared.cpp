/* Sessions that prepare their transactions, which then outlive restarts, and the housekeeper that
 * follows them. */
#include "core/prepared_scan.hpp"

#include "world.hpp"

namespace dw::test {

/* True: the session has nothing to do any more until somebody ends its transaction. */
bool World::prepare(int session) {
  Session& self = s(session);
  /* What came past the function is not followed over a restart. */
  for (const Weighing& weighing : self.weighings)
    if (weighing.by_hand) return false;
  while (self.level() > 1) release_savepoint(session);
  QueueId gone = 0;
  const Preparation answer = self.transaction.prepare(self.xids.front(), &gone);
  if (answer == Preparation::queue_gone) throw Violation("a queue is gone that nobody dropped");
  note(answer == Preparation::ready ? "prepare" : "prepare refused", "session {}: {}", session,
       static_cast<int>(answer));
  if (answer != Preparation::ready) return false;
  log_.prepare(self.xids.front());
  self.transaction.prepared();
  self.prepared = true;
  self.outlived = false;
  self.stage = Stage::prepared;
  return true;
}

/* COMMIT PREPARED or ROLLBACK PREPARED, in whatever process: memory does not know of it. */
void World::end_prepared(int session) {
  if (following_) return;
  if (chance(60)) {
    become_visible(session);
    note("commit prepared", "session {}", session);
  } else {
    log_.abort(s(session).xids.front());
    s(session).stage = Stage::rolled_back;
    note("rollback prepared", "session {}", session);
  }
  s(session).locks.clear();
}

void World::follow_commit(ModelJob& job, const Effect& effect, bool outlived) const {
  if (!outlived) {
    set_after_commit(job, effect);
    return;
  }
  job.decider = kNobody;
  job.held = false;
  job.attempts = job.logged_attempts;
  job.due = job.logged_due;
}

void World::follow_prepared() {
  std::vector<int> ended;
  for (int i = 0; i < settings_.sessions; i++) {
    const Stage stage = s(i).stage;
    if (s(i).prepared && (stage == Stage::visible || stage == Stage::rolled_back))
      ended.push_back(i);
  }
  for (const int i : ended) {
    for (const Effect& effect : s(i).effects) {
      ModelJob& job = reference_.job(effect.key);
      if (s(i).stage == Stage::visible) {
        if (effect.kind == EffectKind::decided) follow_commit(job, effect, s(i).outlived);
      } else if (effect.kind == EffectKind::decided) {
        job.decider = kNobody;
      } else if (effect.kind == EffectKind::redrove || effect.kind == EffectKind::discarded) {
        job.taker = kNobody;
      }
      if (effect.kind == EffectKind::decided) reference_.begin_flux(job, effect.key, i);
    }
  }
  following_ = true;
  callback([this] { watch_keeper_->step(); });
  following_ = false;
  for (const int i : ended) {
    for (const Effect& effect : s(i).effects) {
      ModelJob& job = reference_.job(effect.key);
      if (job.flux == i) job.flux = kNobody;
      if (effect.kind == EffectKind::wrote && s(i).stage == Stage::visible) reference_.publish(job);
    }
    note("followed", "session {}", i);
    forget_prepared(s(i));
  }
}

void World::forget_prepared(Session& session) {
  session.effects.clear();
  session.xids.clear();
  session.rooms.clear();
  session.prepared = false;
  session.stage = Stage::idle;
}

/* After everything in memory was lost and the reference has forgotten what was only there. */
void World::find_prepared() {
  PreparedScan scan(dispatcher_.get(), database_, store_.get());
  std::vector<Loader::QueueTopic> topics;
  for (const QueueId queue : committed_queues()) topics.push_back(Loader::QueueTopic{queue, queue});
  scan.set_queues(topics.data(), topics.size());
  while (true) {
    try {
      scan.run();
      break;
    } catch (const StoreError&) {
      store_->abort();
    } catch (const Killed&) {
      store_->abort();
    }
  }
  for (int i = 0; i < settings_.sessions; i++) {
    Session& session = s(i);
    if (session.stage != Stage::prepared) continue;
    note("found prepared", "session {}", i);
    session.outlived = true;
    session.rooms.clear();
    for (const QueueId queue : committed_queues()) {
      const Index slot = slot_index(queue);
      if (slot != kNone) session.rooms.push_back(d().queue_ref(slot));
    }
    for (const Effect& effect : session.effects) {
      ModelJob& job = reference_.job(effect.key);
      /* What wrote nothing keeps the job from nobody now. */
      if (effect.kind == EffectKind::decided && effect.outcome != OutcomeKind::claimed)
        job.decider = i;
      if (effect.kind == EffectKind::redrove || effect.kind == EffectKind::discarded) job.taker = i;
    }
  }
}

}  // namespace dw::test
