#include "change/new_row.hpp"

#include <algorithm>

#include "core/outcome.hpp"

#include "runtime/session.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"
#include "worker/limits.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::change {

namespace {

void note_row(uint8 segment, uint32 block, int, void*) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve_rows(1);
  transaction.note_written(runtime::level(), segment, block);
}

Datum no_history() {
  store::JsonBuilder json;
  json.begin_array();
  json.end_array();
  return json.datum();
}

// What was known of a job that comes out of a slot is not in parked_outcome, and goes with the slot
// one day; so it goes along. A job that was never tried has nothing that is worth the look-up.
Datum detail_of(const TakenJob& taken, const char* reason, bool was_there) {
  const core::Decided& job = taken.decided;
  store::JsonBuilder json;
  json.begin_object();
  json.text("reason", reason);
  if (!was_there)
    json.json("history", job.attempts == 0 ? no_history()
                                           : store::failure_history(job.id, job.queue_id,
                                                                    store::segment_of(job.id),
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
  store::put_parked(&row->job, 1, &parked, was_there);
  parked.attempts = static_cast<std::uint16_t>(row->attempts);
  return parked;
}

void write_moved(const NewRow& row, core::Token token, TimestampTz at) {
  const core::OutcomeMember member{row.job.id, token, 0, 0};
  store::insert_outcome(core::OutcomeKind::moved, at, row.job.queue, store::segment_of(row.job.id),
                        &member, 1, Datum{0}, false, note_row, nullptr);
}

}  // namespace

store::NewJob columns_of(const store::JobTuple& job, core::QueueId queue) {
  store::NewJob row{};
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

void read_taken_row(const TakenJob& taken, store::JobTuple* job) {
  core::ClaimedJob address{};
  address.id = taken.decided.id;
  address.block = taken.decided.block;
  address.offset = taken.decided.offset;
  address.segment = taken.decided.segment;
  bool found = false;
  store::read_jobs(&address, 1, job, &found);
  if (!found && !store::find_job(address.id, job))
    pg::raise(DW_INTERNAL_ERROR, psprintf("row of job " INT64_FORMAT " is missing", address.id));
}

void write_new_row(const TakenJob& taken, NewRow* row) {
  const core::Decided& job = taken.decided;
  const TimestampTz at = GetCurrentTimestamp();
  if (row->due != core::kAlways && row->due > at) row->due = worker::whole_milliseconds(row->due);
  bool was_there = false;
  const core::JobRow parked = park(row, &was_there);
  const core::OutcomeMember member{job.id, job.token, row->attempts,
                                   core::explicit_due(parked.due, at)};
  store::insert_outcome(row->kind, at, job.queue_id, core::kParkedSegment, &member, 1,
                        detail_of(taken, row->reason, was_there), true, note_row, nullptr);
  if (!was_there) write_moved(*row, job.token, at);
  // It may be changed again by the same statement.
  CommandCounterIncrement();
  core::Transaction& transaction = runtime::transaction();
  transaction.set_row(taken.action, parked);
  transaction.settle(taken.action, core::Decision::reschedule, row->kind, parked.due);
  worker::obey_strict(job.options);
}

void write_new_enqueued_row(NewRow* row) {
  core::Transaction& transaction = runtime::transaction();
  const core::JobRow old = *transaction.enqueued_row(row->job.id);
  CommandCounterIncrement();
  if (old.segment != core::kParkedSegment) store::remove_own_job(old);
  bool was_there = false;
  const core::JobRow parked = park(row, &was_there);
  CommandCounterIncrement();
  transaction.replace_enqueued(runtime::level(), row->job.id, parked);
}

}  // namespace dw::change
