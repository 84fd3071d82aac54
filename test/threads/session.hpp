/*
 * A client in a thread of its own: transactions that enqueue, claim, decide, cancel and change
 * jobs, with savepoints and rollbacks; sleep while there is nothing to do; go away in the middle.
 */
#pragma once

#include "stage.hpp"

#include "core/transaction.hpp"

#include <optional>
#include <string>
#include <vector>

namespace dw::test {

class Session {
 public:
  Session(Stage* stage, int number);

  /* Until enough was done. */
  void run();
  /* One operation, and perhaps the end of the transaction. */
  void act();
  /* Hands out what there is of a queue and completes it; how many. */
  std::uint32_t work_off(QueueId queue);

 private:
  struct Held {
    JobId id;
    Token token;
    QueueId queue;
    std::int32_t level; /* of the claim, if its transaction is open; 0: it is committed */
  };
  struct Effect {
    JobId id;
    Token token; /* under which it ends; 0: it was enqueued */
    QueueId queue;
    std::int32_t level;
  };

  [[nodiscard]] Dispatcher& d() { return stage_->d(); }
  [[nodiscard]] static std::uint64_t draw(std::uint64_t below) {
    return ThreadedPlatform::draw(below);
  }
  [[nodiscard]] static bool chance(int percent) { return ThreadedPlatform::chance(percent); }
  [[nodiscard]] std::int32_t level() const { return static_cast<std::int32_t>(xids_.size()); }
  [[nodiscard]] QueueRef ref_of(QueueId queue);

  void begin();
  void commit();
  void abort();
  void savepoint();
  void roll_back();
  void end_savepoint();

  void enqueue();
  void enqueue_one(QueueId queue);
  bool take_room(QueueRef ref, JobRow* row);
  void claim();
  std::uint32_t claim_from(QueueId queue, std::uint32_t n, const RequestRef* request);
  void claim_with_request(QueueId queue);
  void sleep(QueueId queue);
  void decide();
  void decide_held(std::size_t which, Decision decision, OutcomeKind kind);
  void keep_lease();
  void cancel_or_change();
  void take_from_disk();
  void await_one();

  void write(const Decided& decided, OutcomeKind kind, Micros due);
  void settle(const Decided& decided, std::size_t action, Decision decision, OutcomeKind kind,
              Micros due);
  [[nodiscard]] JobId any_job();
  void forget_lease(JobId id);
  WorkerRef worker();
  const Claimant* claimant(QueueId queue);

  Stage* stage_;
  int number_;
  std::string name_;
  Transaction transaction_;
  std::vector<Xid> xids_; /* one for each level; empty: none is open */
  std::vector<Held> held_;
  std::vector<Effect> effects_;
  std::vector<ClaimedJob> claimed_;
  std::uint64_t requests_ = 0;
  std::uint32_t transactions_ = 0;
  JobId last_enqueued_ = 0;
  Claimant claimant_{};
};

}  // namespace dw::test
