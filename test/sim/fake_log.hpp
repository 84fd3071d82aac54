/*
 * The log in memory: pages of job and outcome rows, transactions with subtransactions, snapshots.
 *
 * A row is seen by a snapshot if the transaction that wrote it committed before the snapshot was
 * taken; commit order is not insertion order. Where a row lands does not follow its id either: each
 * writer goes on filling the page it used last, as a backend does, however old that page is by
 * then.
 */
#pragma once

#include "core/outcome_sum.hpp"
#include "core/store.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace dw::test {

using namespace dw::core;

using Xid = std::uint32_t;
constexpr Xid kNoXid = 0;
/* How many commits a snapshot sees. */
using Snapshot = std::uint64_t;

struct JobOnPage {
  JobRow row;
  std::int32_t topic;
  Xid xid;
  Xid gone = kNoXid; /* that removed it, or wrote a newer version of it in parked */
};

struct OutcomeOnPage {
  Xid xid;
  JobId first_id;
  bool batch;
  std::vector<unsigned char> body;
};

/* What the log says of one job to one snapshot. */
struct LoggedJob {
  bool exists = false;
  bool finished = false;
  bool dead = false;
  Token redriven = 0;
  JobRow row{}; /* attempts and due time as the outcomes left them */
};

class FakeLog {
 public:
  explicit FakeLog(std::uint32_t rows_a_page = 4) : rows_a_page_(rows_a_page) {}

  Xid begin(Xid parent = kNoXid);
  void abort(Xid xid);
  /* A subtransaction becomes part of its parent. */
  void merge(Xid xid);
  /* Makes everything the transaction and what merged into it wrote visible. */
  void commit(Xid xid);
  [[nodiscard]] bool in_progress(Xid xid) const { return xacts_[xid].state == State::open; }

  [[nodiscard]] Xid top_of(Xid xid) const;
  /* That of whoever begins next. */
  [[nodiscard]] Xid next_xid() const { return static_cast<Xid>(xacts_.size()); }
  [[nodiscard]] bool has_committed(Xid xid) const { return xacts_[xid].state == State::committed; }
  /* Open, and so is everything around it. */
  [[nodiscard]] bool is_open(Xid xid) const;
  /* From here on it ends whoever is gone meanwhile. */
  void prepare(Xid xid) { prepared_.push_back(xid); }
  [[nodiscard]] std::vector<Xid> prepared() const;

  [[nodiscard]] Snapshot snapshot() const { return commits_; }
  [[nodiscard]] bool sees(Snapshot snapshot, Xid xid) const;

  /* Writes a job row on the page that this writer used last in the segment, and says where it went.
   */
  void insert_job(Xid xid, std::uint32_t writer, std::int32_t topic, JobRow* row);
  /* Writes the job's row to parked, in place of one that is there for the writer. True if there was
   * one. */
  bool park_job(Xid xid, std::uint32_t writer, std::int32_t topic, JobRow* row);
  /* Removes a row that the transaction has written itself. */
  void remove_job(Xid xid, const JobRow& row);
  [[nodiscard]] bool sees(Snapshot snapshot, const JobOnPage& job) const {
    return sees(snapshot, job.xid) && !(job.gone != kNoXid && sees(snapshot, job.gone));
  }
  /* Writes an outcome row for each run of members that fits one; the pages they went to. */
  std::vector<std::uint32_t> insert_outcome(Xid xid, std::uint32_t writer, std::uint8_t segment,
                                            OutcomeKind kind, Micros at, QueueId queue,
                                            const std::vector<OutcomeMember>& members);

  [[nodiscard]] const std::vector<std::vector<JobOnPage>>& job_pages(std::uint8_t segment) const {
    return jobs_[segment];
  }
  [[nodiscard]] const std::vector<std::vector<OutcomeOnPage>>& outcome_pages(
      std::uint8_t segment) const {
    return outcomes_[segment];
  }
  void insert_key_block(Xid xid, const KeyBlock& block) {
    key_blocks_.push_back(KeyBlockRow{block, xid, kNoXid});
  }
  /* Weight 1: removes it. */
  void set_key_weight(Xid xid, const KeyWeight& row);
  [[nodiscard]] std::vector<KeyWeight> key_weights(Snapshot snapshot) const;
  void remove_key_block(Xid xid, QueueId queue, JobId job);
  [[nodiscard]] std::vector<KeyBlock> key_blocks(Snapshot snapshot) const;
  /* At once, for everybody. */
  void truncate(std::uint8_t segment);
  [[nodiscard]] std::uint64_t page_count() const;
  /* Reads pages as a client does who asks for one job: its row and all outcomes of its segment. */
  [[nodiscard]] LoggedJob look_up(Snapshot snapshot, QueueId queue, JobId id) const;
  /* The same by parts: its row in one store, and what the outcomes there say of it. */
  [[nodiscard]] LoggedJob find_row(Snapshot snapshot, QueueId queue, JobId id,
                                   std::uint8_t segment) const;
  void add_outcomes(Snapshot snapshot, QueueId queue, JobId id, LoggedJob* found) const;
  [[nodiscard]] bool is_parked(Snapshot snapshot, QueueId queue, JobId id) const {
    return find_row(snapshot, queue, id, kParkedSegment).exists;
  }
  /* Outcomes of a queue's jobs in one segment. */
  [[nodiscard]] std::map<JobId, OutcomeSum> sums(Snapshot snapshot, QueueId queue,
                                                 std::uint8_t segment) const;
  /* The jobs whose row in that segment counts and has no end. */
  [[nodiscard]] std::vector<JobId> unfinished(Snapshot snapshot, QueueId queue,
                                              std::uint8_t segment) const;

 private:
  enum class State : std::uint8_t { open, aborted, committed };
  struct KeyBlockRow {
    KeyBlock block;
    Xid xid;
    Xid gone;
  };
  struct KeyWeightRow {
    KeyWeight row;
    Xid xid;
    Xid gone;
  };
  struct Xact {
    State state;
    Xid parent;
    std::uint64_t commit_number; /* 0 until committed */
  };

  template <typename Page>
  std::uint32_t page_of(std::vector<Page>& pages, std::vector<std::uint32_t>& targets,
                        std::uint32_t writer) const;
  /* A transaction sees what it wrote itself. */
  [[nodiscard]] bool sees_itself(Xid self, Xid xid) const;

  std::uint32_t rows_a_page_;
  std::uint64_t commits_ = 0;
  std::vector<Xid> prepared_;
  std::vector<Xact> xacts_{Xact{State::aborted, kNoXid, 0}};
  std::vector<std::vector<JobOnPage>> jobs_[kStores];
  std::vector<std::vector<OutcomeOnPage>> outcomes_[kStores];
  std::vector<KeyBlockRow> key_blocks_;
  std::vector<KeyWeightRow> key_weights_;
  /* The page each writer used last, by segment. */
  std::vector<std::uint32_t> job_targets_[kStores];
  std::vector<std::uint32_t> outcome_targets_[kStores];
};

}  // namespace dw::test
