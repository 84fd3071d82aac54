/* Who goes on, who stands still, and crashes. */
#include "world.hpp"

#include <utility>

namespace dw::test {

namespace {

constexpr int kLongStopPercent = 5;
constexpr std::uint64_t kLongestStop = 400;

}  // namespace

/* An actor does one thing, or goes on with it until it is stopped again. */
void World::go_on(std::size_t actor) {
  Actor& self = actors_[actor];
  current_ = &self;
  if (self.fiber->has_stopped()) {
    self.fiber->resume();
  } else {
    self.fiber->start([this, actor] { work(actor); });
  }
  current_ = nullptr;
}

void World::work(std::size_t actor) {
  actors_[actor].stops = Stops::nowhere;
  actors_[actor].job.reset();
  actors_[actor].on_effect = nullptr;
  try {
    if (actor == housekeepers_place()) {
      housekeeper();
    } else if (actor == operators_place()) {
      change_ring();
    } else {
      act(static_cast<int>(actor));
    }
  } catch (const Crashed&) {
    /* What it wrote and did not commit is ended by the restart. */
  } catch (const std::exception& error) {
    if (violation_.empty()) violation_ = error.what();
  }
}

/* The others go on until it is this one's turn again. */
void World::stop() {
  Actor& self = *current_;
  self.stopped_until = steps_ + (chance(kLongStopPercent) ? draw(kLongestStop) : 0);
  self.fiber->stop();
}

/* In what a session does by itself, outside the core. */
void World::maybe_stop() {
  if (!may_stop() || !chance(settings_.stop_percent)) return;
  stop();
  if (crashing_) throw Crashed{};
}

/* Nothing may be thrown through the core here. */
void World::before_lock(std::uint32_t lock) {
  if (!may_stop()) return;
  Actor& self = *current_;
  if (self.stops == Stops::nowhere) return;
  if (chance(settings_.stop_percent)) {
    /* How a callback leaves the job is not known before it has ended. */
    platform().stand_aside([&] {
      do {
        stop();
      } while (!crashing_ && violation_.empty() && self.job && is_being_changed(*self.job));
    });
  }
  if (self.stops != Stops::before_effect || lock < kFirstQueueLock) return;
  self.stops = Stops::nowhere;
  if (const auto look = std::exchange(self.on_effect, nullptr)) look();
}

void World::after_lock() {
  if (!may_stop() || current_->stops != Stops::at_locks || !chance(settings_.stop_percent)) return;
  platform().stand_aside([this] { stop(); });
}

bool World::is_being_changed(JobKey key) const {
  const auto job = reference_.jobs.find(key);
  return job != reference_.jobs.end() && job->second.flux != kNobody;
}

/* Runs what takes effect bit by bit: others may act at each lock. */
void World::callback(const std::function<void()>& call) {
  Actor* const self = current_;
  if (self == nullptr) return call();
  self->stops = Stops::at_locks;
  call();
  self->stops = Stops::nowhere;
  if (crashing_) throw Crashed{};
}

/* Lets everybody end what was begun. */
void World::drain() {
  constexpr int kMostTurns = 1'000'000;
  for (int turn = 0; violation_.empty(); turn++) {
    std::vector<std::size_t> stopped;
    for (std::size_t i = 0; i < actors_.size(); i++) {
      if (has_stopped(i)) stopped.push_back(i);
    }
    if (stopped.empty()) break;
    if (turn == kMostTurns) throw Violation("somebody waits without end");
    go_on(stopped[draw_index(stopped.size())]);
    ask_about_unknown();
  }
  if (!violation_.empty()) throw Violation(violation_);
}

/*
 * Everybody stays where he is. A real process is just gone; here its stack has to be unwound, and
 * the core cannot be left in the middle: it goes on to its end in memory that is thrown away, and
 * writes nothing into the log.
 */
void World::crash() {
  crashing_ = true;
  for (std::size_t i = 0; i < actors_.size(); i++) {
    while (has_stopped(i)) go_on(i);
  }
  crashing_ = false;
  store_->abort();
  housekeeping_ = false;
  following_ = false;
  reference_.sweeps_until = kAlways;
}

}  // namespace dw::test
