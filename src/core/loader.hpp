/*
 * The loader: makes jobs resident that are only on disk.
 *
 * Start-up, crash recovery, promotion, restore and the refill of a spilled queue are one protocol,
 * run by the housekeeper alone. A queue that has something to load has a set of pages to scan;
 * commits add to its dirty pages. The work is cut into chunks. A chunk, in this order:
 *
 *   1. Under each queue's lock: the chunk becomes active, dirty pages move to the scan set, and a
 * queue that is near the tail and has room goes to HANDOVER, from where commits link their own
 * jobs.
 *   2. Outcome pages noted by commits move to the outcome scan set. Both before 3: a commit that
 * comes between is either seen by the snapshot or still noted for the next chunk.
 *   3. A new snapshot, for jobs and outcomes alike.
 *   4. Outcome pages, all that are noted; then job pages. A row that the snapshot sees, that is not
 * finished and not resident, becomes resident. A job finished meanwhile is still there as a
 * tombstone, so it is skipped. No room ends the chunk for that queue.
 *   5. Under each queue's lock: tombstones go; nothing left to scan and nothing dirty makes the
 * queue LIVE.
 *
 * What is due far ahead, or what the limit on waiting entries leaves no room for, is remembered by
 * page with the time when the page is to be looked at again. Rows of the parked table come in by
 * due time, see loader_parked.cpp.
 */
#pragma once

#include "core/aside_keys.hpp"
#include "core/known_outcomes.hpp"
#include "core/page_classes.hpp"
#include "core/store.hpp"

#include <limits>
#include <vector>

namespace dw::core {

class Loader {
  /* What found no room, or too many sleepers, in parked. */
  static constexpr Micros kParkedRetry = 1 * kSecond;
  /* A job that somebody was about to decide when its row was read. */
  static constexpr Micros kBusyRetry = 50 * kMillisecond;
  /* A queue that has nothing to hand out, and whose room others hold. */
  static constexpr Micros kRoomRetry = 100 * kMillisecond;

 public:
  Loader(Dispatcher* dispatcher, Index database, Store* store, AsideKeys* aside)
      : dispatcher_(dispatcher), store_(store), aside_(aside), database_(database) {}

  /* How far ahead jobs are kept resident. */
  void set_horizon(Micros horizon) { horizon_ = horizon; }
  /* The queues there are. One that is new here is scanned whole unless it is live. */
  struct QueueTopic {
    QueueId id;
    std::int32_t topic;
  };
  void set_queues(const QueueTopic* queues, std::size_t n);
  /* Everything is to be loaded again: a reload was asked for, or a housekeeper takes over from one
   * that was ended in the middle of a chunk or a sweep, whose marks in shared memory are taken
   * back. */
  void reset();

  /* True: pages of that segment are still to be read for some queue; asleep: or to be looked at
   * again later. */
  [[nodiscard]] bool has_pages(std::uint8_t segment, bool asleep) const;
  /* The segment was emptied: what is known of its outcomes is of no use any more. */
  void forget_segment(std::uint8_t segment);

  /* Runs one chunk, if there is one to run. True if more can be done at once. May throw; then the
   * caller aborts the store's transaction and may call again. */
  bool step(Micros budget);

  /* Wall time when there may be work again without anybody asking. */
  [[nodiscard]] Micros next_wake() const;
  /* True when no queue has a page left to scan. */
  [[nodiscard]] bool complete() const;
  [[nodiscard]] std::uint64_t loaded() const { return loaded_; }
  [[nodiscard]] std::uint64_t damaged_rows() const { return damaged_; }
  KnownOutcomes& known() { return known_; }

 private:
  struct QueueLoad {
    QueueRef ref;
    QueueId id;
    std::int32_t topic;
    bool whole;   /* every page is to be scanned; known as ranges once the chunk has a snapshot */
    bool active;  /* takes part in the chunk that runs */
    bool full;    /* found no room in it */
    bool starved; /* below its share, and no entry is free */
    bool dry;     /* nothing is ready, and no entry is to be had */
    std::uint8_t limit; /* only jobs of a better priority than this are made resident */
    JobRow left;        /* the first in the order that found no room */
    bool has_left;
    bool made_way; /* others have given way for it: nothing that comes behind it takes its room */
    PageClasses scan;
    RangeList asleep;
    Micros asleep_until;
    bool parked;           /* rows of parked are left to be looked at */
    ParkedPlace parked_at; /* up to here they were */
    Micros parked_tried;   /* when room was last looked for */
    Micros parked_again;   /* when some are to be looked at again; kNever: none */
    Micros parked_from;    /* the earliest stored due time of those */
    bool ordered;          /* see gate.cpp */
    bool raises;           /* the chunk has found out the frontier */
    JobId frontier;
    JobId parked_id;                 /* rows of parked up to here were gathered */
    JobId parked_busy_id;            /* the first of them that somebody was about to decide */
    JobId busy_from;                 /* the first of those that somebody was about to decide */
    std::vector<StoredJob> rows;     /* of the page being read */
    std::vector<StoredJob> gathered; /* of an ordered queue: unfinished ones of the pages read */
    JobId first_gathered;            /* the lowest of their ids */
    std::size_t most_gathered;
  };
  class ChunkEnd;
  friend class ChunkEnd;
  class PageRows;
  class ParkedRows;
  class ParkedById;
  class OutcomeRows;

  bool choose();
  bool has_room(Queue& q);
  std::uint8_t limit_of(const QueueLoad& load, Queue& q);
  static bool is_raised(const Queue& q) noexcept;
  bool make_way(QueueLoad& load, Queue& q) noexcept;
  void take_parked_left(QueueLoad& load, Queue& q) noexcept;
  void begin_chunk();
  void end_chunk() noexcept;
  bool scan_outcomes(Micros until);
  bool scan_jobs(Micros until);
  void go_back_to_id(QueueLoad& load, JobId id) noexcept;
  void gather_parked(QueueLoad& load, Micros until);
  void gather(QueueLoad& load, const StoredJob& job, std::uint8_t segment);
  void leave(QueueLoad& load, const JobRow& row);
  void gather_rows(QueueLoad& load, std::uint8_t segment, std::uint32_t block);
  [[nodiscard]] bool is_stuck(const QueueLoad& load);
  [[nodiscard]] bool is_stuck();
  [[nodiscard]] JobId first_page_left(const QueueLoad& load);
  [[nodiscard]] static JobId first_other_left(const QueueLoad& load);
  void link_ordered();
  void link_gathered(QueueLoad& load);
  LinkResult link_in_order(QueueLoad& load, Queue& q, const StoredJob& job, Micros now);
  void raise_frontier(QueueLoad& load) noexcept;
  void load_page(std::uint8_t segment, std::uint32_t block);
  void prepare_rows(QueueLoad& load, std::uint8_t segment);
  std::uint8_t link_prepared(QueueLoad& load, Queue& q, std::uint8_t segment, std::uint8_t limit,
                             Micros* look_again);
  void link_rows(QueueLoad& load, std::uint8_t segment, std::uint32_t block);
  void take_over(Queue& q) noexcept;
  void wake_parked(Micros now);
  bool scan_parked(Micros until);
  bool take_parked(QueueLoad& load, StoredJob job);
  static void forget_parked(QueueLoad& load);
  void list_pages();
  void go_back(QueueLoad& load, Micros due);
  static void look_again(QueueLoad& load, Micros at, Micros stored);
  bool relieve();
  void wake_sleepers(Micros now);
  void rank_segments();
  [[nodiscard]] bool is_before(const BlockRange& a, std::uint8_t segment,
                               std::uint32_t block) const;
  [[nodiscard]] const BlockRange& first_range(const RangeList& pages) const;
  [[nodiscard]] bool next_page(std::uint8_t* segment, std::uint32_t* block) const;
  [[nodiscard]] bool out_of_time(Micros until) const {
    return dispatcher_->platform().monotonic_now() >= until;
  }

  Dispatcher* dispatcher_;
  Store* store_;
  AsideKeys* aside_;
  Index database_;
  Micros horizon_ = 15 * kMinute;
  std::vector<QueueLoad> queues_;
  KnownOutcomes known_;
  RangeList outcome_pages_;
  bool all_outcomes_ = true;
  std::uint8_t rank_[kSegments] = {}; /* order of the segments' ids */
  bool overtaking_ = false;           /* room was made for jobs that are to overtake others */
  std::uint64_t loaded_ = 0;
  std::uint64_t damaged_ = 0;
};

}  // namespace dw::core
