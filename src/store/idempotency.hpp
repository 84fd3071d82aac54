// Idempotency keys: which job was enqueued first under a key of a topic.
//
// A key lives for the topic's dedupe window, whatever becomes of the job, in a table of its own.
#pragma once

#include "core/dispatcher.hpp"
#include "pg/headers.hpp"

namespace dw::store {

constexpr Size kLongestIdempotencyKey = 512;  // bytes

// One key that wants to stand for a job.
struct KeyClaim {
  Datum key;           // text
  int64 payload_hash;  // see payload_hash()
  core::JobId job_id;  // in: the new job; out: the job that has the key
  bool won;            // out: that is the new one
};

// Over the stored form of the document, in which key order and white space do not count. The
// server's own hash of jsonb takes {} for [] and would swallow a job. Numbers written differently
// (1.0 and 1.00) are different payloads.
int64 payload_hash(Datum payload);

// Takes the keys for their jobs, or says whose they are. They must be distinct and in rising order
// of their bytes, so that calls that run at the same time wait for one another in one order.
// `now` is the time of the enqueue, `window` counts microseconds from it. Raises DW004 for a key
// that was used with another payload. A key whose first use is still uncommitted is waited for.
// Under REPEATABLE READ a key that was taken after the snapshot raises 40001.
void claim_keys(int32 topic, KeyClaim* claims, int n, TimestampTz now, int64 window);

// --- one key, decided by the caller ---

struct KeyRow {
  int32 topic;
  Datum key;  // text
  core::JobId job_id;
  int64 payload_hash;
  TimestampTz now;
  int64 window;
};
struct KeyHolder {
  core::JobId job_id;
  int64 payload_hash;
  bool expired;
};
// False: the key is there. A transaction that is inserting it is waited for.
bool insert_key(const KeyRow& row);
// Locks the key's row until the end of the transaction and says whose it is; false: there is none.
bool lock_key(int32 topic, Datum key, KeyHolder* holder);
// Of a locked row: the key is the new job's.
void move_key(const KeyRow& row);

// DW004.
[[noreturn]] void raise_other_payload(std::string_view key, core::JobId holder);

}  // namespace dw::store
