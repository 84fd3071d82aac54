/*
 * libFuzzer: each pair of bytes is an operation on a small arena and what it is about. After each
 * the arena must be sound, no lock held, and no job handed out that has ended.
 */
#include "arena_check.hpp"
#include "arena_memory.hpp"
#include "fake_platform.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace dw::test;

class Play {
 public:
  Play() : memory_(24, 4), d_(memory_.arena(), FakePlatform::functions()) {
    FakePlatform::get().reset();
    database_ = d_.attach_database(16384);
    d_.open_database(database_, 7);
    for (QueueId id = 1; id <= 3; id++) {
      QueueOptions options;
      options.ordered = id == 2;
      options.fair = id == 3;
      options.max_attempts = 3;
      d_.add_queue(database_, id, "queue", options, QueueState::active, LoadMode::live);
    }
  }

  void act(unsigned what, unsigned about) {
    const auto queue = static_cast<QueueId>(1 + about % 3);
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
        enqueue(queue, about / 3);
        break;
      case 3:
      case 4:
        claim(queue, 1 + about / 3 % 4);
        break;
      case 5:
        decide(about, Decision::finish);
        break;
      case 6:
        decide(about, Decision::retry);
        break;
      case 7:
        decide(about, Decision::put_back);
        break;
      case 8:
        cancel(1 + about, true);
        break;
      case 9:
        cancel(1 + about, false);
        break;
      case 10:
        FakePlatform::get().advance(Micros{1} << about % 40);
        break;
      case 11:
        set_limits(queue, about / 3);
        break;
      case 12:
        extend(about);
        break;
      case 13:
        d_.remove_queue(ref(queue));
        d_.add_queue(database_, queue, "again", QueueOptions{}, QueueState::active, LoadMode::live);
        break;
      case 14:
        for (Open& open : open_) open.aborts = true;
        end_open();
        break;
      default:
        end_open();
    }
    check();
  }

 private:
  QueueRef ref(QueueId id) { return d_.queue_ref(d_.find_queue(database_, id)); }

  void enqueue(QueueId queue, unsigned about) {
    JobRow row = row_of(queue, next_++);
    row.key_hash = about % 4;
    row.key_check = about % 4;
    row.priority = static_cast<std::uint8_t>(about / 4 % 10);
    if (about / 40 == 1) row.due = FakePlatform::get().wall + kSecond;
    const JobRow* const rows[] = {&row};
    EntryRef refs[1];
    d_.link_pending(ref(queue), rows, refs, 1);
    if (about / 40 == 2)
      d_.unlink_pending(ref(queue), refs, 1);
    else
      d_.publish(database_, queue, ref(queue), rows, refs, 1);
  }

  void claim(QueueId queue, std::uint32_t n) {
    ClaimedJob jobs[4];
    const std::uint32_t taken =
        d_.claim(ref(queue), d_.worker_slot(database_, "worker", 0), 0, jobs, n);
    if (taken == kWorkerGone) std::abort();
    for (std::uint32_t i = 0; i < taken; i++) {
      if (ended_[jobs[i].id] || jobs[i].token <= last_) fail("a claim got what it must not");
      last_ = jobs[i].token;
      held_.push_back(jobs[i]);
    }
  }

  void decide(unsigned about, Decision decision) {
    if (held_.empty()) return;
    const ClaimedJob job = held_[about % held_.size()];
    Decided decided{};
    if (d_.begin_decision(database_, job.id, job.token, &decided) != Verdict::ok) return;
    open_.push_back(Open{decided, decision, about % 5 == 0});
    if (about % 2 == 0) end_open();
  }

  void cancel(JobId id, bool cancels) {
    Decided decided{};
    const Verdict verdict = cancels ? d_.begin_cancel(database_, id, 0, &decided)
                                    : d_.begin_change(database_, id, 0, &decided);
    if (verdict != Verdict::ok) return;
    const bool held = decided.before == EntryState::leased;
    const Decision decision = !cancels ? Decision::reschedule
                              : held   ? Decision::cancel_held
                                       : Decision::finish;
    open_.push_back(Open{decided, decision, id % 3 == 0});
    end_open();
  }

  void end_open() {
    for (const Open& open : open_) {
      if (open.aborts) {
        d_.abort_decision(open.decided.ref, open.decided.token, open.decided.before);
        continue;
      }
      if (open.decision == Decision::finish || open.decision == Decision::cancel_held)
        ended_[open.decided.id] = true;
      d_.commit_decision(open.decided.ref, open.decided.token, open.decision,
                         OutcomeKind::completed, FakePlatform::get().wall);
    }
    open_.clear();
  }

  void set_limits(QueueId queue, unsigned about) {
    QueueLimits limits;
    if (about % 3 == 1) limits.max_in_flight = about % 4;
    if (about % 3 == 2) limits.key_max_in_flight = 1 + about % 3;
    if (about % 5 == 1) limits.rate = Rate{1 + about, 1 + about % 3, kSecond};
    if (about % 7 == 1) limits.key_rate = Rate{1 + about, 1, kSecond};
    d_.set_queue_limits(database_, queue, limits);
  }

  void extend(unsigned about) {
    if (held_.empty()) return;
    const ClaimedJob& job = held_[about % held_.size()];
    Verdict verdict{};
    (void)d_.extend(database_, job.id, job.token, kSecond, &verdict);
    if (about % 4 == 0) d_.roll_back_claim(job.ref, job.token);
    if (about % 4 == 1) d_.refund_claim(job.ref, job.token);
    if (about % 4 == 2) d_.expire_claim(job.ref, job.token);
  }

  void check() {
    const std::string faults = arena_faults(*memory_.arena());
    if (!faults.empty()) fail(faults.c_str());
    if (!FakePlatform::get().holds_nothing()) fail("a lock is still held");
    if (!FakePlatform::get().broken_rules.empty()) fail(FakePlatform::get().broken_rules[0]);
  }

  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
  }

  struct Open {
    Decided decided;
    Decision decision;
    bool aborts;
  };

  ArenaMemory memory_;
  Dispatcher d_;
  Index database_ = kNone;
  JobId next_ = 1;
  Token last_ = 0;
  std::vector<ClaimedJob> held_;
  std::vector<Open> open_;
  std::map<JobId, bool> ended_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  Play play;
  for (std::size_t i = 0; i + 1 < size && i < 400; i += 2) play.act(data[i], data[i + 1]);
  return 0;
}
