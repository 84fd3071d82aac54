#include "core/outcome.hpp"

#include <algorithm>

namespace dw::core {

namespace {

/* 2026-01-01 00:00 UTC in microseconds since 2000-01-01. */
constexpr Micros kEpoch2026 = 820'454'400LL * kSecond;
constexpr std::size_t kMostMember = 10 + 10 + 3 + 10;

class Writer {
 public:
  explicit Writer(unsigned char* place) noexcept : place_(place) {}
  [[nodiscard]] unsigned char* place() const noexcept { return place_; }
  void bytes(std::uint64_t value, int n) noexcept {
    for (int i = 0; i < n; i++) *place_++ = static_cast<unsigned char>(value >> (8 * i));
  }
  void varint(std::uint64_t value) noexcept {
    while (value >= 0x80) {
      *place_++ = static_cast<unsigned char>(value | 0x80U);
      value >>= 7;
    }
    *place_++ = static_cast<unsigned char>(value);
  }
  void zigzag(std::int64_t value) noexcept {
    varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }

 private:
  unsigned char* place_;
};

std::int64_t milliseconds_of(Micros at) noexcept {
  return std::max<Micros>(at - kEpoch2026, 0) / kMillisecond;
}

/* Rounded up, so that a job is not offered before the time that was asked for. */
std::int64_t milliseconds_until(std::int64_t from, Micros due) noexcept {
  if (due >= kNever - kEpoch2026)
    return std::numeric_limits<std::int32_t>::max() * std::int64_t{1000};
  return (due - kEpoch2026 + kMillisecond - 1) / kMillisecond - from;
}

void write_schedule(Writer& out, const OutcomeMember& member, std::int64_t at) noexcept {
  out.varint(static_cast<std::uint64_t>(std::max(member.attempt, 0)));
  out.zigzag(member.next_due == 0 ? 0 : milliseconds_until(at, member.next_due));
}

}  // namespace

std::size_t pack_outcome(OutcomeKind kind, Micros at, QueueId queue, const OutcomeMember* members,
                         std::size_t n, unsigned char* body, std::size_t* length) noexcept {
  const std::int64_t ms = milliseconds_of(at);
  Writer out(body);
  out.bytes(static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(ms) << 4, 6);
  out.varint(static_cast<std::uint32_t>(queue));
  out.bytes(static_cast<std::uint64_t>(members[0].token), 8);
  if (has_schedule(kind)) write_schedule(out, members[0], ms);
  std::size_t fit = 1;
  /* How many fit is only known after packing, and their number comes first: count, then pack. */
  std::size_t used = static_cast<std::size_t>(out.place() - body) + kMostMember;
  while (fit < n && members[fit].id - members[0].id < kMostIdSpan) {
    unsigned char scratch[kMostMember];
    Writer probe(scratch);
    probe.zigzag(members[fit].id - members[fit - 1].id);
    probe.zigzag(members[fit].token - members[fit - 1].token);
    if (has_schedule(kind)) write_schedule(probe, members[fit], ms);
    used += static_cast<std::size_t>(probe.place() - scratch);
    if (used > kMostBody) break;
    fit++;
  }
  if (fit > 1) {
    out.varint(fit - 1);
    for (std::size_t i = 1; i < fit; i++) {
      out.zigzag(members[i].id - members[i - 1].id);
      out.zigzag(members[i].token - members[i - 1].token);
      if (has_schedule(kind)) write_schedule(out, members[i], ms);
    }
  }
  *length = static_cast<std::size_t>(out.place() - body);
  return fit;
}

OutcomeReader::OutcomeReader(JobId first_id, bool batch, const unsigned char* body,
                             std::size_t length) noexcept
    : place_(body), end_(body + length), id_(first_id) {
  if (length < 6 + 1 + 8) {
    damaged_ = true;
    return;
  }
  std::uint64_t head = 0;
  for (int i = 0; i < 6; i++) head |= static_cast<std::uint64_t>(*place_++) << (8 * i);
  kind_ = static_cast<OutcomeKind>(head & 0x0F);
  milliseconds_ = static_cast<std::int64_t>(head >> 4);
  at_ = kEpoch2026 + milliseconds_ * kMillisecond;
  queue_ = static_cast<QueueId>(varint());
  if (end_ - place_ < 8) {
    damaged_ = true;
    return;
  }
  std::uint64_t token = 0;
  for (int i = 0; i < 8; i++) token |= static_cast<std::uint64_t>(*place_++) << (8 * i);
  token_ = static_cast<Token>(token);
  batch_ = batch;
}

std::uint64_t OutcomeReader::varint() noexcept {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (place_ == end_) {
      damaged_ = true;
      return 0;
    }
    const unsigned char byte = *place_++;
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if ((byte & 0x80U) == 0) return value;
  }
  damaged_ = true;
  return 0;
}

std::int64_t OutcomeReader::zigzag() noexcept {
  const std::uint64_t value = varint();
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

bool OutcomeReader::next(OutcomeMember* out) noexcept {
  if (damaged_) return false;
  if (!first_) {
    if (left_ == 0) return false;
    left_--;
    id_ =
        static_cast<JobId>(static_cast<std::uint64_t>(id_) + static_cast<std::uint64_t>(zigzag()));
    token_ = static_cast<Token>(static_cast<std::uint64_t>(token_) +
                                static_cast<std::uint64_t>(zigzag()));
  }
  *out = OutcomeMember{id_, token_, 0, 0};
  if (has_schedule(kind_)) {
    out->attempt = static_cast<std::int32_t>(std::min<std::uint64_t>(varint(), kMostAttempts));
    const std::int64_t wait = zigzag();
    const std::int64_t most = (kNever - kEpoch2026) / kMillisecond;
    if (wait > most - milliseconds_ || wait < -milliseconds_) {
      damaged_ = true;
    } else if (wait != 0) {
      out->next_due = kEpoch2026 + (milliseconds_ + wait) * kMillisecond;
    }
  }
  if (first_ && batch_) left_ = varint();
  first_ = false;
  return !damaged_;
}

}  // namespace dw::core
