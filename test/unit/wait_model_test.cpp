/*
 * Random histories of workers that sleep, are woken, claim, give up or do nothing, beside jobs that
 * come, go, come due and are cancelled, and queues that are paused. After each step: nobody sleeps
 * beside work that nobody is awake for, and every wake is accounted for.
 */
#include "arena_fixture.hpp"

#include <algorithm>
#include <map>
#include <random>

namespace dw::test {
namespace {

constexpr std::uint32_t kWorkers = 12;
constexpr QueueId kQueues = 3;

class WaitModel : public ArenaTest {
 protected:
  void run(std::uint64_t seed) {
    start(512, kWorkers);
    engine_.seed(seed);
    workers_ = std::vector<Worker>(kWorkers);
    served_ = 0;
    next_job_ = 1;
    for (QueueId queue = 1; queue <= kQueues; queue++) add_queue(queue);
    for (int step = 0; step < 600; step++) {
      act();
      settle_latches();
      check(step);
      if (HasFailure()) return;
    }
    drain();
  }

 private:
  struct Worker {
    bool sleeps = false;
    std::vector<QueueId> queues;
  };

  std::uint32_t draw(std::uint32_t n) { return static_cast<std::uint32_t>(engine_() % n); }
  QueueId any_queue() { return static_cast<QueueId>(1 + draw(kQueues)); }
  Queue& q(QueueId queue) { return slot(d().find_queue(database_, queue)); }

  void act() {
    const Index waiter = draw(kWorkers);
    Worker& w = workers_[waiter];
    switch (draw(10)) {
      case 0:
      case 1: {
        const JobRow row = row_of(any_queue(), next_job_++);
        if (q(row.queue).ready_count < 64) put(row);
        break;
      }
      case 2: {
        const QueueId queue = any_queue();
        const JobId first = next_job_;
        next_job_ += 1 + draw(4);
        if (q(queue).ready_count < 64) put_many(queue, first, next_job_ - 1);
        break;
      }
      case 3: {
        JobRow row = row_of(any_queue(), next_job_++);
        row.due = platform().wall + kMillisecond * (1 + draw(300));
        if (q(row.queue).delayed_count < 32) put(row);
        break;
      }
      case 4:
        platform().advance(kMillisecond * draw(150));
        d().wake_idle(database_);
        break;
      case 5: {
        QueueOptions options;
        options.paused = draw(2) == 0;
        d().set_queue_options(database_, any_queue(), options);
        break;
      }
      case 6: { /* somebody who does not sleep, and is quicker */
        const std::vector<ClaimedJob> jobs = claim(any_queue(), 1 + draw(3));
        for (const ClaimedJob& job : jobs) end(job);
        break;
      }
      case 7: /* its time is over, or it is cancelled */
        if (!w.sleeps) break;
        leave(waiter);
        d().pass_wake_on(waiter);
        break;
      default:
        if (w.sleeps) {
          if (d().woken(waiter)) come(waiter);
        } else {
          go_to_sleep(waiter);
        }
    }
  }

  void go_to_sleep(Index waiter) {
    Worker& w = workers_[waiter];
    w.queues = {any_queue()};
    if (draw(2) == 0) {
      const QueueId second = any_queue();
      if (second != w.queues[0]) w.queues.push_back(second);
    }
    std::vector<QueueRef> refs;
    for (const QueueId queue : w.queues) refs.push_back(ref_of(queue));
    w.sleeps = d().wait_begin(waiter, refs.data(), static_cast<std::uint32_t>(refs.size()));
    if (!w.sleeps) claim_as(waiter);
  }

  void leave(Index waiter) {
    d().wait_end(waiter);
    workers_[waiter].sleeps = false;
  }

  void come(Index waiter) {
    leave(waiter);
    if (draw(8) == 0) return; /* and does nothing: it owes a claim until it is noticed */
    claim_as(waiter);
  }

  void claim_as(Index waiter) {
    const std::uint32_t most = 1 + draw(3);
    std::vector<ClaimedJob> jobs(most);
    std::uint32_t got = 0;
    for (const QueueId queue : workers_[waiter].queues) {
      if (got == most) break;
      const std::uint64_t before = d().arena().waiters[waiter].woken_by.load();
      const std::uint32_t taken =
          d().claim(ref_of(queue), worker(), 0, &jobs[got], most - got, nullptr, waiter);
      const bool settled = before != 0 &&
                           before == wake_word(ref_of(queue).queue, ref_of(queue).incarnation) &&
                           d().arena().waiters[waiter].woken_by.load() == 0;
      if (settled && taken > 0) served_++;
      got += taken;
    }
    d().pass_wake_on(waiter);
    for (std::uint32_t i = 0; i < got; i++) end(jobs[i]);
  }

  void end(const ClaimedJob& job) {
    if (draw(6) == 0)
      decide(job, Decision::put_back, kAlways);
    else
      decide(job, Decision::finish);
  }

  void settle_latches() { platform().take_woken(); }

  std::uint32_t asleep(QueueId queue) {
    std::uint32_t n = 0;
    for (Index i = 0; i < kWorkers; i++) {
      const std::vector<QueueId>& on = workers_[i].queues;
      if (workers_[i].sleeps && !d().woken(i) && std::find(on.begin(), on.end(), queue) != on.end())
        n++;
    }
    return n;
  }

  void check(int step) {
    std::uint64_t woken = 0;
    std::uint64_t accounted = served_;
    for (QueueId queue = 1; queue <= kQueues; queue++) {
      const Queue& one = q(queue);
      if (!d().is_paused(one) && asleep(queue) > 0 && one.ready_count > 0) {
        EXPECT_GT(one.owed, 0U) << "step " << step << ": nobody is awake for a job";
      }
      woken += one.counters.woken;
      accounted += one.counters.woken_in_vain + one.owed;
    }
    EXPECT_EQ(woken, accounted) << "step " << step << ": a wake was lost, or counted twice";
    EXPECT_EQ(arena_faults(d().arena()), "") << "step " << step;
  }

  /* Those that are awake come, the others are woken as long as there is work; then there is none,
   * or nobody sleeps beside it. */
  void drain() {
    for (QueueId queue = 1; queue <= kQueues; queue++)
      d().set_queue_options(database_, queue, QueueOptions{});
    for (int round = 0; round < 2000; round++) {
      platform().advance(kWakePatience + 1);
      d().wake_idle(database_);
      bool any = false;
      for (Index i = 0; i < kWorkers; i++) {
        if (!workers_[i].sleeps || !d().woken(i)) continue;
        any = true;
        leave(i);
        claim_as(i);
      }
      if (!any) break;
    }
    for (QueueId queue = 1; queue <= kQueues; queue++) {
      if (asleep(queue) > 0) {
        EXPECT_EQ(q(queue).ready_count, 0U) << "somebody sleeps beside a job";
      }
    }
  }

  std::mt19937_64 engine_;
  std::vector<Worker> workers_;
  std::uint64_t served_ = 0;
  JobId next_job_ = 1;
};

TEST_F(WaitModel, RandomHistories) {
  for (std::uint64_t seed = 1; seed <= 60 && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run(seed);
  }
}

}  // namespace
}  // namespace dw::test
