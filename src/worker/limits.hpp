// Limits that several of the workers' functions share.
#pragma once

#include "core/layout.hpp"

#include "pg/headers.hpp"

namespace dw::worker {

constexpr int32 kMostClaimed = 10'000;
constexpr int kMostJobsPerCall = 100'000;
constexpr std::size_t kMostErrorBytes = 1024 * 1024;
constexpr std::size_t kMostReasonBytes = 1024;
constexpr std::size_t kMostWorkerBytes = core::kWorkerNameSize - 1;
// Leases, delays and dates: a hundred years.
constexpr int64 kMostSpan = int64{36'525} * USECS_PER_DAY;

}  // namespace dw::worker
