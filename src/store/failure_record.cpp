// What is kept of failed attempts: the detail of one, and the whole history for a dead letter.
#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"

namespace dw::store {

namespace {

struct History {
  FoundOutcome* outcomes;
  int count;
  int room;
};

void collect(const FoundOutcome& outcome, void* arg) {
  auto* const history = static_cast<History*>(arg);
  if (outcome.kind != core::OutcomeKind::attempt_failed &&
      outcome.kind != core::OutcomeKind::rescheduled)
    return;
  if (history->count == history->room) {
    history->room *= 2;
    history->outcomes = static_cast<FoundOutcome*>(repalloc(
        history->outcomes, mul_size(static_cast<Size>(history->room), sizeof(FoundOutcome))));
  }
  history->outcomes[history->count++] = outcome;
}

int by_time(const void* a, const void* b) {
  const auto* const left = static_cast<const FoundOutcome*>(a);
  const auto* const right = static_cast<const FoundOutcome*>(b);
  if (left->at != right->at) return left->at < right->at ? -1 : 1;
  if (left->token != right->token) return left->token < right->token ? -1 : 1;
  return 0;
}

Datum history_element(const FoundOutcome& outcome) {
  JsonBuilder json;
  json.begin_object();
  json.time("at", outcome.at);
  json.text("event",
            outcome.kind == core::OutcomeKind::rescheduled ? "rescheduled" : "attempt_failed");
  json.integer("attempt", outcome.attempt);
  if (outcome.has_detail) json.members_of(outcome.detail);
  json.end_object();
  return json.datum();
}

}  // namespace

Datum failure_history(core::JobId id, core::QueueId queue, uint8 segment, Datum last) {
  History history{pg::allocate<FoundOutcome>(16), 0, 16};
  find_outcomes(id, queue, segment, nullptr, collect, &history);
  qsort(history.outcomes, static_cast<Size>(history.count), sizeof(FoundOutcome), by_time);
  JsonBuilder json;
  json.begin_array();
  for (int i = 0; i < history.count; i++) json.element(history_element(history.outcomes[i]));
  json.element(last);
  json.end_array();
  return json.datum();
}

Datum failure_detail(const char* worker, Datum error, bool has_error, const char* reason) {
  JsonBuilder json;
  json.begin_object();
  if (worker != nullptr && worker[0] != '\0') json.text("worker", worker);
  if (has_error) json.json("error", error);
  if (reason != nullptr) json.text("reason", reason);
  json.end_object();
  return json.datum();
}

}  // namespace dw::store
