/*
 * A virtual node is first seen from the last bucket at its position or before it, and from those
 * further back only if no node lies in between. So each node is offered to that one bucket, which
 * keeps the nearest; a bucket without one has the owner of the bucket after it, round the end.
 */
#include "core/owner_ring.hpp"

namespace dw::core {

namespace {

constexpr std::uint32_t kNobody = 0xFFFFFFFFU;

/* The node of worker a comes before that of b at the same position. */
bool comes_first(const RingWorker& a, const RingWorker& b) noexcept { return a.name < b.name; }

void offer_nodes(const RingWorker* workers, std::uint32_t which, std::uint32_t buckets,
                 std::uint32_t* nearest, std::uint32_t* place) noexcept {
  const RingWorker& worker = workers[which];
  for (std::uint32_t node = 0; node < worker.vnodes; node++) {
    const std::uint32_t position = vnode_position(worker.seed, node);
    const std::uint32_t bucket = bucket_before(position, buckets);
    const std::uint32_t known = place[bucket];
    const bool nearer = known == kNobody || position < nearest[bucket] ||
                        (position == nearest[bucket] && comes_first(worker, workers[known]));
    if (!nearer) continue;
    nearest[bucket] = position;
    place[bucket] = which;
  }
}

}  // namespace

void assign_owners(const RingWorker* workers, std::uint32_t count, std::uint32_t buckets,
                   std::uint32_t* nearest, std::uint32_t* place, OwnerNumber* owner) noexcept {
  for (std::uint32_t b = 0; b < buckets; b++) place[b] = kNobody;
  for (std::uint32_t w = 0; w < count; w++) offer_nodes(workers, w, buckets, nearest, place);
  std::uint32_t next = kNobody;
  /* Twice round: the first time finds what the last buckets get from the first ones. */
  for (int round = 0; round < 2; round++) {
    for (std::uint32_t b = buckets; b-- > 0;) {
      if (place[b] != kNobody) next = place[b];
      owner[b] = next != kNobody ? workers[next].number : kNoOwner;
    }
  }
}

}  // namespace dw::core
