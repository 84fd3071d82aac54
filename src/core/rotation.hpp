/*
 * When the segments of the log take the steps of their lives (ring.cpp says what the steps are).
 *
 * The current segment is followed by another when it is old or large enough. One that was left
 * becomes quiet as soon as nobody writes to it; from then on its jobs only finish. Once that seems
 * to be so, or it is old enough for the rest to be worth moving, it is read from end to end
 * (drain_check.hpp): that shows which jobs are unfinished. If they are few they are moved to
 * parked, one small batch after the other. When none is left, the retention of all its queues has
 * passed and no old snapshot can ask for it, its tables are truncated. An end of a job is final, so
 * nothing has to be proved again at that moment: that nobody holds a lock on the tables means that
 * nobody is about to write.
 *
 * A snapshot from before the last outcome or move that looks at the tables for the first time after
 * the truncation would see a job nowhere: pg_dump takes its snapshot first and its locks later. So
 * either all snapshots of the database are younger, or a grace has passed.
 *
 * It runs in the housekeeper, between the steps of the loader and the census, which therefore never
 * see a segment go while they read it. Everything it remembers can be found out again.
 */
#pragma once

#include "core/drain_check.hpp"
#include "core/loader.hpp"
#include "core/segment_log.hpp"

#include <optional>

namespace dw::core {

struct RotationSettings {
  Micros max_age = 3 * 3600 * kSecond;
  std::uint64_t max_size = std::uint64_t{4} << 30;
  Micros grace = 3600 * kSecond;
};

class Rotation {
 public:
  Rotation(Dispatcher* dispatcher, Index database, Store* store, SegmentLog* log, Loader* loader)
      : dispatcher_(dispatcher), store_(store), log_(log), loader_(loader), database_(database) {}

  void set(const RotationSettings& settings) { settings_ = settings; }
  /* What was found out about segments is found out again when there are others. */
  void set_queues(const QueueKeep* queues, std::size_t n);
  /* After an error in the middle of a step. */
  void abandon() { checking_ = false; }

  /* One short step. counting: a census runs, which must find every segment that it has begun to
   * read. arriving: rows come from elsewhere, as in a restore, and those of their queues may come
   * later: nothing is moved or emptied. True: there is more to do at once. May throw. */
  bool step(Micros budget, bool counting, bool arriving = false);
  /* Monotonic time of the next step that is wanted. */
  [[nodiscard]] Micros next_step() const { return next_look_; }

 private:
  /* What is known of a segment that is quiet. */
  struct Known {
    std::uint32_t looked = 0; /* in vain, in a row: sets the pause */
    Micros not_before = 0;    /* monotonic */
    std::optional<Micros> quiet_since;
    bool checked = false; /* `left` has every job that may be unfinished */
    std::vector<Straggler> left;
    std::size_t next = 0;              /* of left, to be moved */
    std::map<QueueId, Micros> ends;    /* last outcome by queue, wall */
    std::optional<std::uint64_t> done; /* in transactions: after its last change */
    Micros done_at = 0;                /* monotonic */
  };

  void follow_current();
  bool work_on(std::uint8_t segment, bool counting);
  bool wait_for_writers(std::uint8_t segment);
  bool is_worth_checking(std::uint8_t segment);
  void end_check();
  bool move_some(std::uint8_t segment);
  bool empty(std::uint8_t segment, bool counting);
  void take_results(Known& known, std::size_t n, const Relocation* results);
  void hold(std::uint8_t segment, const SegmentHold& why);
  void pause(Known& known, Micros longest);
  [[nodiscard]] Micros kept_until(const Known& known, QueueId* queue) const;
  [[nodiscard]] Micros shortest_retention() const;
  [[nodiscard]] std::uint8_t free_segments() const;
  /* Few segments are left: disk space matters more than the cost of moving jobs. */
  [[nodiscard]] bool is_pressed() const { return free_segments() <= 1; }
  [[nodiscard]] bool anything_was_enqueued() const;
  [[nodiscard]] Micros now() const { return dispatcher_->platform().monotonic_now(); }
  [[nodiscard]] Micros wall() const { return dispatcher_->platform().wall_now(); }

  Dispatcher* dispatcher_;
  Store* store_;
  SegmentLog* log_;
  Loader* loader_;
  Index database_;
  RotationSettings settings_;
  std::vector<QueueKeep> queues_;
  Known known_[kSegments];
  DrainCheck check_;
  bool checking_ = false;
  Micros next_look_ = 0;
};

}  // namespace dw::core
