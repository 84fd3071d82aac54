/*
 * shard_key: divides one busy partition key into several, `tenant:7` into `tenant:7#0` …
 * `tenant:7#7`, so that what belongs to one sub key stays in one of them. Part of the contract like
 * bucket: FNV-1a, 32 bits, over the sub key's UTF-8 bytes, modulo the number of shards. It needs
 * nothing of the engine.
 *
 * A job without a key has nothing to be divided: null. A key without a sub key is refused. If null
 * came out, the job would be enqueued without any key, and what the key was there for, its order or
 * its share, would be lost without a word.
 */
#include "core/hash.hpp"
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "store/key_hash.hpp"

extern "C" Datum dw_shard_key_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  const auto shards = static_cast<uint32>(pg::required_int(fcinfo, 2, "shards", 1, PG_INT32_MAX));
  const auto key = pg::optional_text(fcinfo, 0, "partition_key", 0, MaxAllocSize);
  if (!key.has_value()) return pg::null_result(fcinfo);
  const std::string_view sub_key = pg::required_text(fcinfo, 1, "sub_key", 0, MaxAllocSize);
  StringInfoData shard;
  initStringInfo(&shard);
  appendBinaryStringInfo(&shard, key->data(), static_cast<int>(key->size()));
  appendStringInfo(&shard, "#%u", core::bucket_of(store::key_hash(sub_key), shards));
  return pg::text_datum({shard.data, static_cast<std::size_t>(shard.len)});
}
