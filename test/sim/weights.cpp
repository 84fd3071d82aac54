/*
 * Weights of keys of fair queues: sessions that set them, what memory knows of the table, and what
 * the keys get.
 *
 * Rounds are watched from claim to claim. What a key is ahead of its weight a round is a sum that
 * rises with each job that it gets and falls by its weight with each round. From any claim to any
 * later one the key gets its weight in each of these rounds and in the one that had begun, at most;
 * while jobs of it are ready all the time it gets it in each round between the two, at least.
 */
#include "world.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr DatabaseOid kOid = 16384;

}  // namespace

/* The row is locked until the transaction ends, and one that is not there cannot be. */
void World::set_weight(int session) {
  Session& self = s(session);
  QueueId queue = any_queue(session);
  auto key = static_cast<std::uint32_t>(1 + draw(static_cast<std::uint64_t>(settings_.keys)));
  /* Mostly that of another who has not ended, if there is one. */
  for (int i = 0; i < settings_.sessions; i++) {
    if (i == session || s(i).weighings.empty() || !chance(70)) continue;
    queue = s(i).weighings.back().queue;
    key = s(i).weighings.back().key;
  }
  if (queue == 0 || queues_.at(queue).dropper != kNobody || queues_.at(queue).gone) return;
  const std::uint32_t weight = chance(30) ? 1 : static_cast<std::uint32_t>(2 + draw(4));
  const bool is_there = weights_.contains({queue, key});
  for (int i = 0; i < settings_.sessions; i++) {
    const bool open = s(i).stage == Stage::open || s(i).stage == Stage::linked;
    for (const Weighing& other : s(i).weighings)
      if (i != session && open && other.queue == queue && other.key == key &&
          (is_there || (weight != 1 && other.weight != 1)))
        return;
  }
  const KeyWeight row{queue, key, key, weight};
  log_.set_key_weight(self.xid(), row);
  const bool by_hand = chance(15);
  self.transaction.reserve(1);
  if (by_hand)
    self.transaction.note_database(self.level(), ActionKind::queues_arrived, kOid);
  else
    self.transaction.note_weight(self.level(), row);
  self.weighings.push_back(Weighing{queue, key, weight, self.level(), by_hand});
  note("key weighed", "session {} key {} of queue {}: {}{}", session, key, queue, weight,
       by_hand ? " by hand" : "");
}

/* Whoever weighs a key keeps its queue from being dropped. */
bool World::is_weighed(QueueId queue, int except) const {
  for (int i = 0; i < settings_.sessions; i++) {
    const std::vector<Weighing>& open = sessions_[static_cast<std::size_t>(i)].weighings;
    if (i != except && std::any_of(open.begin(), open.end(),
                                   [queue](const Weighing& w) { return w.queue == queue; }))
      return true;
  }
  return false;
}

/* Its commit is visible. One that removed a row which it did not see has removed none. */
void World::show_weights(const Session& session) {
  if (session.weighings.empty()) return;
  weights_.clear();
  for (const KeyWeight& row : log_.key_weights(log_.snapshot()))
    weights_[{row.queue, row.key_hash}] = row.weight;
}

std::uint32_t World::weight_of(QueueId queue, std::uint32_t key) const {
  const auto found = weights_.find({queue, key});
  return found != weights_.end() ? found->second : 1;
}

void World::read_weights() {
  if (key_weights_->next_step() == kNever) return;
  reading_weights_ = true;
  key_weights_->step();
  reading_weights_ = false;
  rounds_.clear();
  if (settings_.weights) note("weights read");
}

std::map<std::uint32_t, std::uint32_t> World::weights_in_memory(const Queue& q) {
  std::map<std::uint32_t, std::uint32_t> found;
  const Arena& arena = d().arena();
  const auto place = static_cast<std::uint16_t>(&q - arena.queues + 1);
  for (std::uint32_t i = 0; i < arena.used_weighted_keys && found.size() < q.weighted_keys; i++) {
    const WeightedKey& key = arena.weighted_keys[i];
    if (key.queue == place) found[key.key_check] = key.weight;
  }
  return found;
}

/* Memory knows what the table says, as soon as that was read and the callbacks have run. */
void World::check_weights() {
  if (!settings_.weights || has_stopped(housekeepers_place())) return;
  if (key_weights_->next_step() != kNever || d().arena().databases[database_].catalog_stale != 0)
    return;
  for (const Session& session : sessions_)
    if (session.stage == Stage::visible && !session.weighings.empty()) return;
  for (const Queue* const q : slots()) {
    if (q->state != QueueState::active || q->id == 0 || queues_.at(q->id).gone) continue;
    const auto known = weights_in_memory(*q);
    for (int k = 1; k <= settings_.keys; k++) {
      const auto key = static_cast<std::uint32_t>(k);
      const std::uint32_t weight = known.contains(key) ? known.at(key) : 1;
      if (weight != weight_of(q->id, key))
        throw Violation(
            fmt::format("key {} of queue {} has weight {} in memory, and {} in the table", key,
                        q->id, weight, weight_of(q->id, key)));
      if (weight > 1) happened_["weight checked"]++;
    }
  }
}

/* The ready job of each key. */
World::ReadyJobs World::ready_by_key(const Queue& q) {
  constexpr std::uint32_t kMostLookedAt = 400;
  ReadyJobs found;
  if (q.ready_count > kMostLookedAt) return found;
  for (const Entry& e : q.ready)
    if (e.key_check != 0) found[e.key_check] = ReadyJob{e.id, e.leased_at};
  return found;
}

/* Looks at what is there at the moment at which the operation that comes next takes effect. */
void World::look_at_effect(const std::function<void()>& look) {
  if (!settings_.weights) return;
  if (current_ == nullptr)
    look();
  else
    current_->on_effect = look;
}

/* After a claim of any jobs. Where own jobs are claimed keys of others do not go on. */
void World::watch_rounds(const Queue& q, const ReadyJobs& before,
                         const std::vector<ClaimedJob>& jobs) {
  if (!settings_.weights) return;
  if (q.owners != kNone || q.keys_limited != 0 || reading_weights_) {
    rounds_.erase(q.id);
    return;
  }
  Rounds& rounds = rounds_[q.id];
  if (rounds.incarnation != q.incarnation || rounds.weight_changes != q.weight_changes) {
    rounds = Rounds{q.incarnation, q.weight_changes, q.round};
    return;
  }
  std::map<std::uint32_t, std::int64_t> got;
  std::map<std::uint32_t, JobId> first;
  for (const ClaimedJob& job : jobs) {
    const std::uint32_t key = d().arena().entries[job.ref.entry].key_check;
    got[key]++;
    first.try_emplace(key, job.id);
  }
  const std::int64_t passed = q.round - std::exchange(rounds.round, Micros{q.round});
  const ReadyJobs after = ready_by_key(q);
  const auto weights = weights_in_memory(q);
  for (int k = 1; k <= settings_.keys; k++) {
    const auto key = static_cast<std::uint32_t>(k);
    KeyShare& share = rounds.keys[key];
    const std::int64_t weight = weights.contains(key) ? weights.at(key) : 1;
    share.ahead += got[key] - weight * passed;
    if (share.ahead - share.least > weight)
      throw Violation(fmt::format("key {} of queue {} got {} jobs more than its weight {} a round",
                                  key, q.id, share.ahead - share.least, weight));
    if (weight > 1 && got[key] > 1) happened_["several of a key"]++;
    share.least = std::min(share.least, share.ahead);
    const auto was_ready = before.find(key);
    const auto is_ready = after.find(key);
    const bool stayed = share.ready && was_ready != before.end() && is_ready != after.end() &&
                        was_ready->second == *share.ready;
    if (!stayed) {
      share.most = share.ahead;
    } else if (!settings_.expiries && share.ahead - share.most < -weight) {
      throw Violation(fmt::format("key {} of queue {} got {} jobs less than its weight {} a round",
                                  key, q.id, share.most - share.ahead, weight));
    }
    if (stayed && weight > 1) happened_["share checked"]++;
    share.most = std::max(share.most, share.ahead);
    share.ready.reset();
    if (is_ready != after.end()) share.ready = is_ready->second;
  }
}

}  // namespace dw::test
