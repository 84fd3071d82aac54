// SQL statements of the engine, planned once per process and run as the owner of its tables.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::store {

// Keep one per statement, in static storage.
struct SavedPlan {
  SPIPlanPtr plan = nullptr;
};

// Runs the statement and returns the number of rows it wrote. `nulls` has one character for each
// parameter, 'n' for null.
uint64 run_as_owner(SavedPlan* saved, const char* statement, int parameters, const Oid* types,
                    const Datum* values, const char* nulls);

}  // namespace dw::store
