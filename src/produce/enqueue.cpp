// enqueue: one job.
#include "core/dispatcher.hpp"
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "produce/submit.hpp"
#include "runtime/session.hpp"

namespace dw::produce {

namespace {

enum Argument {
  kQueue,
  kPayload,
  kPartitionKey,
  kIdempotencyKey,
  kPriority,
  kAvailableAt,
  kDelay,
  kMaxAttempts,
  kHeaders,
  kExpiresAt,
  kUniqueWhile,
  kOnDuplicate,
};

constexpr std::string_view kUniqueWhiles[] = {"window", "pending", "active"};
constexpr std::string_view kOnDuplicates[] = {"return", "replace", "error"};

std::optional<Datum> given(FunctionCallInfo fcinfo, int number) {
  if (pg::is_null(fcinfo, number)) return std::nullopt;
  return fcinfo->args[number].value;
}

std::optional<TimestampTz> due_time(FunctionCallInfo fcinfo) {
  const std::optional<int64> delay = pg::optional_interval(fcinfo, kDelay, "delay");
  const std::optional<TimestampTz> at =
      pg::optional_timestamp(fcinfo, kAvailableAt, "available_at");
  if (!delay) return at;
  if (at)
    pg::raise_invalid("available_at and delay must not both be given", nullptr,
                      "Give the time or the delay.");
  if (*delay == 0) return std::nullopt;
  return after_delay(GetCurrentTimestamp(), *delay);
}

// One of a closed set of words.
template <typename Choice, std::size_t n>
Choice choice(FunctionCallInfo fcinfo, int number, const char* name,
              const std::string_view (&words)[n], const char* hint) {
  const std::string_view word = pg::text_view(pg::required_datum(fcinfo, number, name));
  for (std::size_t i = 0; i < n; i++)
    if (word == words[i]) return static_cast<Choice>(i);
  pg::raise_invalid(psprintf("%s \"%s\" is not known", name, pg::copy(word)), nullptr, hint);
}

void read_uniqueness(FunctionCallInfo fcinfo, JobArguments* arguments) {
  arguments->unique_while = choice<UniqueWhile>(fcinfo, kUniqueWhile, "unique_while", kUniqueWhiles,
                                                "Use window, pending or active.");
  arguments->on_duplicate = choice<OnDuplicate>(fcinfo, kOnDuplicate, "on_duplicate", kOnDuplicates,
                                                "Use return, replace or error.");
  const bool asked = arguments->unique_while != UniqueWhile::window ||
                     arguments->on_duplicate != OnDuplicate::give_back;
  if (asked && !arguments->idempotency_key)
    pg::raise_invalid("unique_while and on_duplicate need an idempotency_key", nullptr,
                      "Name what the job must be the only one of.");
}

JobArguments read_arguments(FunctionCallInfo fcinfo) {
  JobArguments arguments;
  arguments.payload = pg::required_datum(fcinfo, kPayload, "payload");
  arguments.partition_key = given(fcinfo, kPartitionKey);
  if (arguments.partition_key) check_partition_key(*arguments.partition_key);
  arguments.idempotency_key = given(fcinfo, kIdempotencyKey);
  if (arguments.idempotency_key) check_idempotency_key(*arguments.idempotency_key);
  arguments.priority =
      static_cast<int16>(pg::required_int(fcinfo, kPriority, "priority", 0, core::kLowestPriority));
  arguments.available_at = due_time(fcinfo);
  arguments.max_attempts = static_cast<int16>(
      pg::optional_int(fcinfo, kMaxAttempts, "max_attempts", 1, core::kMostAttempts).value_or(0));
  arguments.headers = given(fcinfo, kHeaders);
  if (arguments.headers) check_headers(*arguments.headers);
  arguments.expires_at = pg::optional_timestamp(fcinfo, kExpiresAt, "expires_at");
  if (arguments.expires_at) check_expires_at(*arguments.expires_at, arguments.available_at);
  read_uniqueness(fcinfo, &arguments);
  return arguments;
}

// The row type of this function, remembered: looking it up would cost more than the insert. The
// extension may be dropped and made again, which makes another function.
TupleDesc result_columns(Oid function) {
  static Oid known = InvalidOid;
  static TupleDesc columns = nullptr;
  if (function != known) {
    const Oid type = get_func_rettype(function);
    columns =
        pg::in_context(TopMemoryContext, [type] { return lookup_rowtype_tupdesc_copy(type, -1); });
    known = function;
  }
  return columns;
}

}  // namespace

}  // namespace dw::produce

extern "C" Datum dw_enqueue_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  using namespace dw::produce;
  runtime::require_preloaded();
  runtime::require_writable("enqueue()");
  const std::string_view queue = pg::text_view(pg::required_datum(fcinfo, kQueue, "queue"));
  const JobArguments arguments = read_arguments(fcinfo);
  const Submitted job =
      submit(target_of(store::require_queue(queue, store::Right::enqueue)), arguments);
  Datum values[] = {Int64GetDatum(job.job_id), BoolGetDatum(job.inserted)};
  bool nulls[] = {false, false};
  return HeapTupleGetDatum(heap_form_tuple(result_columns(fcinfo->flinfo->fn_oid), values, nulls));
}
