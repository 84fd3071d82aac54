/*
 * durable_work.log_slots(): which slots of the log are in use, as shared memory has it; a part of
 * the view segments.
 */
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"

extern "C" Datum dw_log_slots_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  const core::Index slot = runtime::database();
  if (slot == core::kNone) return pg::end_set(fcinfo);
  const core::Database& database = runtime::dispatcher().arena().databases[slot];
  for (uint8 segment = 0; segment < core::kSegments; segment++) {
    const core::JobId first_id = database.first_id[segment];
    const bool in_use = first_id != core::kNever;
    const char* const state = segment == database.current_segment ? "current"
                              : in_use                            ? "in use"
                                                                  : "not in use";
    const Datum values[] = {Int32GetDatum(segment), CStringGetTextDatum(state),
                            Int64GetDatum(std::max<core::JobId>(first_id, 1))};
    const bool nulls[] = {false, false, !in_use};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}
