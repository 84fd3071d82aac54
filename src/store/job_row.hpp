// The columns of job_<n> and parked, in the order of the tables.
#pragma once

#include "core/dispatcher.hpp"
#include "pg/headers.hpp"
#include "store/job_log.hpp"

namespace dw::store {

enum JobColumn : AttrNumber {
  kJobId = 1,
  kJobEnqueuedAt,
  kJobTopic,
  kJobKeyHash,
  kJobPriority,
  kJobMaxAttempts,
  kJobAvailableAt,
  kJobExpiresAt,
  kJobPartitionKey,
  kJobPayload,
  kJobHeaders,
  kLastJobColumn = kJobHeaders,
};

// The id of a stored row, without deforming it: the first column, eight bytes, never null.
inline core::JobId stored_job_id(HeapTupleHeader row) {
  core::JobId id = 0;
  std::memcpy(&id, reinterpret_cast<const char*>(row) + row->t_hoff, sizeof(id));
  return id;
}

inline ItemPointerData item_pointer(BlockNumber block, OffsetNumber offset) {
  ItemPointerData place;
  place.ip_blkid.bi_hi = static_cast<uint16>(block >> 16);
  place.ip_blkid.bi_lo = static_cast<uint16>(block);
  place.ip_posid = offset;
  return place;
}

// A row that was copied from its page, with its columns taken out; long ones stay in the copy or
// are fetched.
void unpack_copy(Relation table, uint8 segment, BlockNumber block, OffsetNumber offset,
                 HeapTupleHeader row, uint32 length, JobTuple* out);

// The block range index on id, or null: then every page is looked at.
Relation open_id_index(Relation table);

}  // namespace dw::store
