// inbox_insert: what INSERT and COPY into the view durable_work.inbox do.
//
// An INSTEAD OF INSERT trigger for each row. It reads the columns that describe a job, refuses
// those that the engine computes, and returns the row with what is known of a new job filled in,
// for RETURNING. A row whose idempotency key is taken is skipped: INSERT reports 0 rows.
#include "core/dispatcher.hpp"
#include "core/hash.hpp"
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "produce/submit.hpp"
#include "runtime/session.hpp"

namespace dw::produce {

namespace {

enum Column {
  kId,
  kQueue,
  kPartitionKey,
  kPartitionBucket,
  kPriority,
  kPayload,
  kHeaders,
  kIdempotencyKey,
  kStatus,
  kAvailableAt,
  kCreatedAt,
  kExpiresAt,
  kCompletedAt,
  kResult,
  kClaimedBy,
  kLeaseExpiresAt,
  kLeaseGeneration,
  kAttempts,
  kMaxAttempts,
  kLastError,
  kColumns,
};

struct ColumnKind {
  const char* name;
  Oid type;
  bool computed;
};
constexpr ColumnKind kKinds[kColumns] = {
    {"id", INT8OID, true},
    {"queue", TEXTOID, false},
    {"partition_key", TEXTOID, false},
    {"partition_bucket", INT4OID, true},
    {"priority", INT4OID, false},
    {"payload", JSONBOID, false},
    {"headers", JSONBOID, false},
    {"idempotency_key", TEXTOID, false},
    {"status", TEXTOID, true},
    {"available_at", TIMESTAMPTZOID, false},
    {"created_at", TIMESTAMPTZOID, true},
    {"expires_at", TIMESTAMPTZOID, false},
    {"completed_at", TIMESTAMPTZOID, true},
    {"result", JSONBOID, true},
    {"claimed_by", TEXTOID, true},
    {"lease_expires_at", TIMESTAMPTZOID, true},
    {"lease_generation", INT8OID, true},
    {"attempts", INT4OID, true},
    {"max_attempts", INT4OID, false},
    {"last_error", JSONBOID, true},
};

// A row of the view, its columns by name. Kept per process: the view's columns rarely change place.
AttrNumber places[kColumns];

bool is_at(TupleDesc row, int place, const ColumnKind& kind) {
  if (place < 1 || place > row->natts) return false;
  const Form_pg_attribute column = TupleDescAttr(row, place - 1);
  return !column->attisdropped && strcmp(NameStr(column->attname), kind.name) == 0 &&
         column->atttypid == kind.type;
}

void find_places(TupleDesc row) {
  for (int i = 0; i < kColumns; i++) {
    if (is_at(row, places[i], kKinds[i])) continue;
    int place = 1;
    while (place <= row->natts && !is_at(row, place, kKinds[i])) place++;
    if (place > row->natts)
      pg::raise(DW_NOT_READY,
                psprintf("view inbox has no column \"%s\" of type %s", kKinds[i].name,
                         format_type_be(kKinds[i].type)),
                "Library and SQL objects of durable_work do not fit together.",
                "Run ALTER EXTENSION durable_work UPDATE.");
    places[i] = static_cast<AttrNumber>(place);
  }
}

struct Row {
  Datum* values;
  bool* nulls;

  [[nodiscard]] bool has(Column column) const { return !nulls[places[column] - 1]; }
  [[nodiscard]] Datum get(Column column) const { return values[places[column] - 1]; }
  [[nodiscard]] std::optional<Datum> given(Column column) const {
    if (!has(column)) return std::nullopt;
    return get(column);
  }
  void put(Column column, Datum value) const {
    values[places[column] - 1] = value;
    nulls[places[column] - 1] = false;
  }
};

void refuse_computed(const Row& row) {
  for (int i = 0; i < kColumns; i++)
    if (kKinds[i].computed && row.has(static_cast<Column>(i)))
      pg::raise_invalid(
          psprintf("column \"%s\" of inbox cannot be inserted", kKinds[i].name), nullptr,
          "Give queue, partition_key, payload, headers, idempotency_key, priority, available_at, "
          "expires_at, max_attempts.");
}

int16 number(const Row& row, Column column, int32 absent, int32 least, int32 most) {
  if (!row.has(column)) return static_cast<int16>(absent);
  const int32 value = DatumGetInt32(row.get(column));
  pg::check_range(value, kKinds[column].name, least, most);
  return static_cast<int16>(value);
}

JobArguments read_row(const Row& row) {
  JobArguments job;
  refuse_computed(row);
  if (!row.has(kPayload)) pg::raise_null("payload");
  job.payload = row.get(kPayload);
  job.partition_key = row.given(kPartitionKey);
  if (job.partition_key) check_partition_key(*job.partition_key);
  job.idempotency_key = row.given(kIdempotencyKey);
  if (job.idempotency_key) check_idempotency_key(*job.idempotency_key);
  job.headers = row.given(kHeaders);
  if (job.headers) check_headers(*job.headers);
  job.priority = number(row, kPriority, core::kDefaultPriority, 0, core::kLowestPriority);
  job.max_attempts = number(row, kMaxAttempts, 0, 1, core::kMostAttempts);
  if (row.has(kAvailableAt)) {
    job.available_at = DatumGetTimestampTz(row.get(kAvailableAt));
    if (TIMESTAMP_NOT_FINITE(*job.available_at)) pg::raise_invalid("available_at must be finite");
  }
  if (row.has(kExpiresAt)) {
    job.expires_at = DatumGetTimestampTz(row.get(kExpiresAt));
    if (TIMESTAMP_NOT_FINITE(*job.expires_at)) pg::raise_invalid("expires_at must be finite");
    check_expires_at(*job.expires_at, job.available_at);
  }
  return job;
}

void fill_in(const Row& row, const Target& target, const Submitted& done) {
  const store::NewJob& job = done.job;
  row.put(kId, Int64GetDatum(job.id));
  row.put(kPartitionBucket,
          Int32GetDatum(static_cast<int32>(core::bucket_of(job.key_hash, target.buckets))));
  row.put(kPriority, Int32GetDatum(job.priority));
  row.put(kStatus, pg::text_datum("pending"));
  row.put(kAvailableAt,
          TimestampTzGetDatum(job.has_available_at ? job.available_at : job.enqueued_at));
  row.put(kCreatedAt, TimestampTzGetDatum(job.enqueued_at));
  row.put(kAttempts, Int32GetDatum(0));
  row.put(kMaxAttempts,
          Int32GetDatum(job.max_attempts != 0 ? job.max_attempts : target.max_attempts));
}

const TriggerData& trigger_data(FunctionCallInfo fcinfo) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    pg::raise(DW_FEATURE_NOT_SUPPORTED, "inbox_insert can only be called as a trigger", nullptr,
              "Insert into durable_work.inbox, or call durable_work.enqueue.");
  const auto& trigger = *reinterpret_cast<const TriggerData*>(fcinfo->context);
  if (!TRIGGER_FIRED_INSTEAD(trigger.tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger.tg_event) ||
      !TRIGGER_FIRED_BY_INSERT(trigger.tg_event))
    pg::raise(DW_FEATURE_NOT_SUPPORTED,
              "inbox_insert must be an INSTEAD OF INSERT trigger for each row");
  return trigger;
}

}  // namespace

}  // namespace dw::produce

extern "C" Datum dw_inbox_insert_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  using namespace dw::produce;
  const TriggerData& trigger = trigger_data(fcinfo);
  runtime::require_preloaded();
  runtime::require_writable("INSERT");

  const TupleDesc description = RelationGetDescr(trigger.tg_relation);
  find_places(description);
  const auto columns = static_cast<Size>(description->natts);
  const Row row{pg::allocate<Datum>(columns), pg::allocate<bool>(columns)};
  heap_deform_tuple(trigger.tg_trigtuple, description, row.values, row.nulls);

  const JobArguments arguments = read_row(row);
  if (!row.has(kQueue)) row.put(kQueue, pg::text_datum("default"));
  const Target target =
      target_of(store::require_queue(pg::text_view(row.get(kQueue)), store::Right::enqueue));
  const Submitted done = submit(target, arguments);
  // A trigger says "no row" with a null pointer, not with SQL null.
  if (!done.inserted) return PointerGetDatum(nullptr);
  fill_in(row, target, done);
  return PointerGetDatum(heap_form_tuple(description, row.values, row.nulls));
}
