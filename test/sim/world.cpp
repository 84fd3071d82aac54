#include "world.hpp"

#include "arena_check.hpp"

#include "core/token.hpp"

#include <algorithm>
#include <cstring>

namespace dw::test {

namespace {

constexpr DatabaseOid kOid = 16384;
constexpr std::uint32_t kHousekeeper = 0;
constexpr std::uint64_t kScannedPages = 100;
constexpr int kStopAtStorePercent = 50;
constexpr std::uint64_t kStepsBetweenAllChecks = 1000;

}  // namespace

World::World(std::uint64_t seed, bool traced, std::span<const std::uint8_t> choices)
    : engine_(seed * 7919 + 1, choices), traced_(traced) {
  const std::uint32_t sizes[] = {16, 20, 32, 48, 64, 64, 256, 4096};
  settings_.entries = sizes[draw(8)];
  settings_.rows_a_page = static_cast<std::uint32_t>(1 + draw(6));
  settings_.sessions = static_cast<int>(2 + draw(5));
  settings_.queues = static_cast<int>(1 + draw(settings_.entries >= 64 ? 3 : 1));
  settings_.most_attempts = static_cast<std::int32_t>(1 + draw(5));
  settings_.lease = chance(50) ? 5 * kSecond : 60 * kSecond;
  settings_.backoff = static_cast<Micros>(draw(3)) * kSecond;
  settings_.horizon = chance(50) ? 4 * kSecond : 40 * kSecond;
  settings_.backlog = chance(30) ? static_cast<int>(draw(500)) : 0;
  settings_.max_length = chance(40) ? static_cast<int>(1 + draw(40)) : 0;
  if (settings_.max_length != 0) settings_.backlog = 0;
  settings_.redrives = settings_.max_length == 0 || chance(50);
  settings_.drop_oldest = chance(50);
  settings_.errors = chance(60);
  settings_.restarts = chance(30);
  settings_.queues_come_and_go = chance(60);
  settings_.purges = chance(50);
  /* A drop would wait for them. */
  settings_.prepares = !settings_.queues_come_and_go && chance(70);
  settings_.keys = chance(60) ? static_cast<int>(1 + draw(6)) : 0;
  settings_.ordered = settings_.keys > 0 && chance(75);
  settings_.fair = settings_.keys > 0 && (!settings_.ordered || chance(25));
  settings_.on_exhausted = !settings_.ordered || chance(40) ? OnExhausted::skip
                           : chance(60)                     ? OnExhausted::hold
                                                            : OnExhausted::dead_letter_key;
  settings_.limits = chance(40);
  settings_.key_limits = settings_.keys > 0 && chance(50);
  settings_.workers = chance(50);
  settings_.waits = chance(50);
  settings_.weights = settings_.fair && chance(75);
  /* A job that expires in its turn takes its key's share along. */
  settings_.expiries = !settings_.weights || chance(30);
  const int stop_percents[] = {0, 2, 5, 10, 25, 50};
  settings_.stop_percent = stop_percents[draw(6)];
  settings_.id_block = JobId{1} << draw(5);
  const std::uint64_t segment_pages[] = {4, 10, 30, 1000};
  settings_.segment_pages = segment_pages[draw(4)];
  const Micros segment_ages[] = {kSecond / 2, 2 * kSecond, 20 * kSecond, 3600 * kSecond};
  settings_.segment_age = segment_ages[draw(4)];
  const Micros retentions[] = {0, kSecond, 20 * kSecond};
  settings_.retention = retentions[draw(3)];
  settings_.grace = chance(50) ? 5 * kSecond : 60 * kSecond;
  platform().reset(seed);
  log_ = FakeLog(settings_.rows_a_page);
  memory_ = std::make_unique<ArenaMemory>(settings_.entries, 8);
  dispatcher_ = std::make_unique<Dispatcher>(memory_->arena(), FakePlatform::functions());
  for (int i = 0; i <= settings_.sessions; i++) {
    sessions_.emplace_back(dispatcher_.get());
    sessions_.back().writer = static_cast<std::uint32_t>(i + 1);
  }
  actors_.resize(operators_place() + 1);
  ring_[0].opened_at = platform().wall;
  for (int i = 0; i < settings_.queues; i++) {
    ModelQueue& queue = queues_[next_queue_++];
    queue.visible = true;
    queue.limits = any_limits();
  }
  calm_ = true;
  start_server();
  platform().on_locking = [this](std::uint32_t lock) { before_lock(lock); };
  platform().on_unlocked = [this](std::uint32_t) { after_lock(); };
  /* A backlog from before: far from the tail when it is deep. */
  for (int i = 0; i < settings_.backlog; i += 10) {
    begin(0);
    for (int k = 0; k < 10; k++) enqueue(0);
    become_visible(0);
    s(0).transaction = Transaction(dispatcher_.get());
    s(0).transaction.set_database(database_, kOid);
    s(0).effects.clear();
    s(0).xids.clear();
    s(0).locks.clear();
    s(0).stage = Stage::idle;
  }
  if (settings_.backlog > 0) restart_server();
  calm_ = false;
}

World::~World() {
  platform().on_locking = nullptr;
  platform().on_unlocked = nullptr;
}

std::string World::description() const {
  return fmt::format(
      "{} entries, {} rows a page, {} sessions, {} queues, {} attempts, lease {} s, backoff {} s, "
      "horizon {} s, "
      "backlog {}, at most {}, drop oldest {}, errors {}, restarts {}, queues come and go {}, "
      "purges {}, prepares {}, keys {}, ordered {}, fair {}, weights {}, limits {}, limits of keys "
      "{}, workers {}, waits {}, expiries {}, used-up jobs {}, stopped at {} of 100 places, ids by "
      "{}, segments of {} pages or {} s, "
      "retention {} s, "
      "grace {} s",
      settings_.entries, settings_.rows_a_page, settings_.sessions, settings_.queues,
      settings_.most_attempts, settings_.lease / kSecond, settings_.backoff / kSecond,
      settings_.horizon / kSecond, settings_.backlog, settings_.max_length, settings_.drop_oldest,
      settings_.errors, settings_.restarts, settings_.queues_come_and_go, settings_.purges,
      settings_.prepares, settings_.keys, settings_.ordered, settings_.fair, settings_.weights,
      settings_.limits, settings_.key_limits, settings_.workers, settings_.waits,
      settings_.expiries, static_cast<int>(settings_.on_exhausted), settings_.stop_percent,
      settings_.id_block, settings_.segment_pages, settings_.segment_age / kSecond,
      settings_.retention / kSecond, settings_.grace / kSecond);
}

void World::start_server() {
  database_ = d().attach_database(kOid);
  know_segments();
  d().open_database(database_, epoch_);
  if (epoch_ == 1) {
    for (const QueueId queue : committed_queues()) serve_queue(queue, LoadMode::live);
  }
  for (Session& session : sessions_) session.transaction.set_database(database_, kOid);
  store_ = std::make_unique<FakeStore>(&log_, kHousekeeper, dispatcher_.get(), database_);
  store_->on_call = [this](FakeStore::Call call) { at_store_call(call); };
  store_->on_expiry = [this](const Expiry& expiry) {
    note("expires", "job {} of queue {} attempt {} dead {}", expiry.id, expiry.queue,
         expiry.attempt, expiry.outcome == OutcomeKind::dead_lettered);
    if (expiry.reason == Lapse::expired) note("overdue");
    reference_.expires(expiry, platform().monotonic, platform().wall);
    const JobKey key{expiry.queue, expiry.id};
    sweeping_.push_back(key);
    if (expiry.reason == Lapse::key_dead) note("died with its key");
    const ModelJob& job = reference_.job(key);
    const bool used_up = expiry.outcome == OutcomeKind::dead_lettered &&
                         expiry.reason != Lapse::expired && expiry.reason != Lapse::key_dead;
    const bool blocks =
        used_up && settings_.ordered && job.key != 0 && settings_.on_exhausted != OnExhausted::skip;
    if (blocks != expiry.blocks_key && !job.gone)
      throw Violation(
          fmt::format("job {} {} its key", key.id, blocks ? "does not block" : "blocks"));
    if (expiry.blocks_key) blocking_.emplace_back(key, expiry.takes_along);
  };
  store_->on_key_freed = [this](QueueId queue, JobId job) { freeing_ = JobKey{queue, job}; };
  replace_housekeeper();
  housekeeper_latch_ = true;
  read_queues();
  note("server started");
}

void World::replace_housekeeper() {
  key_blocks_ = std::make_unique<KeyBlocks>(dispatcher_.get(), database_, store_.get());
  loader_ =
      std::make_unique<Loader>(dispatcher_.get(), database_, store_.get(), &key_blocks_->aside());
  loader_->set_horizon(settings_.horizon);
  key_weights_ = std::make_unique<KeyWeights>(dispatcher_.get(), database_, store_.get());
  sweeper_ = std::make_unique<Sweeper>(dispatcher_.get(), database_, store_.get());
  census_ = std::make_unique<Census>(dispatcher_.get(), database_, store_.get());
  expiry_walk_ = std::make_unique<ExpiryWalk>(dispatcher_.get(), database_);
  expiry_walk_->reset();
  idle_check_at_ = kNever;
  watch_keeper_ = std::make_unique<WatchKeeper>(dispatcher_.get(), database_, store_.get());
  segments_ = make_segments();
  rotation_ = std::make_unique<Rotation>(dispatcher_.get(), database_, store_.get(),
                                         segments_.get(), loader_.get());
  rotation_->set({settings_.segment_age, settings_.segment_pages * 8192, settings_.grace});
}

/* Everything in memory is gone; what was committed is there, whether its callback ran or not. */
void World::restart_server() {
  note("restart");
  crash();
  for (Session& session : sessions_) {
    const bool open = session.stage == Stage::open || session.stage == Stage::linked;
    if (open && log_.in_progress(session.xids.front())) log_.abort(session.xids.front());
    session.transaction = Transaction(dispatcher_.get());
    session.wait.reset();
    session.latch = session.has_slept = session.asks = false;
    if (session.stage == Stage::prepared) continue;
    session.prepared = false;
    session.effects.clear();
    session.xids.clear();
    session.has_placeholder = false;
    session.purge.reset();
    session.purged.clear();
    session.locks.clear();
    session.weighings.clear();
    session.stage = Stage::idle;
  }
  platform().woken_waiters.clear();
  rounds_.clear();
  memory_ = std::make_unique<ArenaMemory>(settings_.entries, 8);
  *dispatcher_ = Dispatcher(memory_->arena(), FakePlatform::functions());
  for (auto& [queue, row] : queues_) {
    if (row.creator != kNobody) row.gone = true;
    row.creator = kNobody;
    row.dropper = kNobody;
    row.served = false;
  }
  epoch_++;
  dump_.reset();
  requests_.clear();
  reference_.restart();
  sweeping_.clear();
  blocking_.clear();
  freeing_.reset();
  /* Nobody gets in before prepared transactions are found. */
  start_server();
  find_prepared();
}

void World::step() {
  steps_++;
  reference_.clock++;
  const std::uint64_t what = draw(1000);
  if (what < 800) {
    take_turn_of_sessions();
  } else if (what < 940) {
    take_turn(what < 930 || !settings_.workers ? housekeepers_place() : operators_place());
  } else if (what < 946) {
    dump();
  } else if (what < 998 || !settings_.restarts) {
    move_clock(chance(10));
  } else {
    restart_server();
  }
  if (!violation_.empty()) throw Violation(violation_);
  ask_about_unknown();
  check_lengths();
  check_rooms();
  check_wakes();
  if (steps_ % 8 == 0) check_residents();
  if (steps_ % 8 == 0) check_weights();
  if (steps_ % 64 == 0) check_all();
  if (steps_ % kStepsBetweenAllChecks != 0) return;
  drain();
  check_lengths();
  check_rooms();
  check_wakes();
  check_latches();
  check_weights();
  check_residents();
  check_all();
}

void World::take_turn(std::size_t actor) {
  if (!has_stopped(actor) || actors_[actor].stopped_until <= steps_) go_on(actor);
}

void World::move_clock(bool far) {
  const auto by = static_cast<Micros>(
      draw(static_cast<std::uint64_t>(far ? 20 * kSecond : 300 * kMillisecond)));
  platform().advance(1 + by);
  note("clock");
}

/* One phase of the housekeeper, who can be killed at any call of the log and taken over by another.
 */
void World::housekeeper() {
  housekeeping_ = true;
  begin_look();
  const bool reload = d().take_reload(database_);
  /* Also unasked, as each new housekeeper does. */
  if (d().take_catalog_stale(database_) || reload || chance(3)) read_queues();
  if (reload) {
    d().forget_waiting(database_);
    loader_->reset();
    census_->reset();
    d().reload_begun(database_);
  }
  if (settings_.prepares && chance(30)) follow_prepared();
  const std::uint64_t what = draw(140);
  if (what >= 100) {
    rotate();
  } else if (what < 50) {
    load();
  } else if (what < 60) {
    count();
  } else if (what < 90) {
    sweep();
  } else if (what < 94) {
    walk();
  } else if (what < 95) {
    callback([this] { d().drop_idle_keys(database_); });
  } else if (what < 96) {
    note("reload");
    d().request_reload(database_);
  } else if (what < 98 && (settings_.limits || settings_.key_limits)) {
    change_limits(false);
  } else {
    for (auto& [queue, row] : queues_) {
      if (!row.visible || row.gone || !chance(50)) continue;
      row.paused = !row.paused;
      d().set_queue_options(database_, queue, options_of(row));
    }
    note("pause");
  }
  end_look();
  housekeeping_ = false;
}

void World::load() {
  note("load");
  guard([this] {
    do {
      key_blocks_->step();
      if (count_aside() > 0) note("key set aside");
      read_weights();
    } while (loader_->step(chance(50) ? 0 : kMinute) && chance(60));
  });
}

void World::count() {
  note("count");
  if (census_->needs_job_id()) draw_id_for_census();
  guard([this] {
    while (census_->step(chance(50) ? 0 : kMinute) && chance(60)) {
    }
  });
}

/* Never more jobs than a queue takes, whenever somebody looks, but for redriven ones and those that
 * got room while a commit was between its record and its callback: a count that was made then may
 * lack its jobs. And room that nobody uses comes back. */
void World::check_rooms() {
  if (settings_.max_length == 0) return;
  for (const auto& [queue, unfinished] : reference_.unfinished) {
    if (unfinished > settings_.max_length + early_rooms_ && !queues_.at(queue).gone &&
        !settings_.redrives)
      throw Violation(fmt::format("queue {} has {} unfinished jobs", queue, unfinished));
  }
  for (const Queue* const q : slots()) {
    const auto index = static_cast<Index>(q - d().arena().queues);
    bool used = false;
    for (const Session& session : sessions_) {
      for (const QueueRef ref : session.rooms)
        used = used || (session.stage != Stage::idle && ref.queue == index);
    }
    if (!used && q->id != 0 && q->length.reserved != 0)
      throw Violation(
          fmt::format("queue {}: room for {} jobs was not given back", q->id, q->length.reserved));
  }
}

/* Exact whenever it is known and no commit is between its record and the end of its callback. */
void World::check_lengths() {
  for (const Session& session : sessions_) {
    if (session.stage == Stage::visible) return;
  }
  if (!sweeping_.empty()) return;
  for (const Queue* const q : slots()) {
    if (q->id == 0 || q->length.known == 0 || queues_.at(q->id).gone) continue;
    happened_["length checked"]++;
    const std::int64_t unfinished = reference_.unfinished[q->id];
    if (q->length.before + q->length.since != unfinished)
      throw Violation(fmt::format("queue {} counts {} + {} unfinished jobs, there are {}", q->id,
                                  q->length.before, q->length.since, unfinished));
  }
}

void World::sweep() {
  note("sweep");
  sweeping_.clear();
  reference_.sweeps_until = platform().monotonic;
  guard([this] { sweeper_->step(); });
  reference_.sweeps_until = kAlways;
}

void World::walk() {
  callback([this] { expiry_walk_->step(); });
}

void World::guard(const std::function<void()>& protocol) {
  bool written = false;
  bool killed = false;
  try {
    callback(protocol);
    written = true;
  } catch (const StoreError&) {
    note("store failed");
    store_->abort();
    end_move();
  } catch (const Killed&) {
    note("killed");
    store_->abort();
    std::memcpy(static_cast<void*>(memory_->arena()), image_.data(), image_.size());
    killed = true;
  }
  if (killed) {
    end_move();
    replace_housekeeper();
    read_queues();
    loader_->reset();
  }
  resolve_sweep(written);
}

/* What the sweep's transaction left: ended leases, or leases as they were. */
void World::resolve_sweep(bool written) {
  blocking_.clear();
  freeing_.reset();
  for (const JobKey key : sweeping_) {
    ModelJob& job = reference_.job(key);
    if (job.flux == kHousekeeperFlux) job.flux = kNobody;
    if (written || !job.expiring || job.gone) continue;
    job.expiring = false;
    const Entry* const e = leased_entry(key);
    if (e == nullptr || e->state != (job.held ? EntryState::leased : EntryState::overdue))
      throw Violation("a failed sweep did not give a lease back");
  }
  sweeping_.clear();
  if (written) return;
  /* One that fails alone is void from then on, so that the others go on. */
  for (Queue* q : slots()) {
    if (q->id == 0) continue; /* it is being removed */
    for (const Entry& e : q->leased) {
      const JobKey key{q->id, e.id};
      ModelJob& job = reference_.job(key);
      if (e.lapsed == Lapse::none || e.worker == kNone) continue;
      if (reference_.may_be_swept(job)) job.lapsed = true;
      /* Who is about to give it back comes too late. */
      if (!job.held && job.flux != kNobody) reference_.begin_flux(job, key, kUnknownFlux);
    }
  }
}

/* The failed attempts are in the log now. */
void World::show_sweep() {
  for (const auto& [key, up_to] : blocking_) {
    note("key blocked by the sweep", "job {} of queue {}", key.id, key.queue);
    reference_.block(key, up_to);
  }
  blocking_.clear();
  for (const JobKey key : sweeping_) {
    ModelJob& job = reference_.job(key);
    job.expiring = false;
    job.held = false;
    job.lapsed = false;
    reference_.begin_flux(job, key, kHousekeeperFlux);
    job.due = std::min(platform().wall, job.due);
    if (job.dies) {
      reference_.finish(job, key, true);
      job.ended_at = 0;
    } else {
      job.logged_attempts = std::max(job.logged_attempts, job.attempts);
      job.logged_due = job.due;
    }
  }
}

void World::at_store_call(FakeStore::Call call) {
  if (crashing_) throw Crashed{};
  const bool has_committed = call == FakeStore::Call::committed;
  if (has_committed) show_sweep();
  if (has_committed && freeing_) {
    note("key goes on", "job {} of queue {}", freeing_->id, freeing_->queue);
    reference_.followers_ended(freeing_->queue, freeing_->id);
    freeing_.reset();
  }
  if (calm_) return;
  /* A whole scan of a long log is stopped no oftener than one of a short log, or the log would grow
   * with each scan, and the next scan with the log. */
  const bool scans = call == FakeStore::Call::scan_jobs || call == FakeStore::Call::scan_outcomes ||
                     call == FakeStore::Call::scan_parked;
  if (scans && draw(1 + log_.page_count()) >= kScannedPages) return;
  if (may_stop() && chance(kStopAtStorePercent)) stop();
  if (has_committed) return;
  if (crashing_) throw Crashed{};
  if (!settings_.errors) return;
  const std::uint64_t what = draw(400);
  if (what > 3) return;
  /* What it gives back on its way out, it gives back in one piece. */
  if (current_ != nullptr) current_->stops = Stops::nowhere;
  if (what < 3) throw StoreError();
  if (what == 3) {
    image_.resize(memory_->size());
    std::memcpy(image_.data(), static_cast<const void*>(memory_->arena()), image_.size());
    throw Killed();
  }
}

const Entry* World::leased_entry(JobKey key) {
  for (Queue* q : slots()) {
    for (const Entry& e : q->leased) {
      if (q->id == key.queue && e.id == key.id) return &e;
    }
  }
  return nullptr;
}

/* Where two callbacks met, either may have come first. */
void World::ask_about_unknown() {
  std::vector<JobKey> open;
  for (const JobKey key : reference_.unknown) {
    ModelJob& job = reference_.job(key);
    if (job.flux != kUnknownFlux) continue;
    if (reference_.sweeps_until != kAlways || is_in_callback(key)) {
      open.push_back(key);
      continue;
    }
    job.flux = kNobody;
    if (job.gone) continue;
    const Entry* const e = leased_entry(key);
    const bool held =
        e != nullptr && (e->state == EntryState::leased || e->state == EntryState::completing);
    if (held && e->token != job.token) throw Violation("a lease has a token that nobody was given");
    job.held = held;
    job.lapsed = held && e->lapsed != Lapse::none;
    /* Also of one that is held: a refund may have been a charge, which ended its attempts. */
    ResidentRow row{};
    if (!job.finished && d().see_job(database_, key.queue, key.id, &row) &&
        row.state != EntryState::blocked)
      job.attempts = row.attempts;
  }
  reference_.unknown.swap(open);
}

/* Somebody has stopped in a callback that may be about to change the job. */
bool World::is_in_callback(JobKey key) const {
  for (std::size_t i = 0; i < sessions_.size(); i++) {
    if (!has_stopped(i) || actors_[i].stops != Stops::at_locks) continue;
    for (const Effect& effect : sessions_[i].effects)
      if (effect.key == key) return true;
  }
  if (!has_stopped(housekeepers_place())) return false;
  if (std::find(sweeping_.begin(), sweeping_.end(), key) != sweeping_.end()) return true;
  if (!following_) return false;
  return std::any_of(sessions_.begin(), sessions_.end(), [&](const Session& session) {
    return session.prepared && std::any_of(session.effects.begin(), session.effects.end(),
                                           [&](const Effect& effect) { return effect.key == key; });
  });
}

/* No entry waits or is leased that must not be. */
void World::check_residents() {
  for (const Queue* const resident : slots()) {
    const Queue& q = *resident;
    const QueueId queue = q.id;
    if (q.resident > 300 || queue == 0 || queues_.at(queue).gone) continue;
    const auto check_waiting = [&](const Entry& e) {
      const ModelJob& job = reference_.job({queue, e.id});
      if (!job.visible) throw Violation(fmt::format("job {} waits but is not committed", e.id));
      if (job.finished) throw Violation(fmt::format("job {} waits but is finished", e.id));
      if (job.flux == kNobody && (job.held || job.decider != kNobody))
        throw Violation(fmt::format("job {} waits but somebody has it", e.id));
    };
    for (const Entry& e : q.ready) check_waiting(e);
    for (const Group& group : q.groups)
      for (const Entry& e : group.jobs) check_waiting(e);
    for (const Entry& e : q.delayed) check_waiting(e);
    for (const Entry& e : q.gated) {
      if (e.state == EntryState::gated) check_waiting(e);
    }
    for (const Entry& e : q.leased) {
      const ModelJob& job = reference_.job({queue, e.id});
      if (e.worker == kNone) {
        if (e.state == EntryState::overdue && job.flux == kNobody && job.finished)
          throw Violation(fmt::format("job {} is overdue but finished", e.id));
        continue;
      }
      if (e.token != job.token)
        throw Violation(fmt::format("job {} is leased under another token", e.id));
      if (e.state == EntryState::leased && job.flux == kNobody && (job.finished || !job.held))
        throw Violation(fmt::format("job {} is leased but must not be", e.id));
    }
  }
}

void World::check_all() {
  /* What a slot counts that is being given up, nobody asks any more. */
  const std::vector<Queue*> used = slots();
  const bool giving_up =
      std::any_of(used.begin(), used.end(), [](const Queue* q) { return q->id == 0; });
  const std::string faults = giving_up ? "" : arena_faults(d().arena());
  if (!faults.empty()) throw Violation(faults);
  check_waits();
  if (!platform().holds_nothing()) throw Violation("a lock is still held");
  if (!platform().broken_rules.empty()) throw Violation(platform().broken_rules.front());
}

void World::finish() {
  drain();
  calm_ = true;
  for (int i = 0; i < settings_.sessions; i++) {
    Session& session = s(i);
    if (session.stage == Stage::visible && !session.prepared) publish(i);
    if (session.stage == Stage::prepared) end_prepared(i);
    if (session.stage == Stage::waiting) end_sleep(i);
    if (session.stage != Stage::idle && !session.prepared) abort(i);
  }
  follow_prepared();
  for (auto& [queue, row] : queues_) {
    row.paused = false;
    d().set_queue_options(database_, queue, options_of(row));
  }
  change_limits(true);
  dump_.reset();
  work_off();
  empty_ring();
  check_end();
}

/* One worker claims and completes until nothing comes any more, however long the clock runs. */
void World::work_off() {
  for (int idle = 0; idle < 40;) {
    const bool reload = d().take_reload(database_);
    if (d().take_catalog_stale(database_) || reload) read_queues();
    if (reload) {
      d().forget_waiting(database_);
      loader_->reset();
      census_->reset();
      d().reload_begun(database_);
    }
    do {
      key_blocks_->step();
      read_weights();
    } while (loader_->step(kMinute));
    if (census_->needs_job_id()) draw_id_for_census();
    while (census_->step(kMinute)) {
    }
    const std::uint64_t swept = happened_["expires"];
    walk();
    sweep();
    unblock_all();
    const std::size_t given = reference_.given.size();
    serve_sleepers();
    begin(0);
    const std::size_t unasked = reference_.given.size();
    for (const QueueId queue : committed_queues()) claim(0, queue, 100);
    if (settings_.waits && reference_.given.size() > unasked)
      throw Violation("somebody slept beside a job");
    idle = reference_.given.size() > given || happened_["expires"] > swept ? 0 : idle + 1;
    for (std::size_t i = unasked; i < reference_.given.size(); i++) {
      const auto [key, token] = reference_.given[i];
      decide_job(0, key, token, 0);
    }
    pre_commit(0);
    become_visible(0);
    publish(0);
    platform().advance(3 * kSecond);
    check_all();
  }
  end_all_waits();
  check_weights();
}

void World::each_outcome_of(std::uint8_t segment,
                            const std::function<void(JobKey, OutcomeKind, Token)>& take) const {
  for (const auto& page : log_.outcome_pages(segment)) {
    for (const OutcomeOnPage& outcome : page) {
      if (!log_.sees(log_.snapshot(), outcome.xid)) continue;
      OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body.data(),
                           outcome.body.size());
      OutcomeMember member{};
      while (reader.next(&member)) take({reader.queue(), member.id}, reader.kind(), member.token);
    }
  }
}

void World::each_outcome(const std::function<void(JobKey, OutcomeKind, Token)>& take) const {
  for (const Ended& ended : emptied_) take(ended.key, ended.kind, ended.token);
  for (std::uint8_t segment = 0; segment < kStores; segment++) each_outcome_of(segment, take);
}

/* A dead letter that was redriven has not ended; one that was discarded has ended before. */
std::map<JobKey, int> World::count_ends() const {
  std::map<JobKey, std::map<Token, OutcomeKind>> lives;
  each_outcome([&](JobKey key, OutcomeKind kind, Token token) {
    if (is_final(kind) || kind == OutcomeKind::redriven) lives[key][token] = kind;
  });
  std::map<JobKey, int> ends;
  for (const auto& [key, life] : lives) {
    bool dead = false;
    for (const auto& [token, kind] : life) {
      if (kind == OutcomeKind::redriven) {
        ends[key]--;
      } else if (kind != OutcomeKind::purged || !dead) {
        ends[key]++;
      }
      dead = kind == OutcomeKind::dead_lettered;
    }
  }
  return ends;
}

void World::check_end() {
  std::map<JobKey, int> ends = count_ends();
  std::map<JobKey, Token> end_tokens;
  std::map<JobKey, Token> other_tokens;
  each_outcome([&](JobKey key, OutcomeKind kind, Token of_it) {
    Token& token = is_final(kind) ? end_tokens[key] : other_tokens[key];
    token = std::max(token, of_it);
  });
  for (const auto& [key, job] : reference_.jobs) {
    if (job.gone) continue;
    const auto found = ends.find(key);
    const int count = found == ends.end() ? 0 : found->second;
    if (job.visible && count == 0)
      throw Violation(fmt::format("job {} of queue {} was lost", key.id, key.queue));
    if (job.visible && count > 1)
      throw Violation(fmt::format("job {} of queue {} ended {} times", key.id, key.queue, count));
    if (job.visible && other_tokens[key] >= end_tokens[key])
      throw Violation(fmt::format("job {} ended under a token that is not its last", key.id));
    if (!job.visible && count > 0)
      throw Violation(fmt::format("job {} ended but was never committed", key.id));
    if (job.visible != (log_.sees(log_.snapshot(), job.xid)))
      throw Violation("the reference and the log differ");
  }
  const Arena& arena = d().arena();
  if (arena.watch_count.load() != 0 || arena.free_held_count != arena.held_capacity)
    throw Violation("a watch was not given back");
  if (arena.free_count != arena.capacity)
    throw Violation(fmt::format("{} entries did not come back", arena.capacity - arena.free_count));
  if (count_aside() != 0) throw Violation("a key is still set aside");
  for (const QueueId queue : committed_queues()) {
    const Index index = slot_index(queue);
    if (index == kNone) throw Violation(fmt::format("queue {} is not served", queue));
    if (arena.queues[index].state != QueueState::active)
      throw Violation(fmt::format("queue {} is still being created", queue));
    if (arena.queues[index].mode != LoadMode::live)
      throw Violation(fmt::format("queue {} did not get live", queue));
    const QueueLength& length = arena.queues[index].length;
    if (length.known == 0 || length.before + length.since != 0)
      throw Violation(fmt::format("queue {} has not counted its jobs to the end", queue));
    if (!arena.queues[index].dirty.empty())
      throw Violation(fmt::format("queue {} is still dirty", queue));
  }
  if (arena.queue_count != committed_queues().size())
    throw Violation("a queue that was dropped is still served");
}

}  // namespace dw::test
