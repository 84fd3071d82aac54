/*
 * Which worker owns which bucket: consistent hashing.
 *
 * Positions are 32-bit numbers on a circle. A worker has a number of virtual nodes; node i lies at
 * fmix32(fnv1a32(name || '#' || i)), the hash over UTF-8 bytes and i in decimal. Bucket b of n lies
 * at floor(b * 2^32 / n). A bucket belongs to the worker of the first virtual node at its position
 * or clockwise after it, round the end; of two nodes at one position that of the smaller name, by
 * bytes. So a worker that joins takes buckets from others and moves none between them, and one that
 * leaves gives up just its own. All of it is part of the contract: a client that computes owners
 * must get the same ones.
 *
 * Raw FNV-1a leaves names that differ in their last digits close to each other, and some workers
 * nearly without buckets; the finaliser of MurmurHash3 (32 bits) spreads them. The bucket of a key
 * is the raw hash modulo n, see hash.hpp.
 */
#pragma once

#include "core/hash.hpp"

#include <cstdint>
#include <string_view>

namespace dw::core {

constexpr std::uint32_t kDefaultVnodes = 150;
constexpr std::uint32_t kMostVnodes = 1024;
constexpr std::uint32_t kDefaultBuckets = 360;
constexpr std::uint32_t kMostBuckets = 1024; /* of a queue */

using OwnerNumber = std::uint16_t;
constexpr OwnerNumber kNoOwner = 0xFFFF;

constexpr std::uint32_t fmix32(std::uint32_t hash) noexcept {
  hash ^= hash >> 16;
  hash *= 0x85ebca6bU;
  hash ^= hash >> 13;
  hash *= 0xc2b2ae35U;
  hash ^= hash >> 16;
  return hash;
}

/* fnv1a32 goes on where it was. */
constexpr std::uint32_t fnv1a32_more(std::uint32_t hash, std::string_view bytes) noexcept {
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 16777619U;
  }
  return hash;
}

/* What the positions of a worker's nodes are made from. */
constexpr std::uint32_t ring_seed(std::string_view utf8_name) noexcept {
  return fnv1a32_more(fnv1a32(utf8_name), "#");
}

constexpr std::uint32_t vnode_position(std::uint32_t seed, std::uint32_t node) noexcept {
  char digits[10] = {};
  int first = 10;
  do {
    digits[--first] = static_cast<char>('0' + node % 10);
    node /= 10;
  } while (node != 0);
  return fmix32(
      fnv1a32_more(seed, std::string_view(digits + first, static_cast<std::size_t>(10 - first))));
}

constexpr std::uint32_t bucket_position(std::uint32_t bucket, std::uint32_t buckets) noexcept {
  return static_cast<std::uint32_t>((std::uint64_t{bucket} << 32) / buckets);
}

/* The last bucket at that position or before it. */
constexpr std::uint32_t bucket_before(std::uint32_t position, std::uint32_t buckets) noexcept {
  return static_cast<std::uint32_t>(((std::uint64_t{position} + 1) * buckets - 1) >> 32);
}

struct RingWorker {
  std::string_view name; /* UTF-8 */
  std::uint32_t seed;    /* ring_seed(name) */
  std::uint32_t vnodes;
  OwnerNumber number; /* what its buckets get */
};

/*
 * owner[b] for each bucket; kNoOwner when there is no worker. nearest and place: room for as many
 * numbers as there are buckets. Takes as many steps as there are virtual nodes and buckets:
 * allocates nothing and sorts nothing.
 */
void assign_owners(const RingWorker* workers, std::uint32_t count, std::uint32_t buckets,
                   std::uint32_t* nearest, std::uint32_t* place, OwnerNumber* owner) noexcept;

static_assert(vnode_position(ring_seed("worker-A"), 0) == 1842176759U);
static_assert(vnode_position(ring_seed("worker-A"), 37) == 3889342768U);
static_assert(vnode_position(ring_seed("worker-A"), 149) == 1411634531U);

}  // namespace dw::core
