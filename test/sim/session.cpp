/* What a client's session does, one thing at a time. */
#include "world.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr std::size_t kRecentTokens = 60;
constexpr std::int32_t kDeepestLevel = 4;

}  // namespace

void World::act(int session) {
  Session& self = s(session);
  switch (self.stage) {
    case Stage::idle:
      if (self.asks) {
        come_back(session);
      } else if (settings_.waits && chance(20)) {
        begin_wait(session);
      } else if (chance(80)) {
        begin(session);
      } else if (chance(50)) {
        heartbeat(session);
      } else {
        extend();
      }
      break;
    case Stage::waiting:
      act_asleep(session);
      break;
    case Stage::open:
      if (self.has_placeholder) {
        go_on_with_placeholder(session);
      } else if (self.purge) {
        go_on_with_purge(session);
      } else {
        act_open(session);
      }
      break;
    case Stage::linked:
      if (chance(10)) {
        abort(session);
      } else if (chance(5)) {
        enqueue(session);
      } else {
        become_visible(session);
      }
      break;
    case Stage::visible:
      if (!self.prepared) publish(session);
      break;
    case Stage::prepared:
      if (chance(15)) end_prepared(session);
      break;
    case Stage::rolled_back:
      break;
  }
}

void World::act_open(int session) {
  const std::uint64_t what = draw(100);
  if (what < 16) return enqueue(session);
  if (what < 34) return claim(session, any_queue(session), static_cast<std::uint32_t>(1 + draw(6)));
  if (what < 60) return decide(session);
  if (what < 66) return change(session);
  if (what < 68) return replace(session);
  if (what < 70) return redrive(session);
  if (what < 72) return extend();
  if (what < 73) return heartbeat(session);
  if (what < 74) return ask_again(session);
  if (what < 79) return open_savepoint(session);
  if (what < 81) return release_savepoint(session);
  if (what < 84) return roll_back_savepoint(session);
  if (what < 87) return abort(session);
  if (what < 88 && settings_.queues_come_and_go)
    return chance(50) ? create_queue(session) : drop_queue(session);
  if (what < 89 && settings_.purges) return begin_purge(session);
  if (what < 91 && settings_.on_exhausted != OnExhausted::skip) return unblock(session);
  if (what < 92 && settings_.weights && chance(60)) return set_weight(session);
  if (settings_.prepares && chance(30) && prepare(session)) return;
  pre_commit(session);
}

void World::begin(int session) {
  Session& self = s(session);
  self.xids = {log_.begin()};
  self.number++;
  self.rooms.clear();
  self.purged.clear();
  self.stage = Stage::open;
  note("begin", "session {}", session);
}

void World::enqueue(int session) {
  Session& self = s(session);
  const QueueId queue = any_queue_to_fill(session);
  if (queue == 0) return;
  const std::uint64_t jobs = chance(settings_.weights ? 40 : 10) ? 1 + draw(12) : 1;
  self.transaction.reserve(jobs);
  const Index slot = slot_index(queue);
  std::size_t room = 0;
  if (settings_.max_length != 0) {
    /* Without a slot it waits for one. */
    if (slot == kNone || !take_room(session, d().queue_ref(slot), jobs, &room)) return;
    if (statement_fails(session)) return;
  }
  for (std::uint64_t i = 0; i < jobs; i++) {
    JobRow row = row_of(queue, draw_id());
    /* Nobody asks since when it waits; so this tells which of its rows a job was handed out with.
     */
    row.enqueued_at = next_version_++;
    if (settings_.keys > 0 && chance(80))
      row.key_hash = row.key_check =
          static_cast<std::uint32_t>(1 + draw(static_cast<std::uint64_t>(settings_.keys)));
    row.priority = static_cast<std::uint8_t>(chance(70) ? 4 : draw(10));
    if (chance(35))
      row.due = platform().wall +
                static_cast<Micros>(draw(static_cast<std::uint64_t>(2 * settings_.horizon)));
    if (chance(10)) row.max_attempts = static_cast<std::uint16_t>(1 + draw(3));
    if (settings_.expiries && chance(15))
      row.expires_at =
          expiry_seconds(std::max(row.due, platform().wall) + 1 +
                         static_cast<Micros>(draw(static_cast<std::uint64_t>(settings_.horizon))));
    row.segment = row.due > platform().wall + settings_.horizon ? kParkedSegment
                                                                : segment_to_write(session, row.id);
    /* What lies in parked is found by its time. */
    if (row.segment == kParkedSegment) row.due = std::max<Micros>(row.due, 1);
    row.has_room = settings_.max_length != 0;
    log_.insert_job(self.xid(), self.writer, queue, &row);
    std::uint32_t& tail = d().arena().databases[database_].tail_block[row.segment];
    tail = std::max(tail, row.block);
    const Index index = slot_index(queue);
    self.transaction.note_enqueue(self.level(),
                                  index == kNone ? QueueRef{kNone, 0} : d().queue_ref(index), row);
    const JobKey key{queue, row.id};
    written_.push_back(key);
    ModelJob& job = reference_.jobs[key];
    job.xid = self.xid();
    job.gone = queues_.at(queue).gone;
    job.version = row.enqueued_at;
    job.key = row.key_check;
    job.written_at = reference_.clock;
    if (job.key != 0) reference_.by_key[{queue, job.key}].push_back(row.id);
    job.priority = row.priority;
    job.most_attempts = row.max_attempts != 0 ? row.max_attempts : settings_.most_attempts;
    job.due = job.logged_due = row.due;
    job.expires_at = row.expires_at;
    self.effects.push_back(
        Effect{EffectKind::wrote, self.level(), key, 0, false, {}, {}, 0, 0, false});
    note("enqueue", "session {} job {} of queue {} on page {}:{}, level {}", session, row.id, queue,
         row.segment, row.block, self.level());
  }
  if (settings_.max_length != 0) self.transaction.use_room(room);
}

bool World::take_room(int session, QueueRef slot, std::uint64_t jobs, std::size_t* room) {
  Session& self = s(session);
  if (std::any_of(sessions_.begin(), sessions_.end(), [](const Session& other) {
        return other.stage == Stage::visible && other.prepared;
      }))
    early_rooms_ += static_cast<std::int64_t>(jobs);
  self.rooms.push_back(slot);
  if (settings_.drop_oldest) {
    *room = self.transaction.begin_room(self.level(), slot);
    return exchange_room(session, jobs, *room);
  }
  RoomFigures figures{};
  const Room answer = self.transaction.reserve_room(
      self.level(), slot, static_cast<std::uint32_t>(jobs), &figures, room);
  if (answer == Room::unlimited) throw Violation("a limit was forgotten");
  note(answer == Room::full ? "queue full" : "room", "session {}: {} of {}, {} reserved", session,
       figures.unfinished, figures.max_length, figures.reserved);
  return answer == Room::granted;
}

bool World::exchange_room(int session, std::uint64_t jobs, std::size_t room) {
  Session& self = s(session);
  for (std::uint64_t i = 0; i < jobs; i++) {
    RoomFigures figures{};
    Decided decided{};
    std::size_t action = 0;
    self.transaction.reserve(2);
    const Room answer =
        self.transaction.exchange_room(self.level(), room, &figures, &decided, &action);
    if (answer == Room::unlimited) throw Violation("a limit was forgotten");
    if (answer == Room::exchanged) {
      const JobKey key{decided.queue_id, decided.id};
      note("dropped for a new one", "session {} job {} of queue {}", session, key.id, key.queue);
      ModelJob& job = reference_.job(key);
      if (job.flux == kNobody && !job.gone && (job.held || job.decider != kNobody || job.finished))
        throw Violation("a job was dropped that somebody has");
      job.decider = session;
      self.effects.push_back(Effect{EffectKind::decided, self.level(), key, decided.token, false,
                                    Decision::retry, OutcomeKind::claimed, 0, decided.attempts,
                                    false});
      note_outcome(session, decided, action, Decision::finish, OutcomeKind::dead_lettered,
                   decided.attempts, 0);
    } else if (answer != Room::granted) {
      if (answer == Room::full) note("queue full", "session {}", session);
      /* The error takes back what was dropped so far. */
      fail_statement(session);
      return false;
    }
  }
  return true;
}

std::uint32_t World::pop(int session, Index queue, Micros lease, ClaimedJob* jobs, std::uint32_t n,
                         std::uint64_t* request_number, MemberRef* owner) {
  std::string name = fmt::format("worker {}", session);
  std::int64_t instance = 0;
  *owner = MemberRef{kNone, 0};
  const Session& self = s(session);
  if (self.asks && self.wait->member.member != kNone) {
    name = self.wait->name;
    instance = self.wait->instance;
    *owner = self.wait->member;
  } else if (settings_.workers && request_number == nullptr && !calm_ && chance(50)) {
    *owner = any_member(d().arena().queues[queue].id, &name, &instance);
  }
  const QueueRef ref = d().queue_ref(queue);
  RequestRef request{kNone, 0};
  const std::uint32_t taken = operation(std::nullopt, [&] {
    const WorkerRef worker = d().worker_slot(database_, name, instance);
    const Claimant claimant{*owner, 0, true};
    if (request_number != nullptr) request = begin_request(session, request_number);
    return d().claim(ref, worker, lease, jobs, n, request.request != kNone ? &request : nullptr,
                     static_cast<Index>(session), owner->member != kNone ? &claimant : nullptr);
  });
  if (taken == kWorkerGone) throw Violation("a worker's slot went to another");
  if (taken > 0 &&
      d().arena().waiters[session].woken_by.load() == wake_word(ref.queue, ref.incarnation))
    throw Violation("a claim does not pay for its wake");
  if (taken == 0 && request.request != kNone) d().forget_request(request);
  return taken;
}

/* more: of several queues, and others follow. */
void World::claim(int session, QueueId queue, std::uint32_t n, bool more) {
  Session& self = s(session);
  const Index index = queue == 0 ? kNone : slot_index(queue);
  if (index == kNone) {
    if (!more) pass_wake_on(session);
    return;
  }
  std::vector<ClaimedJob> jobs(n);
  self.transaction.reserve(n + 1);
  const Micros lease =
      chance(80) ? settings_.lease
                 : 1 + static_cast<Micros>(draw(static_cast<std::uint64_t>(settings_.lease)));
  std::uint64_t request = 0;
  const bool as_member = self.asks && self.wait->member.member != kNone;
  std::uint64_t* const remembered = !as_member && chance(25) ? &request : nullptr;
  MemberRef owner{kNone, 0};
  const QueueRef ref = d().queue_ref(index);
  ReadyJobs before;
  look_at_effect([&] { before = ready_by_key(d().arena().queues[index]); });
  const std::uint32_t taken = pop(session, index, lease, jobs.data(), n, remembered, &owner);
  jobs.resize(taken);
  /* Somebody may have dropped it before the claim came to it. */
  const bool is_there = d().queue_matches(ref);
  if (!is_there && taken > 0) throw Violation("a queue that is gone handed out a job");
  if (owner.member != kNone && is_there) {
    note(taken > 0 ? "claim of own jobs" : "claim of no own job");
    check_owned(index, owner, jobs, n);
  }
  const Queue& q = d().arena().queues[index];
  if (q.options.paused && taken > 0) throw Violation("a paused queue handed out a job");
  for (std::uint32_t i = 0; i < taken; i++) {
    const ClaimedJob& job = jobs[i];
    const JobKey key{queue, job.id};
    note("claim", "session {} job {} of queue {} token {} attempt {}", session, job.id, queue,
         job.token & 0xFFFFFFFF, job.attempt);
    reference_.claimed(key, job.token, job.attempt, platform().wall, platform().monotonic + lease);
    const JobOnPage& stored = log_.job_pages(job.segment).at(job.block).at(job.offset - 1U);
    if (stored.row.id != job.id || stored.row.queue != queue || !log_.sees(log_.snapshot(), stored))
      throw Violation("a claimed job's row lies elsewhere");
    const ModelJob& claimed = reference_.job(key);
    if (!claimed.gone && stored.row.enqueued_at != claimed.version)
      throw Violation(fmt::format("job {} was handed out with row {} instead of {}", job.id,
                                  stored.row.enqueued_at, claimed.version));
    if (settings_.ordered) reference_.check_turn(key, platform().wall);
    const bool in_order = i == 0 || settings_.fair || q.limits.key_rate.jobs != 0 ||
                          jobs[i - 1].priority < job.priority ||
                          (jobs[i - 1].priority == job.priority && jobs[i - 1].id < job.id);
    if (!in_order) throw Violation("a claim is out of order");
    self.effects.push_back(Effect{
        EffectKind::claimed, self.level(), key, job.token, false, {}, {}, 0, job.attempt, false});
  }
  if (!q.options.paused && is_there) {
    const bool owned = owner.member != kNone;
    check_limits(q, taken, owned ? taken : n);
    check_key_limits(q, jobs, owned || taken == n);
    /* A token comes to the job of the key that waited for it, whatever came since. */
    const bool keeps_order = !settings_.fair && q.limits.key_rate.jobs == 0;
    if (!owned && taken > 0 && q.ready_count > 0 && keeps_order) {
      const Entry& next = first_ready(q);
      const ClaimedJob& last = jobs.back();
      if (next.priority < last.priority || (next.priority == last.priority && next.id < last.id))
        throw Violation("a claim passed an earlier resident job over");
    }
  }
  if (remembered != nullptr) note_batch(request, queue, jobs);
  const std::size_t first = self.transaction.size();
  self.transaction.note_claims(self.level(), jobs.data(), taken);
  if (is_there && owner.member == kNone) watch_rounds(q, before, jobs);
  maybe_stop();
  if (!more) pass_wake_on(session);
  for (const ClaimedJob& job : jobs) {
    if (calm_ || !chance(1)) continue;
    ModelJob& known = reference_.job({queue, job.id});
    /* Somebody else may have got at it since. */
    if (!Reference::holds(known, job.token) || known.decider != kNobody || known.flux != kNobody ||
        reference_.may_be_swept(known))
      continue;
    note("quarantine", "job {} of queue {}", job.id, queue);
    self.transaction.quarantine(job.ref, job.token);
    known.held = false;
    known.attempts = known.logged_attempts;
    known.due = known.logged_due;
  }
  if (statement_fails(session)) return;
  self.transaction.delivered(first);
  for (std::size_t i = self.effects.size() - taken; i < self.effects.size(); i++)
    self.effects[i].delivered = true;
}

/* True if an error ended the statement, and with it the savepoint or the transaction. */
bool World::statement_fails(int session) {
  if (calm_ || !chance(4)) return false;
  note("statement failed", "session {}", session);
  fail_statement(session);
  return true;
}

void World::decide(int session) {
  if (reference_.given.empty()) return;
  const std::size_t recent = std::min(reference_.given.size(), kRecentTokens);
  const auto [key, token] = reference_.given[reference_.given.size() - 1 - draw_index(recent)];
  decide_job(session, key, token, static_cast<int>(draw(100)));
}

void World::check_decided(JobKey key, const Decided& decided) {
  if (decided.id != key.id || decided.queue_id != key.queue)
    throw Violation(fmt::format("job {} of queue {} was to be decided and {} of {} is", key.id,
                                key.queue, decided.id, decided.queue_id));
}

void World::decide_job(int session, JobKey key, Token token, int what) {
  Session& self = s(session);
  if (reference_.job(key).flux != kNobody) return;
  Decided decided{};
  std::size_t action = 0;
  self.transaction.reserve(1);
  const Verdict verdict = operation(key, [&] {
    return self.transaction.begin_decision(self.level(), key.id, token, &decided, &action);
  });
  note("decide", "session {} job {} of queue {} token {}: verdict {}", session, key.id, key.queue,
       token & 0xFFFFFFFF, static_cast<int>(verdict));
  reference_.decision_answered(key, token, session, verdict);
  if (verdict != Verdict::ok) return;
  check_decided(key, decided);
  ModelJob& job = reference_.job(key);
  if (decided.attempts != job.attempts) throw Violation("a decision has another attempt number");
  if (!job.gone && decided.max_attempts != job.most_attempts)
    throw Violation("a decision has another limit of attempts");
  job.decider = session;
  self.effects.push_back(Effect{EffectKind::decided, self.level(), key, token, false,
                                Decision::retry, OutcomeKind::claimed, 0, decided.attempts, true});
  maybe_stop();
  if (statement_fails(session)) return;
  const Micros now = platform().wall;
  const std::int32_t attempt = decided.attempts;
  if (what < 60) {
    note_outcome(session, decided, action, Decision::finish, OutcomeKind::completed, attempt, 0);
  } else if (what < 75 && attempt < decided.max_attempts) {
    const Micros due = now + static_cast<Micros>(draw(5)) * kSecond;
    note_outcome(session, decided, action, Decision::retry, OutcomeKind::attempt_failed, attempt,
                 due);
  } else if (what < 84) {
    note_outcome(session, decided, action, Decision::put_back, OutcomeKind::rescheduled,
                 attempt - 1, now);
  } else if (what < 92) {
    const Micros due =
        now + static_cast<Micros>(draw(static_cast<std::uint64_t>(2 * settings_.horizon)));
    note_outcome(session, decided, action, Decision::put_back, OutcomeKind::rescheduled,
                 attempt - 1, due);
  } else if (what < 97) {
    note_outcome(session, decided, action, Decision::finish, OutcomeKind::dead_lettered, attempt,
                 0);
    block_key(session, decided, action);
  }
  /* Else the statement settled nothing: the commit gives the lease back. */
}

void World::note_outcome(int session, const Decided& decided, std::size_t action, Decision decision,
                         OutcomeKind outcome, std::int32_t attempt, Micros due) {
  Session& self = s(session);
  lock_table(session, decided.segment, true);
  const OutcomeMember member{decided.id, decided.token, attempt, due};
  const auto blocks = log_.insert_outcome(self.xid(), self.writer, decided.segment, outcome,
                                          platform().wall, decided.queue_id, {member});
  self.transaction.settle(action, decision, outcome, due);
  self.transaction.note_outcome_row(action, decided.segment, blocks.at(0));
  Effect& effect = self.effects.back();
  effect.decision = decision;
  effect.outcome = outcome;
  effect.due = due;
  effect.attempt = attempt;
  note("outcome", "kind {} attempt {} due in {} ms", static_cast<int>(outcome), attempt,
       due == 0 ? 0 : (due - platform().wall) / 1000);
}

void World::extend() {
  if (reference_.given.empty()) return;
  const std::size_t recent = std::min(reference_.given.size(), kRecentTokens);
  const auto given = reference_.given[reference_.given.size() - 1 - draw_index(recent)];
  const JobKey key = given.first;
  const Token token = given.second;
  ModelJob& job = reference_.job(key);
  if (job.flux != kNobody) return;
  Verdict verdict = Verdict::ok;
  const Micros lease =
      1 + static_cast<Micros>(draw(static_cast<std::uint64_t>(2 * settings_.lease)));
  operation(key, [&] {
    d().extend(database_, key.id, token, lease, &verdict);
    return verdict;
  });
  note("extend", "job {} of queue {}: verdict {}", key.id, key.queue, static_cast<int>(verdict));
  reference_.extension_answered(key, token, verdict == Verdict::ok);
  if (verdict != Verdict::ok) return;
  note("lease extended");
  job.deadline = platform().monotonic + lease;
}

void World::heartbeat(int session) {
  const Index worker = d().find_worker(database_, fmt::format("worker {}", session), 0);
  if (worker == kNone) return;
  std::vector<EntryRef> refs(d().arena().capacity);
  refs.resize(d().worker_leases(worker, refs.data(), static_cast<std::uint32_t>(refs.size())));
  for (const EntryRef ref : refs) {
    LeaseRow row{};
    HeartbeatState state = HeartbeatState::lost;
    const bool found = operation(
        std::nullopt, [&] { return d().heartbeat(ref, worker, settings_.lease, &row, &state); });
    if (!found) continue;
    const JobKey key{row.queue, row.id};
    if (reference_.jobs.count(key) == 0) continue; /* its queue is going */
    ModelJob& job = reference_.job(key);
    if (job.gone) continue;
    note("heartbeat", "session {} job {} of queue {}: state {}", session, key.id, key.queue,
         static_cast<int>(state));
    if (state == HeartbeatState::leased) job.deadline = platform().monotonic + settings_.lease;
    if (job.flux != kNobody) continue;
    reference_.extension_answered(key, row.token, state == HeartbeatState::leased);
    if ((state == HeartbeatState::cancelled) != job.cancelled_under_holder)
      throw Violation("a heartbeat does not tell of a cancel");
  }
}

void World::open_savepoint(int session) {
  Session& self = s(session);
  if (self.level() >= kDeepestLevel) return;
  self.xids.push_back(log_.begin(self.xid()));
  note("savepoint", "session {} level {}", session, self.level());
}

void World::release_savepoint(int session) {
  Session& self = s(session);
  const std::int32_t level = self.level();
  if (level <= 1) return;
  log_.merge(self.xid());
  self.xids.pop_back();
  self.transaction.sub_commit(level);
  for (Effect& effect : self.effects) effect.level = std::min(effect.level, level - 1);
  for (auto& lock : self.purged) lock.second = std::min(lock.second, level - 1);
  for (TableLock& lock : self.locks) lock.level = std::min(lock.level, level - 1);
  for (Weighing& weighing : self.weighings) weighing.level = std::min(weighing.level, level - 1);
  for (ModelRequest& request : requests_) {
    if (request.maker == session && request.fate == Fate::open)
      request.level = std::min(request.level, level - 1);
  }
  note("savepoint released", "session {} level {}", session, level);
}

void World::roll_back_savepoint(int session) {
  Session& self = s(session);
  const std::int32_t level = self.level();
  if (level <= 1) return;
  log_.abort(self.xid());
  self.xids.pop_back();
  note("savepoint rolled back", "session {} level {}", session, level);
  std::size_t first = self.effects.size();
  while (first > 0 && self.effects[first - 1].level >= level) first--;
  if (self.has_placeholder && self.placeholder_level >= level) self.has_placeholder = false;
  self.purge.reset();
  move_requests(session, level, Fate::open, Fate::in_flux);
  std::erase_if(self.weighings, [level](const Weighing& w) { return w.level >= level; });
  undo(session, first, [this, session, level] { s(session).transaction.sub_abort(level); });
  leave_lists(session);
  std::erase_if(self.purged, [level](const auto& lock) { return lock.second >= level; });
  std::erase_if(self.locks, [level](const TableLock& lock) { return lock.level >= level; });
  move_requests(session, level, Fate::in_flux, Fate::forgotten);
}

void World::fail_statement(int session) {
  if (s(session).level() > 1) {
    roll_back_savepoint(session);
  } else {
    abort(session);
  }
}

/* Runs a callback; others may act whenever it lets go of a lock. */
void World::run_callback(int session, const std::function<void()>& call) {
  callback(call);
  for (const Effect& effect : s(session).effects) {
    if (is_of_queue(effect.kind)) continue;
    ModelJob& job = reference_.job(effect.key);
    if (job.flux == session) job.flux = kNobody;
  }
}

/* The effects from `first` on never happened, except that their attempts may be charged. */
void World::undo(int session, std::size_t first, const std::function<void()>& call) {
  Session& self = s(session);
  std::vector<std::pair<JobKey, std::int32_t>> refunded;
  for (std::size_t i = self.effects.size(); i > first; i--) {
    const Effect& effect = self.effects[i - 1];
    if (is_of_queue(effect.kind)) {
      undo_queue(effect);
      continue;
    }
    ModelJob& job = reference_.job(effect.key);
    if (effect.kind == EffectKind::redrove || effect.kind == EffectKind::discarded) {
      job.taker = kNobody;
      continue;
    }
    if (effect.kind == EffectKind::unblocked) {
      const auto row = reference_.blocked.find({effect.key.queue, job.key});
      if (row != reference_.blocked.end()) row->second.taker = kNobody;
      continue;
    }
    if (effect.kind == EffectKind::wrote || effect.kind == EffectKind::replaced || job.gone)
      continue;
    if (effect.kind == EffectKind::decided) {
      /* What it was decided over is there again. */
      if (job.decider == session && !effect.again) job.decider = kNobody;
      if (effect.on_disk) job.purged_on_disk = false;
    } else {
      const std::int32_t before = job.attempts;
      if (job.token == effect.token && reference_.may_be_swept(job))
        reference_.begin_flux(job, effect.key, kUnknownFlux);
      reference_.undo_claim(job, effect.token, effect.delivered, platform().wall,
                            settings_.backoff);
      if (job.attempts != before) refunded.emplace_back(effect.key, before);
    }
    reference_.begin_flux(job, effect.key, session);
  }
  callback(call);
  /* So many refunds in a row are charged: which it was, the dispatcher tells. */
  for (const auto& [key, before] : refunded) {
    ModelJob& job = reference_.job(key);
    if (job.flux != session || job.gone) continue;
    ResidentRow row{};
    if (!d().see_job(database_, key.queue, key.id, &row)) continue;
    if (row.attempts != before && row.attempts != before - 1)
      throw Violation("a refund lost count of the attempts");
    job.attempts = row.attempts;
    /* The sweep has taken it since, and not written it yet. */
    if (row.state == EntryState::expiring) reference_.begin_flux(job, key, kUnknownFlux);
    if (row.state != EntryState::leased) continue;
    if (job.attempts < job.most_attempts) throw Violation("a refund left a lease behind");
    job.held = true;
    job.lapsed = true;
  }
  for (std::size_t i = first; i < self.effects.size(); i++) {
    const Effect& effect = self.effects[i];
    if (is_of_queue(effect.kind)) continue;
    ModelJob& job = reference_.job(effect.key);
    if (job.flux != session) continue;
    job.flux = kNobody;
    /* The sweep may have taken the lease before it was given back, and not have written it yet. */
    if (effect.kind == EffectKind::claimed && job.token == effect.token &&
        reference_.has_run_out(job))
      reference_.begin_flux(job, effect.key, kUnknownFlux);
  }
  self.effects.resize(first);
}

void World::pre_commit(int session) {
  Session& self = s(session);
  while (self.level() > 1) release_savepoint(session);
  QueueId gone = 0;
  note("pre-commit", "session {}", session);
  bool good = false;
  callback([&] { good = self.transaction.pre_commit(&gone); });
  if (!good) {
    if (!queues_.at(gone).gone) throw Violation("a queue is gone that nobody dropped");
    note("queue gone", "session {} queue {}", session, gone);
    return abort(session);
  }
  self.stage = Stage::linked;
}

/* The commit record: from here others see the rows, and a restart keeps them. */
void World::become_visible(int session) {
  Session& self = s(session);
  note("visible", "session {}", session);
  log_.commit(self.xids.front());
  for (const Effect& effect : self.effects) {
    if (is_of_queue(effect.kind)) {
      show_queue(effect);
      continue;
    }
    ModelJob& job = reference_.job(effect.key);
    if (effect.kind == EffectKind::wrote) reference_.show(job, effect.key);
    if (effect.kind == EffectKind::redrove) {
      reference_.revive(job, effect.key, effect.due, effect.keeps_place);
      job.expires_at = effect.expires_at;
    }
    if (effect.kind == EffectKind::unblocked) show_unblocked(effect);
    if (effect.kind == EffectKind::discarded) job.dead = false;
    if (effect.kind == EffectKind::redrove || effect.kind == EffectKind::discarded)
      job.taker = kNobody;
    if (effect.row) show_row(job, *effect.row);
    if (effect.kind != EffectKind::decided || effect.outcome == OutcomeKind::claimed) continue;
    if (is_final(effect.outcome)) {
      if (job.finished && !job.gone) throw Violation("a job ended twice");
      reference_.finish(job, effect.key, effect.outcome == OutcomeKind::dead_lettered);
      job.ended_at = 0;
      if (effect.decision == Decision::block && !job.gone) {
        note("key blocked", "job {} of queue {}", effect.key.id, effect.key.queue);
        reference_.block(effect.key, effect.up_to);
      }
    } else {
      job.logged_attempts =
          effect.row ? effect.attempt : std::max(job.logged_attempts, effect.attempt);
      job.logged_due = effect.due;
    }
  }
  /* Also those just written: whoever enqueued to it and commits later finds it gone, or its row is
   * never read. */
  for (const Effect& effect : self.effects) {
    if (effect.kind == EffectKind::dropped_queue) forget_jobs(effect.key.queue);
  }
  show_weights(self);
  self.stage = Stage::visible;
}

void World::set_after_commit(ModelJob& job, const Effect& effect) const {
  job.decider = kNobody;
  if (effect.outcome == OutcomeKind::claimed) return; /* nothing was settled */
  switch (effect.decision) {
    case Decision::block:
    case Decision::finish:
      job.held = false;
      break;
    case Decision::cancel_held:
      job.cancelled_under_holder = true;
      break;
    case Decision::retry:
    case Decision::put_back:
      job.held = false;
      job.due = effect.due;
      if (effect.decision == Decision::put_back) job.attempts--;
      break;
    case Decision::reschedule:
      job.due = effect.due;
      job.attempts = effect.attempt;
      break;
  }
}

void World::publish(int session) {
  Session& self = s(session);
  note("callback", "session {}", session);
  for (const Effect& effect : self.effects) {
    if (effect.kind != EffectKind::decided) continue;
    ModelJob& job = reference_.job(effect.key);
    job.purged_on_disk = false;
    set_after_commit(job, effect);
    reference_.begin_flux(job, effect.key, session);
  }
  move_requests(session, 0, Fate::open, Fate::in_flux);
  run_callback(session, [this, session] { s(session).transaction.commit(log_.snapshot()); });
  move_requests(session, 0, Fate::in_flux, Fate::settled);
  check_drops(self);
  for (const Effect& effect : self.effects) {
    if (effect.kind == EffectKind::wrote) reference_.publish(reference_.job(effect.key));
  }
  self.purged.clear();
  self.locks.clear();
  self.weighings.clear();
  self.effects.clear();
  self.xids.clear();
  self.stage = Stage::idle;
}

void World::abort(int session) {
  Session& self = s(session);
  note("abort", "session {}", session);
  log_.abort(self.xids.front());
  self.has_placeholder = false;
  self.purge.reset();
  move_requests(session, 0, Fate::open, Fate::in_flux);
  self.weighings.clear();
  undo(session, 0, [this, session] { s(session).transaction.abort(); });
  leave_lists(session);
  self.purged.clear();
  self.locks.clear();
  move_requests(session, 0, Fate::in_flux, Fate::forgotten);
  self.xids.clear();
  self.stage = Stage::idle;
}

}  // namespace dw::test
