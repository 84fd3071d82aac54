#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "store/key_hash.hpp"
#include "store/page_rows.hpp"

namespace dw::store {

namespace {

static_assert(ALIGNOF_DOUBLE == 8, "bigint and timestamptz are aligned to 8 bytes");
static_assert(sizeof(Datum) == 8);
static_assert(MaxHeapTuplesPerPage <= core::kMostOffset);

template <typename Value>
Value value_at(const char* place) {
  Value value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

/* Where the never-null columns of a job lie, and where the others begin. */
constexpr int kEnqueuedAtPlace = 8;
constexpr int kTopicPlace = 16;
constexpr int kKeyHashPlace = 20;
constexpr int kPriorityPlace = 24;
constexpr int kOptionalPlace = 26;

/* Walks over columns that may be absent. */
struct ColumnWalk {
  const HeapTupleHeaderData* header;
  const char* data;
  Size at;

  [[nodiscard]] bool absent(int column) const {
    return (header->t_infomask & HEAP_HASNULL) != 0 && att_isnull(column - 1, header->t_bits);
  }
  bool next_int16(int column, int16* value) {
    if (absent(column)) return false;
    at = TYPEALIGN(sizeof(int16), at);
    *value = value_at<int16>(data + at);
    at += sizeof(int16);
    return true;
  }
  /* A header of one byte is not aligned; one of four bytes is, behind zeroes. */
  [[nodiscard]] Datum varlena_at() const {
    const char* place = data + at;
    if (!VARATT_NOT_PAD_BYTE(place)) place = data + TYPEALIGN(ALIGNOF_INT, at);
    return PointerGetDatum(place);
  }
  bool next_int64(int column, int64* value) {
    if (absent(column)) return false;
    at = TYPEALIGN(sizeof(int64), at);
    *value = value_at<int64>(data + at);
    at += sizeof(int64);
    return true;
  }
};

int compare(int64 a, int64 b) { return a < b ? -1 : a > b ? 1 : 0; }

/* What tells rows apart; 0: they share one. */
int compare_rows(const core::Expiry& a, const core::Expiry& b) {
  if (const int order = compare(static_cast<int>(a.outcome), static_cast<int>(b.outcome));
      order != 0)
    return order;
  if (const int order = compare(a.queue, b.queue); order != 0) return order;
  if (const int order = compare(a.segment, b.segment); order != 0) return order;
  if (const int order = compare(static_cast<int>(a.reason), static_cast<int>(b.reason)); order != 0)
    return order;
  return std::strncmp(a.worker, b.worker, sizeof a.worker);
}

}  // namespace

void check_columns(Relation relation, const ColumnType* columns, int count) {
  const TupleDesc descriptor = RelationGetDescr(relation);
  bool same = descriptor->natts >= count;
  for (int i = 0; same && i < count; i++) {
    const Form_pg_attribute column = TupleDescAttr(descriptor, i);
    same = column->atttypid == columns[i].type && !column->attisdropped &&
           (column->attnotnull || !columns[i].not_null);
  }
  if (!same)
    pg::raise(DW_NOT_READY,
              psprintf("table \"%s\" does not have the columns of this version of durable_work",
                       RelationGetRelationName(relation)));
}

void decode_job(const HeapTupleData& row, uint8 segment, core::StoredJob* job) {
  const HeapTupleHeaderData* const header = row.t_data;
  const char* const data = reinterpret_cast<const char*>(header) + header->t_hoff;
  int16 max_attempts = 0;
  int64 due = core::kAlways;
  int64 expires_at = core::kNever;
  ColumnWalk walk{header, data, kOptionalPlace};
  walk.next_int16(kJobMaxAttempts, &max_attempts);
  walk.next_int64(kJobAvailableAt, &due);
  walk.next_int64(kJobExpiresAt, &expires_at);

  const int16 priority = value_at<int16>(data + kPriorityPlace);
  job->row.id = value_at<int64>(data);
  job->row.due = due;
  job->row.queue = 0;
  job->row.key_hash = value_at<uint32>(data + kKeyHashPlace);
  job->row.key_check = walk.absent(kJobPartitionKey) ? 0 : key_check(walk.varlena_at());
  job->row.block = ItemPointerGetBlockNumberNoCheck(&row.t_self);
  job->row.offset = ItemPointerGetOffsetNumberNoCheck(&row.t_self);
  job->row.segment = segment;
  job->row.priority = static_cast<uint8>(Max(0, Min(priority, core::kLowestPriority)));
  job->row.max_attempts = static_cast<uint16>(Max(max_attempts, 0));
  job->row.attempts = 0;
  job->row.has_room = false;
  job->row.enqueued_at = value_at<int64>(data + kEnqueuedAtPlace);
  job->topic = value_at<int32>(data + kTopicPlace);
  job->expires_at = expires_at;
}

unsigned char* decode_outcome(const HeapTupleData& row, unsigned char* place,
                              core::StoredOutcome* outcome) {
  const HeapTupleHeaderData* const header = row.t_data;
  const char* const data = reinterpret_cast<const char*>(header) + header->t_hoff;
  ColumnWalk walk{header, data, sizeof(int64)};
  int64 last_id = 0;
  outcome->first_id = value_at<int64>(data);
  outcome->batch = walk.next_int64(2, &last_id);
  const char* body = data + walk.at;
  /* A header of one byte is not aligned; one of four bytes is, behind zeroes. */
  if (!VARATT_NOT_PAD_BYTE(body)) body = data + TYPEALIGN(ALIGNOF_INT, walk.at);
  const Size size = VARSIZE_ANY(body);
  std::memcpy(place, body, size);
  outcome->body = place;
  outcome->length = size;
  return place + TYPEALIGN(MAXIMUM_ALIGNOF, size);
}

void finish_outcome(core::StoredOutcome* outcome) {
  /* The server takes no const, and does not write. */
  auto* stored = reinterpret_cast<varlena*>(const_cast<unsigned char*>(outcome->body));
  if (VARATT_IS_EXTERNAL(stored) || VARATT_IS_COMPRESSED(stored)) stored = detoast_attr(stored);
  outcome->body = reinterpret_cast<const unsigned char*>(VARDATA_ANY(stored));
  outcome->length = VARSIZE_ANY_EXHDR(stored);
}

bool expiry_before(const core::Expiry* a, const core::Expiry* b) {
  const int order = compare_rows(*a, *b);
  return order != 0 ? order < 0 : a->id < b->id;
}

bool same_outcome_row(const core::Expiry& a, const core::Expiry& b) {
  return compare_rows(a, b) == 0;
}

void bury_expired(const core::Expiry& expiry, const char* reason, TimestampTz now, Datum detail) {
  core::ClaimedJob address{};
  address.id = expiry.id;
  address.token = expiry.token;
  address.block = expiry.block;
  address.offset = expiry.offset;
  address.segment = expiry.segment;
  bury(expiry.queue, address, expiry.attempt, reason, now, detail, expiry.worker[0] != '\0',
       expiry.blocks_key ? &expiry.takes_along : nullptr);
}

}  // namespace dw::store
