#include "arena_fixture.hpp"

#include <ostream>
#include <stdexcept>

namespace dw::core {

void PrintTo(EntryState state, std::ostream* out) {
  static const char* const names[] = {"free",       "pending",  "ready", "delayed",   "leased",
                                      "completing", "expiring", "busy",  "tombstone", "cancelled"};
  *out << names[static_cast<int>(state)];
}

void PrintTo(Verdict verdict, std::ostream* out) {
  static const char* const names[] = {
      "ok", "stale", "in_doubt", "cancelled", "own_duplicate", "not_resident", "no_room"};
  *out << names[static_cast<int>(verdict)];
}

void PrintTo(LoadMode mode, std::ostream* out) {
  static const char* const names[] = {"loading", "handover", "live"};
  *out << names[static_cast<int>(mode)];
}

}  // namespace dw::core

namespace dw::test {

void ArenaTest::start(std::uint32_t entries, std::uint32_t waiters) {
  platform().reset();
  memory_ = std::make_unique<ArenaMemory>(entries, waiters);
  dispatcher_ = std::make_unique<Dispatcher>(memory_->arena(), FakePlatform::functions());
  database_ = d().attach_database(kOid);
  d().open_database(database_, kEpoch);
}

void ArenaTest::TearDown() {
  EXPECT_TRUE(platform().holds_nothing()) << "a lock is still held";
  for (const char* rule : platform().broken_rules) ADD_FAILURE() << rule;
  EXPECT_EQ(arena_faults(d().arena()), "");
}

Index ArenaTest::add_queue(QueueId id, const QueueOptions& options, LoadMode mode) {
  return d().add_queue(database_, id, "queue " + std::to_string(id), options, QueueState::active,
                       mode);
}

std::vector<EntryRef> ArenaTest::link_many(const std::vector<JobRow>& rows) {
  std::vector<const JobRow*> pointers;
  for (const JobRow& row : rows) pointers.push_back(&row);
  std::vector<EntryRef> references(rows.size());
  d().link_pending(ref_of(rows.at(0).queue), pointers.data(), references.data(),
                   static_cast<std::uint32_t>(rows.size()));
  return references;
}

void ArenaTest::publish_many(const std::vector<JobRow>& rows,
                             const std::vector<EntryRef>& references) {
  std::vector<const JobRow*> pointers;
  for (const JobRow& row : rows) pointers.push_back(&row);
  const QueueId queue = rows.at(0).queue;
  d().publish(database_, queue, ref_of(queue), pointers.data(), references.data(),
              static_cast<std::uint32_t>(rows.size()));
}

EntryRef ArenaTest::link(const JobRow& row) { return link_many({row}).at(0); }

void ArenaTest::publish(const JobRow& row, EntryRef reference) { publish_many({row}, {reference}); }

EntryRef ArenaTest::put(const JobRow& row) {
  const EntryRef reference = link(row);
  publish(row, reference);
  return reference;
}

void ArenaTest::put_many(QueueId queue, JobId first, JobId last) {
  std::vector<JobRow> rows;
  for (JobId id = first; id <= last; id++) rows.push_back(row_of(queue, id));
  publish_many(rows, link_many(rows));
}

std::vector<ClaimedJob> ArenaTest::claim(QueueId queue, std::uint32_t n, Micros lease,
                                         std::string_view name) {
  std::vector<ClaimedJob> jobs(n);
  const std::uint32_t taken = d().claim(ref_of(queue), worker(name), lease, jobs.data(), n);
  jobs.resize(taken == kWorkerGone ? 0 : taken);
  return jobs;
}

ClaimedJob ArenaTest::claim_one(QueueId queue) {
  const std::vector<ClaimedJob> jobs = claim(queue);
  if (jobs.empty()) throw std::runtime_error("there was no job to claim");
  return jobs[0];
}

std::vector<JobId> ArenaTest::claim_ids(QueueId queue, std::uint32_t n) {
  std::vector<JobId> ids;
  for (const ClaimedJob& job : claim(queue, n)) ids.push_back(job.id);
  return ids;
}

Verdict ArenaTest::decide(const ClaimedJob& job, Decision decision, Micros due) {
  Decided decided{};
  const Verdict verdict = d().begin_decision(database_, job.id, job.token, &decided);
  if (verdict == Verdict::ok)
    d().commit_decision(decided.ref, decided.token, decision, OutcomeKind::completed, due);
  return verdict;
}

EntryState ArenaTest::state_of(JobId id, QueueId queue) {
  ResidentRow row{};
  row.state = EntryState::free;
  if (!d().see_job(database_, queue, id, &row) && row.state != EntryState::busy)
    return EntryState::free;
  return row.state;
}

QueueFigures ArenaTest::figures(QueueId queue) {
  QueueFigures figures{};
  d().queue_figures(d().find_queue(database_, queue), &figures);
  return figures;
}

KeyFigures ArenaTest::key_figures(QueueId queue, std::uint32_t key_hash, std::uint32_t key_check) {
  KeyLook look{};
  look.key_hash = key_hash;
  look.key_check = key_check;
  while (d().look_at_key(d().find_queue(database_, queue), queue, &look)) {
  }
  return look.figures;
}

}  // namespace dw::test
