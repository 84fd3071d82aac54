/*
 * ring_simulate, ring_moved: which worker of a list would own which bucket, and what moves when the
 * list changes. They compute and look at nothing, so they work without preloading too.
 */
#include <algorithm>

#include "core/owner_ring.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "store/key_hash.hpp"

namespace {

using namespace dw;

constexpr int kMostWorkers = 1024;
constexpr std::size_t kMostNameBytes = 127;

struct Ring {
  const char* const* names; /* in the order of their bytes in UTF-8, as numbers of owners */
  core::OwnerNumber* owner;
};

struct Named {
  std::string_view name; /* as it was given */
  std::string_view utf8;
};

void check_names(Named* workers, int count, const char* argument) {
  std::sort(workers, workers + count,
            [](const Named& a, const Named& b) { return a.utf8 < b.utf8; });
  for (int i = 1; i < count; i++) {
    if (workers[i].utf8 == workers[i - 1].utf8)
      pg::raise_invalid(psprintf("%s names \"%s\" twice", argument, pg::copy(workers[i].name)));
  }
}

Ring make_ring(FunctionCallInfo fcinfo, int number, const char* argument, uint32 vnodes,
               uint32 buckets) {
  const auto given = pg::required_array(fcinfo, number, argument, TEXTOID, kMostWorkers);
  auto* const workers = pg::allocate<Named>(static_cast<Size>(given.count) + 1);
  for (int i = 0; i < given.count; i++) {
    const std::string_view name = pg::text_view(given.required(i, argument));
    pg::check_length(name, argument, 1, kMostNameBytes);
    workers[i] = {name, store::utf8_text(name)};
  }
  check_names(workers, given.count, argument);
  auto* const nodes = pg::allocate<core::RingWorker>(static_cast<Size>(given.count) + 1);
  auto* const names = pg::allocate<const char*>(static_cast<Size>(given.count) + 1);
  for (int i = 0; i < given.count; i++) {
    nodes[i] = {workers[i].utf8, core::ring_seed(workers[i].utf8), vnodes,
                static_cast<core::OwnerNumber>(i)};
    names[i] = pg::copy(workers[i].name);
  }
  auto* const owner = pg::allocate<core::OwnerNumber>(buckets);
  core::assign_owners(nodes, static_cast<uint32>(given.count), buckets,
                      pg::allocate<uint32>(buckets), pg::allocate<uint32>(buckets), owner);
  return {names, owner};
}

uint32 vnodes_argument(FunctionCallInfo fcinfo, int number) {
  return static_cast<uint32>(
      pg::required_int(fcinfo, number, "vnodes", 1, static_cast<int32>(core::kMostVnodes)));
}

uint32 buckets_argument(FunctionCallInfo fcinfo, int number) {
  return static_cast<uint32>(
      pg::required_int(fcinfo, number, "buckets", 1, static_cast<int32>(core::kMostBuckets)));
}

const char* owner_name(const Ring& ring, uint32 bucket) {
  const core::OwnerNumber owner = ring.owner[bucket];
  return owner == core::kNoOwner ? nullptr : ring.names[owner];
}

bool is_same(const char* a, const char* b) {
  return a == nullptr || b == nullptr ? a == b : strcmp(a, b) == 0;
}

}  // namespace

extern "C" Datum dw_ring_simulate_body(FunctionCallInfo fcinfo) {
  const uint32 vnodes = vnodes_argument(fcinfo, 1);
  const uint32 buckets = buckets_argument(fcinfo, 2);
  const Ring ring = make_ring(fcinfo, 0, "workers", vnodes, buckets);
  pg::begin_set(fcinfo);
  for (uint32 b = 0; b < buckets; b++) {
    const char* const name = owner_name(ring, b);
    const Datum values[] = {Int32GetDatum(static_cast<int32>(b)),
                            name != nullptr ? CStringGetTextDatum(name) : Datum{0}};
    const bool nulls[] = {false, name == nullptr};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}

extern "C" Datum dw_ring_moved_body(FunctionCallInfo fcinfo) {
  const uint32 vnodes = vnodes_argument(fcinfo, 2);
  const uint32 buckets = buckets_argument(fcinfo, 3);
  const Ring before = make_ring(fcinfo, 0, "before", vnodes, buckets);
  const Ring after = make_ring(fcinfo, 1, "after", vnodes, buckets);
  int32 moved = 0;
  for (uint32 b = 0; b < buckets; b++)
    moved += is_same(owner_name(before, b), owner_name(after, b)) ? 0 : 1;
  const Datum values[] = {Int32GetDatum(moved), Int32GetDatum(static_cast<int32>(buckets)),
                          Float8GetDatum(static_cast<double>(moved) / buckets)};
  const bool nulls[] = {false, false, false};
  return pg::row_result(fcinfo, values, nulls);
}
