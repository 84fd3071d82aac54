/*
 * Is every job of a quiet segment finished, in every queue that sees it?
 *
 * Outcomes are read first, then rows of jobs, in chunks with a snapshot each. Both may be read by
 * different snapshots: no row of a job is added to a quiet segment, whoever wrote one has ended
 * before, and what is final stays so. An end that commits while the check runs may be missed; then
 * the job is listed as unfinished, and asking for it by itself shows its end.
 */
#pragma once

#include "core/id_set.hpp"
#include "core/store.hpp"

#include <map>
#include <vector>

namespace dw::core {

/* A queue that reads a topic, and how long its finished jobs are kept. */
struct QueueKeep {
  QueueId id;
  std::int32_t topic;
  Micros retention;
};

class DrainCheck {
 public:
  /* Unfinished jobs beyond these are counted but not listed. */
  static constexpr std::size_t kMostListed = 2'000'000;

  /* Jobs of a topic that no queue reads were those of a queue that is gone, if the topic's number
   * is not above last_topic; else of one whose row a restore has still to bring. */
  void begin(std::uint8_t segment, const std::vector<QueueKeep>& queues, std::int32_t last_topic);
  /* Reads for about that long. True: done. May throw; then it is to be begun anew. */
  bool step(Store& store, const Platform& platform, Micros budget);

  [[nodiscard]] std::uint8_t segment() const { return segment_; }
  /* Rows of jobs that a queue sees. */
  [[nodiscard]] std::int64_t jobs() const { return jobs_; }
  [[nodiscard]] std::int64_t unfinished() const { return unfinished_; }
  /* In the order of their ids; not all if there are more than are listed. */
  [[nodiscard]] std::vector<Straggler>& stragglers() { return stragglers_; }
  [[nodiscard]] bool all_listed() const {
    return static_cast<std::int64_t>(stragglers_.size()) == unfinished_;
  }
  /* Wall time of the last outcome of each queue. */
  [[nodiscard]] const std::map<QueueId, Micros>& last_ends() const { return last_ends_; }

 private:
  class OutcomeRows;
  class JobRows;
  void take_outcome(const StoredOutcome& outcome);
  void take_job(const StoredJob& job);

  std::uint8_t segment_ = 0;
  std::uint32_t block_ = 0;
  bool reading_jobs_ = false;
  std::multimap<std::int32_t, QueueId> queues_; /* by topic */
  std::int32_t last_topic_ = 0;
  IdSet ended_;
  std::int64_t jobs_ = 0;
  std::int64_t unfinished_ = 0;
  std::vector<Straggler> stragglers_;
  std::map<QueueId, Micros> last_ends_;
};

}  // namespace dw::core
