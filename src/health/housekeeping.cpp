/* Whether something that the housekeeper does fails again and again: a full disk, a lock. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "see/words.hpp"

namespace dw::health {

namespace {

/* A failure that goes away by itself, as a lock that was held for a moment, is gone by then. */
constexpr int64 kTolerated = USECS_PER_MINUTE;

Finding look() {
  const core::Index slot = runtime::database();
  StringInfoData text;
  initStringInfo(&text);
  TimestampTz first = DT_NOEND;
  for (uint32 i = 0; i < runtime::kDuties; i++) {
    const auto duty = static_cast<runtime::Duty>(i);
    runtime::Trouble trouble;
    if (!runtime::see_trouble(slot, duty, &trouble)) continue;
    if (text.len > 0) appendStringInfoString(&text, "; ");
    appendStringInfo(&text, "%s fails: %s %s (%u times since %s, last %s ago)",
                     runtime::words_of(duty), unpack_sql_state(trouble.sqlstate), trouble.message,
                     trouble.count, pstrdup(timestamptz_to_str(trouble.since)),
                     see::duration(Max(GetCurrentTimestamp() - trouble.last, int64{0})));
    first = Min(first, trouble.since);
  }
  if (text.len == 0) return ok("nothing that the housekeeper does has failed last time");
  const char* const advice =
      "Mend what the message says (disk space, a lock, a damaged table); the server's log has it "
      "in full. The housekeeper tries again by itself, at least once a minute.";
  if (GetCurrentTimestamp() - first > kTolerated) return critical(text.data, advice);
  return warning(text.data, advice);
}

}  // namespace

const Check housekeeping_check{"housekeeping", Needs::slot, look};

}  // namespace dw::health
