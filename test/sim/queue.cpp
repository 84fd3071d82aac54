/* Queues that come and go while everything else goes on. */
#include "world.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr std::size_t kMostServed = 6;

}  // namespace

QueueOptions World::options_of(const ModelQueue& queue) const {
  QueueOptions options;
  options.lease = settings_.lease;
  options.backoff = Backoff::fixed;
  options.backoff_base = settings_.backoff;
  options.jitter = 0;
  options.max_attempts = settings_.most_attempts;
  options.paused = queue.paused;
  options.buckets = queue.buckets;
  options.max_length = settings_.max_length;
  options.drop_oldest = settings_.drop_oldest;
  options.ordered = settings_.ordered;
  options.fair = settings_.fair;
  options.on_exhausted = settings_.on_exhausted;
  return options;
}

/* A place at least, so that everything ends. */
QueueLimits World::any_limits() {
  QueueLimits limits;
  if (settings_.key_limits && chance(60))
    limits.key_max_in_flight = static_cast<std::uint32_t>(chance(10) ? 0 : 1 + draw(3));
  if (settings_.key_limits && chance(30))
    limits.key_rate = Rate{static_cast<std::uint32_t>(1 + draw(20)),
                           static_cast<std::uint32_t>(1 + draw(4)), kSecond};
  if (!settings_.limits) return limits;
  if (chance(40)) limits.max_in_flight = static_cast<std::uint32_t>(1 + draw(6));
  if (chance(30))
    limits.rate = Rate{static_cast<std::uint32_t>(1 + draw(100)),
                       static_cast<std::uint32_t>(1 + draw(10)), kSecond};
  const auto name = [&](LimitKind kind) {
    limits.group[static_cast<std::size_t>(kind)][0] = chance(70) ? 'a' : 'b';
  };
  if (chance(40)) {
    name(LimitKind::concurrency);
    limits.group_max_in_flight = static_cast<std::uint32_t>(1 + draw(8));
  }
  if (chance(20)) {
    name(LimitKind::rate);
    limits.group_rate = Rate{50, static_cast<std::uint32_t>(1 + draw(10)), kSecond};
  }
  return limits;
}

void World::change_limits(bool none) {
  for (auto& [queue, row] : queues_) {
    if (!row.visible || row.gone || (!none && !chance(50))) continue;
    row.limits = none ? QueueLimits{} : any_limits();
    d().set_queue_limits(database_, queue, row.limits);
    note("limits changed", "queue {}", queue);
  }
}

/* After a claim: what workers have is no more than the queue and its group allow, and nothing is
 * left for a reason that is none. */
void World::check_limits(const Queue& q, std::uint32_t taken, std::uint32_t wanted) {
  const auto held_of = [](const Queue& queue) {
    std::uint32_t held = 0;
    for (const Entry& e : queue.leased)
      held += e.worker != kNone && e.state != EntryState::cancelled ? 1 : 0;
    return held;
  };
  if (taken > 0 && held_of(q) > q.limits.max_in_flight)
    throw Violation(fmt::format("queue {} has {} jobs in flight", q.id, held_of(q)));
  const Index group = q.member[0].group;
  if (taken > 0 && group != kNone) {
    std::uint32_t held = 0;
    for (const Queue* const other : slots())
      held += other->member[0].group == group ? held_of(*other) : 0;
    if (held > d().arena().limit_groups[group].max_in_flight)
      throw Violation(fmt::format("a limit group has {} jobs in flight", held));
  }
  if (taken == wanted || q.ready_count == 0) return;
  QueueLimitFigures figures{};
  d().see_limits(static_cast<Index>(&q - d().arena().queues), q.id, &figures);
  const bool hindered = hindrance(figures, LimitKind::concurrency) != nullptr ||
                        hindrance(figures, LimitKind::rate) != nullptr;
  if (!hindered && q.grouped == 0) throw Violation("a claim left a ready job behind");
  note(hindered ? "held back" : "not its turn", "queue {}: {} of {}", q.id.get(), taken, wanted);
}

/* After a claim: of no key more is held than it may, and what is left of a key in memory waits for
 * a reason. */
void World::check_key_limits(const Queue& q, const std::vector<ClaimedJob>& jobs, bool took_all) {
  if (q.keys_limited == 0) return;
  using Key = std::pair<std::uint32_t, std::uint32_t>;
  std::map<Key, std::uint32_t> held;
  std::map<Key, const Entry*> turns;
  for (const Entry& e : q.leased) {
    if (e.key_check == 0) continue;
    if (e.holds_place != 0) held[{e.key_hash, e.key_check}]++;
    if (e.has_turn != 0) turns[{e.key_hash, e.key_check}] = &e;
  }
  for (const ClaimedJob& job : jobs) {
    const Entry& e = d().arena().entries[job.ref.entry];
    if (e.key_check != 0 && held[{e.key_hash, e.key_check}] > q.limits.key_max_in_flight)
      throw Violation(fmt::format("queue {} has {} jobs of a key in flight", q.id,
                                  held[{e.key_hash, e.key_check}]));
  }
  if (took_all || q.grouped != 0) return;
  QueueLimitFigures figures{};
  d().see_limits(static_cast<Index>(&q - d().arena().queues), q.id, &figures);
  if (hindrance(figures, LimitKind::concurrency) != nullptr ||
      hindrance(figures, LimitKind::rate) != nullptr)
    return;
  for (const Entry& e : q.delayed) {
    if (e.at > platform().wall) break;
    throw Violation(fmt::format("job {} was due and left behind", e.id));
  }
  for (const Entry& e : q.delayed)
    if (e.has_turn != 0) turns[{e.key_hash, e.key_check}] = &e;
  for (const Entry& e : q.gated) {
    if (q.options.ordered) break;
    const Key key{e.key_hash, e.key_check};
    const auto turn = turns.find(key);
    if (held[key] >= q.limits.key_max_in_flight) {
      note("no place of the key", "queue {} job {}", q.id.get(), e.id);
    } else if (turn == turns.end()) {
      throw Violation(fmt::format("job {} waits for no reason", e.id));
    } else if (turn->second->waits_for_key != 0) {
      note("no token of the key", "queue {} job {}", q.id.get(), e.id);
    }
  }
}

std::vector<QueueId> World::committed_queues() const {
  std::vector<QueueId> ids;
  for (const auto& [queue, row] : queues_) {
    if (row.visible && !row.gone) ids.push_back(queue);
  }
  return ids;
}

QueueId World::any_queue(int session) {
  std::vector<QueueId> ids;
  for (const auto& [queue, row] : queues_) {
    const bool there = (row.visible && !row.gone) || row.creator == session;
    if (there && row.dropper != session) ids.push_back(queue);
  }
  return ids.empty() ? 0 : ids[draw_index(ids.size())];
}

/* Now and then one that is gone: the session does not know it yet. */
QueueId World::any_queue_to_fill(int session) {
  const QueueId queue = 1 + static_cast<QueueId>(draw(static_cast<std::uint64_t>(next_queue_)));
  const auto row = queues_.find(queue);
  if (row != queues_.end() && row->second.visible && row->second.gone && chance(10)) return queue;
  return any_queue(session);
}

Index World::slot_index(QueueId queue) {
  const Index index = d().find_queue(database_, queue);
  const ModelQueue& row = queues_.at(queue);
  if (index == kNone && row.served && !row.gone)
    throw Violation(fmt::format("queue {} lost its slot", queue));
  return index;
}

std::vector<Queue*> World::slots() {
  std::vector<Queue*> used;
  for (Queue& q : d().arena().queues) {
    if (q.state != QueueState::free) used.push_back(&q);
    if (used.size() == d().arena().queue_count) break;
  }
  return used;
}

void World::create_queue(int session) {
  Session& self = s(session);
  if (committed_queues().size() >= kMostServed) return;
  const QueueId queue = next_queue_++;
  ModelQueue& row = queues_[queue];
  row.creator = session;
  self.transaction.reserve(1);
  const Index index = d().add_queue(database_, queue, "queue", options_of(row),
                                    QueueState::creating, LoadMode::live);
  self.transaction.note_queue(self.level(), ActionKind::queue_created, d().queue_ref(index), queue);
  row.limits = any_limits();
  self.transaction.note_limits(self.level(), queue, row.limits);
  self.effects.push_back(
      Effect{EffectKind::created_queue, self.level(), {queue, 0}, 0, false, {}, {}, 0, 0, false});
  note("queue created", "session {} queue {}", session, queue);
}

/* The deleted row is locked until the transaction ends, so there is one drop at a time. */
void World::drop_queue(int session) {
  Session& self = s(session);
  const QueueId queue = any_queue(session);
  if (queue == 0 || committed_queues().size() < 2) return;
  ModelQueue& row = queues_.at(queue);
  if (row.dropper != kNobody || is_held_for_purge(queue, session) || is_weighed(queue, session))
    return;
  row.dropper = session;
  self.transaction.reserve(1);
  const Index index = slot_index(queue);
  row.drop_frees_slot = index != kNone;
  self.transaction.note_queue(self.level(), ActionKind::queue_dropped,
                              index == kNone ? QueueRef{kNone, 0} : d().queue_ref(index), queue);
  self.effects.push_back(
      Effect{EffectKind::dropped_queue, self.level(), {queue, 0}, 0, false, {}, {}, 0, 0, false});
  note("queue dropped", "session {} queue {}", session, queue);
}

/* Its commit is visible. */
void World::show_queue(const Effect& effect) {
  ModelQueue& row = queues_.at(effect.key.queue);
  if (effect.kind == EffectKind::created_queue) {
    row.visible = true;
    row.served = true;
    row.creator = kNobody;
  } else {
    row.gone = true;
    row.dropper = kNobody;
  }
}

void World::undo_queue(const Effect& effect) {
  ModelQueue& row = queues_.at(effect.key.queue);
  row.dropper = kNobody;
  if (effect.kind != EffectKind::created_queue) return;
  row.gone = true;
  row.creator = kNobody;
}

void World::check_drops(const Session& session) {
  /* The housekeeper may just be making the slots those of a table that was read before. */
  if (housekeeping_) return;
  for (const Effect& effect : session.effects) {
    if (effect.kind != EffectKind::dropped_queue) continue;
    const QueueId queue = effect.key.queue;
    if (queues_.at(queue).drop_frees_slot && slot_index(queue) != kNone)
      throw Violation(fmt::format("queue {} outlived its drop", queue));
  }
}

void World::forget_jobs(QueueId queue) {
  std::erase_if(reference_.blocked,
                [queue](const auto& block) { return block.first.first == queue; });
  for (auto job = reference_.jobs.lower_bound({queue, 0});
       job != reference_.jobs.end() && job->first.queue == queue; ++job)
    job->second.gone = true;
}

void World::serve_queue(QueueId queue, LoadMode mode) {
  ModelQueue& row = queues_.at(queue);
  d().add_queue(database_, queue, "queue", options_of(row), QueueState::active, mode);
  d().set_queue_limits(database_, queue, row.limits);
  row.served = true;
}

/* Makes the slots those of the table, as the housekeeper does: again until nothing changes. */
void World::read_queues() {
  note("queues read");
  key_blocks_->reread();
  key_weights_->reread();
  const bool outer = housekeeping_;
  housekeeping_ = true;
  bool changed = true;
  for (int pass = 0; changed; pass++) {
    changed = false;
    std::vector<std::pair<QueueRef, QueueId>> active;
    for (Queue* const q : slots()) {
      const auto index = static_cast<Index>(q - d().arena().queues);
      if (q->state == QueueState::active) active.emplace_back(d().queue_ref(index), q->id);
    }
    if (pass < 3) maybe_stop();
    const std::vector<QueueId> rows = committed_queues();
    if (pass < 3) maybe_stop();
    for (const auto& [ref, queue] : active) {
      if (std::find(rows.begin(), rows.end(), queue) != rows.end() || !d().queue_matches(ref))
        continue;
      note("queue removed late", "queue {}", queue);
      callback([&, slot = ref] { d().remove_queue(slot); });
      changed = true;
    }
    std::vector<Loader::QueueTopic> topics;
    std::vector<QueueKeep> kept;
    for (const QueueId queue : rows) {
      topics.push_back({queue, queue});
      kept.push_back({queue, queue, settings_.retention});
      if (slot_index(queue) != kNone) continue;
      serve_queue(queue, LoadMode::loading);
      changed = true;
    }
    loader_->set_queues(topics.data(), topics.size());
    census_->set_queues(topics.data(), topics.size());
    rotation_->set_queues(kept.data(), kept.size());
  }
  housekeeping_ = outer;
}

}  // namespace dw::test
