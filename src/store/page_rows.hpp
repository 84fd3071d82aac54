/*
 * Reading rows of the log straight from their pages.
 *
 * The fixed columns of a job come first in its row, so they lie at known places: five that are
 * never null, then three that may be absent and are stepped over one by one. check_columns makes
 * sure that the table still is what this code takes it for.
 */
#pragma once

#include "core/store.hpp"

#include "pg/headers.hpp"

#include "store/dead_letter.hpp"
#include "store/job_row.hpp"

namespace dw::store {

struct ColumnType {
  Oid type;
  bool not_null;
};

constexpr ColumnType kJobColumns[] = {
    {INT8OID, true},         /* id */
    {TIMESTAMPTZOID, true},  /* enqueued_at */
    {INT4OID, true},         /* topic */
    {INT4OID, true},         /* key_hash */
    {INT2OID, true},         /* priority */
    {INT2OID, false},        /* max_attempts */
    {TIMESTAMPTZOID, false}, /* available_at */
    {TIMESTAMPTZOID, false}, /* expires_at */
};
constexpr int kJobColumnCount = kJobExpiresAt;

constexpr ColumnType kOutcomeColumns[] = {
    {INT8OID, true},  /* first_id */
    {INT8OID, false}, /* last_id */
    {BYTEAOID, true}, /* body */
};
constexpr int kOutcomeColumnCount = 3;

/* Raises an error unless the table begins with these columns. */
void check_columns(Relation relation, const ColumnType* columns, int count);

void decode_job(const HeapTupleData& row, uint8 segment, core::StoredJob* job);

/* Copies the body, as it is stored, to place; returns the next free place. finish_outcome makes the
 * bytes of it. */
unsigned char* decode_outcome(const HeapTupleData& row, unsigned char* place,
                              core::StoredOutcome* outcome);
void finish_outcome(core::StoredOutcome* outcome);

/* Calls each(row, buffer, all of the page is visible) for every row of the page, while the page is
 * locked. */
template <typename Each>
void for_each_row(Relation relation, BlockNumber block, BufferAccessStrategy strategy, Each each) {
  CHECK_FOR_INTERRUPTS();
  const Buffer buffer = ReadBufferExtended(relation, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  const bool all_visible = PageIsAllVisible(page);
  const auto last = static_cast<OffsetNumber>(PageGetMaxOffsetNumber(page));
  for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++) {
    const ItemId item = PageGetItemId(page, offset);
    if (!ItemIdIsNormal(item)) continue;
    HeapTupleData row;
    row.t_tableOid = RelationGetRelid(relation);
    row.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    row.t_len = ItemIdGetLength(item);
    row.t_self.ip_blkid.bi_hi = static_cast<uint16>(block >> 16);
    row.t_self.ip_blkid.bi_lo = static_cast<uint16>(block & 0xFFFF);
    row.t_self.ip_posid = offset;
    each(&row, buffer, all_visible);
  }
  UnlockReleaseBuffer(buffer);
}

/* Those that the snapshot sees. `each` may neither raise an error nor call the server. */
template <typename Each>
void for_each_visible_row(Relation relation, BlockNumber block, BufferAccessStrategy strategy,
                          Snapshot snapshot, Each each) {
  for_each_row(relation, block, strategy,
               [snapshot, &each](HeapTupleData* row, Buffer buffer, bool all_visible) {
                 if ((all_visible && !snapshot->takenDuringRecovery) ||
                     HeapTupleSatisfiesVisibility(row, snapshot, buffer))
                   each(*row);
               });
}

/* Order in which expiries are written, and which of them share a row. */
bool expiry_before(const core::Expiry* a, const core::Expiry* b);
bool same_outcome_row(const core::Expiry& a, const core::Expiry& b);
void bury_expired(const core::Expiry& expiry, const char* reason, TimestampTz now, Datum detail);

}  // namespace dw::store
