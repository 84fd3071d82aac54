#include "store/redriven_rows.hpp"

#include <algorithm>

#include "core/outcome.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/job_log.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"
#include "store/redrive.hpp"

namespace dw::store {

namespace {

struct Writing {
  const Redrive* redrive;
  TakenLetter* letters;
  int n;
  core::Token first;  // letter i has token first + i
  TimestampTz at;
  TimestampTz earliest;  // due time of all of them
};

core::Token draw_tokens(int n) {
  const core::Index database = runtime::database();
  core::Token first = 0;
  if (database != core::kNone)
    first = runtime::dispatcher().take_tokens(database, static_cast<uint32>(n));
  if (first == 0)
    pg::raise(DW_WRONG_STATE, "dead letters cannot be redriven now",
              "The queues of this database are not loaded yet.", "Try again in a moment.");
  return first;
}

void note_row(uint8 segment, uint32 block, int, void*) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve_rows(1);
  transaction.note_written(runtime::level(), segment, block);
}

// Due at once. The column is never null, because it is how the loader finds the job, and the row
// has a due time only when that is later than the enqueue, whatever the clock does.
NewJob row_of(const Writing& writing, const TakenLetter& letter) {
  NewJob job{};
  job.id = letter.id;
  job.topic = writing.redrive->to_topic;
  job.queue = writing.redrive->to;
  job.key_hash = letter.key_hash;
  job.priority = letter.priority;
  job.max_attempts = letter.max_attempts;
  job.enqueued_at = letter.enqueued_at;
  job.has_available_at = true;
  job.available_at = std::max(writing.at, letter.enqueued_at + 1);
  job.has_expires_at = letter.has_expires_at && letter.expires_at > writing.at;
  job.expires_at = letter.expires_at;
  job.has_partition_key = letter.has_partition_key;
  job.partition_key = letter.partition_key;
  job.payload = letter.payload;
  job.has_headers = letter.has_headers;
  job.headers = letter.headers;
  return job;
}

// What was known of a job that comes out of a slot is not in parked_outcome, and goes with the slot
// one day; so the history goes along.
Datum detail_of(const Writing& writing, const TakenLetter& letter, bool was_there) {
  JsonBuilder json;
  json.begin_object();
  json.text("reason", "redriven");
  json.text("queue", writing.redrive->from_name);
  if (!was_there) json.json("history", letter.history);
  json.end_object();
  return json.datum();
}

void write_outcome(const Writing& writing, int i, TimestampTz due, bool was_there) {
  const TakenLetter& letter = writing.letters[i];
  const core::OutcomeMember member{letter.id, writing.first + i, 0,
                                   core::explicit_due(due, writing.at)};
  insert_outcome(core::OutcomeKind::redriven, writing.at, writing.redrive->to, core::kParkedSegment,
                 &member, 1, detail_of(writing, letter, was_there), true, note_row, nullptr);
}

// The slots' rows of these jobs are of no use any more. Letters are in the order of their ids, so
// those of one slot follow each other.
void write_moved(const Writing& writing, const bool* was_there) {
  auto* const members = pg::allocate<core::OutcomeMember>(static_cast<Size>(writing.n));
  for (int i = 0; i < writing.n;) {
    const uint8 segment = segment_of(writing.letters[i].id);
    int count = 0;
    for (; i < writing.n && segment_of(writing.letters[i].id) == segment; i++) {
      if (!was_there[i]) members[count++] = {writing.letters[i].id, writing.first + i, 0, 0};
    }
    /* A slot that was emptied since has no row of them. */
    if (count > 0 && segment != core::kParkedSegment && keep_slot(segment, members[0].id))
      insert_outcome(core::OutcomeKind::moved, writing.at, writing.redrive->from, segment, members,
                     count, Datum{0}, false, note_row, nullptr);
  }
}

}  // namespace

void write_redriven(const Redrive& redrive, TakenLetter* letters, int n) {
  std::sort(letters, letters + n,
            [](const TakenLetter& a, const TakenLetter& b) { return a.id < b.id; });
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  const TimestampTz now = GetCurrentTimestamp();
  Writing writing{&redrive, letters, n, draw_tokens(n), now, PG_INT64_MAX};
  auto* const jobs = pg::allocate<NewJob>(static_cast<Size>(n));
  auto* const rows = pg::allocate<core::JobRow>(static_cast<Size>(n));
  auto* const was_there = pg::allocate<bool>(static_cast<Size>(n));
  for (int i = 0; i < n; i++) {
    jobs[i] = row_of(writing, letters[i]);
    writing.earliest = std::min(writing.earliest, jobs[i].available_at);
  }
  put_parked(jobs, n, rows, was_there);
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work redriven");
  for (int i = 0; i < n; i++) {
    CHECK_FOR_INTERRUPTS();
    pg::in_context(scratch, [&] { write_outcome(writing, i, jobs[i].available_at, was_there[i]); });
    MemoryContextReset(scratch);
  }
  MemoryContextDelete(scratch);
  write_moved(writing, was_there);
  transaction.note_redriven(runtime::level(), redrive.to, writing.earliest, static_cast<uint32>(n),
                            writing.first);
}

}  // namespace dw::store
