/*
 * What the housekeeper has learned from outcome rows: which jobs are finished, and attempts and due
 * times of those that are not.
 *
 * A final outcome stays final, so the set only grows and may be filled from several snapshots.
 * Finished ids are kept as bitmaps of 4,096 ids: dense ranges, which is what a queue produces, cost
 * an eighth of a byte a job.
 */
#pragma once

#include "core/outcome.hpp"

#include <array>
#include <unordered_map>

namespace dw::core {

class KnownOutcomes {
 public:
  void clear();
  /* False: the row is damaged. */
  bool add(JobId first_id, bool batch, const unsigned char* body, std::size_t length);
  [[nodiscard]] bool finished(QueueId queue, JobId id);
  /* Raises attempts and replaces the due time by what the latest record says. */
  void apply(QueueId queue, JobId id, std::uint16_t* attempts, Micros* due) const;
  [[nodiscard]] std::size_t open_records() const { return schedules_.size(); }

 private:
  struct PageKey {
    QueueId queue;
    std::int64_t page;
    bool operator==(const PageKey&) const = default;
  };
  struct JobKey {
    QueueId queue;
    JobId id;
    bool operator==(const JobKey&) const = default;
  };
  struct Hash {
    static std::size_t mix(QueueId queue, std::int64_t number) {
      std::uint64_t x = static_cast<std::uint64_t>(number) * 0x9E3779B97F4A7C15ULL;
      x ^= (x >> 32) ^
           (static_cast<std::uint64_t>(static_cast<std::uint32_t>(queue)) * 0xC2B2AE3D27D4EB4FULL);
      return x;
    }
    std::size_t operator()(const PageKey& key) const { return mix(key.queue, key.page); }
    std::size_t operator()(const JobKey& key) const { return mix(key.queue, key.id); }
  };
  static constexpr int kPageBits = 12;
  using Page = std::array<std::uint64_t, (1U << kPageBits) / 64>;
  struct Schedule {
    Token token; /* of the record: tokens rise, so the highest is the latest */
    Micros due;
    std::int32_t attempts;
  };

  Page* find_page(QueueId queue, std::int64_t number);
  void finish(QueueId queue, JobId id);

  std::unordered_map<PageKey, Page, Hash> finished_;
  std::unordered_map<JobKey, Schedule, Hash> schedules_;
  PageKey last_key_{0, -1};
  Page* last_page_ = nullptr;
};

}  // namespace dw::core
