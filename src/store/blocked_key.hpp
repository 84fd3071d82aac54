// The table of blocked keys.
#pragma once

#include "core/store.hpp"

#include "pg/headers.hpp"

namespace dw::store {

// The transaction ends the job as a dead letter. takes_along 0: the key waits for unblock_key.
void insert_blocked_key(core::QueueId queue, Datum partition_key, core::JobId job,
                        core::JobId takes_along);

// The statement that runs is ours.
bool writes_blocked_key();

void delete_blocked_key(core::QueueId queue, core::JobId job);

// These jobs wait again: their keys go on with them, or without them when they go to another queue.
void free_keys_of(core::QueueId queue, core::QueueId to, Datum job_ids);

// In the current context.
const core::KeyBlock* read_blocked_keys(Snapshot snapshot, int* count);

}  // namespace dw::store
