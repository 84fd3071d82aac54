// The rows that a redrive writes.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::store {

struct Redrive;

// A row that was taken out of dead_letter.
struct TakenLetter {
  core::JobId id;
  uint32 key_hash;
  int16 priority;
  int16 max_attempts;  // 0: the queue's
  bool has_expires_at;
  bool has_partition_key;
  bool has_headers;
  TimestampTz enqueued_at;
  TimestampTz expires_at;
  Datum partition_key;
  Datum payload;
  Datum headers;
  Datum history;
};

// Writes job rows and outcomes and notes them for the end of the transaction. Changes the order of
// the letters. Raises DW006 while the database is not open for new tokens.
void write_redriven(const Redrive& redrive, TakenLetter* letters, int n);

}  // namespace dw::store
