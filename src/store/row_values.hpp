/* Values of rows of our small tables, as somebody may have left them. */
#pragma once

#include "pg/headers.hpp"

#include <string_view>

namespace dw::store {

/* Never fails: a row that somebody edited by hand must not take all queues down. */
inline int64 span_of(Datum value) {
  const Interval* const span = DatumGetIntervalP(value);
  const int64 days = int64{span->month} * DAYS_PER_MONTH + span->day;
  const int64 most = PG_INT64_MAX / 4;
  if (days < 0 || span->time < 0) return 0;
  if (days >= most / USECS_PER_DAY || span->time >= most) return most;
  return days * USECS_PER_DAY + span->time;
}

inline std::string_view view_of(Datum value) {
  const text* const name = DatumGetTextPP(value);
  return {VARDATA_ANY(name), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(name))};
}

}  // namespace dw::store
