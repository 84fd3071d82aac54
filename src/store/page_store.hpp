/*
 * The log for the loader and the sweep: core::Store on the segment tables.
 *
 * Pages are read past the executor: one share lock a page, one visibility test a row, and only the
 * leading columns are decoded; the rows are copied out before the lock is let go and then handed
 * on. Each function that calls the server does so inside pg::call, because the callers in core have
 * objects to destroy.
 *
 * One instance a process, in memory that is never freed.
 */
#pragma once

#include "core/store.hpp"

#include "pg/headers.hpp"

namespace dw::store {

struct ColumnType;

class PageStore final : public core::Store {
 public:
  PageStore(core::Dispatcher* dispatcher, core::Index database);

  void begin() override;
  std::uint64_t log_position() override { return position_; }
  void commit() override;
  void abort() noexcept override;

  std::uint32_t job_blocks(std::uint8_t segment) override;
  std::uint32_t outcome_blocks(std::uint8_t segment) override;
  void scan_jobs(std::uint8_t segment, std::uint32_t block, core::JobSink& sink) override;
  void scan_outcomes(std::uint8_t segment, std::uint32_t block, core::OutcomeSink& sink) override;
  void scan_parked(std::int32_t topic, core::ParkedPlace after, core::Micros until,
                   core::JobSink& sink) override;
  void scan_parked_by_id(core::JobId after, core::JobSink& sink) override;
  core::JobId first_job_id(std::uint8_t segment, std::uint32_t block) override;
  void scan_key_blocks(core::KeyBlockSink& sink) override;
  void scan_key_weights(core::KeyWeightSink& sink) override;
  void remove_key_block(core::QueueId queue, core::JobId job) override;
  std::size_t list_prepared(core::TransactionNumber* out, std::size_t most) override;
  void scan_open_jobs(std::uint8_t segment, std::uint32_t block, core::PreparedSink& sink) override;
  void scan_open_outcomes(std::uint8_t segment, std::uint32_t block,
                          core::PreparedSink& sink) override;
  void scan_open_parked(core::PreparedSink& sink) override;
  core::Fate fate(core::TransactionNumber transaction) override;
  void write_expiries(const core::Expiry* expiries, std::size_t n, core::Micros now) override;

  /*
   * Rows keep their places until their table is written anew: VACUUM FULL, CLUSTER and some of
   * ALTER TABLE do that. Block numbers from before then say nothing any more, so whoever opens the
   * table next gets an error, and everything must be read again, after forget_files().
   */
  [[nodiscard]] bool tables_rewritten() const { return rewritten_; }
  void forget_files();
  /* The same for one slot whose tables the caller has emptied, and knows it. */
  void forget_files_of(std::uint8_t segment);
  /* Looks whether one was. In a transaction. */
  void check_files();

 private:
  static constexpr int kRowsAtOnce = MaxHeapTuplesPerPage;
  static constexpr int kMostNotes = 256;

  /* A table during a transaction. */
  struct Table {
    Relation relation; /* nullptr: not open */
    BlockNumber blocks;
    pg::RelFileNumber file; /* kept between transactions; InvalidOid: not seen yet */
  };
  struct Note {
    uint8 segment;
    uint32 block;
  };

  void open_table(Table* table, Oid oid, const ColumnType* columns, int count);
  const Table& job_table(std::uint8_t segment);
  const Table& outcome_table(std::uint8_t segment);
  void close_tables();
  int read_job_page(std::uint8_t segment, BlockNumber block);
  int read_outcome_page(std::uint8_t segment, BlockNumber block);
  int read_open_jobs(std::uint8_t segment, BlockNumber block);
  int read_open_outcomes(std::uint8_t segment, BlockNumber block);
  void begin_parked_scan(std::int32_t topic, core::Micros from, core::Micros until);
  int read_parked_rows(core::ParkedPlace after);
  int read_parked_by_id(core::JobId after);
  void end_parked_scan();
  core::JobId read_first_id(std::uint8_t segment, BlockNumber block);
  void write_group(const core::Expiry* const* group, int n, TimestampTz now);
  void note_page(uint8 segment, uint32 block);

  core::Dispatcher* dispatcher_;
  core::Index database_;
  bool rewritten_ = false;
  std::uint64_t position_ = 0;
  Snapshot snapshot_ = nullptr;
  BufferAccessStrategy strategy_ = nullptr;
  Table jobs_[core::kStores] = {};
  Table outcomes_[core::kStores] = {};
  Relation due_index_ = nullptr;
  SysScanDesc parked_scan_ = nullptr;
  /* Outcome pages written; told to the dispatcher after the commit. */
  Note notes_[kMostNotes] = {};
  int note_count_ = 0;
  TransactionId writers_[kRowsAtOnce]; /* of the rows below, when those are of open ones */
  core::StoredJob job_rows_[kRowsAtOnce];
  core::StoredOutcome outcome_rows_[kRowsAtOnce];
  /* Bodies of a page's outcomes; two pages' worth leaves room for alignment. */
  alignas(8) unsigned char bodies_[2 * BLCKSZ];
};

}  // namespace dw::store
