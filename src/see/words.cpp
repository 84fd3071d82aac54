#include "see/words.hpp"

namespace dw::see {

const char* duration(int64 microseconds) {
  const int64 seconds = microseconds / USECS_PER_SEC;
  if (seconds < 120) return psprintf(INT64_FORMAT " s", seconds);
  if (seconds < 2 * SECS_PER_HOUR) return psprintf(INT64_FORMAT " min", seconds / SECS_PER_MINUTE);
  if (seconds < 2 * SECS_PER_DAY) return psprintf(INT64_FORMAT " h", seconds / SECS_PER_HOUR);
  return psprintf(INT64_FORMAT " days", seconds / SECS_PER_DAY);
}

const char* moment(TimestampTz at) {
  const TimestampTz now = GetCurrentTimestamp();
  /* Whole seconds; timestamptz_to_str answers in a buffer of its own. */
  const char* const time = pstrdup(timestamptz_to_str(at - at % USECS_PER_SEC));
  if (at > now) return psprintf("at %s, in %s", time, duration(at - now));
  return psprintf("at %s, %s ago", time, duration(now - at));
}

}  // namespace dw::see
