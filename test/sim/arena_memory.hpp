/*
 * Memory for an arena, zeroed as the server's is, and the plainest row of a job.
 */
#pragma once

#include "core/dispatcher.hpp"

#include <cstdlib>
#include <memory>

namespace dw::test {

using namespace dw::core;

class ArenaMemory {
 public:
  ArenaMemory(std::uint32_t entries, std::uint32_t waiters);
  [[nodiscard]] Arena* arena() const noexcept { return arena_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t size_;
  Arena* arena_;
};

/* A job due at once, on a page of its own number, so that a dirty page tells which job it was. */
JobRow row_of(QueueId queue, JobId id);

}  // namespace dw::test
