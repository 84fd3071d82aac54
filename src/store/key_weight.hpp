// The table of weights of keys.
#pragma once

#include "core/store.hpp"

#include "pg/headers.hpp"

namespace dw::store {

// Writes the row, or deletes it for weight 1, and lets memory follow at commit.
void write_key_weight(core::QueueId queue, Datum partition_key, core::KeyWeight row);

// Those of a queue that is being dropped, which memory forgets with the queue.
void delete_key_weights(core::QueueId queue);

// What the transaction sees of the table.
struct KeyWeightRows {
  int64 count;
  bool has_key;
};
KeyWeightRows count_key_weights(core::QueueId queue, Datum partition_key);

// The statement that runs is ours.
bool writes_key_weight();

// In the current context.
const core::KeyWeight* read_key_weights(Snapshot snapshot, int* count);

}  // namespace dw::store
