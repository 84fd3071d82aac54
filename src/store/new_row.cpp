#include "store/new_row.hpp"

#include <algorithm>

#include "core/outcome.hpp"

#include "runtime/session.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"

namespace dw::store {

namespace {

void note_row(uint8 segment, uint32 block, int, void*) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve_rows(1);
  transaction.note_written(runtime::level(), segment, block);
}

Datum no_history() {
  JsonBuilder json;
  json.begin_array();
  json.end_array();
  return json.datum();
}

// What was known of a job that comes out of a slot is not in parked_outcome, and goes with the slot
// one day; so it goes along. A job that was never tried has nothing that is worth the look-up.
Datum detail_of(const TakenJob& taken, const char* reason, bool was_there) {
  const core::Decided& job = taken.decided;
  JsonBuilder json;
  json.begin_object();
  json.text("reason", reason);
  if (!was_there)
    json.json("history", job.attempts == 0 ? no_history()
                                           : failure_history(job.id, job.queue_id, job.segment,
                                                             job.token, std::nullopt));
  json.end_object();
  return json.datum();
}

// Whatever is due has a due time there, because the loader finds it by that; and a row has one only
// if it is later than the enqueue, whatever the clock does.
core::JobRow park(NewRow* row, bool* was_there) {
  const TimestampTz earliest = row->job.enqueued_at + 1;
  row->job.has_available_at = true;
  row->job.available_at = row->due == core::kAlways ? earliest : std::max(row->due, earliest);
  core::JobRow parked;
  put_parked(&row->job, 1, &parked, was_there);
  parked.attempts = static_cast<std::uint16_t>(row->attempts);
  return parked;
}

void write_moved(const core::Decided& job, TimestampTz at) {
  const core::OutcomeMember member{job.id, job.token, 0, 0};
  insert_outcome(core::OutcomeKind::moved, at, job.queue_id, job.segment, &member, 1, Datum{0},
                 false, note_row, nullptr);
}

}  // namespace

NewJob columns_of(const JobTuple& job, core::QueueId queue) {
  NewJob row{};
  row.id = job.id;
  row.topic = job.topic;
  row.queue = queue;
  row.key_hash = job.key_hash;
  row.priority = job.priority;
  row.max_attempts = job.max_attempts;
  row.enqueued_at = job.enqueued_at;
  row.has_expires_at = job.has_expires_at;
  row.expires_at = job.expires_at;
  row.has_partition_key = job.has_partition_key;
  row.partition_key = job.partition_key;
  row.payload = job.payload;
  row.has_headers = job.has_headers;
  row.headers = job.headers;
  return row;
}

void read_taken_row(const TakenJob& taken, JobTuple* job) {
  core::ClaimedJob address{};
  address.id = taken.decided.id;
  address.block = taken.decided.block;
  address.offset = taken.decided.offset;
  address.segment = taken.decided.segment;
  bool found = false;
  read_jobs(&address, 1, job, &found);
  if (!found && !find_job(address.id, job))
    pg::raise(DW_INTERNAL_ERROR, psprintf("row of job " INT64_FORMAT " is missing", address.id));
}

void write_new_row(const TakenJob& taken, NewRow* row) {
  const core::Decided& job = taken.decided;
  const TimestampTz at = GetCurrentTimestamp();
  if (row->due != core::kAlways && row->due > at) row->due = core::whole_milliseconds(row->due);
  bool was_there = false;
  const core::JobRow parked = park(row, &was_there);
  const core::OutcomeMember member{job.id, job.token, row->attempts,
                                   core::explicit_due(parked.due, at)};
  insert_outcome(row->kind, at, job.queue_id, core::kParkedSegment, &member, 1,
                 detail_of(taken, row->reason, was_there), true, note_row, nullptr);
  if (!was_there) write_moved(job, at);
  // It may be changed again by the same statement.
  CommandCounterIncrement();
  core::Transaction& transaction = runtime::transaction();
  transaction.set_row(taken.action, parked);
  transaction.settle(taken.action, core::Decision::reschedule, row->kind, parked.due);
  obey_strict(job.options);
}

void write_new_enqueued_row(NewRow* row) {
  core::Transaction& transaction = runtime::transaction();
  const core::JobRow old = *transaction.enqueued_row(row->job.id);
  CommandCounterIncrement();
  if (old.segment != core::kParkedSegment) remove_own_job(old);
  bool was_there = false;
  const core::JobRow parked = park(row, &was_there);
  CommandCounterIncrement();
  transaction.replace_enqueued(runtime::level(), row->job.id, parked);
}

}  // namespace dw::store
