/* The columns of durable_work.queue that hold its limits. */
#pragma once

#include "core/limits.hpp"

#include "pg/headers.hpp"

namespace dw::store {

/* They stand beside each other, in the order of the enum in limit_columns.cpp. */
constexpr int kLimitColumns = 14;

void read_limits(const Datum* values, const bool* nulls, core::QueueLimits* limits);

}  // namespace dw::store
