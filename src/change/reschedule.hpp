// When a job that waits is to be due: what reschedule and its like write.
#pragma once

#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "store/json_builder.hpp"
#include "store/taken_job.hpp"
#include "worker/limits.hpp"

namespace dw::change {

struct NewDue {
  TimestampTz now;
  TimestampTz at;  // not before now, in whole milliseconds when it is later
};

// A time in the past means at once.
inline NewDue new_due(TimestampTz wanted) {
  const TimestampTz now = GetCurrentTimestamp();
  if (wanted > now + worker::kMostSpan)
    pg::raise_invalid("available_at must be at most a hundred years from now");
  return {now, wanted > now ? core::whole_milliseconds(wanted) : now};
}

constexpr char kRescheduled[] = "rescheduled";

// A worker's deferral has none, and so the two are told apart.
inline Datum rescheduled_detail() {
  store::JsonBuilder json;
  json.begin_object();
  json.text("reason", kRescheduled);
  json.end_object();
  return json.datum();
}

// The outcome of one job, and what becomes of it at commit.
void write_rescheduled(const store::TakenJob& taken, const NewDue& due);

}  // namespace dw::change
