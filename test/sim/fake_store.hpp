/*
 * The housekeeper's view of the log in memory. Between any two of its calls others can act
 * (on_call), and any call can be made to fail.
 */
#pragma once

#include "fake_log.hpp"

#include <functional>
#include <stdexcept>

namespace dw::test {

/* The error of a call that a test made fail. */
class StoreError : public std::runtime_error {
 public:
  StoreError() : std::runtime_error("the store failed") {}
};

class FakeStore : public Store {
 public:
  enum class Call {
    before_snapshot,
    after_snapshot,
    scan_jobs,
    scan_outcomes,
    scan_parked,
    scan_key_blocks,
    scan_key_weights,
    list_prepared,
    written, /* expiries are written, not committed */
    before_commit,
    committed, /* visible to others, and the caller does not know it yet */
  };

  /* The writer number of its own rows. */
  FakeStore(FakeLog* log, std::uint32_t writer, Dispatcher* dispatcher, Index database)
      : log_(log), dispatcher_(dispatcher), writer_(writer), database_(database) {}

  /* Called at each point named above; may throw, but not from `committed`. */
  std::function<void(Call)> on_call;
  /* Called for each expiry that is written. */
  std::function<void(const Expiry&)> on_expiry;
  /* Called when the row of a blocked key is deleted. */
  std::function<void(QueueId, JobId)> on_key_freed;
  /* A protocol that calls the store without end fails instead of hanging the tests. */
  std::uint64_t calls_left = 1'000'000;

  void begin() override;
  std::uint64_t log_position() override { return log_->snapshot(); }
  void commit() override;
  void abort() noexcept override;
  std::uint32_t job_blocks(std::uint8_t segment) override;
  std::uint32_t outcome_blocks(std::uint8_t segment) override;
  void scan_jobs(std::uint8_t segment, std::uint32_t block, JobSink& sink) override;
  void scan_outcomes(std::uint8_t segment, std::uint32_t block, OutcomeSink& sink) override;
  void scan_parked(std::int32_t topic, ParkedPlace after, Micros until, JobSink& sink) override;
  void scan_parked_by_id(JobId after, JobSink& sink) override;
  JobId first_job_id(std::uint8_t segment, std::uint32_t block) override;
  void scan_key_blocks(KeyBlockSink& sink) override;
  void scan_key_weights(KeyWeightSink& sink) override;
  void remove_key_block(QueueId queue, JobId job) override;
  std::size_t list_prepared(TransactionNumber* out, std::size_t most) override;
  void scan_open_jobs(std::uint8_t segment, std::uint32_t block, PreparedSink& sink) override;
  void scan_open_outcomes(std::uint8_t segment, std::uint32_t block, PreparedSink& sink) override;
  void scan_open_parked(PreparedSink& sink) override;
  Fate fate(TransactionNumber transaction) override;
  void write_expiries(const Expiry* expiries, std::size_t n, Micros now) override;

 private:
  void at(Call call) {
    if (calls_left == 0) throw std::logic_error("the store is called without end");
    calls_left--;
    if (on_call) on_call(call);
  }
  void require_transaction() const {
    if (xid_ == kNoXid) throw std::logic_error("the store is used outside a transaction");
  }

  FakeLog* log_;
  Dispatcher* dispatcher_;
  std::uint32_t writer_;
  Index database_;
  /* Outcome pages of the open transaction: noted once it has committed, before the caller frees
   * anything. */
  std::vector<std::pair<std::uint8_t, std::uint32_t>> pages_;
  Xid xid_ = kNoXid;
  Snapshot snapshot_ = 0;
};

}  // namespace dw::test
