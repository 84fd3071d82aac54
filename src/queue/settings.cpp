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
  argument_delivery,
  argument_max_length,
  argument_overflow,
  argument_retention,
  argument_dedupe_window,
  argument_dead_letter_queue,
  argument_durable_claims,
  argument_strict,
  argument_buckets,
  argument_max_runtime,
  argument_max_payload,
  argument_ordering,
  argument_on_exhausted,
  argument_fairness
};

constexpr int64 kLongestLease = int64{365} * USECS_PER_DAY;
/* Keeps every sum of a time and an interval within what the server can show. */
constexpr int64 kLongestInterval = int64{36500} * USECS_PER_DAY;

/* What the server can store in one jsonb. */
constexpr int64 kLargestPayload = int64{255} * 1024 * 1024;

constexpr std::string_view kBackoffs[] = {"exponential", "linear", "fixed"};
constexpr std::string_view kDeliveries[] = {"at_least_once", "at_most_once"};
constexpr std::string_view kOverflows[] = {"reject", "drop_oldest"};
constexpr std::string_view kBooleans[] = {"false", "true"};
constexpr std::string_view kByKey[] = {"none", "key"};
constexpr std::string_view kExhaustions[] = {"skip", "hold", "dead_letter_key"};

/* Place of the argument's value among the words. */
template <std::size_t n>
std::size_t read_word(FunctionCallInfo fcinfo, int number, const char* name,
                      const std::string_view (&words)[n], const char* hint) {
  const std::string_view value = pg::required_text(fcinfo, number, name, 1, NAMEDATALEN);
  for (std::size_t i = 0; i < n; i++) {
    if (value == words[i]) return i;
  }
  pg::raise_invalid(psprintf("%s \"%s\" is not known", name, pg::copy(value)), nullptr, hint);
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

/* Bytes; units as the server's own settings take them. */
int64 read_max_payload(FunctionCallInfo fcinfo) {
  const Datum text = pg::required_datum(fcinfo, argument_max_payload, "max_payload");
  const int64 bytes = DatumGetInt64(DirectFunctionCall1(pg_size_bytes, text));
  pg::check_range(bytes, "max_payload", 1, kLargestPayload);
  return bytes;
}

std::optional<std::string_view> dead_letter_queue_name(FunctionCallInfo fcinfo) {
  const auto name = pg::optional_text(fcinfo, argument_dead_letter_queue, "dead_letter_queue", 0,
                                      core::kQueueNameSize - 1);
  return name && !name->empty() ? name : std::nullopt;
}

/* 0: none. */
core::QueueId read_dead_letter_queue(FunctionCallInfo fcinfo) {
  const auto name = dead_letter_queue_name(fcinfo);
  if (!name) return 0;
  if (*name == pg::text_view(pg::required_datum(fcinfo, 0, "queue")))
    pg::raise_invalid(
        "a queue cannot be its own dead_letter_queue", nullptr,
        "Name another queue, or none: the dead letters stay in the view dead_letters.");
  /* It gets jobs from this one. */
  return store::require_queue(*name, store::Right::enqueue).id;
}

void read_limits(FunctionCallInfo fcinfo, bool keep_null, store::QueueSettings* settings) {
  const auto given = [fcinfo, keep_null](Argument number) {
    return !keep_null || !pg::is_null(fcinfo, number);
  };
  core::QueueOptions& options = settings->options;
  if (given(argument_max_length))
    options.max_length =
        pg::optional_bigint(fcinfo, argument_max_length, "max_length", 0).value_or(0);
  if (given(argument_overflow))
    options.drop_oldest = read_word(fcinfo, argument_overflow, "overflow", kOverflows,
                                    "Use reject or drop_oldest.") == 1;
  if (given(argument_max_runtime))
    options.max_runtime =
        pg::is_null(fcinfo, argument_max_runtime)
            ? 0
            : read_interval(fcinfo, argument_max_runtime, "max_runtime", kLongestInterval);
  if (given(argument_max_payload)) settings->max_payload = read_max_payload(fcinfo);
  if (given(argument_dead_letter_queue))
    settings->dead_letter_queue = read_dead_letter_queue(fcinfo);
}

void read_keys(FunctionCallInfo fcinfo, bool keep_null, store::QueueSettings* settings) {
  const auto given = [fcinfo, keep_null](Argument number) {
    return !keep_null || !pg::is_null(fcinfo, number);
  };
  core::QueueOptions& options = settings->options;
  if (given(argument_ordering))
    options.ordered =
        read_word(fcinfo, argument_ordering, "ordering", kByKey, "Use none or key.") == 1;
  if (given(argument_on_exhausted))
    options.on_exhausted = static_cast<core::OnExhausted>(
        read_word(fcinfo, argument_on_exhausted, "on_exhausted", kExhaustions,
                  "Use skip, hold or dead_letter_key."));
  if (given(argument_fairness))
    options.fair =
        read_word(fcinfo, argument_fairness, "fairness", kByKey, "Use none or key.") == 1;
}

/* The name that a message shows for a queue's number. */
const char* queue_name(core::QueueId id) {
  if (id == 0) return "none";
  const store::QueueInfo* const queue = store::find_queue_by_id(id);
  const bool shown = queue != nullptr && store::may(id, store::Right::any);
  return shown ? pstrdup(queue->name) : psprintf("%d", id);
}

const char* number_text(int64 value) { return value == 0 ? "none" : psprintf(INT64_FORMAT, value); }

void add_difference(StringInfo text, const char* name, const char* is, const char* given) {
  appendStringInfo(text, "%s%s is %s, not %s", text->len == 0 ? "" : "; ", name, is, given);
}

}  // namespace

bool ties_dead_letters(FunctionCallInfo fcinfo) {
  return dead_letter_queue_name(fcinfo).has_value();
}

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
    options.backoff = static_cast<core::Backoff>(read_word(
        fcinfo, argument_backoff, "backoff", kBackoffs, "Use exponential, linear or fixed."));
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
  if (given(argument_delivery))
    options.at_most_once = read_word(fcinfo, argument_delivery, "delivery", kDeliveries,
                                     "Use at_least_once or at_most_once.") == 1;
  if (given(argument_durable_claims))
    options.durable_claims = pg::required_bool(fcinfo, argument_durable_claims, "durable_claims");
  if (given(argument_strict)) options.strict = pg::required_bool(fcinfo, argument_strict, "strict");
  if (given(argument_buckets))
    options.buckets = pg::required_int(fcinfo, argument_buckets, "buckets", 1,
                                       static_cast<int32>(core::kMostBuckets));
  read_limits(fcinfo, keep_null, settings);
  read_keys(fcinfo, keep_null, settings);

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
  const auto compare_words = [&text](const char* name, const std::string_view* words, bool x,
                                     bool y) {
    if (x != y) add_difference(&text, name, words[x ? 1 : 0].data(), words[y ? 1 : 0].data());
  };
  compare_words("delivery", kDeliveries, a.at_most_once, b.at_most_once);
  if (a.max_length != b.max_length)
    add_difference(&text, "max_length", number_text(a.max_length), number_text(b.max_length));
  compare_words("overflow", kOverflows, a.drop_oldest, b.drop_oldest);
  compare_intervals("retention", is.retention, given.retention);
  compare_intervals("dedupe_window", is.dedupe_window, given.dedupe_window);
  if (is.dead_letter_queue != given.dead_letter_queue)
    add_difference(&text, "dead_letter_queue", queue_name(is.dead_letter_queue),
                   queue_name(given.dead_letter_queue));
  compare_words("durable_claims", kBooleans, a.durable_claims, b.durable_claims);
  compare_words("strict", kBooleans, a.strict, b.strict);
  if (a.buckets != b.buckets)
    add_difference(&text, "buckets", psprintf("%d", a.buckets), psprintf("%d", b.buckets));
  if (a.max_runtime != b.max_runtime)
    add_difference(&text, "max_runtime", a.max_runtime == 0 ? "none" : interval_text(a.max_runtime),
                   b.max_runtime == 0 ? "none" : interval_text(b.max_runtime));
  if (is.max_payload != given.max_payload)
    add_difference(&text, "max_payload", number_text(is.max_payload),
                   number_text(given.max_payload));
  const auto compare_keys = [&text](const char* name, bool x, bool y) {
    if (x != y) add_difference(&text, name, kByKey[x ? 1 : 0].data(), kByKey[y ? 1 : 0].data());
  };
  compare_keys("ordering", a.ordered, b.ordered);
  if (a.on_exhausted != b.on_exhausted)
    add_difference(&text, "on_exhausted", kExhaustions[static_cast<int>(a.on_exhausted)].data(),
                   kExhaustions[static_cast<int>(b.on_exhausted)].data());
  compare_keys("fairness", a.fair, b.fair);
  if (text.len == 0) return nullptr;
  appendStringInfoChar(&text, '.');
  return text.data;
}

}  // namespace dw::queue
