#include "log_fixture.hpp"

namespace dw::test {

void LogTest::begin(std::uint32_t entries, LoadMode mode, const QueueOptions& options) {
  start(entries);
  options_ = options;
  add_queue(1, options, mode);
  log_ = std::make_unique<FakeLog>();
  make_housekeeper();
}

void LogTest::restart() {
  const Micros wall = platform().wall;
  start(d().arena().capacity);
  platform().wall = wall;
  d().open_database(database_, ++epoch_);
  add_queue(1, options_, LoadMode::loading);
  make_housekeeper();
}

void LogTest::make_housekeeper() {
  store_ = std::make_unique<FakeStore>(log_.get(), kHousekeeper, &d(), database_);
  key_blocks_ = std::make_unique<KeyBlocks>(&d(), database_, store_.get());
  loader_ = std::make_unique<Loader>(&d(), database_, store_.get(), &key_blocks_->aside());
  key_weights_ = std::make_unique<KeyWeights>(&d(), database_, store_.get());
  sweeper_ = std::make_unique<Sweeper>(&d(), database_, store_.get());
  tell_queues({1});
}

void LogTest::TearDown() {
  store_->on_call = nullptr;
  ArenaTest::TearDown();
}

void LogTest::tell_queues(const std::vector<QueueId>& queues) {
  std::vector<Loader::QueueTopic> topics;
  for (const QueueId queue : queues) topics.push_back(Loader::QueueTopic{queue, queue});
  loader().set_queues(topics.data(), topics.size());
}

JobRow LogTest::log_job(JobId id, QueueId queue, std::uint8_t segment, Micros due) {
  JobRow row = row_of(queue, id);
  row.segment = segment;
  row.due = due;
  const Xid xid = log().begin();
  log().insert_job(xid, kClient, queue, &row);
  log().commit(xid);
  return row;
}

void LogTest::log_jobs(JobId first, JobId last, QueueId queue) {
  for (JobId id = first; id <= last; id++) log_job(id, queue);
}

void LogTest::log_outcome(OutcomeKind kind, const JobRow& row, Token token, std::int32_t attempt,
                          Micros due) {
  const Xid xid = log().begin();
  const auto blocks = log().insert_outcome(xid, kClient, row.segment, kind, platform().wall,
                                           row.queue, {OutcomeMember{row.id, token, attempt, due}});
  log().commit(xid);
  for (const std::uint32_t block : blocks) d().note_outcome_page(database_, row.segment, block);
}

JobRow LogTest::enqueue(JobId id, QueueId queue, Micros due) {
  JobRow row = row_of(queue, id);
  row.due = due;
  const Xid xid = log().begin();
  log().insert_job(xid, kClient, queue, &row);
  const EntryRef reference = link(row);
  log().commit(xid);
  publish(row, reference);
  return row;
}

Verdict LogTest::complete(const ClaimedJob& job) {
  Transaction transaction(&d());
  transaction.set_database(database_, kOid);
  transaction.reserve(1);
  Decided decided{};
  std::size_t action = 0;
  const Verdict verdict = transaction.begin_decision(1, job.id, job.token, &decided, &action);
  if (verdict != Verdict::ok) return verdict;
  const Xid xid = log().begin();
  const auto blocks =
      log().insert_outcome(xid, kClient, decided.segment, OutcomeKind::completed, platform().wall,
                           decided.queue_id, {OutcomeMember{job.id, job.token, 0, 0}});
  transaction.settle(action, Decision::finish, OutcomeKind::completed, 0);
  transaction.note_outcome_row(action, decided.segment, blocks.at(0));
  QueueId gone = 0;
  transaction.pre_commit(&gone);
  log().commit(xid);
  transaction.commit(1);
  return verdict;
}

}  // namespace dw::test
