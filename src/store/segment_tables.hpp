/*
 * The segments of the log as tables: core::SegmentLog for the rotation, and the table
 * durable_work.segment that says which are in use.
 *
 * Each function is a transaction of its own, called by the housekeeper outside of one. None waits
 * for a lock for longer than the housekeeper's lock_timeout.
 */
#pragma once

#include "core/segment_log.hpp"

#include "pg/headers.hpp"

#include "store/page_store.hpp"

namespace dw::store {

class SegmentTables final : public core::SegmentLog {
 public:
  SegmentTables(core::Dispatcher* dispatcher, core::Index database, PageStore* pages)
      : dispatcher_(dispatcher), database_(database), pages_(pages) {}

  std::int32_t last_topic() override;
  core::SegmentFacts facts(std::uint8_t segment) override;
  core::JobId begin(std::uint8_t segment, std::uint32_t ahead) override;
  void skip_ids(core::JobId first) override;
  bool make_quiet(std::uint8_t segment, std::int32_t* pid) override;
  std::uint64_t now_in_transactions() override;
  bool all_snapshots_behind(std::uint64_t point, std::int32_t* pid) override;
  bool empty(std::uint8_t segment, std::int32_t* pid) override;
  void relocate(std::uint8_t segment, const core::Straggler* jobs, std::size_t n,
                core::Relocation* results) override;

 private:
  core::Dispatcher* dispatcher_;
  core::Index database_;
  PageStore* pages_;
  /* When a segment was opened, for as long as its first id is this. */
  struct Opened {
    core::JobId first_id;
    TimestampTz at; /* 0: not known */
  };
  Opened opened_[core::kSegments] = {};
};

/*
 * Tells the dispatcher which segments the tables say are in use; in a transaction. at_start: nobody
 * can have written to a segment that is not known yet, so one that was announced and never used is
 * forgotten.
 */
void read_segments(core::Index database, bool at_start);

/* Moves the jobs, each in a subtransaction; in a transaction. */
void relocate_jobs(uint8 segment, const core::Straggler* jobs, std::size_t n,
                   core::Relocation* results);

}  // namespace dw::store
