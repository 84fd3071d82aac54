/*
 * Prepared transactions that are older than the arena.
 *
 * After a start or a promotion the arena is empty, and transactions may be there that were prepared
 * before. What they wrote is in the log and seen by no snapshot. Loaded from what snapshots see, a
 * job that one of them completed would be handed out, and then be completed twice. So before the
 * database is opened, and so before anybody can claim or decide, the log is read for their rows:
 *
 *   1. The prepared transactions are listed, but for those that have left a watch themselves. One
 *      that is prepared later does.
 *   2. Outcomes: each job that one decides gets an entry, `completing`, that hangs on the watch.
 *   3. Rows of jobs: pages with rows of one are remembered, and room is reserved for them. Of a job
 *      from 2 the row that snapshots see gives its entry the address by which the loader knows it.
 *
 * One that ends meanwhile does no harm: what was not found by then is seen by the loader's first
 * snapshot, what was found is finished like the rest.
 *
 * At its end such an entry goes, whatever the end, and the pages of its row are read again: the log
 * says what has become of the job. A lease did not survive in any case.
 *
 * Jobs that are redriven need no entry: nobody but a redrive decides a dead letter, and its row is
 * locked. A row in parked counts as a new job unless an outcome says that the job was there before.
 */
#pragma once

#include "core/id_set.hpp"
#include "core/loader.hpp"
#include "core/store.hpp"
#include "core/watch.hpp"

#include <map>
#include <vector>

namespace dw::core {

class PreparedScan {
 public:
  PreparedScan(Dispatcher* dispatcher, Index database, Store* store)
      : dispatcher_(dispatcher), store_(store), database_(database) {}

  void set_queues(const Loader::QueueTopic* queues, std::size_t n) {
    queues_.assign(queues, queues + n);
  }
  /* May throw; then it is to be called again before the database is opened. */
  void run();
  /* Of the last run. */
  [[nodiscard]] std::size_t found() const { return writers_.size(); }

 private:
  struct NewJobs {
    std::uint32_t count = 0;
    JobId least = kNever;
    JobId most = kAlways;
  };
  struct Writer {
    TransactionNumber transaction;
    Index watch;
    BoundedRanges job_pages;
    BoundedRanges outcome_pages;
    std::map<QueueId, NewJobs> jobs;
  };
  struct Decided {
    std::size_t writer;
    Token token;
    OutcomeKind outcome; /* its end, if it has one */
    JobRow row;
  };
  using JobKey = std::pair<QueueId, JobId>;
  class Rows;
  class Addresses;
  friend class Rows;
  friend class Addresses;

  bool list_writers();
  void scan_outcomes();
  void scan_jobs();
  void take_outcome(Writer& writer, std::uint8_t segment, std::uint32_t block,
                    const StoredOutcome& outcome);
  void take_job(Writer& writer, std::uint8_t segment, std::uint32_t block, const StoredJob& job);
  void take_address(const StoredJob& job);
  void hold();
  void hold_decided(const JobKey& key, const Decided& decided);
  void hold_jobs(const Writer& writer, QueueId queue, const NewJobs& jobs);
  [[nodiscard]] Writer* find_writer(TransactionNumber transaction);

  Dispatcher* dispatcher_;
  Store* store_;
  Index database_;
  std::vector<Loader::QueueTopic> queues_;
  std::vector<Writer> writers_;
  std::map<JobKey, Decided> decided_;
  IdSet not_new_; /* jobs with a row in parked that were there before, somewhere */
};

}  // namespace dw::core
