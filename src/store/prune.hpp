// Removing rows of the ordinary tables that are past their time.
#pragma once

#include "pg/headers.hpp"

#include "core/types.hpp"

namespace dw::store {

// Where the walk through the tables is. Process-local; lost without harm.
struct PrunePosition {
  int table = 0;
  BlockNumber block = 0;
  core::JobId after = PG_INT64_MIN;
};

struct Pruned {
  uint64 removed;
  bool end_of_pass;  // all tables were looked at
};

// A few pages, in the transaction that is open. Without `jobs` parked stays as it is.
Pruned prune_some(PrunePosition* position, bool jobs);

}  // namespace dw::store
