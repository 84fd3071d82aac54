#include <algorithm>

#include "core/limits.hpp"

#include "pg/headers.hpp"

#include "store/limit_columns.hpp"
#include "store/row_values.hpp"

namespace dw::store {

namespace {

enum Column {
  limit_max_in_flight,
  limit_rate_jobs,
  limit_rate_interval,
  limit_rate_burst,
  limit_key_max_in_flight,
  limit_key_rate_jobs,
  limit_key_rate_interval,
  limit_key_rate_burst,
  limit_concurrency_group,
  limit_group_max_in_flight,
  limit_rate_group,
  limit_group_rate_jobs,
  limit_group_rate_interval,
  limit_group_rate_burst,
  limit_columns
};
static_assert(limit_columns == kLimitColumns);

uint32 max_in_flight_of(const Datum* values, const bool* nulls, int column) {
  return nulls[column] ? core::kUnlimited
                       : static_cast<uint32>(std::max(0, DatumGetInt32(values[column])));
}

/* Jobs, interval and burst stand beside each other. */
core::Rate rate_of(const Datum* values, const bool* nulls, int jobs) {
  constexpr auto kMost = static_cast<int32>(core::kMostRateJobs);
  core::Rate rate;
  if (nulls[jobs] || nulls[jobs + 1] || nulls[jobs + 2]) return rate;
  rate.jobs = static_cast<uint32>(std::clamp(DatumGetInt32(values[jobs]), 1, kMost));
  rate.interval = std::clamp(span_of(values[jobs + 1]), core::kShortestRateInterval,
                             core::kLongestRateInterval);
  rate.burst = static_cast<uint32>(std::clamp(DatumGetInt32(values[jobs + 2]), 1, kMost));
  return rate;
}

void fill_group(const Datum* values, core::LimitKind kind, int column, core::QueueLimits* limits) {
  const std::string_view name = view_of(values[column]);
  memcpy(limits->group[static_cast<int>(kind)], name.data(),
         std::min(name.size(), core::kGroupNameSize - 1));
}

}  // namespace

/* A group without a limit is none. */
void read_limits(const Datum* values, const bool* nulls, core::QueueLimits* limits) {
  limits->max_in_flight = max_in_flight_of(values, nulls, limit_max_in_flight);
  limits->rate = rate_of(values, nulls, limit_rate_jobs);
  limits->key_max_in_flight = max_in_flight_of(values, nulls, limit_key_max_in_flight);
  limits->key_rate = rate_of(values, nulls, limit_key_rate_jobs);
  if (!nulls[limit_concurrency_group]) {
    limits->group_max_in_flight = max_in_flight_of(values, nulls, limit_group_max_in_flight);
    if (limits->group_max_in_flight != core::kUnlimited)
      fill_group(values, core::LimitKind::concurrency, limit_concurrency_group, limits);
  }
  if (!nulls[limit_rate_group]) {
    limits->group_rate = rate_of(values, nulls, limit_group_rate_jobs);
    if (limits->group_rate.jobs != 0)
      fill_group(values, core::LimitKind::rate, limit_rate_group, limits);
  }
}

}  // namespace dw::store
