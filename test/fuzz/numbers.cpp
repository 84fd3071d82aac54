/* libFuzzer: what the core counts with: delays, token buckets, sets of ids, ranges of blocks, the
 * owners of buckets. */
#include "core/backoff.hpp"
#include "core/block_ranges.hpp"
#include "core/owner_ring.hpp"
#include "core/token_bucket.hpp"

#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

namespace {

using namespace dw::core;

class Numbers {
 public:
  Numbers(const unsigned char* data, std::size_t size) : data_(data), left_(size) {}
  [[nodiscard]] bool more() const { return left_ > 0; }
  std::uint64_t below(std::uint64_t most) {
    std::uint64_t value = 0;
    const std::size_t n = left_ < 8 ? left_ : 8;
    std::memcpy(&value, data_, n);
    data_ += n;
    left_ -= n;
    return value % most;
  }

 private:
  const unsigned char* data_;
  std::size_t left_;
};

void delays(Numbers& numbers) {
  QueueOptions options;
  options.backoff = static_cast<Backoff>(numbers.below(3));
  options.backoff_base = static_cast<Micros>(numbers.below(1ULL << 62));
  options.backoff_cap = static_cast<Micros>(numbers.below(1ULL << 62));
  options.jitter = static_cast<double>(numbers.below(101)) / 100;
  const auto attempt = static_cast<std::int32_t>(numbers.below(kMostAttempts + 1));
  const Micros delay =
      retry_delay(options, attempt, static_cast<double>(numbers.below(1000)) / 1000);
  if (delay < 0 || delay > options.backoff_cap) std::abort();
}

/* In any time no more than the burst and what the time brings. */
void bucket(Numbers& numbers) {
  Rate rate;
  rate.jobs = static_cast<std::uint32_t>(1 + numbers.below(kMostRateJobs));
  rate.burst = static_cast<std::uint32_t>(1 + numbers.below(kMostRateJobs));
  rate.interval = kShortestRateInterval +
                  static_cast<Micros>(numbers.below(kLongestRateInterval - kShortestRateInterval));
  TokenBucket tokens{};
  Micros now = 1000;
  tokens.begin(rate, now);
  const Micros begun = now;
  std::uint64_t taken = 0;
  while (numbers.more()) {
    now += static_cast<Micros>(numbers.below(1ULL << 40));
    tokens.fill(now);
    const std::uint32_t there = tokens.tokens();
    if (there > rate.burst) std::abort();
    const auto n = static_cast<std::uint32_t>(numbers.below(std::uint64_t{there} + 1));
    tokens.take(n);
    taken += n;
    const auto brought = static_cast<unsigned __int128>(now - begun) * rate.jobs;
    if (taken > brought / static_cast<unsigned __int128>(rate.interval)) std::abort();
    if (tokens.next() < now && tokens.tokens() == 0) std::abort();
  }
}

/* Ranges may be joined, with what lies between them; none is forgotten. */
void ranges(Numbers& numbers) {
  BoundedRanges some;
  some.clear();
  std::set<std::pair<std::uint8_t, std::uint32_t>> added;
  while (numbers.more()) {
    const auto segment = static_cast<std::uint8_t>(numbers.below(kStores));
    const auto block = static_cast<std::uint32_t>(numbers.below(100000));
    some.add(segment, block, block);
    added.emplace(segment, block);
  }
  for (const auto& [segment, block] : added) {
    bool found = false;
    for (std::uint32_t i = 0; i < some.size() && !found; i++)
      found =
          some.at(i).segment == segment && some.at(i).first <= block && block <= some.at(i).last;
    if (!found) std::abort();
  }
}

void owners(Numbers& numbers) {
  constexpr std::uint32_t kMost = 360;
  const auto buckets = static_cast<std::uint32_t>(1 + numbers.below(kMost));
  const auto count = static_cast<std::uint32_t>(numbers.below(6));
  static const char* const kNames[] = {"a", "b", "worker-A", "\xC3\xA9", "worker-B"};
  RingWorker workers[5];
  for (std::uint32_t i = 0; i < count; i++)
    workers[i] =
        RingWorker{kNames[i], ring_seed(kNames[i]),
                   static_cast<std::uint32_t>(1 + numbers.below(50)), static_cast<OwnerNumber>(i)};
  std::uint32_t nearest[kMost];
  std::uint32_t place[kMost];
  OwnerNumber owner[kMost];
  assign_owners(workers, count, buckets, nearest, place, owner);
  for (std::uint32_t b = 0; b < buckets; b++) {
    if (count == 0 ? owner[b] != kNoOwner : owner[b] >= count) std::abort();
    if (bucket_before(bucket_position(b, buckets), buckets) != b) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  Numbers numbers(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      delays(numbers);
      break;
    case 1:
      bucket(numbers);
      break;
    case 2:
      ranges(numbers);
      break;
    default:
      owners(numbers);
  }
  return 0;
}
