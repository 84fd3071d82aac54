/*
 * bucket: which of a number of buckets a partition key falls into. Part of the contract, so that
 * clients can compute it: FNV-1a, 32 bits, over the key's UTF-8 bytes, modulo the number. It needs
 * nothing of the engine, so it works without preloading too: an index may be built on it.
 */
#include "core/hash.hpp"
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "store/key_hash.hpp"

extern "C" Datum dw_bucket_body(FunctionCallInfo fcinfo) {
  const std::string_view key = pg::required_text(fcinfo, 0, "partition_key", 0, MaxAllocSize);
  const auto buckets = static_cast<uint32>(pg::required_int(fcinfo, 1, "buckets", 1, PG_INT32_MAX));
  return Int32GetDatum(static_cast<int32>(dw::core::bucket_of(dw::store::key_hash(key), buckets)));
}
