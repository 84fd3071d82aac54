/*
 * durable_work.history(job_id, queue): what happened to a job, in order: its enqueue, each outcome
 * in the log, and the lease it has now. A claim writes nothing, so one that was released left no
 * trace.
 */
#include <algorithm>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "see/detail.hpp"
#include "see/job_arguments.hpp"
#include "see/job_state.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"

namespace {

using namespace dw;

struct Outcomes {
  store::FoundOutcome* rows;
  Size count;
  Size room;
};

void collect(const store::FoundOutcome& outcome, void* arg) {
  auto* const all = static_cast<Outcomes*>(arg);
  if (all->count == all->room) {
    all->room *= 2;
    all->rows = static_cast<store::FoundOutcome*>(
        repalloc(all->rows, mul_size(all->room, sizeof(store::FoundOutcome))));
  }
  all->rows[all->count++] = outcome;
}

/* Times are kept in milliseconds; attempts in the same one follow their tokens, and what ended the
 * job comes last. */
bool earlier(const store::FoundOutcome& a, const store::FoundOutcome& b) {
  if (a.at != b.at) return a.at < b.at;
  if (a.token != b.token) return a.token < b.token;
  return core::is_final(b.kind) && !core::is_final(a.kind);
}

struct Event {
  TimestampTz at;
  const char* name;
  int32 attempt;      /* -1: none */
  const char* worker; /* nullptr: none */
  core::Token token;  /* 0: none */
  Datum detail;
  bool has_detail;
};

struct Output {
  FunctionCallInfo fcinfo;
  bool details; /* errors, reasons and replaced payloads are not for everybody */
};

void put(const Output& output, const Event& event) {
  const Datum values[] = {TimestampTzGetDatum(event.at),
                          CStringGetTextDatum(event.name),
                          Int32GetDatum(event.attempt),
                          event.worker != nullptr ? CStringGetTextDatum(event.worker) : Datum{0},
                          Int64GetDatum(event.token),
                          event.detail};
  const bool nulls[] = {false,
                        false,
                        event.attempt < 0,
                        event.worker == nullptr,
                        event.token == 0,
                        !event.has_detail || !output.details};
  pg::put_row(output.fcinfo, values, nulls);
}

/* As event_name() would have called it. */
const char* carried_name(Datum element) {
  const char* const event = see::json_text(element, "event");
  if (event == nullptr) return "unknown";
  if (strcmp(event, "attempt_failed") == 0)
    return see::event_name(core::OutcomeKind::attempt_failed, element, true);
  if (strcmp(event, "dead_lettered") == 0) return "dead_letter";
  if (strcmp(event, "rescheduled") == 0)
    return see::event_name(core::OutcomeKind::rescheduled, element,
                           see::json_text(element, "reason") != nullptr);
  return event;
}

/* What happened before the job was redriven out of its slot, without the tokens. */
void put_carried(const Output& output, Datum history) {
  store::for_each_element(history, [&output](Datum element) {
    Event event{0, carried_name(element), -1, nullptr, 0, element, true};
    const char* const at = see::json_text(element, "at");
    if (at != nullptr)
      event.at = DatumGetTimestampTz(DirectFunctionCall3(
          timestamptz_in, CStringGetDatum(at), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    Datum attempt = 0;
    if (see::json_member(element, "attempt", &attempt))
      event.attempt = DatumGetInt32(DirectFunctionCall1(jsonb_int4, attempt));
    if (strcmp(event.name, "failed") == 0 || strcmp(event.name, "expired") == 0 ||
        strcmp(event.name, "dead_letter") == 0)
      event.worker = see::json_text(element, "worker");
    for (const char* const member : {"at", "event", "attempt"})
      event.detail = DirectFunctionCall2(jsonb_delete, event.detail, CStringGetTextDatum(member));
    event.has_detail = JB_ROOT_COUNT(DatumGetJsonbP(event.detail)) > 0;
    put(output, event);
  });
}

void put_outcomes(const Output& output, const Outcomes& all) {
  int32 attempts = 0;      /* that ended */
  core::Token claimed = 0; /* the claim recorded last, and its attempt */
  int32 claimed_attempt = 0;
  for (Size i = 0; i < all.count; i++) {
    const store::FoundOutcome& outcome = all.rows[i];
    if (outcome.kind == core::OutcomeKind::claimed) {
      claimed = outcome.token;
      claimed_attempt = outcome.attempt;
    }
    if (outcome.kind == core::OutcomeKind::relocated) {
      /* No event of the job's own, but what happened before it may be told only here. */
      Datum before = 0;
      attempts = outcome.attempt;
      if (store::carried_history(outcome, &before)) put_carried(output, before);
      continue;
    }
    const char* const name = see::event_name(outcome.kind, outcome.detail, outcome.has_detail);
    if (name == nullptr) continue;
    Event event{outcome.at, name, -1, nullptr, outcome.token, outcome.detail, outcome.has_detail};
    if (core::has_schedule(outcome.kind)) {
      event.attempt = outcome.attempt;
      attempts = outcome.attempt;
    } else if (outcome.kind == core::OutcomeKind::completed) {
      event.attempt = outcome.token == claimed ? claimed_attempt : attempts + 1;
    }
    if (outcome.kind == core::OutcomeKind::redriven ||
        outcome.kind == core::OutcomeKind::payload_replaced) {
      Datum carried = 0;
      event.attempt = -1;
      if (store::carried_history(outcome, &carried)) {
        put_carried(output, carried);
        event.detail = store::without_history(outcome.detail);
      }
    }
    const bool is_failure = outcome.kind == core::OutcomeKind::attempt_failed ||
                            outcome.kind == core::OutcomeKind::dead_lettered;
    if (is_failure && outcome.has_detail) event.worker = see::json_text(outcome.detail, "worker");
    put(output, event);
  }
}

void put_lease(const Output& output, const see::JobState& state) {
  if (state.status != see::Status::processing || state.worker == nullptr) return;
  store::JsonBuilder json;
  json.begin_object();
  json.time("lease_expires_at", state.lease_expires_at);
  json.end_object();
  put(output, Event{state.resident.row.leased_at, "leased", state.attempts, state.worker,
                    state.token, json.datum(), true});
}

}  // namespace

extern "C" Datum dw_history_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  store::JobTuple job;
  const store::QueueInfo queue = see::require_job(fcinfo, &job);
  const Output output{fcinfo, store::may(queue.id, store::Right::read)};
  pg::begin_set(fcinfo);

  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  Outcomes all{pg::allocate<store::FoundOutcome>(16), 0, 16};
  /* A job in parked may have been redriven from another queue. */
  store::find_outcomes(job.id, job.segment == core::kParkedSegment ? 0 : queue.id, job.segment,
                       snapshot, collect, &all);
  see::JobState state;
  see::job_state(job.id, queue.id, job.segment, snapshot, &state);
  UnregisterSnapshot(snapshot);

  std::sort(all.rows, all.rows + all.count, earlier);
  put(output, Event{job.enqueued_at, "enqueued", -1, nullptr, 0, 0, false});
  put_outcomes(output, all);
  put_lease(output, state);
  return pg::end_set(fcinfo);
}
