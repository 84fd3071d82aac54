/*
 * A client's transaction with the rows that it writes: enqueues, changes of waiting jobs, and the
 * end of all jobs of a queue, in the order in which the extension's functions do it. The parts of
 * its commit are called one by one, so that others can act between them.
 */
#pragma once

#include "fake_log.hpp"

#include "core/transaction.hpp"

#include <functional>
#include <vector>

namespace dw::test {

class Client {
 public:
  using Edit = std::function<void(JobRow&)>;

  Client(FakeLog* log, Dispatcher* dispatcher, Index database, DatabaseOid oid,
         std::uint32_t writer);

  [[nodiscard]] Transaction& transaction() { return transaction_; }
  [[nodiscard]] std::int32_t level() const { return static_cast<std::int32_t>(xids_.size()); }
  [[nodiscard]] Xid xid() const { return xids_.back(); }

  void savepoint();
  void release();
  void roll_back();

  void enqueue(JobRow row);
  /* Gives a job that this transaction enqueued another row. */
  Verdict replace(JobId id, const Edit& edit);

  /* Gives a waiting job another row; decided() is what it was before. */
  Verdict change(JobId id, const Edit& edit, bool again = false,
                 OutcomeKind kind = OutcomeKind::payload_replaced);
  /* The same for a job that has no entry: takes it behind a placeholder, and writes its row. */
  Verdict take_from_disk(JobId id, QueueId queue);
  void put_row(const Edit& edit, OutcomeKind kind = OutcomeKind::payload_replaced);
  /* Lets a job that lies in a segment wait until then; its row stays. */
  Verdict reschedule(JobId id, Micros due, bool again = false);
  /* Takes a waiting job and writes nothing. */
  Verdict hold(JobId id, bool again = false);
  Verdict cancel(JobId id, OutcomeKind kind = OutcomeKind::cancelled);
  [[nodiscard]] const Decided& decided() const { return decided_; }

  /* The steps of a purge. */
  bool withhold(QueueId queue);
  [[nodiscard]] bool all_resident() const { return all_resident_; }
  std::vector<JobId> purge_resident();
  /* Takes the snapshot by which it reads what is on disk. */
  void look() { snapshot_ = log_->snapshot(); }
  std::vector<JobId> purge_on_disk(std::uint8_t segment);
  void stop_reading();
  /* All of them, and how many jobs end. */
  std::size_t purge(QueueId queue);

  void pre_commit();
  /* The commit record: others see its rows. */
  void show() { log_->commit(xids_.front()); }
  void call_back() { transaction_.commit(log_->snapshot()); }
  void commit();
  void abort();

 private:
  void write(OutcomeKind kind, std::uint8_t segment, const OutcomeMember& member);
  void reserve() {
    transaction_.reserve(4);
    transaction_.reserve_rows(8);
  }

  FakeLog* log_;
  Dispatcher* dispatcher_;
  Index database_;
  std::uint32_t writer_;
  Transaction transaction_;
  std::vector<Xid> xids_; /* one for each level */
  Decided decided_{};
  std::size_t action_ = 0;
  QueueId purged_ = 0;
  QueueRef slot_{kNone, 0};
  bool all_resident_ = false;
  Snapshot snapshot_ = 0;
};

}  // namespace dw::test
