/*
 * The census: how many jobs of each queue are unfinished, exactly.
 *
 *   unfinished = before + since
 *
 * `since` is kept by commit callbacks, `before` is counted here, once, out of the log. What keeps
 * the two from counting a job twice or not at all is a boundary, drawn under the queue's lock: an
 * id B above every id given so far and a token T above every token given so far.
 *
 *   - a job with id >= B is counted by the commit that enqueues it, and its end by the commit that
 *     ends it;
 *   - a job with id < B is counted by the census if no end with a token < T is in the log. Its end
 *     with a token >= T is counted by the commit that ends it, whether the census saw that end or
 *     not.
 *
 * So it does not matter when a page is read, nor by which snapshot. The two cases left belong to
 * transactions that were open when the boundary was drawn: a commit callback with an id < B, or
 * with an end of a job with id < B under a token < T. Whether the census saw those rows depends on
 * the moment, so the callback marks the count as disturbed, and the census counts again with the
 * same boundary. There are as many such transactions as were open then, so that comes to an end.
 * Only if rows of ended jobs have been removed since is it drawn anew: ends that commits have taken
 * off would not be counted any more.
 * One that decides a job on both sides of the boundary is such a transaction too: its `moved` has a
 * token < T, what became of the job one >= T (Entry.straddles).
 *
 * The boundary is drawn when the database has been opened after a start, for a queue that has rows
 * on disk; a queue that was made since the start has none. When rows came in past the engine
 * (reload), it is drawn anew. Rows of a restore may have ids that the sequence has not reached yet:
 * an id above all given ones that is in the log is counted, and the boundary is raised above it. So
 * are the numbers to be given: the restore will set the sequence, but may not have done so yet.
 *
 * A redrive is counted by its commit if its token is >= T. So a parked row counts if the job waited
 * there when the boundary was drawn: not if its first redrive since then has no death before it
 * since then, for then it was dead, or elsewhere; otherwise, unless its last death before T has no
 * redrive before T after it.
 *
 * Long sleepers are read first, and by id: a job that moves to the parked table afterwards is found
 * at its old place, where an end by `moved` with a token >= T does not count; one that moved before
 * is found at both places, and its `moved`, which is in the log by then, takes it off the parked
 * ones. Outcomes come second, rows of jobs last.
 *
 * The housekeeper runs it in chunks, each with a transaction of its own.
 */
#pragma once

#include "core/id_set.hpp"
#include "core/loader.hpp"
#include "core/store.hpp"

#include <map>
#include <unordered_map>
#include <vector>

namespace dw::core {

class Census {
 public:
  Census(Dispatcher* dispatcher, Index database, Store* store)
      : dispatcher_(dispatcher), store_(store), database_(database) {}

  /* The queues there are. */
  void set_queues(const Loader::QueueTopic* queues, std::size_t n);
  /* Rows came in past the engine: every queue gets a new boundary. */
  void reset();
  /* Runs one chunk, if something is to be counted. True if more can be done at once. May throw;
   * then the caller aborts the store's transaction and may call again. */
  bool step(Micros budget);
  /* A queue waits to be counted, and an id must be given before that is possible. */
  [[nodiscard]] bool needs_job_id() const;
  /* Every queue is counted; and the numbers to be given are above those of all rows that were there
   * when the last count began. */
  [[nodiscard]] bool complete() const;

 private:
  enum class Stage : std::uint8_t { idle, parked, outcomes, jobs };
  struct Listed {
    QueueRef ref;
    QueueId id;
    std::int32_t topic;
  };
  struct Count {
    QueueRef ref;
    QueueId id;
    JobId from_id;
    Token from_token;
    JobId above; /* highest id that nobody was given */
    std::int64_t unfinished;
  };
  /* Deaths and redrives of a parked row; what is early has a token < T. */
  struct Lives {
    Token died = 0; /* early ones: the last */
    Token redriven = 0;
    Token died_since = kNever; /* late ones: the first */
    Token redriven_since = kNever;
    [[nodiscard]] bool waited() const {
      if (redriven_since != kNever && redriven_since < died_since) return false;
      return died <= redriven;
    }
  };
  class ParkedRows;
  class OutcomeRows;
  class JobRows;
  friend class ParkedRows;
  friend class OutcomeRows;
  friend class JobRows;

  [[nodiscard]] bool wanted(const Listed& listed) const;
  bool begin_pass();
  bool draw_boundary(const Listed& listed, Count* count);
  void enter_stage(Stage stage);
  bool scan_parked(Micros until);
  bool scan_pages(Micros until);
  void take_outcome(const StoredOutcome& outcome, bool parked);
  void take_lives(OutcomeReader& reader, Token from_token);
  void settle_lives();
  void take_job(const StoredJob& job);
  void install();
  [[nodiscard]] Count* count_of(QueueId queue);
  [[nodiscard]] bool out_of_time(Micros until) const {
    return dispatcher_->platform().monotonic_now() >= until;
  }

  Dispatcher* dispatcher_;
  Store* store_;
  Index database_;
  std::vector<Listed> queues_;

  Stage stage_ = Stage::idle;
  bool in_chunk_ = false; /* still so at the next call: the chunk failed, the pass begins anew */
  JobId highest_ = 0;     /* of all rows read in this pass */
  JobId given_ = 0;       /* ids from here on were given to nobody when the snapshot was taken */
  std::vector<Count> counts_;
  std::unordered_map<std::int32_t, std::size_t> by_topic_;
  std::unordered_map<QueueId, std::size_t> by_queue_;
  IdSet ended_;  /* rows of segments that are ended by a token < T */
  IdSet parked_; /* parked rows that count */
  std::map<std::pair<QueueId, JobId>, Lives> lives_;
  JobId parked_after_ = kAlways;
  std::uint8_t segment_ = 0;
  std::uint32_t block_ = 0;
  std::uint32_t blocks_[kStores] = {};
};

}  // namespace dw::core
