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

namespace {

const char* state_name(const dw::core::Database& database, uint8 segment) {
  if (segment == database.current_segment.load()) return "current";
  switch (database.segment_state[segment].load()) {
    case dw::core::SegmentState::open:
      return "sealed";
    case dw::core::SegmentState::quiet:
      return "draining";
    case dw::core::SegmentState::empty:
      break;
  }
  return "empty";
}

}  // namespace

extern "C" Datum dw_log_slots_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  runtime::require_preloaded();
  pg::begin_set(fcinfo);
  const core::Index slot = runtime::database();
  if (slot == core::kNone) return pg::end_set(fcinfo);
  const core::Database& database = runtime::dispatcher().arena().databases[slot];
  for (uint8 segment = 0; segment < core::kSegments; segment++) {
    const core::JobId first_id = database.first_id[segment].load();
    const bool in_use = first_id != core::kNever;
    const Datum values[] = {Int32GetDatum(segment),
                            CStringGetTextDatum(state_name(database, segment)),
                            Int64GetDatum(std::max<core::JobId>(first_id, 1))};
    const bool nulls[] = {false, false, !in_use};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}
