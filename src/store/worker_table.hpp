// The rows of durable_work.worker: written here and nowhere else, as the owner of the extension,
// with the intent that tells the dispatcher at commit.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include <string_view>

namespace dw::store {

struct WorkerWish {
  std::string_view name;
  const core::QueueId* queues;
  int queue_count;
  int32 capacity;  // 0: any number
  int32 vnodes;
  Datum labels;  // 0: none
};

// Returns the new instance.
int64 register_worker(const WorkerWish& wish);

// The worker's row, locked until the end of the transaction; false: there is none. try_lock_worker
// waits for nobody: false also while another transaction has it.
bool lock_worker(std::string_view name, core::MemberRow* row);
bool try_lock_worker(std::string_view name, core::MemberRow* row);

// Of a row that lock_worker() gave.
void drain_worker(const core::MemberRow& row, int64 deadline);
void delete_worker(const core::MemberRow& row);

void for_each_worker(void (*each)(const core::MemberRow& row, void* arg), void* arg);

}  // namespace dw::store
