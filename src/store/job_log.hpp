/*
 * Job rows: appended through the table access method, read by their address.
 */
#pragma once

#include "core/dispatcher.hpp"
#include "pg/headers.hpp"
#include "store/catalog.hpp"

namespace dw::store {

/* A job about to be written. Times are TimestampTz; available_at 0 means at once. */
struct NewJob {
  core::JobId id;
  int32 topic;
  core::QueueId queue;
  uint32 key_hash;
  int16 priority;
  int16 max_attempts; /* 0: the queue's */
  TimestampTz enqueued_at;
  TimestampTz available_at;
  TimestampTz expires_at;
  bool has_available_at;
  bool has_expires_at;
  bool has_partition_key;
  bool has_headers;
  Datum partition_key; /* text */
  Datum payload;       /* jsonb */
  Datum headers;       /* jsonb */
};

/* The next job id; ids rise, but not in the order of commits. */
core::JobId next_job_id();

/*
 * Appends the rows, in order, to the segment of their ids, or to parked when due beyond the timer
 * horizon, and fills in where each went. Takes and keeps RowExclusiveLock on the tables. Index
 * entries are made.
 */
void insert_jobs(const NewJob* jobs, int n, core::JobRow* rows);

/*
 * The same for jobs that are to lie in parked, whenever they are due. A job that has a row there
 * gets its columns anew; was_there says so. Nobody else may change that row.
 */
void put_parked(const NewJob* jobs, int n, core::JobRow* rows, bool* was_there);

/* Removes a row from its slot that this transaction has written, in an earlier command. */
void remove_own_job(const core::JobRow& row);

/* A stored row. Datums are copies in the current memory context, detoasted. */
struct JobTuple {
  core::JobId id;
  int32 topic;
  uint32 key_hash;
  int16 priority;
  int16 max_attempts; /* 0: null */
  TimestampTz enqueued_at;
  TimestampTz available_at;
  TimestampTz expires_at;
  bool has_available_at;
  bool has_expires_at;
  bool has_partition_key;
  bool has_headers;
  Datum partition_key;
  Datum payload;
  Datum headers;
  uint32 block; /* where it lies */
  uint16 offset;
  uint8 segment;
};

/* What the dispatcher knows of it when nothing has happened to it since. */
core::JobRow job_row(const JobTuple& job, core::QueueId queue);

/*
 * Reads rows by address: no visibility test and no hint bit, since the dispatcher's entry proves
 * the commit. found[i] is false where the row is not the one with jobs[i].id, or where the table is
 * locked against readers.
 */
void read_jobs(const core::ClaimedJob* jobs, int n, JobTuple* tuples, bool* found);

/* Finds a job by id with the latest snapshot, in its segment or in parked. */
bool find_job(core::JobId id, JobTuple* tuple);

/* The segment of an id whose row is not in parked; kParkedSegment: none, or it is not known here.
 */
uint8 segment_of(core::JobId id);

/* Before an outcome of a job that has ended is written: its slot is not emptied until this
 * transaction ends. false: it has been emptied, and nothing must be written there, or the slot
 * could not be begun again. */
bool keep_slot(uint8 segment, core::JobId id);

}  // namespace dw::store
