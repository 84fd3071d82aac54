// Completing several jobs in one call: what complete_many and complete_and_claim share.
#pragma once

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "worker/lease_check.hpp"

namespace dw::worker {

struct Completions {
  pg::array_values ids;
  pg::array_values tokens;
  pg::array_values results;  // perhaps not given
};

// The arguments job_ids and lease_tokens, in places 0 and 1, and results in place `results`;
// checked for their lengths.
Completions completion_arguments(FunctionCallInfo fcinfo, int results);

// Completes each of them, or not, and says which in the order given. There is room for the
// decisions in the transaction.
void complete_all(const Completions& wanted, void (*put)(const Lease&, Standing, void* arg),
                  void* arg);

// One of them, with or without a result.
void write_completed(const core::Decided& decided, std::size_t action, TimestampTz at,
                     std::optional<Datum> result);

}  // namespace dw::worker
