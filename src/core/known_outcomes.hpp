/*
 * What the housekeeper has learned from outcome rows: which jobs are finished, and attempts and due
 * times of those that are not.
 *
 * A job's row lies in a segment, or, once it was moved there, in parked. What lies in a segment is
 * finished for good by any final outcome in that segment, and by the outcome `moved`; what lies in
 * parked by a final outcome there, but for a dead letter, which a later redrive undoes. Outcomes in
 * one place say nothing of a row in the other. So what is known only grows, it may be filled from
 * several snapshots, in any order of pages, and a page may be read twice.
 *
 * Finished ids are kept as bitmaps of 4,096 ids: dense ranges, which is what a queue produces, cost
 * an eighth of a byte a job.
 */
#pragma once

#include "core/outcome_sum.hpp"

#include <array>
#include <unordered_map>

namespace dw::core {

/* The last claim of a job that was recorded. */
struct RecordedClaim {
  Token token = 0; /* 0: none */
  std::int32_t attempt = 0;
  bool open = false; /* nothing is recorded of what became of it */
};

class KnownOutcomes {
 public:
  void clear();
  /* An outcome row of that segment. False: the row is damaged. */
  bool add(std::uint8_t segment, JobId first_id, bool batch, const unsigned char* body,
           std::size_t length);
  /* Segment of the job's row. */
  [[nodiscard]] bool finished(QueueId queue, std::uint8_t segment, JobId id);
  /* Raises attempts and replaces the due time by what the latest record says. */
  void apply(QueueId queue, std::uint8_t segment, JobId id, std::uint16_t* attempts,
             Micros* due) const;
  [[nodiscard]] RecordedClaim last_claim(QueueId queue, std::uint8_t segment, JobId id) const;
  /* Segments with ids below this one are gone. */
  void forget_before(JobId first);
  [[nodiscard]] std::size_t open_records() const { return records_.size(); }

 private:
  struct PageKey {
    QueueId queue;
    bool parked;
    std::int64_t page;
    bool operator==(const PageKey&) const = default;
  };
  struct JobKey {
    QueueId queue;
    bool parked;
    JobId id;
    bool operator==(const JobKey&) const = default;
  };
  struct Hash {
    static std::size_t mix(QueueId queue, bool parked, std::int64_t number) {
      std::uint64_t x = static_cast<std::uint64_t>(number) * 0x9E3779B97F4A7C15ULL;
      const std::uint64_t place =
          (static_cast<std::uint64_t>(static_cast<std::uint32_t>(queue)) << 1) | (parked ? 1U : 0U);
      x ^= (x >> 32) ^ (place * 0xC2B2AE3D27D4EB4FULL);
      return x;
    }
    std::size_t operator()(const PageKey& key) const {
      return mix(key.queue, key.parked, key.page);
    }
    std::size_t operator()(const JobKey& key) const { return mix(key.queue, key.parked, key.id); }
  };
  static constexpr int kPageBits = 12;
  using Page = std::array<std::uint64_t, (1U << kPageBits) / 64>;

  Page* find_page(QueueId queue, bool parked, std::int64_t number);
  void finish(QueueId queue, bool parked, JobId id);
  [[nodiscard]] bool has_ended(QueueId queue, bool parked, JobId id);
  [[nodiscard]] const OutcomeSum* find_record(QueueId queue, std::uint8_t segment, JobId id) const;

  std::unordered_map<PageKey, Page, Hash> finished_;
  std::unordered_map<JobKey, OutcomeSum, Hash> records_; /* of jobs that are not in finished_ */
  PageKey last_key_{0, false, -1};
  Page* last_page_ = nullptr;
};

}  // namespace dw::core
