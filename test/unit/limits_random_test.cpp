/*
 * Random lives of queues with limits against a plain reference: who holds what, and when which job
 * started. Claims never take more than the reference allows, and less only when it is the turn of
 * another queue of the group.
 *
 * The reference of a token bucket is no bucket: k jobs may start now if then no period, from any
 * start up to now, has had more than burst + t * jobs / interval, and none since the beginning more
 * than t * jobs / interval.
 */
#include "limits_fixture.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>

namespace dw::test {
namespace {

struct Starts {
  Rate rate;
  Micros since = 0;
  std::vector<Micros> at;

  [[nodiscard]] std::int64_t allowed(Micros now) const {
    if (rate.jobs == 0) return 1'000'000;
    const auto parts = [this](Micros from, Micros to) { return (to - from) * rate.jobs; };
    const auto n = static_cast<std::int64_t>(at.size());
    std::int64_t least =
        std::min(rate.burst * rate.interval, parts(since, now) - n * rate.interval);
    for (std::int64_t i = 0; i < n; i++)
      least =
          std::min(least, rate.burst * rate.interval + parts(at[static_cast<std::size_t>(i)], now) -
                              (n - i) * rate.interval);
    return least / rate.interval;
  }
};

struct Lease {
  ClaimedJob job;
  QueueId queue;
  bool cancelled;
};

class RandomLimits : public LogTest {
 protected:
  static constexpr Micros kLease = 10 * kSecond;

  void live(std::uint64_t seed, int steps);
  std::uint64_t turned_away_ = 0;
  std::uint64_t started_ = 0;

 private:
  std::uint64_t draw(std::uint64_t below) { return engine_() % below; }
  QueueId any_queue() { return queues_.at(draw(queues_.size())); }
  void make_queue();
  void drop_queue();
  void change_limits(QueueId queue);
  void do_claim(QueueId queue);
  void end_lease();
  void pass_time();
  std::int64_t allowed(QueueId queue, std::int64_t wanted);
  std::int64_t in_flight(const std::string& group, QueueId queue);
  bool others_wait(QueueId queue);
  void check_in_flight();
  std::string group_name(QueueId queue, LimitKind kind) { return limits_.at(queue).group_of(kind); }

  std::mt19937_64 engine_;
  std::vector<QueueId> queues_;
  QueueId next_queue_ = 2;
  JobId next_id_ = 1;
  std::map<QueueId, QueueLimits> limits_;
  std::map<QueueId, Starts> own_;
  std::map<std::string, Starts> shared_;
  std::map<std::string, std::uint32_t> group_places_;
  std::vector<Lease> leases_;
};

void RandomLimits::make_queue() {
  const QueueId queue = next_queue_++;
  QueueOptions options;
  options.lease = kLease;
  options.max_attempts = 30'000;
  options.backoff_base = 0;
  add_queue(queue, options);
  queues_.push_back(queue);
  limits_[queue] = QueueLimits{};
  own_[queue] = Starts{};
  tell_queues(queues_);
  for (std::uint64_t i = draw(30); i > 0; i--) enqueue(next_id_++, queue);
  change_limits(queue);
}

void RandomLimits::drop_queue() {
  const QueueId queue = any_queue();
  d().remove_queue(ref_of(queue));
  queues_.erase(std::find(queues_.begin(), queues_.end(), queue));
  leases_.erase(std::remove_if(leases_.begin(), leases_.end(),
                               [queue](const Lease& lease) { return lease.queue == queue; }),
                leases_.end());
  limits_.erase(queue);
  tell_queues(queues_);
  make_queue();
}

/* The same numbers for all queues of a group; a new rate is a new bucket. */
void RandomLimits::change_limits(QueueId queue) {
  QueueLimits limits;
  const auto rate = [this] {
    return Rate{static_cast<std::uint32_t>(1 + draw(40)), static_cast<std::uint32_t>(1 + draw(8)),
                kSecond};
  };
  if (draw(2) == 0) limits.max_in_flight = static_cast<std::uint32_t>(draw(6));
  if (draw(2) == 0) limits.rate = rate();
  const std::string names[] = {"", "a", "b"};
  const std::string places = names[draw(3)];
  const std::string tokens = names[draw(3)];
  if (!places.empty())
    limits = shared_places(places, static_cast<std::uint32_t>(1 + draw(6)), limits);
  if (!tokens.empty()) {
    limits = shared_tokens(tokens, 1, 1, limits);
    limits.group_rate = rate();
  }
  if (limits.rate != limits_.at(queue).rate)
    own_[queue] = Starts{limits.rate, platform().monotonic, {}};
  limits_[queue] = limits;
  d().set_queue_limits(database_, queue, limits);
  /* What nobody shares any more is forgotten. */
  for (auto group = shared_.begin(); group != shared_.end();) {
    const bool is_shared = std::any_of(queues_.begin(), queues_.end(), [&](QueueId other) {
      return group_name(other, LimitKind::rate) == group->first;
    });
    group = is_shared ? std::next(group) : shared_.erase(group);
  }
  if (!tokens.empty() && shared_[tokens].rate != limits.group_rate)
    shared_[tokens] = Starts{limits.group_rate, platform().monotonic, {}};
  if (!places.empty()) group_places_[places] = limits.group_max_in_flight;
  for (const QueueId other : queues_) {
    QueueLimits& its = limits_.at(other);
    if (other == queue) continue;
    if (!places.empty() && group_name(other, LimitKind::concurrency) == places)
      its.group_max_in_flight = limits.group_max_in_flight;
    if (!tokens.empty() && group_name(other, LimitKind::rate) == tokens)
      its.group_rate = limits.group_rate;
    d().set_queue_limits(database_, other, its);
  }
}

std::int64_t RandomLimits::in_flight(const std::string& group, QueueId queue) {
  std::int64_t count = 0;
  for (const Lease& lease : leases_)
    count += group.empty() ? lease.queue == queue
                           : group_name(lease.queue, LimitKind::concurrency) == group;
  return count;
}

std::int64_t RandomLimits::allowed(QueueId queue, std::int64_t wanted) {
  const QueueLimits& limits = limits_.at(queue);
  const Micros now = platform().monotonic;
  std::int64_t may = std::min<std::int64_t>(wanted, figures(queue).ready);
  if (limits.max_in_flight != kUnlimited)
    may = std::min(may, limits.max_in_flight - in_flight("", queue));
  may = std::min(may, own_.at(queue).allowed(now));
  const std::string places = group_name(queue, LimitKind::concurrency);
  if (!places.empty()) may = std::min(may, group_places_.at(places) - in_flight(places, queue));
  const std::string tokens = group_name(queue, LimitKind::rate);
  if (!tokens.empty()) may = std::min(may, shared_.at(tokens).allowed(now));
  return std::max<std::int64_t>(may, 0);
}

bool RandomLimits::others_wait(QueueId queue) {
  const Queue& self = slot(d().find_queue(database_, queue));
  for (const QueueId other : queues_) {
    const Queue& q = slot(d().find_queue(database_, other));
    for (std::size_t kind = 0; kind < kLimitKinds; kind++) {
      const GroupMember& member = q.member[kind];
      if (other != queue && member.group != kNone && member.group == self.member[kind].group &&
          member.waits != 0 && member.there_until > platform().monotonic)
        return true;
    }
  }
  return false;
}

void RandomLimits::do_claim(QueueId queue) {
  const auto wanted = static_cast<std::uint32_t>(1 + draw(5));
  const std::int64_t may = allowed(queue, wanted);
  const bool shared = others_wait(queue);
  const std::vector<ClaimedJob> jobs =
      claim(queue, wanted, 0, draw(2) == 0 ? "worker" : "other worker");
  ASSERT_LE(static_cast<std::int64_t>(jobs.size()), may);
  if (!shared) {
    ASSERT_EQ(static_cast<std::int64_t>(jobs.size()), may);
  }
  turned_away_ += jobs.empty() ? 1 : 0;
  for (const ClaimedJob& job : jobs) {
    started_++;
    leases_.push_back(Lease{job, queue, false});
    const Micros now = platform().monotonic;
    own_.at(queue).at.push_back(now);
    const std::string tokens = group_name(queue, LimitKind::rate);
    if (!tokens.empty()) shared_.at(tokens).at.push_back(now);
  }
}

void RandomLimits::end_lease() {
  if (leases_.empty()) return;
  const std::size_t place = draw(leases_.size());
  Lease& lease = leases_[place];
  const ClaimedJob job = lease.job;
  Decided decided{};
  if (lease.cancelled) {
    /* The holder asks at last. */
    ASSERT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::cancelled);
  } else {
    switch (draw(7)) {
      case 0:
        ASSERT_EQ(decide(job, Decision::retry, platform().wall), Verdict::ok);
        break;
      case 1:
        ASSERT_EQ(decide(job, Decision::put_back, platform().wall), Verdict::ok);
        break;
      case 2:
        d().roll_back_claim(job.ref, job.token);
        break;
      case 3:
        d().refund_claim(job.ref, job.token);
        break;
      case 4:
        ASSERT_EQ(d().begin_cancel(database_, job.id, 0, &decided), Verdict::ok);
        d().commit_decision(decided.ref, decided.token, Decision::cancel_held,
                            OutcomeKind::cancelled, 0);
        lease.cancelled = true;
        return;
      case 5:
        /* A transaction that comes to nothing changes nothing. */
        ASSERT_EQ(d().begin_decision(database_, job.id, job.token, &decided), Verdict::ok);
        d().abort_decision(decided.ref, decided.token, decided.before);
        return;
      default:
        ASSERT_EQ(complete(job), Verdict::ok);
    }
  }
  leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(place));
}

void RandomLimits::pass_time() {
  platform().advance(static_cast<Micros>(draw(150 * kMillisecond)));
  if (draw(40) == 0) platform().advance(kLease);
  sweep();
  const Micros now = platform().monotonic;
  leases_.erase(std::remove_if(leases_.begin(), leases_.end(),
                               [this, now](const Lease& lease) {
                                 return entry(lease.job.ref).incarnation !=
                                            lease.job.ref.incarnation ||
                                        entry(lease.job.ref).token != lease.job.token ||
                                        entry(lease.job.ref).worker == kNone ||
                                        entry(lease.job.ref).leased_at + kLease <= now;
                               }),
                leases_.end());
}

void RandomLimits::check_in_flight() {
  for (const QueueId queue : queues_) {
    QueueLimitFigures figures{};
    ASSERT_TRUE(d().see_limits(d().find_queue(database_, queue), queue, &figures));
    ASSERT_EQ(std::int64_t{figures.in_flight}, in_flight("", queue));
    const std::string group = group_name(queue, LimitKind::concurrency);
    if (!group.empty()) {
      ASSERT_EQ(std::int64_t{figures.group[0].in_flight}, in_flight(group, queue));
    }
  }
}

void RandomLimits::live(std::uint64_t seed, int steps) {
  engine_.seed(seed);
  begin(4096, LoadMode::live);
  queues_.clear();
  leases_.clear();
  limits_.clear();
  shared_.clear();
  for (int i = 0; i < 4; i++) make_queue();
  for (int step = 0; step < steps && !HasFatalFailure(); step++) {
    const std::uint64_t what = draw(100);
    if (what < 15) {
      enqueue(next_id_++, any_queue());
    } else if (what < 50) {
      do_claim(any_queue());
    } else if (what < 78) {
      end_lease();
    } else if (what < 96) {
      pass_time();
    } else if (what < 99) {
      change_limits(any_queue());
    } else {
      drop_queue();
    }
    check_in_flight();
    if (step % 50 == 0) {
      ASSERT_EQ(arena_faults(d().arena()), "");
    }
  }
}

TEST_F(RandomLimits, NothingExceedsItsLimitAndNothingIsHeldBackWithoutOne) {
  std::uint64_t turned_away = 0;
  std::uint64_t started = 0;
  for (std::uint64_t seed = 1; seed <= 60; seed++) {
    live(seed, 1500);
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
    turned_away += std::exchange(turned_away_, 0);
    started += std::exchange(started_, 0);
  }
  EXPECT_GT(turned_away, 1000U);
  EXPECT_GT(started, 10'000U);
}

}  // namespace
}  // namespace dw::test
