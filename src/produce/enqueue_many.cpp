// enqueue_many: up to 100,000 jobs of one queue in one call.
//
// Arguments are arrays, one element for each job. All are checked before anything is written. Ids
// rise in the order of the elements. Idempotency keys are taken in the order of their bytes, so
// that two calls with the same keys wait for one another instead of deadlocking; of several
// elements with one key the first stands for all.
#include "core/dispatcher.hpp"
#include "core/transaction.hpp"
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "produce/submit.hpp"
#include "runtime/session.hpp"
#include "store/idempotency.hpp"

namespace dw::produce {

namespace {

constexpr int kMostJobs = 100000;

enum Argument {
  kQueue,
  kPayloads,
  kPartitionKeys,
  kIdempotencyKeys,
  kPriorities,
  kAvailableAts,
  kHeaders,
};

// One element of the call.
struct Element {
  core::JobId job_id;
  int64 payload_hash;    // only with a key
  std::string_view key;  // idempotency key; data() is null without one
  int place;             // ordinal from 0
  int leader;            // the element that stands for this one; place itself if none else
  bool inserted;
};

struct Arrays {
  pg::array_values payloads;
  pg::array_values partition_keys;
  pg::array_values idempotency_keys;
  pg::array_values priorities;
  pg::array_values available_ats;
  pg::array_values headers;
};

Arrays read_arrays(FunctionCallInfo fcinfo) {
  Arrays in;
  in.payloads = pg::required_array(fcinfo, kPayloads, "payloads", JSONBOID, kMostJobs);
  const auto optional = [&](int number, const char* name, Oid type) {
    const pg::array_values array = pg::optional_array(fcinfo, number, name, type, kMostJobs);
    pg::check_same_length(in.payloads, "payloads", array, name);
    return array;
  };
  in.partition_keys = optional(kPartitionKeys, "partition_keys", TEXTOID);
  in.idempotency_keys = optional(kIdempotencyKeys, "idempotency_keys", TEXTOID);
  in.priorities = optional(kPriorities, "priorities", INT4OID);
  in.available_ats = optional(kAvailableAts, "available_ats", TIMESTAMPTZOID);
  in.headers = optional(kHeaders, "headers", JSONBOID);
  return in;
}

JobArguments read_element(const Arrays& in, int i) {
  JobArguments job;
  job.payload = in.payloads.required(i, "payloads");
  if (!in.partition_keys.is_null(i)) {
    job.partition_key = in.partition_keys.values[i];
    check_partition_key(*job.partition_key);
  }
  if (!in.idempotency_keys.is_null(i)) {
    job.idempotency_key = in.idempotency_keys.values[i];
    check_idempotency_key(*job.idempotency_key);
  }
  if (in.priorities.given) {
    const int32 priority = DatumGetInt32(in.priorities.required(i, "priorities"));
    pg::check_range(priority, "priorities", 0, core::kLowestPriority);
    job.priority = static_cast<int16>(priority);
  }
  if (!in.available_ats.is_null(i)) {
    job.available_at = DatumGetTimestampTz(in.available_ats.values[i]);
    if (TIMESTAMP_NOT_FINITE(*job.available_at)) pg::raise_invalid("available_ats must be finite");
  }
  if (!in.headers.is_null(i)) {
    job.headers = in.headers.values[i];
    check_headers(*job.headers);
  }
  return job;
}

int by_key(const void* left, const void* right) {
  const Element* const a = *static_cast<const Element* const*>(left);
  const Element* const b = *static_cast<const Element* const*>(right);
  const int order = a->key.compare(b->key);
  return order != 0 ? order : a->place - b->place;
}

// Elements that have a key, sorted by it.
int sorted_by_key(Element* elements, int n, Element** sorted) {
  int count = 0;
  for (int i = 0; i < n; i++)
    if (elements[i].key.data() != nullptr) sorted[count++] = &elements[i];
  qsort(sorted, static_cast<Size>(count), sizeof(Element*), by_key);
  return count;
}

// Lets the first element of each key stand for the others.
void choose_leaders(Element* const* sorted, int count) {
  for (int i = 1; i < count; i++)
    if (sorted[i]->key == sorted[i - 1]->key) {
      sorted[i]->leader = sorted[i - 1]->leader;
      sorted[i]->inserted = false;
    }
}

// After the leaders have ids: takes their keys, and gives their job to the others.
void settle_keys(const Target& target, Element* elements, Element* const* sorted, int count,
                 const Arrays& in, TimestampTz now) {
  auto* const claims = pg::allocate<store::KeyClaim>(static_cast<Size>(count));
  int leaders = 0;
  for (int i = 0; i < count; i++) {
    const Element& e = *sorted[i];
    if (e.leader == e.place)
      claims[leaders++] = {in.idempotency_keys.values[e.place], e.payload_hash, e.job_id, false};
  }
  store::claim_keys(target.topic, claims, leaders, now, target.dedupe_window);
  const store::KeyClaim* claim = claims;
  for (int i = 0; i < count; i++) {
    Element& e = *sorted[i];
    if (e.leader == e.place) {
      e.job_id = claim->job_id;
      e.inserted = claim->won;
      claim++;
      continue;
    }
    const Element& leader = elements[e.leader];
    e.job_id = leader.job_id;
    if (e.payload_hash != leader.payload_hash) store::raise_other_payload(e.key, e.job_id);
  }
  pfree(claims);
}

Element* read_elements(const Arrays& in, JobArguments* arguments) {
  const int n = in.payloads.count;
  auto* const elements = pg::allocate<Element>(static_cast<Size>(n));
  for (int i = 0; i < n; i++) {
    arguments[i] = read_element(in, i);
    elements[i] = {0, 0, {}, i, i, true};
    if (!arguments[i].idempotency_key) continue;
    elements[i].key = pg::text_view(*arguments[i].idempotency_key);
    elements[i].payload_hash = store::payload_hash(arguments[i].payload);
  }
  return elements;
}

void submit_all(const Target& target, const Arrays& in, const JobArguments* arguments,
                Element* elements) {
  const int n = in.payloads.count;
  for (int i = 0; i < n; i++) check_payload(target, arguments[i].payload);
  runtime::transaction().reserve(static_cast<Size>(n));
  auto** const sorted = pg::allocate<Element*>(static_cast<Size>(n));
  const int keyed = in.idempotency_keys.given ? sorted_by_key(elements, n, sorted) : 0;
  choose_leaders(sorted, keyed);

  const TimestampTz now = GetCurrentTimestamp();
  for (int i = 0; i < n; i++)
    if (elements[i].leader == i) elements[i].job_id = store::next_job_id();
  if (keyed > 0) settle_keys(target, elements, sorted, keyed, in, now);

  auto* const jobs = pg::allocate<store::NewJob>(static_cast<Size>(n));
  int count = 0;
  for (int i = 0; i < n; i++)
    if (elements[i].inserted)
      jobs[count++] = new_job(target, arguments[i], elements[i].job_id, now);
  if (count > 0) append(target, jobs, count);
}

}  // namespace

}  // namespace dw::produce

extern "C" Datum dw_enqueue_many_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  using namespace dw::produce;
  runtime::require_preloaded();
  runtime::require_writable("enqueue_many()");
  const std::string_view queue = pg::text_view(pg::required_datum(fcinfo, kQueue, "queue"));
  const Arrays in = read_arrays(fcinfo);
  const int n = in.payloads.count;
  auto* const arguments = pg::allocate<JobArguments>(static_cast<Size>(n));
  Element* const elements = read_elements(in, arguments);
  const Target target = target_of(store::require_queue(queue, store::Right::enqueue));
  if (n > 0) submit_all(target, in, arguments, elements);

  pg::begin_set(fcinfo);
  for (int i = 0; i < n; i++) {
    const Datum values[] = {Int32GetDatum(i + 1), Int64GetDatum(elements[i].job_id),
                            BoolGetDatum(elements[i].inserted)};
    const bool nulls[] = {false, false, false};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}
