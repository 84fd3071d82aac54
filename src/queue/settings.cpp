/*
 * Reading, checking and comparing the options of a queue.
 */

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "queue/settings.hpp"

namespace dw::queue {

namespace {

enum Argument {
  argument_lease = kFirstOption,
  argument_max_attempts,
  argument_backoff,
  argument_backoff_base,
  argument_backoff_cap,
  argument_jitter,
  argument_retention,
  argument_dedupe_window,
  argument_strict
};

constexpr int64 kLongestLease = int64{365} * USECS_PER_DAY;
/* Keeps every sum of a time and an interval within what the server can show. */
constexpr int64 kLongestInterval = int64{36500} * USECS_PER_DAY;

constexpr std::string_view kBackoffs[] = {"exponential", "linear", "fixed"};

core::Backoff read_backoff(std::string_view value) {
  for (std::size_t i = 0; i < std::size(kBackoffs); i++) {
    if (value == kBackoffs[i]) return static_cast<core::Backoff>(i);
  }
  pg::raise_invalid(psprintf("backoff \"%s\" is not known", pg::copy(value)), nullptr,
                    "Use exponential, linear or fixed.");
}

const char* interval_text(int64 microseconds) {
  return DatumGetCString(
      DirectFunctionCall1(interval_out, IntervalPGetDatum(pg::make_interval(microseconds))));
}

/* Finite and not negative is checked before. */
int64 read_interval(FunctionCallInfo fcinfo, int number, const char* name, int64 most) {
  const int64 value = pg::required_interval(fcinfo, number, name);
  if (value > most)
    pg::raise_invalid(
        psprintf("%s must be at most %s, not %s", name, interval_text(most), interval_text(value)));
  return value;
}

int64 read_lease(FunctionCallInfo fcinfo) {
  const int64 lease = read_interval(fcinfo, argument_lease, "lease", kLongestLease);
  if (lease == 0) pg::raise_invalid("lease must be longer than zero");
  return lease;
}

void add_difference(StringInfo text, const char* name, const char* is, const char* given) {
  appendStringInfo(text, "%s%s is %s, not %s", text->len == 0 ? "" : "; ", name, is, given);
}

}  // namespace

void read_settings(FunctionCallInfo fcinfo, bool keep_null, store::QueueSettings* settings) {
  const auto given = [fcinfo, keep_null](Argument number) {
    return !keep_null || !pg::is_null(fcinfo, number);
  };
  core::QueueOptions& options = settings->options;
  if (given(argument_lease)) options.lease = read_lease(fcinfo);
  if (given(argument_max_attempts))
    options.max_attempts =
        pg::required_int(fcinfo, argument_max_attempts, "max_attempts", 1, core::kMostAttempts);
  if (given(argument_backoff))
    options.backoff =
        read_backoff(pg::required_text(fcinfo, argument_backoff, "backoff", 1, NAMEDATALEN));
  if (given(argument_backoff_base))
    options.backoff_base =
        read_interval(fcinfo, argument_backoff_base, "backoff_base", kLongestInterval);
  if (given(argument_backoff_cap))
    options.backoff_cap =
        read_interval(fcinfo, argument_backoff_cap, "backoff_cap", kLongestInterval);
  if (given(argument_jitter))
    options.jitter = pg::required_double(fcinfo, argument_jitter, "jitter", 0.0, 1.0);
  if (given(argument_retention))
    settings->retention = read_interval(fcinfo, argument_retention, "retention", kLongestInterval);
  if (given(argument_dedupe_window))
    settings->dedupe_window =
        read_interval(fcinfo, argument_dedupe_window, "dedupe_window", kLongestInterval);
  if (given(argument_strict)) options.strict = pg::required_bool(fcinfo, argument_strict, "strict");

  if (options.backoff_base > options.backoff_cap)
    pg::raise_invalid(
        "backoff_base must not be longer than backoff_cap",
        psprintf("backoff_base is %s, backoff_cap is %s.", interval_text(options.backoff_base),
                 interval_text(options.backoff_cap)));
}

const char* describe_difference(const store::QueueSettings& is, const store::QueueSettings& given) {
  StringInfoData text;
  initStringInfo(&text);
  const auto compare_intervals = [&text](const char* name, int64 a, int64 b) {
    if (a != b) add_difference(&text, name, interval_text(a), interval_text(b));
  };
  const core::QueueOptions& a = is.options;
  const core::QueueOptions& b = given.options;
  compare_intervals("lease", a.lease, b.lease);
  if (a.max_attempts != b.max_attempts)
    add_difference(&text, "max_attempts", psprintf("%d", a.max_attempts),
                   psprintf("%d", b.max_attempts));
  if (a.backoff != b.backoff)
    add_difference(&text, "backoff", kBackoffs[static_cast<int>(a.backoff)].data(),
                   kBackoffs[static_cast<int>(b.backoff)].data());
  compare_intervals("backoff_base", a.backoff_base, b.backoff_base);
  compare_intervals("backoff_cap", a.backoff_cap, b.backoff_cap);
  if (a.jitter != b.jitter)
    add_difference(&text, "jitter", psprintf("%g", a.jitter), psprintf("%g", b.jitter));
  compare_intervals("retention", is.retention, given.retention);
  compare_intervals("dedupe_window", is.dedupe_window, given.dedupe_window);
  if (a.strict != b.strict)
    add_difference(&text, "strict", a.strict ? "true" : "false", b.strict ? "true" : "false");
  if (text.len == 0) return nullptr;
  appendStringInfoChar(&text, '.');
  return text.data;
}

}  // namespace dw::queue
