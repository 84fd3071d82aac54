/*
 * The log as the housekeeper's protocols see it. In the server it is the segment tables, read page
 * by page; in tests and in the simulation a model of them. Functions may throw; whoever drives a
 * protocol aborts the transaction then and tries again later.
 */
#pragma once

#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include <string_view>

namespace dw::core {

/* A job row as it lies on a page. */
struct StoredJob {
  JobRow row; /* row.queue is filled in by the loader */
  std::int32_t topic;
  Micros expires_at; /* kNever: none */
};

/* An outcome row as it lies on a page; the body is only valid until the next call. */
struct StoredOutcome {
  JobId first_id;
  bool batch;
  const unsigned char* body;
  std::size_t length;
};

/* Receives rows; returning false ends the scan of the page. */
class JobSink {
 public:
  virtual ~JobSink() = default;
  virtual bool take(const StoredJob& job) = 0;
};
class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  virtual bool take(const StoredOutcome& outcome) = 0;
};

/* Receives rows that no snapshot sees yet, with the top transaction that wrote them. */
class PreparedSink {
 public:
  virtual ~PreparedSink() = default;
  virtual void take(TransactionNumber writer, const StoredJob& job) = 0;
  virtual void take(TransactionNumber writer, const StoredOutcome& outcome) = 0;
};

/* What became of a transaction. */
enum class Fate : std::uint8_t {
  open,
  committed,
  aborted,
  forgotten, /* so long ago that the server does not know any more */
};

/* A place in the order in which parked rows are read, by their stored due times. */
struct ParkedPlace {
  Micros due;
  JobId id;
};

/* One lease that ended without an answer, or one overdue job. */
struct Expiry {
  JobId id;
  Token token;
  QueueId queue;
  std::uint8_t segment;
  std::uint32_t block;
  std::uint16_t offset;
  std::int32_t attempt;
  OutcomeKind outcome; /* attempt_failed or dead_lettered */
  Lapse reason;
  std::uint32_t key_hash;
  std::uint32_t key_check;
  bool blocks_key;              /* its key is blocked from here on */
  JobId takes_along;            /* and followers below this id become dead letters too; 0: none */
  char worker[kWorkerNameSize]; /* empty: nobody held it */
};

/* A row of the table of blocked keys. */
struct KeyBlock {
  QueueId queue;
  std::uint32_t key_hash;
  std::uint32_t key_check;
  JobId job;
  JobId takes_along;
};

class KeyBlockSink {
 public:
  virtual ~KeyBlockSink() = default;
  virtual void take(const KeyBlock& block) = 0;
};

class KeyWeightSink {
 public:
  virtual ~KeyWeightSink() = default;
  virtual void take(const KeyWeight& row) = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  /* A READ COMMITTED transaction with a snapshot taken now, used by all reads until the end. */
  virtual void begin() = 0;
  /* End of the log when the transaction began: all commits that its snapshot sees lie before. */
  virtual std::uint64_t log_position() = 0;
  virtual void commit() = 0;
  /* After an error; never throws. */
  virtual void abort() noexcept = 0;

  virtual std::uint32_t job_blocks(std::uint8_t segment) = 0;
  virtual std::uint32_t outcome_blocks(std::uint8_t segment) = 0;
  /* Rows of one page that the snapshot sees. A page past the end has none. */
  virtual void scan_jobs(std::uint8_t segment, std::uint32_t block, JobSink& sink) = 0;
  virtual void scan_outcomes(std::uint8_t segment, std::uint32_t block, OutcomeSink& sink) = 0;
  /* Parked rows of one topic in the order of (due, id), behind that place and due up to `until`
   * (inclusive). */
  virtual void scan_parked(std::int32_t topic, ParkedPlace after, Micros until, JobSink& sink) = 0;
  /* The next rows of the parked table with a higher id, in order of id, as many as are read at
   * once; none after the last one. */
  virtual void scan_parked_by_id(JobId after, JobSink& sink) = 0;
  /* First id on a page of a segment, whoever sees it; kNever: there is none. */
  virtual JobId first_job_id(std::uint8_t segment, std::uint32_t block) = 0;
  virtual void scan_key_blocks(KeyBlockSink& sink) = 0;
  virtual void scan_key_weights(KeyWeightSink& sink) = 0;
  /* In the transaction begun. */
  virtual void remove_key_block(QueueId queue, JobId job) = 0;

  /* --- prepared transactions --- */
  /* Those of this database, at most `most`; the number there are. */
  virtual std::size_t list_prepared(TransactionNumber* out, std::size_t most) = 0;
  /* Rows of one page whose writer is still open, prepared or not. */
  virtual void scan_open_jobs(std::uint8_t segment, std::uint32_t block, PreparedSink& sink) = 0;
  virtual void scan_open_outcomes(std::uint8_t segment, std::uint32_t block,
                                  PreparedSink& sink) = 0;
  /* The same of all rows of parked. */
  virtual void scan_open_parked(PreparedSink& sink) = 0;
  /* Needs no begin(). A snapshot taken after an answer that is not `open` sees what it committed.
   */
  virtual Fate fate(TransactionNumber transaction) = 0;

  /* Writes attempt_failed (next due: now) or dead_lettered for each, in the transaction begun. */
  virtual void write_expiries(const Expiry* expiries, std::size_t n, Micros now) = 0;
};

}  // namespace dw::core
