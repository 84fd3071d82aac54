/*
 * FNV-1a, 32 bits, over bytes: offset 2166136261, prime 16777619 (Fowler, Noll, Vo). The hash of a
 * partition key is taken over its UTF-8 bytes and stored with the job; a bucket is the hash modulo
 * the bucket count. Both are part of the contract: a client that computes them must get the same
 * numbers.
 */
#pragma once

#include <cstdint>
#include <string_view>

namespace dw::core {

constexpr std::uint32_t fnv1a32(std::string_view bytes) noexcept {
  std::uint32_t hash = 2166136261U;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 16777619U;
  }
  return hash;
}

/* A job without a key is spread by its id: the eight bytes of the id, most significant first. */
constexpr std::uint32_t fnv1a32_of_id(std::int64_t id) noexcept {
  std::uint32_t hash = 2166136261U;
  for (int shift = 56; shift >= 0; shift -= 8) {
    hash ^= static_cast<std::uint32_t>((static_cast<std::uint64_t>(id) >> shift) & 0xFFU);
    hash *= 16777619U;
  }
  return hash;
}

/*
 * A second hash of a key, so that two keys in memory are told apart by 64 bits: of a million keys
 * some hundred share the first one with another, and would wait for each other, or be blocked with
 * it. FNV-1a with 64 bits, folded; 0 is no key. Only in memory, never stored.
 */
constexpr std::size_t kLongestCheckedKey = 126; /* bytes; longer ones are told apart by 32 bits */
constexpr std::uint32_t key_check_of_long() noexcept { return 1; }
constexpr std::uint32_t key_check(std::string_view bytes) noexcept {
  if (bytes.size() > kLongestCheckedKey) return key_check_of_long();
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 1099511628211ULL;
  }
  return static_cast<std::uint32_t>(hash >> 32 ^ hash) | 1U;
}

constexpr std::uint32_t bucket_of(std::uint32_t key_hash, std::uint32_t buckets) noexcept {
  return key_hash % buckets;
}

static_assert(fnv1a32("") == 2166136261U);
static_assert(fnv1a32("order:9182") % 360 == 331);

}  // namespace dw::core
