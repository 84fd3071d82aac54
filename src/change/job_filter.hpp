// Which jobs a call is about: those of one key, those whose contents fit, those of some age.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "store/job_log.hpp"

namespace dw::change {

struct JobFilter {
  std::optional<Datum> partition_key;  // text
  std::optional<Datum> path;           // jsonpath over {"headers": …, "payload": …}
  std::optional<TimestampTz> enqueued_until;
  uint32 key_hash;  // of the key, if there is one

  [[nodiscard]] bool needs_row() const { return partition_key || path || enqueued_until; }
};

// Arguments partition_key, filter and older_than, from that number on.
JobFilter filter_arguments(FunctionCallInfo fcinfo, int first);

// A path that fails on a job (a text where it wants a number) does not fit it, as with the
// operator @?.
bool fits(const JobFilter& filter, const store::JobTuple& job);

}  // namespace dw::change
