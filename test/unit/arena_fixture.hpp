/*
 * An arena with one open database, and short words for what nearly every test does with it. When a
 * test ends, all locks must be free, no rule of the platform broken, and the arena sound.
 */
#pragma once

#include "arena_check.hpp"
#include "arena_memory.hpp"
#include "fake_platform.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <vector>

namespace dw::test {

class ArenaTest : public ::testing::Test {
 protected:
  static constexpr DatabaseOid kOid = 16384;
  static constexpr std::int64_t kEpoch = 7;

  void SetUp() override { start(64); }
  void TearDown() override;

  /* Begins anew with an arena of this size, an open database and no queue. */
  void start(std::uint32_t entries, std::uint32_t waiters = 8);

  Index add_queue(QueueId id, const QueueOptions& options = QueueOptions{},
                  LoadMode mode = LoadMode::live);
  QueueRef ref(Index queue) { return d().queue_ref(queue); }
  QueueRef ref_of(QueueId id) { return d().queue_ref(d().find_queue(database_, id)); }
  Queue& slot(Index queue) { return memory_->arena()->queues[queue]; }
  Entry& entry(EntryRef reference) { return memory_->arena()->entries[reference.entry]; }
  Dispatcher& d() { return *dispatcher_; }
  FakePlatform& platform() { return FakePlatform::get(); }

  /* One row, as a transaction links it before its commit. */
  EntryRef link(const JobRow& row);
  void publish(const JobRow& row, EntryRef reference);
  /* Both: a committed job. */
  EntryRef put(const JobRow& row);
  void put_many(QueueId queue, JobId first, JobId last);
  std::vector<EntryRef> link_many(const std::vector<JobRow>& rows);
  void publish_many(const std::vector<JobRow>& rows, const std::vector<EntryRef>& references);

  WorkerRef worker(std::string_view name = "worker", std::int64_t instance = 0) {
    return d().worker_slot(database_, name, instance);
  }
  std::vector<ClaimedJob> claim(QueueId queue, std::uint32_t n = 1, Micros lease = 0,
                                std::string_view name = "worker");
  ClaimedJob claim_one(QueueId queue);
  std::vector<JobId> claim_ids(QueueId queue, std::uint32_t n);
  /* Decides and commits at once. */
  Verdict decide(const ClaimedJob& job, Decision decision, Micros due = 0);
  EntryState state_of(JobId id, QueueId queue = 0);
  QueueFigures figures(QueueId queue);
  KeyFigures key_figures(QueueId queue, std::uint32_t key_hash, std::uint32_t key_check);

  Index database_ = kNone;

 private:
  std::unique_ptr<ArenaMemory> memory_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

inline bool operator==(EntryRef a, EntryRef b) {
  return a.entry == b.entry && a.incarnation == b.incarnation;
}

}  // namespace dw::test

namespace dw::core {
/* What gtest prints for them. */
void PrintTo(EntryState state, std::ostream* out);
void PrintTo(Verdict verdict, std::ostream* out);
void PrintTo(LoadMode mode, std::ostream* out);
}  // namespace dw::core
