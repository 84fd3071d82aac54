/*
 * An arena together with a log, a loader and a sweeper: committed rows lie in the log, and what is
 * resident is up to the protocols.
 */
#pragma once

#include "arena_fixture.hpp"
#include "fake_store.hpp"

#include "core/key_blocks.hpp"
#include "core/key_weights.hpp"
#include "core/loader.hpp"
#include "core/sweeper.hpp"
#include "core/transaction.hpp"

#include <memory>

namespace dw::test {

class LogTest : public ArenaTest {
 protected:
  static constexpr std::uint32_t kHousekeeper = 0; /* its writer number */
  static constexpr std::uint32_t kClient = 1;

  /* Queue 1 in this mode; a new arena, a new log. */
  void begin(std::uint32_t entries, LoadMode mode, const QueueOptions& options = QueueOptions{});
  /* Memory is lost, the log stays; queue 1 is loaded from it. */
  void restart();
  void SetUp() override { begin(64, LoadMode::live); }
  void TearDown() override;

  /* Queues that the loader knows of: topics have the queues' numbers. */
  void tell_queues(const std::vector<QueueId>& queues);
  /* A row in the log whose transaction is committed, without any entry. */
  JobRow log_job(JobId id, QueueId queue = 1, std::uint8_t segment = 0, Micros due = kAlways);
  void log_jobs(JobId first, JobId last, QueueId queue = 1);
  /* A committed outcome row, and its page noted as a commit callback does. */
  void log_outcome(OutcomeKind kind, const JobRow& row, Token token, std::int32_t attempt = 1,
                   Micros due = 0);
  /* A job that a transaction wrote and committed in the usual way. */
  JobRow enqueue(JobId id, QueueId queue = 1, Micros due = kAlways);
  /* Completes in a transaction of its own, with an outcome row. */
  Verdict complete(const ClaimedJob& job);

  void load(Micros budget = kMinute) {
    do {
      key_blocks().step();
    } while (loader().step(budget));
  }
  void sweep() {
    while (sweeper().step()) {
    }
  }

  FakeLog& log() { return *log_; }
  FakeStore& store() { return *store_; }
  Loader& loader() { return *loader_; }
  KeyBlocks& key_blocks() { return *key_blocks_; }
  KeyWeights& key_weights() { return *key_weights_; }
  Sweeper& sweeper() { return *sweeper_; }
  LoggedJob logged(JobId id, QueueId queue = 1) {
    return log().look_up(log().snapshot(), queue, id);
  }

 private:
  void make_housekeeper();

  QueueOptions options_;
  std::int64_t epoch_ = kEpoch;
  std::unique_ptr<FakeLog> log_;
  std::unique_ptr<FakeStore> store_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<KeyBlocks> key_blocks_;
  std::unique_ptr<KeyWeights> key_weights_;
  std::unique_ptr<Sweeper> sweeper_;
};

}  // namespace dw::test
