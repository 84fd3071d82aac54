#include "core/prepared_scan.hpp"

#include "core/queue_lock.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace dw::core {

namespace {

constexpr const char* kNoRoom =
    "memory is too small for what prepared transactions hold; raise "
    "durable_work.max_resident_jobs, or commit or roll back prepared transactions";

}  // namespace

/* Rows of one page whose writer is open. */
class PreparedScan::Rows : public PreparedSink {
 public:
  explicit Rows(PreparedScan* scan) : scan_(scan) {}
  void set_page(std::uint8_t segment, std::uint32_t block) {
    segment_ = segment;
    block_ = block;
  }
  void take(TransactionNumber transaction, const StoredJob& job) override {
    Writer* const writer = scan_->find_writer(transaction);
    if (writer != nullptr) scan_->take_job(*writer, segment_, block_, job);
  }
  void take(TransactionNumber transaction, const StoredOutcome& outcome) override {
    Writer* const writer = scan_->find_writer(transaction);
    if (writer != nullptr) scan_->take_outcome(*writer, segment_, block_, outcome);
  }

 private:
  PreparedScan* scan_;
  std::uint8_t segment_ = 0;
  std::uint32_t block_ = 0;
};

/* Rows that the snapshot sees, of jobs that are being decided. */
class PreparedScan::Addresses : public JobSink {
 public:
  explicit Addresses(PreparedScan* scan) : scan_(scan) {}
  bool take(const StoredJob& job) override {
    last_ = job.row.id;
    any_ = true;
    scan_->take_address(job);
    return true;
  }
  [[nodiscard]] bool take_any() { return std::exchange(any_, false); }
  [[nodiscard]] JobId last() const { return last_; }

 private:
  PreparedScan* scan_;
  JobId last_ = kAlways;
  bool any_ = false;
};

PreparedScan::Writer* PreparedScan::find_writer(TransactionNumber transaction) {
  const auto found = std::find_if(
      writers_.begin(), writers_.end(),
      [transaction](const Writer& writer) { return writer.transaction == transaction; });
  return found == writers_.end() ? nullptr : &*found;
}

bool PreparedScan::list_writers() {
  std::vector<TransactionNumber> all;
  std::size_t n = store_->list_prepared(nullptr, 0);
  while (n > all.size()) {
    all.resize(n);
    n = store_->list_prepared(all.data(), all.size());
  }
  all.resize(n);
  for (const TransactionNumber transaction : all) {
    if (dispatcher_->has_watch_of(database_, transaction)) continue;
    Writer writer{};
    writer.transaction = transaction;
    writer.watch = kNone;
    writers_.push_back(writer);
  }
  return !writers_.empty();
}

void PreparedScan::take_outcome(Writer& writer, std::uint8_t segment, std::uint32_t block,
                                const StoredOutcome& outcome) {
  writer.outcome_pages.add(segment, block, block);
  OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body, outcome.length);
  const OutcomeKind kind = reader.kind();
  OutcomeMember member;
  while (reader.next(&member)) {
    if (segment == kParkedSegment) not_new_.add(reader.queue(), member.id);
    if (kind == OutcomeKind::moved || kind == OutcomeKind::redriven) continue;
    const auto [place, is_new] = decided_.try_emplace(JobKey{reader.queue(), member.id});
    Decided& decided = place->second;
    if (is_new) {
      decided.writer = static_cast<std::size_t>(&writer - writers_.data());
      decided.row.id = member.id;
      decided.row.queue = reader.queue();
      decided.row.segment = segment;
    }
    /* The end of a job that the same transaction had changed before has the highest token. */
    if (is_new || is_final(kind) || !is_final(decided.outcome)) decided.outcome = kind;
    decided.token = std::max(decided.token, member.token);
  }
}

void PreparedScan::take_job(Writer& writer, std::uint8_t segment, std::uint32_t block,
                            const StoredJob& job) {
  if (segment != kParkedSegment) writer.job_pages.add(segment, block, block);
  for (const Loader::QueueTopic& queue : queues_) {
    if (queue.topic != job.topic) continue;
    if (segment == kParkedSegment && not_new_.has(queue.id, job.row.id)) continue;
    NewJobs& jobs = writer.jobs[queue.id];
    jobs.count++;
    jobs.least = std::min(jobs.least, job.row.id);
    jobs.most = std::max(jobs.most, job.row.id);
  }
}

/* A job that has been moved to parked has a row in both; rows of parked come last, and count. */
void PreparedScan::take_address(const StoredJob& job) {
  for (const Loader::QueueTopic& queue : queues_) {
    if (queue.topic != job.topic) continue;
    const auto found = decided_.find(JobKey{queue.id, job.row.id});
    if (found == decided_.end()) continue;
    JobRow& row = found->second.row;
    row = job.row;
    row.queue = queue.id;
    row.expires_at = expiry_seconds(job.expires_at);
    if (row.segment != kParkedSegment)
      writers_[found->second.writer].job_pages.add(row.segment, row.block, row.block);
  }
}

void PreparedScan::scan_outcomes() {
  Rows rows(this);
  for (std::uint8_t segment = 0; segment < kStores; segment++) {
    const std::uint32_t blocks = store_->outcome_blocks(segment);
    for (std::uint32_t block = 0; block < blocks; block++) {
      rows.set_page(segment, block);
      store_->scan_open_outcomes(segment, block, rows);
    }
  }
}

void PreparedScan::scan_jobs() {
  Rows rows(this);
  Addresses addresses(this);
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    const std::uint32_t blocks = store_->job_blocks(segment);
    for (std::uint32_t block = 0; block < blocks; block++) {
      rows.set_page(segment, block);
      store_->scan_open_jobs(segment, block, rows);
      if (!decided_.empty()) store_->scan_jobs(segment, block, addresses);
    }
  }
  rows.set_page(kParkedSegment, 0);
  store_->scan_open_parked(rows);
  if (decided_.empty()) return;
  JobId after = kAlways;
  do {
    static_cast<void>(addresses.take_any());
    store_->scan_parked_by_id(after, addresses);
    after = addresses.last();
  } while (addresses.take_any());
}

void PreparedScan::hold_decided(const JobKey& key, const Decided& decided) {
  Held held{};
  held.kind = HeldKind::decision;
  held.queue = QueueRef{kNone, 0};
  held.ref = dispatcher_->hold_found(database_, decided.row, decided.token);
  if (held.ref.entry == kNone) {
    if (dispatcher_->find_queue(database_, key.first) == kNone) return;
    throw std::length_error(kNoRoom);
  }
  held.token = decided.token;
  held.written = decided.token;
  held.before = EntryState::free;
  held.settled = is_final(decided.outcome);
  held.decision = Decision::finish;
  held.outcome = decided.outcome;
  if (dispatcher_->add_held(writers_[decided.writer].watch, held)) return;
  dispatcher_->abort_decision(held.ref, held.token, held.before);
  throw std::length_error(kNoRoom);
}

/* The jobs have their room again, though whoever reserved it is gone. */
void PreparedScan::hold_jobs(const Writer& writer, QueueId queue, const NewJobs& jobs) {
  const Index index = dispatcher_->find_queue(database_, queue);
  if (index == kNone) return;
  Held held{};
  held.kind = HeldKind::enqueued;
  held.ref = EntryRef{kNone, 0};
  held.id = queue;
  held.count = jobs.count;
  held.with_room = jobs.count;
  held.least = jobs.least;
  held.most = jobs.most;
  {
    const QueueLock hold(*dispatcher_, index);
    Queue& q = dispatcher_->arena().queues[index];
    /* Dropped meanwhile; its slot may be another's. */
    if (q.id != queue || q.database != database_) return;
    held.queue = dispatcher_->queue_ref(index);
    q.length.reserved += jobs.count;
  }
  if (dispatcher_->add_held(writer.watch, held)) return;
  dispatcher_->release_room(held.queue, jobs.count);
  throw std::length_error(kNoRoom);
}

void PreparedScan::hold() {
  for (Writer& writer : writers_) {
    writer.watch = dispatcher_->reserve_watch(database_, writer.transaction, 0);
    if (writer.watch == kNone) throw std::length_error(kNoRoom);
    Watch& watch = dispatcher_->arena().watches[writer.watch];
    watch.found = 1;
    watch.job_pages = writer.job_pages;
    watch.outcome_pages = writer.outcome_pages;
  }
  for (const auto& [key, decided] : decided_) hold_decided(key, decided);
  for (const Writer& writer : writers_) {
    for (const auto& [queue, jobs] : writer.jobs) hold_jobs(writer, queue, jobs);
  }
  for (const Writer& writer : writers_) dispatcher_->activate_watch(writer.watch);
}

void PreparedScan::run() {
  writers_.clear();
  decided_.clear();
  not_new_.clear();
  dispatcher_->forget_found(database_);
  store_->begin();
  if (list_writers()) {
    scan_outcomes();
    scan_jobs();
    hold();
  }
  store_->commit();
  decided_.clear();
  not_new_.clear();
}

}  // namespace dw::core
