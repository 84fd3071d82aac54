#include "bench_arena.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <new>

namespace dw::bench {

namespace {

std::atomic_flag locks[core::kLockCount];

core::Micros now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

const core::Platform platform{
    [](std::uint32_t number) {
      while (locks[number].test_and_set(std::memory_order_acquire)) {
      }
    },
    [](std::uint32_t number) { locks[number].clear(std::memory_order_release); },
    now,
    now,
    [] { return 0.5; },
    [](core::Index) {},
    [](core::Index) {},
};

}  // namespace

BenchArena::BenchArena(std::uint32_t entries)
    : rows_(core::kEntriesPerHold), pointers_(core::kEntriesPerHold), refs_(core::kEntriesPerHold) {
  const std::size_t size = (core::arena_size(entries, 1) + 63) / 64 * 64;
  memory_.reset(std::aligned_alloc(64, size));
  if (!memory_) throw std::bad_alloc();
  std::memset(memory_.get(), 0, size);
  dispatcher_ =
      std::make_unique<core::Dispatcher>(core::arena_create(memory_.get(), entries, 1), &platform);
  database_ = dispatcher_->attach_database(1);
  dispatcher_->open_database(database_, 1);
  const core::Index index = dispatcher_->add_queue(database_, 1, "bench", core::QueueOptions{},
                                                   core::QueueState::active, core::LoadMode::live);
  queue_ = dispatcher_->queue_ref(index);
}

void BenchArena::enqueue(std::uint32_t n) {
  while (n > 0) {
    const std::uint32_t chunk = std::min(n, core::kEntriesPerHold);
    for (std::uint32_t i = 0; i < chunk; i++) {
      core::JobRow& row = rows_[i];
      row = core::JobRow{};
      row.id = next_id_++;
      row.due = core::kAlways;
      row.queue = 1;
      row.priority = core::kDefaultPriority;
      pointers_[i] = &row;
    }
    dispatcher_->link_pending(queue_, pointers_.data(), refs_.data(), chunk);
    dispatcher_->publish(database_, 1, queue_, pointers_.data(), refs_.data(), chunk);
    n -= chunk;
  }
}

std::uint32_t BenchArena::claim(std::vector<core::ClaimedJob>* jobs) {
  return dispatcher_->claim(queue_, worker(), 0, jobs->data(),
                            static_cast<std::uint32_t>(jobs->size()));
}

void BenchArena::complete(const core::ClaimedJob& job) {
  core::Decided decided;
  if (dispatcher_->begin_decision(database_, job.id, job.token, &decided) != core::Verdict::ok)
    std::abort();
  dispatcher_->commit_decision(decided.ref, decided.token, core::Decision::finish,
                               core::OutcomeKind::completed, 0);
}

}  // namespace dw::bench
