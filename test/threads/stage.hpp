/* What all threads share: the arena, the log, the books, and which queues there are. */
#pragma once

#include "arena_memory.hpp"
#include "books.hpp"
#include "shared_log.hpp"
#include "threaded_platform.hpp"

#include "core/limits.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace dw::test {

/* What is special about the queues; each place has a queue of its kind, or none for a moment. */
enum class Kind : std::uint8_t {
  plain,
  ordered,
  fair,
  limited_keys,
  grouped,
  grouped_too,
  owned,
  bounded, /* takes so many jobs and no more */
  comes_and_goes,
};
constexpr std::size_t kKinds = 9;

class Stage {
 public:
  static constexpr DatabaseOid kOid = 16384;
  static constexpr std::int64_t kFirstEpoch = 7;
  static constexpr std::uint32_t kSequence = 1;
  static constexpr int kMembers = 6;

  Stage(std::uint32_t entries, std::uint64_t operations);

  [[nodiscard]] Dispatcher& d() noexcept { return dispatcher_; }
  [[nodiscard]] Index database() const noexcept { return database_; }
  [[nodiscard]] ThreadedPlatform& platform() noexcept { return ThreadedPlatform::get(); }
  [[nodiscard]] Arena& arena() noexcept { return *memory_.arena(); }

  SharedLog log;
  Books books;

  /* One more operation; false: enough was done. */
  bool go_on() noexcept { return operations_.fetch_sub(1, std::memory_order_relaxed) > 0; }
  [[nodiscard]] bool is_over() const noexcept {
    return operations_.load(std::memory_order_relaxed) <= 0;
  }
  [[nodiscard]] std::uint64_t jobs() const noexcept { return books_size_; }

  /* 0: there is none at present. */
  [[nodiscard]] QueueId queue_at(std::size_t place) const noexcept {
    return queues_[place].load(std::memory_order_relaxed);
  }
  [[nodiscard]] QueueId any_queue() noexcept;
  [[nodiscard]] static QueueOptions options_of(Kind kind) noexcept;
  /* Of a place that has none. */
  void add_queue(std::size_t place);
  void drop_queue(std::size_t place);
  void set_any_limits(std::size_t place);
  /* Changes with each queue that comes or goes. */
  [[nodiscard]] std::uint64_t catalog_version() const noexcept { return version_.load(); }
  [[nodiscard]] bool is_there(QueueId id) const noexcept;

  JobId next_job_id();
  void raise_epoch();

  /* The members of the queue `owned`, by their numbers. */
  void register_member(int number);
  void drain_member(int number);
  void remove_member(int number);
  static std::string member_name(int number);

 private:
  std::uint64_t books_size_;
  ArenaMemory memory_;
  Dispatcher dispatcher_;
  Index database_;
  std::atomic<std::int64_t> operations_;
  std::array<std::atomic<QueueId>, kKinds> queues_{};
  std::atomic<QueueId> next_queue_{1};
  std::atomic<std::uint64_t> version_{1};
  std::atomic<JobId> sequence_{1};
  std::atomic<std::int64_t> epoch_{kFirstEpoch};
  /* Of one thread, who changes workers. */
  std::array<std::int64_t, kMembers> instances_{};
  std::int64_t next_instance_ = 1;
};

}  // namespace dw::test
