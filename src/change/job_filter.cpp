#include "change/job_filter.hpp"

#include "pg/datum.hpp"
#include "store/json_builder.hpp"
#include "store/key_hash.hpp"

namespace dw::change {

namespace {

bool path_exists(Datum path, const store::JobTuple& job) {
  store::JsonBuilder json;
  json.begin_object();
  if (job.has_headers) json.json("headers", job.headers);
  json.json("payload", job.payload);
  json.end_object();
  store::JsonBuilder none;
  none.begin_object();
  none.end_object();
  const bool silent = true;
  LOCAL_FCINFO(call, 4);
  InitFunctionCallInfoData(*call, nullptr, 4, InvalidOid, nullptr, nullptr);
  const Datum arguments[] = {json.datum(), path, none.datum(), BoolGetDatum(silent)};
  for (int i = 0; i < 4; i++) call->args[i] = {arguments[i], false};
  const Datum exists = jsonb_path_exists(call);
  // Null: the path failed.
  return !call->isnull && DatumGetBool(exists);
}

}  // namespace

JobFilter filter_arguments(FunctionCallInfo fcinfo, int first) {
  JobFilter filter{};
  if (!pg::is_null(fcinfo, first)) {
    filter.partition_key = fcinfo->args[first].value;
    filter.key_hash = store::key_hash(pg::text_view(*filter.partition_key));
  }
  if (!pg::is_null(fcinfo, first + 1)) filter.path = fcinfo->args[first + 1].value;
  if (const auto age = pg::optional_interval(fcinfo, first + 2, "older_than")) {
    TimestampTz until = 0;
    if (__builtin_sub_overflow(GetCurrentTimestamp(), *age, &until) || !IS_VALID_TIMESTAMP(until))
      until = DT_NOBEGIN;
    filter.enqueued_until = until;
  }
  return filter;
}

bool fits(const JobFilter& filter, const store::JobTuple& job) {
  if (filter.enqueued_until && job.enqueued_at > *filter.enqueued_until) return false;
  if (filter.partition_key && (!job.has_partition_key || pg::text_view(job.partition_key) !=
                                                             pg::text_view(*filter.partition_key)))
    return false;
  return !filter.path || path_exists(*filter.path, job);
}

}  // namespace dw::change
