/*
 * The packed body of an outcome row.
 *
 * Every completed job costs one such row, so the body is small: 6 bytes of kind and time, the
 * queue, the token. With them a single completion is an 80 byte WAL record. Layout, all integers
 * little endian:
 *
 *   6 bytes    bits 0-3 kind, bits 4-47 milliseconds since 2026-01-01 UTC
 *   varint     queue id
 *   8 bytes    token of the first job
 *   schedule   only for the kinds that has_schedule() names: varint attempt, zigzag varint
 *              milliseconds from the outcome's time to the next due time
 *   batch      only if the row has a last id: varint n-1, then n-1 times: zigzag varint id
 *              difference, zigzag varint token difference, schedule
 *
 * A row spans at most 4,096 ids and its body stays below 2 kB, so that it is never stored out of
 * line and a page range of the block index stays narrow.
 */
#pragma once

#include "core/types.hpp"

#include <cstddef>
#include <cstdint>

namespace dw::core {

constexpr std::int64_t kMostIdSpan = 4096;
constexpr std::size_t kMostBody = 1900;

struct OutcomeMember {
  JobId id;
  Token token;
  std::int32_t attempt;
  Micros next_due; /* wall, rounded up to milliseconds; 0 when there is none */
};

/* The log keeps milliseconds, and a job is never due before the time asked for. */
constexpr Micros whole_milliseconds(Micros at) noexcept {
  return (at + kMillisecond - 1) / kMillisecond * kMillisecond;
}

/* The due time to write at `at` so that it holds whatever the job's row and earlier outcomes say: a
 * difference of no milliseconds would leave those in force. */
constexpr Micros explicit_due(Micros due, Micros at) noexcept {
  return due > at ? due : at - 2 * kMillisecond;
}

constexpr bool has_schedule(OutcomeKind kind) noexcept {
  return kind == OutcomeKind::attempt_failed || kind == OutcomeKind::rescheduled ||
         kind == OutcomeKind::dead_lettered || kind == OutcomeKind::claimed ||
         kind == OutcomeKind::payload_replaced || kind == OutcomeKind::redriven ||
         kind == OutcomeKind::relocated;
}

/*
 * Packs as many of the members, which must be sorted by id, as one row takes; at least one. Returns
 * how many, and the body's length. The body must have room for kMostBody bytes.
 */
std::size_t pack_outcome(OutcomeKind kind, Micros at, QueueId queue, const OutcomeMember* members,
                         std::size_t n, unsigned char* body, std::size_t* length) noexcept;

/* Reads a body member by member. A damaged body ends early with damaged() set; it is never read
 * past its end. */
class OutcomeReader {
 public:
  OutcomeReader(JobId first_id, bool batch, const unsigned char* body, std::size_t length) noexcept;

  [[nodiscard]] OutcomeKind kind() const noexcept { return kind_; }
  [[nodiscard]] Micros at() const noexcept { return at_; }
  [[nodiscard]] QueueId queue() const noexcept { return queue_; }
  [[nodiscard]] bool damaged() const noexcept { return damaged_; }
  bool next(OutcomeMember* out) noexcept;

 private:
  std::uint64_t varint() noexcept;
  std::int64_t zigzag() noexcept;

  const unsigned char* place_;
  const unsigned char* end_;
  JobId id_;
  Token token_ = 0;
  Micros at_ = 0;
  QueueId queue_ = 0;
  std::uint64_t left_ = 0;
  std::int64_t milliseconds_ = 0;
  OutcomeKind kind_ = OutcomeKind::completed;
  bool batch_ = false;
  bool first_ = true;
  bool damaged_ = false;
};

}  // namespace dw::core
