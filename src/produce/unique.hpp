// Idempotency keys whose job may have been worked off: unique_while and on_duplicate of enqueue.
#pragma once

#include "pg/headers.hpp"

#include "produce/submit.hpp"

namespace dw::produce {

// For jobs with an idempotency key. The key's row is locked until the transaction ends, so that
// producers of one key come one after the other.
Submitted submit_unique(const Target& target, const JobArguments& arguments);

}  // namespace dw::produce
