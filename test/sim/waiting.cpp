/*
 * Sessions that sleep until a queue has a job, and the housekeeper's looks after them.
 *
 * A sleeper goes on only when its latch was set, when its time is over or when it is ended, and
 * comes back owing a claim if it was woken. It may claim, go away, or do nothing for a while. What
 * must hold between any two steps is what wait.cpp promises whenever the lock of a queue is let go:
 * nobody sleeps beside a job that nobody is awake for.
 */
#include "core/limits.hpp"

#include "world.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr Micros kLongestSleep = 60 * kSecond;
constexpr std::uint64_t kMostQueuesAtOnce = 3;
constexpr int kMostRounds = 10'000;

}  // namespace

/* --- sessions --------------------------------------------------------------------------------- */

void World::begin_wait(int session) {
  Session& self = s(session);
  const auto waiter = static_cast<Index>(session);
  Wait wait;
  const std::uint64_t wanted = calm_ ? committed_queues().size() : 1 + draw(kMostQueuesAtOnce);
  for (std::uint64_t i = 0; i < wanted; i++) {
    const QueueId queue = calm_ ? committed_queues()[i] : any_queue(session);
    const Index index = queue == 0 ? kNone : slot_index(queue);
    const bool again =
        std::find(wait.queues.begin(), wait.queues.end(), queue) != wait.queues.end();
    if (index == kNone || again) continue;
    if (i == 0 && settings_.workers && !calm_ && chance(50))
      wait.member = any_member(queue, &wait.name, &wait.instance);
    if (wait.member.member != kNone && !d().serves(wait.member, queue)) continue;
    wait.queues.push_back(queue);
    wait.refs.push_back(d().queue_ref(index));
  }
  if (wait.queues.empty()) return;
  wait.until = platform().monotonic + static_cast<Micros>(draw(static_cast<std::uint64_t>(
                                          chance(50) ? 2 * kSecond : 20 * kSecond)));
  self.wait = wait;
  self.has_slept = true;
  self.latch = false;
  bool sleeps = false;
  const MemberRef* const member = wait.member.member != kNone ? &wait.member : nullptr;
  d().sleep_as(waiter, member);
  callback([&] {
    sleeps = d().wait_begin(waiter, wait.refs.data(), static_cast<std::uint32_t>(wait.refs.size()),
                            member);
  });
  const bool welcome = member == nullptr || d().may_claim(*member);
  note(sleeps ? "sleeps" : "work before sleep", "session {} for {} queues from {} on{}", session,
       wait.queues.size(), wait.queues.front(), member != nullptr ? " as a member" : "");
  if (sleeps && welcome) {
    self.stage = Stage::waiting;
    return;
  }
  end_sleep(session);
  self.asks = true;
}

/* Off every list; one that was woken still owes a claim. */
void World::end_sleep(int session) {
  const auto waiter = static_cast<Index>(session);
  d().sleep_as(waiter, nullptr);
  callback([&] { d().wait_end(waiter); });
  s(session).stage = Stage::idle;
}

/* Nothing would come of its turn. */
bool World::sleeps_on(int session) {
  const Session& self = s(session);
  return self.stage == Stage::waiting && !has_stopped(static_cast<std::size_t>(session)) &&
         !self.latch && platform().monotonic < self.wait->until;
}

void World::act_asleep(int session) {
  Session& self = s(session);
  const auto waiter = static_cast<Index>(session);
  const MemberRef& member = self.wait->member;
  if (sleeps_on(session)) {
    if (!chance(20)) return;
    note("ended asleep", "session {}", session);
    self.stage = Stage::idle;
    return leave_lists(session);
  }
  const bool in_time = std::exchange(self.latch, false);
  const bool welcome = member.member == kNone || d().may_claim(member);
  if (in_time && welcome && !d().woken(waiter)) return;
  end_sleep(session);
  self.asks = !welcome || d().woken(waiter);
  note(!welcome     ? "unwelcome"
       : !self.asks ? "waited in vain"
       : in_time    ? "woken"
                    : "woken at the end",
       "session {}", session);
}

/* It has come back from its wait. */
void World::come_back(int session) {
  Session& self = s(session);
  const std::uint64_t what = draw(100);
  if (what < 80) {
    claim_after_wait(session, static_cast<std::uint32_t>(1 + draw(6)));
    return;
  }
  self.asks = false;
  if (what < 90) {
    /* Whatever it does next, a claim pays for the wake, an error or its end passes it on. */
    note("dawdles", "session {}", session);
    return;
  }
  note("gone after its wake", "session {}", session);
  leave_lists(session);
}

/* As one statement. */
void World::claim_after_wait(int session, std::uint32_t n) {
  Session& self = s(session);
  begin(session);
  const std::vector<QueueId> queues = self.wait->queues;
  const std::size_t first = reference_.given.size();
  for (std::size_t i = 0; i < queues.size() && self.stage == Stage::open; i++)
    claim(session, queues[i], n, i + 1 < queues.size());
  self.asks = false;
  if (reference_.given.size() > first) note("claim after a wake", "session {}", session);
}

/* Who has work of an open transaction is not stopped here: it would look as if that was being
 * ended. */
void World::step_of_wait(int session, const std::function<void()>& call) {
  if (s(session).effects.empty())
    callback(call);
  else
    call();
}

void World::pass_wake_on(int session) {
  const auto waiter = static_cast<Index>(session);
  if (d().woken(waiter)) note("wake passed on", "session {}", session);
  step_of_wait(session, [&] { d().pass_wake_on(waiter); });
  if (d().woken(waiter)) throw Violation("who has claimed owes a claim");
}

/* An error after a sleep, or the end of the session. */
void World::leave_lists(int session) {
  Session& self = s(session);
  if (!self.has_slept) return;
  self.has_slept = false;
  self.asks = false;
  const auto waiter = static_cast<Index>(session);
  d().sleep_as(waiter, nullptr);
  step_of_wait(session, [&] { d().wait_end(waiter); });
  pass_wake_on(session);
}

/* Those that sleep have no turns, or next to none. */
void World::take_turn_of_sessions() {
  const auto count = static_cast<std::size_t>(settings_.sessions);
  const std::size_t first = draw_index(count);
  take_wakes();
  for (std::size_t i = 0; i < count; i++) {
    const std::size_t session = (first + i) % count;
    if (!sleeps_on(static_cast<int>(session)) || chance(2)) return take_turn(session);
  }
  move_clock(chance(10));
}

/* --- the housekeeper -------------------------------------------------------------------------- */

void World::take_wakes() {
  if (!platform().woken_waiters.empty())
    for (const Index waiter : platform().take_woken()) sessions_[waiter].latch = true;
  if (platform().housekeeper_was_woken()) housekeeper_latch_ = true;
}

void World::begin_look() {
  take_wakes();
  housekeeper_latch_ = false;
  reading_weights_ = false;
  d().arena().databases[database_].planned_due.store(kNever);
}

/* What it sleeps for is written down last. Ends of leases wake nobody: it sweeps now and then. */
void World::end_look() {
  if (platform().wall >= idle_check_at_) {
    idle_check_at_ = kNever;
    bool woke = false;
    callback([&] { woke = d().wake_idle(database_); });
    note(woke ? "woken by the housekeeper" : "sleepers looked after");
  }
  callback([this] { idle_check_at_ = std::min(idle_check_at_, sweeper_->next_due()); });
  d().arena().databases[database_].planned_deadline.store(kAlways);
  d().arena().databases[database_].planned_due.store(
      std::max(platform().wall, std::min(idle_check_at_, platform().wall + kLongestSleep)));
}

/* --- what must hold --------------------------------------------------------------------------- */

/* Not one that is about to sleep, who may look for itself. */
bool World::has_sleeper(const WaitList& list, OwnerNumber member) {
  for (Index link = list.first; link != kNone;) {
    const Index number = link / kMostWaitedQueues;
    const Waiter& waiter = d().arena().waiters[number];
    const bool sleeps = sessions_[number].stage == Stage::waiting && !has_stopped(number) &&
                        waiter.woken_by.load() == 0;
    if (sleeps && waiter.member.load() == member) return true;
    link = waiter.links[link % kMostWaitedQueues].next;
  }
  return false;
}

/* Wall time from which the limits of the queue let a job start; kNever: not before a lease ends, or
 * another queue of its group has had its turn. */
Micros World::may_start_at(const Queue& q) {
  if (q.counts_keys != 0 && q.counted_places != q.in_flight) return kNever;
  if (q.limited == 0) return kAlways;
  if (q.grouped != 0) return kNever;
  QueueLimitFigures figures{};
  d().see_limits(static_cast<Index>(&q - d().arena().queues), q.id, &figures);
  if (hindrance(figures, LimitKind::concurrency) != nullptr) return kNever;
  const LimitFigures* const tokens = hindrance(figures, LimitKind::rate);
  return tokens != nullptr ? tokens->next : kAlways;
}

/* It has begun to look, was told to, or comes by itself. */
bool World::looks_by(Micros wall) {
  return has_stopped(housekeepers_place()) || housekeeper_latch_ ||
         d().arena().databases[database_].planned_due.load() <= std::max(wall, platform().wall);
}

/* Who was woken long ago and does not come gives the wake up when the housekeeper looks. */
void World::check_owing(const Queue& q) {
  const Micros long_ago = platform().monotonic - kWakePatience - 2 * kIdleRound;
  const std::uint64_t word =
      wake_word(static_cast<Index>(&q - d().arena().queues), q.incarnation.get());
  for (int i = 0; i < settings_.sessions; i++) {
    const Waiter& waiter = d().arena().waiters[i];
    if (waiter.woken_by.load() == word && waiter.woken_at.load() > long_ago) return;
  }
  if (!looks_by(platform().wall))
    throw Violation(fmt::format("queue {}: all who were woken are late", q.id));
}

void World::check_ready(const Queue& q) {
  const Micros at = may_start_at(q);
  if (at == kNever) return;
  const auto forgotten = [&](const WaitList& list, OwnerNumber member) {
    if (!has_sleeper(list, member)) return false;
    /* For a token the housekeeper has a timer; if it comes late, it looks once more. */
    const Micros late = std::max(at, platform().wall) + kWakePatience;
    return q.bucket.limits() ? !looks_by(late) : at <= platform().wall;
  };
  if (q.owed > 0 && q.limited == 0 && has_sleeper(q.waiters, kNoOwner)) check_owing(q);
  if (q.owed == 0 && forgotten(q.waiters, kNoOwner))
    throw Violation(
        fmt::format("queue {}: somebody sleeps beside job {}", q.id, first_ready(q).id));
  /* Whoever changes owners wakes for what has come to others when he has done so. */
  if (q.owners == kNone || has_stopped(operators_place())) return;
  /* What the limits let start may be for who is awake. */
  if (q.limited != 0 && q.owed > 0) return;
  const OwnerTable& table = d().arena().owner_tables[q.owners];
  for (OwnerNumber m = 0; m < kMostMembers; m++) {
    if ((table.waited_for[m / 64U] >> m % 64U & 1) == 0) continue;
    if (table.owned[m] > 0 && table.owed[m] == 0 && forgotten(table.waiters[wait_class(m)], m))
      throw Violation(fmt::format("queue {}: somebody sleeps beside a job of his own", q.id));
  }
}

void World::check_wakes() {
  if (!settings_.waits) return;
  take_wakes();
  for (int i = 0; i < settings_.sessions; i++) check_sleeper(i);
  std::uint32_t left = d().arena().queue_count;
  for (const Queue& q : d().arena().queues) {
    if (left == 0) break;
    if (q.state == QueueState::free) continue;
    left--;
    if (q.waiter_count == 0 || q.id == 0 || q.state != QueueState::active || q.options.paused)
      continue;
    if (q.ready_count > 0) check_ready(q);
  }
}

/* Who sleeps hangs on each of his queues, and who does not on none. */
void World::check_sleeper(int session) {
  const Session& self = s(session);
  const Waiter& waiter = d().arena().waiters[session];
  if (has_stopped(static_cast<std::size_t>(session))) return;
  const bool sleeps = self.stage == Stage::waiting;
  if (!sleeps) {
    if (!self.has_slept && waiter.woken_by.load() != 0)
      throw Violation(fmt::format("session {} was woken and does not sleep", session));
    return;
  }
  if (waiter.woken_by.load() != 0) return;
  for (std::size_t k = 0; k < self.wait->refs.size(); k++)
    if (waiter.links[k].queue.load() != self.wait->refs[k].queue)
      throw Violation(fmt::format("session {} sleeps for queue {} and does not hang there", session,
                                  self.wait->queues[k]));
}

/* Of no session that is awake anything is left on a list. */
void World::check_waits() {
  for (int i = 0; i < settings_.sessions; i++) {
    if (has_stopped(static_cast<std::size_t>(i)) || s(i).stage == Stage::waiting) continue;
    const Waiter& waiter = d().arena().waiters[i];
    for (const WaitLink& link : waiter.links)
      if (link.queue.load() != kNone)
        throw Violation(fmt::format("session {} hangs on a list and is awake", i));
    if (waiter.sleeps_as.load() != 0)
      throw Violation(fmt::format("session {} sleeps as a member and is awake", i));
  }
}

/* When nobody is in the middle of anything each wake has come. */
void World::check_latches() {
  for (int i = 0; i < settings_.sessions; i++) {
    const Session& self = s(i);
    if (self.stage != Stage::waiting || self.latch) continue;
    if (d().woken(static_cast<Index>(i)))
      throw Violation(fmt::format("session {} was woken and nobody has told it", i));
    if (self.wait->member.member != kNone && !d().may_claim(self.wait->member))
      throw Violation(fmt::format("session {} sleeps as a member that is gone", i));
  }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* All but the first sleep, and whoever is woken claims and completes; nobody asks without having
 * been woken. */
void World::serve_sleepers() {
  if (!settings_.waits) return;
  leave_lists(0);
  bool more = true;
  for (int round = 0; more; round++) {
    if (round == kMostRounds) throw Violation("somebody is woken without end");
    take_wakes();
    more = looks_by(kAlways);
    if (more) {
      begin_look();
      end_look();
    }
    take_wakes();
    for (int i = 1; i < settings_.sessions; i++) {
      Session& self = s(i);
      if (self.stage == Stage::idle && !self.asks) begin_wait(i);
      if (self.stage == Stage::waiting && std::exchange(self.latch, false)) {
        end_sleep(i);
        self.asks = true;
      }
      if (!self.asks) continue;
      more = true;
      const std::size_t given = reference_.given.size();
      claim_after_wait(i, 10);
      for (std::size_t k = given; k < reference_.given.size(); k++) {
        const auto [key, token] = reference_.given[k];
        decide_job(i, key, token, 0);
      }
      pre_commit(i);
      become_visible(i);
      publish(i);
    }
    check_wakes();
    check_latches();
  }
}

void World::end_all_waits() {
  for (int i = 0; i < settings_.sessions; i++) {
    if (s(i).stage == Stage::waiting) s(i).stage = Stage::idle;
    leave_lists(i);
  }
  for (const Queue* const q : slots())
    if (q->waiter_count != 0 || q->owed != 0)
      throw Violation(fmt::format("queue {}: {} waiters and {} owed claims are left", q->id,
                                  q->waiter_count.get(), q->owed));
}

}  // namespace dw::test
