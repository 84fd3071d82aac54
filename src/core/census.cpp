#include "core/census.hpp"

#include "core/queue_lock.hpp"
#include "core/token.hpp"

#include <algorithm>

namespace dw::core {

class Census::ParkedRows : public JobSink {
 public:
  explicit ParkedRows(Census* census) : census_(census) {}
  bool take(const StoredJob& job) override {
    any_ = true;
    census_->parked_after_ = job.row.id;
    census_->highest_ = std::max(census_->highest_, job.row.id);
    const auto found = census_->by_topic_.find(job.topic);
    if (found == census_->by_topic_.end()) return true;
    Count& count = census_->counts_[found->second];
    if (job.row.id >= count.from_id && job.row.id < census_->given_) return true;
    if (job.row.id >= count.from_id) count.above = std::max(count.above, job.row.id);
    if (census_->parked_.add(count.id, job.row.id)) count.unfinished++;
    return true;
  }
  [[nodiscard]] bool any() const { return any_; }

 private:
  Census* census_;
  bool any_ = false;
};

class Census::OutcomeRows : public OutcomeSink {
 public:
  OutcomeRows(Census* census, bool parked) : census_(census), parked_(parked) {}
  bool take(const StoredOutcome& outcome) override {
    census_->take_outcome(outcome, parked_);
    return true;
  }

 private:
  Census* census_;
  bool parked_;
};

class Census::JobRows : public JobSink {
 public:
  explicit JobRows(Census* census) : census_(census) {}
  bool take(const StoredJob& job) override {
    census_->take_job(job);
    return true;
  }

 private:
  Census* census_;
};

void Census::set_queues(const Loader::QueueTopic* queues, std::size_t n) {
  queues_.clear();
  for (std::size_t i = 0; i < n; i++) {
    const Index index = dispatcher_->find_queue(database_, queues[i].id);
    if (index == kNone) continue;
    queues_.push_back(Listed{dispatcher_->queue_ref(index), queues[i].id, queues[i].topic});
  }
}

void Census::reset() {
  stage_ = Stage::idle;
  for (const Listed& listed : queues_) {
    const QueueLock hold(*dispatcher_, listed.ref.queue);
    Queue& q = dispatcher_->queue(listed.ref.queue);
    if (q.incarnation != listed.ref.incarnation || q.state == QueueState::free) continue;
    q.length.from_id = kNever;
    q.length.from_token = kNever;
    q.length.before = 0;
    q.length.since = 0;
    q.length.known = 0;
  }
}

/* Read without the lock: whoever disturbs a count wakes the housekeeper after it has said so. */
bool Census::wanted(const Listed& listed) const {
  return dispatcher_->queue_matches(listed.ref) &&
         dispatcher_->queue(listed.ref.queue).length.known == 0;
}

bool Census::complete() const {
  return std::none_of(queues_.begin(), queues_.end(),
                      [this](const Listed& listed) { return wanted(listed); });
}

bool Census::needs_job_id() const {
  return dispatcher_->next_job_id(database_) == 0 && !complete();
}

/* The ids that commits of this queue have counted so far were given before, and so were the tokens:
 * both are below the boundary, since nobody commits to the queue while its lock is held. */
bool Census::draw_boundary(const Listed& listed, Count* count) {
  const QueueLock hold(*dispatcher_, listed.ref.queue);
  Queue& q = dispatcher_->queue(listed.ref.queue);
  if (q.incarnation != listed.ref.incarnation || q.state == QueueState::free) return false;
  const Database& database = dispatcher_->arena().databases[database_];
  const std::uint32_t gone = database.rows_gone.load();
  /* What has ended since the boundary was taken off `since`, and is not in the log any more. */
  if (q.length.rows_gone != gone) Dispatcher::count_anew(q);
  q.length.rows_gone = gone;
  if (q.length.from_id == kNever) {
    q.length.from_id = dispatcher_->next_job_id(database_);
    q.length.from_token = database.last_token.load() + 1;
  }
  q.length.disturbed = 0;
  *count = Count{listed.ref, listed.id, q.length.from_id, q.length.from_token, kAlways, 0};
  return true;
}

bool Census::begin_pass() {
  if (dispatcher_->arena().databases[database_].state != DatabaseState::open ||
      dispatcher_->next_job_id(database_) == 0)
    return false;
  counts_.clear();
  by_topic_.clear();
  by_queue_.clear();
  ended_.clear();
  parked_.clear();
  lives_.clear();
  highest_ = 0;
  for (const Listed& listed : queues_) {
    Count count{};
    if (!wanted(listed) || !draw_boundary(listed, &count)) continue;
    by_topic_[listed.topic] = counts_.size();
    by_queue_[listed.id] = counts_.size();
    counts_.push_back(count);
  }
  if (counts_.empty()) return false;
  stage_ = Stage::parked;
  parked_after_ = kAlways;
  return true;
}

Census::Count* Census::count_of(QueueId queue) {
  const auto found = by_queue_.find(queue);
  return found == by_queue_.end() ? nullptr : &counts_[found->second];
}

void Census::enter_stage(Stage stage) {
  stage_ = stage;
  segment_ = 0;
  block_ = 0;
  for (std::uint8_t segment = 0; segment < kStores; segment++) {
    if (stage == Stage::outcomes) {
      blocks_[segment] = store_->outcome_blocks(segment);
    } else {
      blocks_[segment] = segment == kParkedSegment ? 0 : store_->job_blocks(segment);
    }
  }
}

bool Census::scan_parked(Micros until) {
  for (;;) {
    ParkedRows rows(this);
    store_->scan_parked_by_id(parked_after_, rows);
    if (!rows.any()) return true;
    if (out_of_time(until)) return false;
  }
}

void Census::take_outcome(const StoredOutcome& outcome, bool parked) {
  OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body, outcome.length);
  const OutcomeKind kind = reader.kind();
  const bool moved = kind == OutcomeKind::moved;
  if (!moved && !is_final(kind) && kind != OutcomeKind::redriven) return;
  Count* const count = count_of(reader.queue());
  if (count == nullptr) return;
  if (parked && (kind == OutcomeKind::dead_lettered || kind == OutcomeKind::redriven)) {
    take_lives(reader, count->from_token);
    return;
  }
  OutcomeMember member;
  while (reader.next(&member)) {
    const bool late = member.token >= count->from_token;
    /* Moved since: it counts where it was. */
    const bool leaves_parked = parked ? !late : moved && late;
    if (leaves_parked && parked_.remove(count->id, member.id)) count->unfinished--;
    if (!parked && !late) ended_.add(count->id, member.id);
  }
}

void Census::take_lives(OutcomeReader& reader, Token from_token) {
  const bool died = reader.kind() == OutcomeKind::dead_lettered;
  OutcomeMember member;
  while (reader.next(&member)) {
    Lives& lives = lives_[{reader.queue(), member.id}];
    if (member.token < from_token) {
      Token& last = died ? lives.died : lives.redriven;
      last = std::max(last, member.token);
    } else {
      Token& first = died ? lives.died_since : lives.redriven_since;
      first = std::min(first, member.token);
    }
  }
}

void Census::settle_lives() {
  for (const auto& [job, lives] : lives_) {
    Count* const count = count_of(job.first);
    if (count != nullptr && !lives.waited() && parked_.remove(job.first, job.second))
      count->unfinished--;
  }
  lives_.clear();
}

void Census::take_job(const StoredJob& job) {
  highest_ = std::max(highest_, job.row.id);
  const auto found = by_topic_.find(job.topic);
  if (found == by_topic_.end()) return;
  Count& count = counts_[found->second];
  if (job.row.id >= count.from_id) {
    if (job.row.id < given_) return;
    count.above = std::max(count.above, job.row.id);
  }
  if (!ended_.has(count.id, job.row.id)) count.unfinished++;
}

bool Census::scan_pages(Micros until) {
  const bool outcomes = stage_ == Stage::outcomes;
  for (; segment_ < kStores; segment_++, block_ = 0) {
    OutcomeRows outcome_rows(this, segment_ == kParkedSegment);
    JobRows job_rows(this);
    while (block_ < blocks_[segment_]) {
      if (outcomes) {
        store_->scan_outcomes(segment_, block_, outcome_rows);
      } else {
        store_->scan_jobs(segment_, block_, job_rows);
      }
      block_++;
      if (out_of_time(until)) return false;
    }
  }
  return true;
}

void Census::install() {
  bool disturbed = false;
  for (const Count& count : counts_) {
    const QueueLock hold(*dispatcher_, count.ref.queue);
    Queue& q = dispatcher_->queue(count.ref.queue);
    if (q.incarnation != count.ref.incarnation) continue;
    disturbed = disturbed || q.length.disturbed != 0;
    if (q.length.disturbed != 0) continue;
    q.length.before = count.unfinished;
    if (count.above != kAlways) q.length.from_id = std::max(q.length.from_id, count.above + 1);
    q.length.known = 1;
  }
  /* A count that has to be repeated tells given numbers from others by what was given. */
  if (!disturbed) dispatcher_->raise_job_ids(database_, highest_);
  ended_.clear();
  parked_.clear();
  stage_ = Stage::idle;
}

bool Census::step(Micros budget) {
  if (in_chunk_) stage_ = Stage::idle;
  if (stage_ == Stage::idle && !begin_pass()) return false;
  in_chunk_ = true;
  const Micros until = dispatcher_->platform().monotonic_now() + budget;
  store_->begin();
  /* After the snapshot: what it sees was given before. */
  given_ = dispatcher_->next_job_id(database_);
  bool done = false;
  if (stage_ == Stage::parked && scan_parked(until)) enter_stage(Stage::outcomes);
  if (stage_ == Stage::outcomes && scan_pages(until)) {
    settle_lives();
    enter_stage(Stage::jobs);
  }
  if (stage_ == Stage::jobs) done = scan_pages(until);
  store_->commit();
  in_chunk_ = false;
  if (done) install();
  return true;
}

}  // namespace dw::core
