// wait_for_work: sleeps until one of some queues has a job, holding nothing.
//
// It is a procedure because only a procedure at top level may let go of the portal's snapshot:
// while it sleeps the session holds no snapshot and no transaction id, so vacuum is not held up by
// workers that have nothing to do. A woken waiter owes a claim.
#include <optional>
#include <string_view>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/registered.hpp"
#include "runtime/session.hpp"
#include "runtime/waiting.hpp"
#include "store/catalog.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

namespace {

runtime::WaitedQueues read_queues(FunctionCallInfo fcinfo) {
  const auto names = pg::required_array(fcinfo, 0, "queues", TEXTOID, core::kMostWaitedQueues);
  if (names.count == 0) pg::raise_invalid("queues must not be empty");
  runtime::WaitedQueues queues{};
  for (int i = 0; i < names.count; i++)
    runtime::add_waited(
        &queues,
        store::require_queue(pg::text_view(names.required(i, "queues")), store::Right::work).id);
  return queues;
}

// Whose jobs are waited for, if only those of one registered worker are.
struct Waiting {
  std::optional<std::string_view> worker;
  int64 instance;
};

Waiting read_worker(FunctionCallInfo fcinfo) {
  const auto name = pg::optional_text(fcinfo, 2, "worker", 1, kMostWorkerBytes);
  const auto instance =
      pg::optional_bigint(fcinfo, 3, "instance", runtime::kFirstInstance, runtime::kLastInstance);
  if (name.has_value() != instance.has_value())
    pg::raise_invalid("worker and instance belong together", nullptr,
                      "Give both, as register_worker returned the instance, or neither.");
  return {name, instance.value_or(0)};
}

void find_worker(const Waiting& self, runtime::WaitedQueues* queues) {
  if (!self.worker) return;
  const runtime::Registered worker = runtime::registered_worker(*self.worker, self.instance);
  queues->registered = worker.known;
  queues->owned_only = worker.known;
  queues->unknown = !worker.known;
  queues->member = worker.member;
}

// Of a queue without a place in memory nobody says that it was dropped.
bool any_is_dropped(const runtime::WaitedQueues& queues) {
  bool dropped = false;
  AcceptInvalidationMessages();
  for (uint32 i = 0; i < queues.count && !dropped; i++)
    dropped = store::find_queue_by_id(queues.ids[i]) == nullptr;
  InvalidateCatalogSnapshot();
  return dropped;
}

Datum wait_for_work(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("wait_for_work");
  runtime::require_no_transaction(fcinfo, "wait_for_work");
  const int64 timeout = pg::required_interval(fcinfo, 1, "timeout", 0, runtime::max_wait());
  runtime::WaitedQueues queues = read_queues(fcinfo);
  const Waiting self = read_worker(fcinfo);
  find_worker(self, &queues);
  runtime::prepare_to_sleep();
  runtime::drop_snapshots();
  const TimestampTz end = GetCurrentTimestamp() + timeout;
  while (runtime::sleep_for_work(&queues, end) == runtime::Slept::not_ready) {
    if (any_is_dropped(queues)) break;
    if (queues.unknown) find_worker(self, &queues);
  }
  return pg::void_result();
}

}  // namespace

}  // namespace dw::worker

extern "C" Datum dw_wait_for_work_body(FunctionCallInfo fcinfo) {
  return dw::worker::wait_for_work(fcinfo);
}
