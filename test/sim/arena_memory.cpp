#include "arena_memory.hpp"

#include <cstring>
#include <new>

namespace dw::test {

ArenaMemory::ArenaMemory(std::uint32_t entries, std::uint32_t waiters) {
  constexpr std::uint32_t kWatches = 4;
  size_ = (arena_size(entries, waiters, kWatches) + 63) / 64 * 64;
  memory_.reset(std::aligned_alloc(64, size_));
  if (!memory_) throw std::bad_alloc();
  std::memset(memory_.get(), 0, size_);
  arena_ = arena_create(memory_.get(), entries, waiters, kWatches);
}

JobRow row_of(QueueId queue, JobId id) {
  JobRow row{};
  row.id = id;
  row.due = kAlways;
  row.queue = queue;
  row.block = static_cast<std::uint32_t>(id);
  row.offset = 1;
  row.segment = 0;
  row.priority = kDefaultPriority;
  return row;
}

}  // namespace dw::test
