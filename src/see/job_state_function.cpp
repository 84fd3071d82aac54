/*
 * durable_work.job_state(job_id, queue, segment): called by the view inbox for each of its rows.
 *
 * The first look-ups of a statement in a segment's outcomes go through the index, so that a query
 * for one job costs one look-up. From a number on that grows with the size of the table, the whole
 * table is read once and the rest is found in memory, so that a query for all jobs stays linear.
 * Of a queue that the user may not see nothing is told, and results and errors only to those who
 * may read them. The copy holds for one snapshot: a caller that keeps its call state over
 * statements (PL/pgSQL does) begins anew.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "see/detail.hpp"
#include "see/job_state.hpp"
#include "store/catalog.hpp"

namespace {

using namespace dw;

constexpr uint32 kLookUpsAtLeast = 16;
/* Reading this many pages from end to end takes about as long as one look-up by id. */
constexpr uint32 kPagesPerLookUp = 256;

/* What a snapshot sees is the same while these are. */
struct SnapshotMark {
  TransactionId xmin;
  TransactionId xmax;
  uint32 xcnt;
  CommandId curcid;
  uint64 completions;
};

struct SegmentLookUps {
  uint32 count;
  uint32 most; /* 0: not yet counted */
  bool was_read;
  see::SegmentOutcomes* outcomes;
};

/* Lives as long as the executor's state for this call. */
struct Calls {
  MemoryContext context;
  TupleDesc description; /* of the result */
  SnapshotMark mark;
  SegmentLookUps segments[core::kStores];
};

SnapshotMark mark_of(Snapshot snapshot) {
  return SnapshotMark{snapshot->xmin, snapshot->xmax, snapshot->xcnt, snapshot->curcid,
                      snapshot->snapXactCompletionCount};
}

bool same(const SnapshotMark& a, const SnapshotMark& b) {
  return a.xmin == b.xmin && a.xmax == b.xmax && a.xcnt == b.xcnt && a.curcid == b.curcid &&
         a.completions == b.completions;
}

TupleDesc result_description(FunctionCallInfo fcinfo) {
  TupleDesc description = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  return BlessTupleDesc(CreateTupleDescCopy(description));
}

void forget_all(Calls* calls) {
  for (SegmentLookUps& segment : calls->segments) {
    if (segment.outcomes != nullptr) see::forget_segment_outcomes(segment.outcomes);
    segment.outcomes = nullptr;
  }
}

Calls* calls_of(FunctionCallInfo fcinfo, Snapshot snapshot) {
  auto* calls = static_cast<Calls*>(fcinfo->flinfo->fn_extra);
  const SnapshotMark mark = mark_of(snapshot);
  if (calls != nullptr && same(calls->mark, mark)) return calls;
  if (calls == nullptr) {
    calls = static_cast<Calls*>(MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Calls)));
    calls->context = fcinfo->flinfo->fn_mcxt;
    calls->description =
        pg::in_context(calls->context, [fcinfo] { return result_description(fcinfo); });
    fcinfo->flinfo->fn_extra = calls;
  } else {
    forget_all(calls);
    memset(static_cast<void*>(calls->segments), 0, sizeof(calls->segments));
  }
  calls->mark = mark;
  return calls;
}

uint32 most_look_ups(uint8 segment) {
  Relation const relation = table_open(store::tables().outcome[segment], AccessShareLock);
  const BlockNumber pages = RelationGetNumberOfBlocks(relation);
  table_close(relation, AccessShareLock);
  return kLookUpsAtLeast + pages / kPagesPerLookUp;
}

/* Rows mostly come segment by segment, so one copy at a time is enough; if they do not, all are
 * kept. */
void read_segment(Calls* calls, uint8 segment, Snapshot snapshot) {
  SegmentLookUps& here = calls->segments[segment];
  if (!here.was_read) forget_all(calls);
  here.was_read = true;
  here.outcomes = see::read_segment_outcomes(calls->context, segment, snapshot);
}

void find_outcomes(Calls* calls, core::JobId id, core::QueueId queue, uint8 segment,
                   Snapshot snapshot, see::JobOutcomes* found) {
  SegmentLookUps& here = calls->segments[segment];
  if (here.outcomes == nullptr) {
    if (here.most == 0) here.most = most_look_ups(segment);
    if (here.count < here.most) {
      here.count++;
      see::find_job_outcomes(id, queue, segment, snapshot, found);
      return;
    }
    read_segment(calls, segment, snapshot);
  }
  see::find_in_segment(here.outcomes, id, queue, found);
}

enum Column {
  column_status,
  column_claimed_by,
  column_lease_expires_at,
  column_lease_token,
  column_attempts,
  column_next_due,
  column_completed_at,
  column_result,
  column_last_error,
  column_reason,
  columns
};

struct Row {
  Datum values[columns];
  bool nulls[columns];

  void set(Column column, bool there, Datum value) {
    values[column] = there ? value : 0;
    nulls[column] = !there;
  }
  void set_text(Column column, const char* text) {
    set(column, text != nullptr, text != nullptr ? CStringGetTextDatum(text) : 0);
  }
  void set_time(Column column, TimestampTz time) {
    set(column, time != 0, TimestampTzGetDatum(time));
  }
};

void fill(const see::JobState& state, uint8 segment, Snapshot snapshot, bool reads, Row* row) {
  row->set_text(column_status, see::status_name(state.status));
  row->set_text(column_claimed_by, state.worker);
  row->set_time(column_lease_expires_at, state.lease_expires_at);
  row->set(column_lease_token, state.token != 0, Int64GetDatum(state.token));
  row->set(column_attempts, true, Int32GetDatum(state.attempts));
  row->set_time(column_next_due, state.next_due);
  row->set_time(column_completed_at,
                state.status == see::Status::completed ? state.final_at : TimestampTz{0});

  Datum value = 0;
  const bool has_result = reads && see::read_detail(state.result, segment, snapshot, &value);
  row->set(column_result, has_result, value);
  Datum error = 0;
  const char* reason = state.reason;
  bool failed = false;
  if (reads && see::read_failure(state.failure, segment, snapshot, &value)) {
    failed = see::error_of(value, &error);
    if (state.status == see::Status::dead_letter) reason = see::json_text(value, "reason");
  }
  row->set(column_last_error, failed, error);
  row->set_text(column_reason, reason);
}

}  // namespace

extern "C" Datum dw_job_state_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id");
  const core::QueueId queue = pg::required_int(fcinfo, 1, "queue", 1, PG_INT32_MAX);
  const auto segment =
      static_cast<uint8>(pg::required_int(fcinfo, 2, "segment", 0, core::kParkedSegment));
  if (!store::may(queue, store::Right::see)) return pg::null_result(fcinfo);
  Snapshot const snapshot = GetActiveSnapshot();

  const see::Resident resident = see::ask_dispatcher(id, queue);
  see::JobOutcomes outcomes{};
  Calls* const calls = calls_of(fcinfo, snapshot);
  if (see::needs_log(resident, segment))
    find_outcomes(calls, id, queue, segment, snapshot, &outcomes);
  see::JobState state;
  see::judge(resident, outcomes, segment, &state);
  if (state.status == see::Status::moved) return pg::null_result(fcinfo);
  Row row{};
  fill(state, segment, snapshot, store::may(queue, store::Right::read), &row);
  return HeapTupleGetDatum(heap_form_tuple(calls->description, row.values, row.nulls));
}
