/*
 * An arena for the benchmarks of the core: one database, one queue, locks that are a flag each.
 * What is measured is the work under the lock and the lock's own uncontended cost, not that of
 * waiting for it.
 */
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/dispatcher.hpp"

namespace dw::bench {

class BenchArena {
 public:
  explicit BenchArena(std::uint32_t entries);

  core::Dispatcher& dispatcher() { return *dispatcher_; }
  [[nodiscard]] core::Index database() const { return database_; }
  [[nodiscard]] core::QueueRef queue() const { return queue_; }
  core::WorkerRef worker() { return dispatcher_->worker_slot(database_, "bench", 0); }

  /* Links and publishes jobs with the next n ids, in chunks. */
  void enqueue(std::uint32_t n);
  /* Claims up to n jobs into a vector of that size. */
  std::uint32_t claim(std::vector<core::ClaimedJob>* jobs);
  void complete(const core::ClaimedJob& job);
  [[nodiscard]] core::JobId next_id() const { return next_id_; }

 private:
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  std::unique_ptr<core::Dispatcher> dispatcher_;
  core::Index database_ = core::kNone;
  core::QueueRef queue_{};
  core::JobId next_id_ = 1;
  std::vector<core::JobRow> rows_;
  std::vector<const core::JobRow*> pointers_;
  std::vector<core::EntryRef> refs_;
};

}  // namespace dw::bench
