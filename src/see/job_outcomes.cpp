/*
 * Outcomes of one job, summed up; by id or from a copy of a whole segment's outcomes.
 *
 * The copy is one array sorted by job and queue. Jobs are mostly asked for in the order of their
 * ids, so the search begins where the last one ended.
 */
#include <algorithm>

#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "see/detail.hpp"
#include "see/job_outcomes.hpp"
#include "store/catalog.hpp"
#include "store/job_row.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"

namespace dw::see {

namespace {

/* Columns of an outcome table, from 1. */
constexpr int kFirstId = 1;
constexpr int kLastId = 2;
constexpr int kBody = 3;
constexpr int kDetail = 4;

/* One job's part of one outcome row. */
struct Record {
  core::JobId id;
  core::Token token;
  TimestampTz at;
  TimestampTz next_due;
  core::QueueId queue;
  BlockNumber block;
  OffsetNumber offset;
  uint16 attempt;
  core::OutcomeKind kind;
  bool has_detail;
};
static_assert(sizeof(Record) == 48);

bool before(const Record& a, const Record& b) {
  return a.id != b.id ? a.id < b.id : a.queue < b.queue;
}

void add(JobOutcomes* sum, const Record& record, const Detail& detail) {
  sum->token = std::max(sum->token, record.token);
  sum->sum.add(record.kind, {record.id, record.token, record.attempt, record.next_due});
  const bool died = record.kind == core::OutcomeKind::dead_lettered;
  if (died && record.token >= sum->died_token) {
    sum->died_token = record.token;
    sum->died_at = record.at;
  }
  if (died || record.kind == core::OutcomeKind::attempt_failed) {
    if (!sum->failure.there || record.token >= sum->failed_token) {
      sum->failed_token = record.token;
      sum->failure = detail;
    }
  }
  /* What failed before is told in what it carries, unless something failed since. */
  if (record.kind == core::OutcomeKind::relocated && !sum->failure.there) sum->failure = detail;
  if (core::is_final(record.kind) && !died && sum->sum.end() == record.kind &&
      sum->sum.end_token() == record.token) {
    sum->end_at = record.at;
    sum->result = detail;
  }
}

void add_found(const store::FoundOutcome& outcome, void* arg) {
  const Record record{
      outcome.id,    outcome.token,      outcome.at,          outcome.next_due,
      outcome.queue, InvalidBlockNumber, InvalidOffsetNumber, static_cast<uint16>(outcome.attempt),
      outcome.kind,  outcome.has_detail};
  const Detail detail{outcome.has_detail, true, outcome.detail, InvalidBlockNumber,
                      InvalidOffsetNumber};
  add(static_cast<JobOutcomes*>(arg), record, detail);
}

}  // namespace

struct SegmentOutcomes {
  MemoryContext context;
  Record* records;
  Size count;
  Size room;
  Size last; /* where the last search ended */
};

namespace {

void append(SegmentOutcomes* outcomes, const Record& record) {
  if (outcomes->count == outcomes->room) {
    outcomes->room *= 2;
    outcomes->records = static_cast<Record*>(
        repalloc_huge(outcomes->records, mul_size(outcomes->room, sizeof(Record))));
  }
  outcomes->records[outcomes->count++] = record;
}

/* Every member of one row. */
void take_row(SegmentOutcomes* outcomes, TupleTableSlot* slot) {
  bool is_null = false;
  const core::JobId first = DatumGetInt64(slot_getattr(slot, kFirstId, &is_null));
  const Datum stored = slot_getattr(slot, kBody, &is_null);
  const bool batch = !slot_attisnull(slot, kLastId);
  const bool has_detail = !slot_attisnull(slot, kDetail);
  auto* const body = reinterpret_cast<bytea*>(PG_DETOAST_DATUM_PACKED(stored));
  core::OutcomeReader reader(first, batch,
                             reinterpret_cast<const unsigned char*>(VARDATA_ANY(body)),
                             VARSIZE_ANY_EXHDR(body));
  core::OutcomeMember member;
  while (reader.next(&member)) {
    append(outcomes, Record{member.id, member.token, reader.at(), member.next_due, reader.queue(),
                            ItemPointerGetBlockNumber(&slot->tts_tid),
                            ItemPointerGetOffsetNumber(&slot->tts_tid),
                            static_cast<uint16>(member.attempt), reader.kind(), has_detail});
  }
  if (body != reinterpret_cast<bytea*>(DatumGetPointer(stored))) pfree(body);
}

}  // namespace

void find_job_outcomes(core::JobId id, core::QueueId queue, uint8 segment, Snapshot snapshot,
                       JobOutcomes* found) {
  *found = JobOutcomes{};
  store::find_outcomes(id, queue, segment, snapshot, add_found, found);
}

SegmentOutcomes* read_segment_outcomes(MemoryContext context, uint8 segment, Snapshot snapshot) {
  MemoryContext const own = pg::new_context(context, "durable_work outcomes");
  SegmentOutcomes* const outcomes = pg::in_context(own, [own] {
    auto* const made = pg::allocate_zeroed<SegmentOutcomes>(1);
    made->context = own;
    made->room = 1024;
    made->records = pg::allocate<Record>(made->room);
    return made;
  });

  Relation const relation = table_open(store::tables().outcome[segment], AccessShareLock);
  TupleTableSlot* const slot = table_slot_create(relation, nullptr);
  TableScanDesc const scan = table_beginscan(relation, snapshot, 0, nullptr);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    take_row(outcomes, slot);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, NoLock); /* addresses stay good until the transaction ends */
  std::sort(outcomes->records, outcomes->records + outcomes->count, before);
  return outcomes;
}

void forget_segment_outcomes(SegmentOutcomes* outcomes) { MemoryContextDelete(outcomes->context); }

void find_in_segment(SegmentOutcomes* outcomes, core::JobId id, core::QueueId queue,
                     JobOutcomes* found) {
  *found = JobOutcomes{};
  Record wanted{};
  wanted.id = id;
  wanted.queue = queue;
  const Record* const first = outcomes->records;
  const Record* const end = first + outcomes->count;
  const Record* record = first + outcomes->last;
  const bool is_next = (record == end || !before(*record, wanted)) &&
                       (record == first || before(record[-1], wanted));
  if (!is_next) record = std::lower_bound(first, end, wanted, before);
  for (; record != end && record->id == id && record->queue == queue; ++record)
    add(found, *record, Detail{record->has_detail, false, 0, record->block, record->offset});
  outcomes->last = static_cast<Size>(record - first);
}

bool read_detail(const Detail& detail, uint8 segment, Snapshot snapshot, Datum* value) {
  if (!detail.there) return false;
  if (detail.here) {
    *value = detail.value;
    return true;
  }
  Relation const relation = table_open(store::tables().outcome[segment], AccessShareLock);
  TupleTableSlot* const slot = table_slot_create(relation, nullptr);
  ItemPointerData address = store::item_pointer(detail.block, detail.offset);
  bool is_null = true;
  if (table_tuple_fetch_row_version(relation, &address, snapshot, slot)) {
    const Datum stored = slot_getattr(slot, kDetail, &is_null);
    if (!is_null) *value = PointerGetDatum(PG_DETOAST_DATUM_COPY(stored));
  }
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, AccessShareLock);
  return !is_null;
}

bool read_failure(const Detail& detail, uint8 segment, Snapshot snapshot, Datum* value) {
  if (!read_detail(detail, segment, snapshot, value)) return false;
  Datum carried = 0;
  if (!store::carried_history(*value, &carried)) return true;
  bool failed = false;
  store::for_each_element(carried, [value, &failed](Datum element) {
    const char* const event = json_text(element, "event");
    if (event == nullptr ||
        (strcmp(event, "attempt_failed") != 0 && strcmp(event, "dead_lettered") != 0))
      return;
    *value = element;
    failed = true;
  });
  return failed;
}

}  // namespace dw::see
