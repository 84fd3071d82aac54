#include "fake_store.hpp"

#include <algorithm>

namespace dw::test {

void FakeStore::begin() {
  if (xid_ != kNoXid) throw std::logic_error("a transaction of the store is open already");
  at(Call::before_snapshot);
  xid_ = log_->begin();
  snapshot_ = log_->snapshot();
  at(Call::after_snapshot);
}

void FakeStore::commit() {
  require_transaction();
  at(Call::before_commit);
  log_->commit(xid_);
  xid_ = kNoXid;
  at(Call::committed);
  for (const auto& [segment, block] : pages_)
    dispatcher_->note_outcome_page(database_, segment, block);
  pages_.clear();
}

void FakeStore::abort() noexcept {
  if (xid_ != kNoXid) log_->abort(xid_);
  xid_ = kNoXid;
  pages_.clear();
}

std::uint32_t FakeStore::job_blocks(std::uint8_t segment) {
  require_transaction();
  return segment == kParkedSegment ? 0
                                   : static_cast<std::uint32_t>(log_->job_pages(segment).size());
}

std::uint32_t FakeStore::outcome_blocks(std::uint8_t segment) {
  require_transaction();
  return static_cast<std::uint32_t>(log_->outcome_pages(segment).size());
}

void FakeStore::scan_jobs(std::uint8_t segment, std::uint32_t block, JobSink& sink) {
  require_transaction();
  if (segment == kParkedSegment) throw std::logic_error("long sleepers are found by due time");
  at(Call::scan_jobs);
  const auto& pages = log_->job_pages(segment);
  if (block >= pages.size()) return;
  for (const JobOnPage& job : pages[block]) {
    if (!log_->sees(snapshot_, job)) continue;
    StoredJob stored{job.row, job.topic, expiry_time(job.row.expires_at)};
    stored.row.queue = 0;
    if (!sink.take(stored)) return;
  }
}

void FakeStore::scan_outcomes(std::uint8_t segment, std::uint32_t block, OutcomeSink& sink) {
  require_transaction();
  at(Call::scan_outcomes);
  const auto& pages = log_->outcome_pages(segment);
  if (block >= pages.size()) return;
  for (const OutcomeOnPage& outcome : pages[block]) {
    if (!log_->sees(snapshot_, outcome.xid)) continue;
    if (!sink.take(StoredOutcome{outcome.first_id, outcome.batch, outcome.body.data(),
                                 outcome.body.size()}))
      return;
  }
}

void FakeStore::scan_parked(std::int32_t topic, ParkedPlace after, Micros until, JobSink& sink) {
  require_transaction();
  at(Call::scan_parked);
  std::vector<StoredJob> found;
  for (const auto& page : log_->job_pages(kParkedSegment)) {
    for (const JobOnPage& job : page) {
      const JobRow& row = job.row;
      const bool behind = row.due > after.due || (row.due == after.due && row.id > after.id);
      if (!log_->sees(snapshot_, job) || job.topic != topic || !behind || row.due > until) continue;
      StoredJob stored{job.row, job.topic, expiry_time(job.row.expires_at)};
      stored.row.queue = 0;
      found.push_back(stored);
    }
  }
  std::sort(found.begin(), found.end(), [](const StoredJob& a, const StoredJob& b) {
    return a.row.due != b.row.due ? a.row.due < b.row.due : a.row.id < b.row.id;
  });
  for (const StoredJob& job : found) {
    if (!sink.take(job)) return;
  }
}

void FakeStore::scan_parked_by_id(JobId after, JobSink& sink) {
  constexpr std::size_t kRowsAtOnce = 20;
  require_transaction();
  at(Call::scan_parked);
  std::vector<StoredJob> found;
  for (const auto& page : log_->job_pages(kParkedSegment)) {
    for (const JobOnPage& job : page) {
      if (!log_->sees(snapshot_, job) || job.row.id <= after) continue;
      StoredJob stored{job.row, job.topic, expiry_time(job.row.expires_at)};
      stored.row.queue = 0;
      found.push_back(stored);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const StoredJob& a, const StoredJob& b) { return a.row.id < b.row.id; });
  if (found.size() > kRowsAtOnce) found.resize(kRowsAtOnce);
  for (const StoredJob& job : found) {
    if (!sink.take(job)) return;
  }
}

JobId FakeStore::first_job_id(std::uint8_t segment, std::uint32_t block) {
  require_transaction();
  const auto& pages = log_->job_pages(segment);
  return block < pages.size() && !pages[block].empty() ? pages[block].front().row.id : kNever;
}

void FakeStore::scan_key_blocks(KeyBlockSink& sink) {
  require_transaction();
  at(Call::scan_key_blocks);
  for (const KeyBlock& block : log_->key_blocks(snapshot_)) sink.take(block);
}

void FakeStore::scan_key_weights(KeyWeightSink& sink) {
  require_transaction();
  at(Call::scan_key_weights);
  for (const KeyWeight& row : log_->key_weights(snapshot_)) sink.take(row);
}

void FakeStore::remove_key_block(QueueId queue, JobId job) {
  require_transaction();
  log_->remove_key_block(xid_, queue, job);
  if (on_key_freed) on_key_freed(queue, job);
  at(Call::written);
}

std::size_t FakeStore::list_prepared(TransactionNumber* out, std::size_t most) {
  require_transaction();
  at(Call::list_prepared);
  const std::vector<Xid> open = log_->prepared();
  std::copy_n(open.begin(), std::min(most, open.size()), out);
  return open.size();
}

void FakeStore::scan_open_jobs(std::uint8_t segment, std::uint32_t block, PreparedSink& sink) {
  require_transaction();
  at(Call::scan_jobs);
  for (const JobOnPage& job : log_->job_pages(segment).at(block)) {
    if (!log_->is_open(job.xid) || (job.gone != kNoXid && log_->is_open(job.gone))) continue;
    StoredJob stored{job.row, job.topic, expiry_time(job.row.expires_at)};
    stored.row.queue = 0;
    sink.take(log_->top_of(job.xid), stored);
  }
}

void FakeStore::scan_open_outcomes(std::uint8_t segment, std::uint32_t block, PreparedSink& sink) {
  require_transaction();
  at(Call::scan_outcomes);
  for (const OutcomeOnPage& outcome : log_->outcome_pages(segment).at(block)) {
    if (log_->is_open(outcome.xid))
      sink.take(log_->top_of(outcome.xid), StoredOutcome{outcome.first_id, outcome.batch,
                                                         outcome.body.data(), outcome.body.size()});
  }
}

void FakeStore::scan_open_parked(PreparedSink& sink) {
  for (std::uint32_t block = 0; block < log_->job_pages(kParkedSegment).size(); block++)
    scan_open_jobs(kParkedSegment, block, sink);
}

Fate FakeStore::fate(TransactionNumber transaction) {
  if (log_->in_progress(transaction)) return Fate::open;
  return log_->has_committed(transaction) ? Fate::committed : Fate::aborted;
}

void FakeStore::write_expiries(const Expiry* expiries, std::size_t n, Micros now) {
  require_transaction();
  for (std::size_t i = 0; i < n; i++) {
    const Expiry& expiry = expiries[i];
    const bool dead = expiry.outcome == OutcomeKind::dead_lettered;
    const OutcomeMember member{expiry.id, expiry.token, expiry.attempt, dead ? 0 : now};
    for (const std::uint32_t block : log_->insert_outcome(
             xid_, writer_, expiry.segment, expiry.outcome, now, expiry.queue, {member}))
      pages_.emplace_back(expiry.segment, block);
    if (expiry.blocks_key)
      log_->insert_key_block(xid_, KeyBlock{expiry.queue, expiry.key_hash, expiry.key_check,
                                            expiry.id, expiry.takes_along});
    if (on_expiry) on_expiry(expiry);
  }
  at(Call::written);
}

}  // namespace dw::test
