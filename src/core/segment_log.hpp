/*
 * What the rotation of segments needs from the log beyond reading it. In the server these are
 * transactions on the tables of a segment; in tests a model of them. Functions may throw; whoever
 * drives the rotation ends the open transaction then and tries again later.
 */
#pragma once

#include "core/dispatcher.hpp"

namespace dw::core {

struct SegmentFacts {
  std::uint32_t job_pages;
  std::uint64_t bytes; /* of all its tables */
  Micros opened_at;    /* wall */
};

/* What became of a job that was to be moved. */
enum class Relocation : std::uint8_t {
  moved,
  finished, /* or gone */
  held,     /* by a worker, or by an open transaction */
  no_room,  /* for its entry */
};

class SegmentLog {
 public:
  virtual ~SegmentLog() = default;

  /* The highest number that a topic was given. */
  virtual std::int32_t last_topic() = 0;
  virtual SegmentFacts facts(std::uint8_t segment) = 0;
  /* Writes, and commits, that the segment begins with an id that lies at least `ahead` blocks of
   * ids above all given so far; returns that id. 0: its tables are not empty, or in use. */
  virtual JobId begin(std::uint8_t segment, std::uint32_t ahead) = 0;
  /* Uses up ids until those from `first` on are given. */
  virtual void skip_ids(JobId first) = 0;
  /* Calls make_quiet() while no transaction is open that has written jobs to the segment. False:
   * there is one; *pid is its process, if known. */
  virtual bool make_quiet(std::uint8_t segment, std::int32_t* pid) = 0;
  /* A point in the order of transactions behind everything that has been written so far; and
   * whether every snapshot of the database that may still be used lies behind it. *pid: of one that
   * does not. */
  virtual std::uint64_t now_in_transactions() = 0;
  virtual bool all_snapshots_behind(std::uint64_t point, std::int32_t* pid) = 0;
  /* Truncates the segment's tables, if nobody holds a lock on them, and calls empty_segment() at
   * the commit. False: *pid does. */
  virtual bool empty(std::uint8_t segment, std::int32_t* pid) = 0;
  /* Moves waiting jobs of the segment to parked in one transaction. */
  virtual void relocate(std::uint8_t segment, const Straggler* jobs, std::size_t n,
                        Relocation* results) = 0;
};

}  // namespace dw::core
