#include "core/drain_check.hpp"

#include <algorithm>

namespace dw::core {

class DrainCheck::OutcomeRows : public OutcomeSink {
 public:
  explicit OutcomeRows(DrainCheck* check) : check_(check) {}
  bool take(const StoredOutcome& outcome) override {
    check_->take_outcome(outcome);
    return true;
  }

 private:
  DrainCheck* check_;
};

class DrainCheck::JobRows : public JobSink {
 public:
  explicit JobRows(DrainCheck* check) : check_(check) {}
  bool take(const StoredJob& job) override {
    check_->take_job(job);
    return true;
  }

 private:
  DrainCheck* check_;
};

void DrainCheck::begin(std::uint8_t segment, const std::vector<QueueKeep>& queues,
                       std::int32_t last_topic) {
  last_topic_ = last_topic;
  segment_ = segment;
  block_ = 0;
  reading_jobs_ = false;
  queues_.clear();
  for (const QueueKeep& queue : queues) queues_.emplace(queue.topic, queue.id);
  ended_.clear();
  jobs_ = 0;
  unfinished_ = 0;
  stragglers_.clear();
  last_ends_.clear();
}

/* A dead letter is no end of what lies in parked, but it is one of what lies in a segment: a
 * redrive takes the job to parked. */
void DrainCheck::take_outcome(const StoredOutcome& outcome) {
  OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body, outcome.length);
  Micros& last = last_ends_.try_emplace(reader.queue(), kAlways).first->second;
  last = std::max(last, reader.at());
  if (!is_final(reader.kind()) && reader.kind() != OutcomeKind::moved) return;
  OutcomeMember member;
  while (reader.next(&member)) ended_.add(reader.queue(), member.id);
}

void DrainCheck::take_job(const StoredJob& job) {
  const auto [first, last] = queues_.equal_range(job.topic);
  if (first == last && job.topic > last_topic_) unfinished_++;
  for (auto queue = first; queue != last; ++queue) {
    jobs_++;
    if (ended_.has(queue->second, job.row.id)) continue;
    unfinished_++;
    if (stragglers_.size() < kMostListed)
      stragglers_.push_back(Straggler{job.row.id, queue->second});
  }
}

bool DrainCheck::step(Store& store, const Platform& platform, Micros budget) {
  const Micros until = platform.monotonic_now() + budget;
  store.begin();
  OutcomeRows outcomes(this);
  JobRows jobs(this);
  bool done = false;
  for (;;) {
    const std::uint32_t blocks =
        reading_jobs_ ? store.job_blocks(segment_) : store.outcome_blocks(segment_);
    if (block_ >= blocks) {
      done = reading_jobs_;
      if (done) break;
      reading_jobs_ = true;
      block_ = 0;
      continue;
    }
    if (reading_jobs_)
      store.scan_jobs(segment_, block_++, jobs);
    else
      store.scan_outcomes(segment_, block_++, outcomes);
    if (platform.monotonic_now() >= until) break;
  }
  store.commit();
  if (!done) return false;
  ended_.clear();
  std::sort(stragglers_.begin(), stragglers_.end(),
            [](const Straggler& a, const Straggler& b) { return a.id < b.id; });
  return true;
}

}  // namespace dw::core
