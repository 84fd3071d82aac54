// What is kept of failed attempts: the detail of one, and the whole history for a dead letter.
#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"

namespace dw::store {

namespace {

/* Member of the detail of what brings a job to parked. */
constexpr char kHistory[] = "history";

struct History {
  FoundOutcome* outcomes;
  int count;
  int room;
};

/* nullptr: no part of the history of failures. */
const char* event_of(core::OutcomeKind kind) {
  switch (kind) {
    case core::OutcomeKind::attempt_failed:
      return "attempt_failed";
    case core::OutcomeKind::rescheduled:
      return "rescheduled";
    case core::OutcomeKind::claimed:
      return "claimed";
    case core::OutcomeKind::dead_lettered:
      return "dead_lettered";
    case core::OutcomeKind::redriven:
      return "redriven";
    case core::OutcomeKind::payload_replaced:
      return "payload_replaced";
    case core::OutcomeKind::relocated:
      return "relocated"; /* told of only by what it carries */
    default:
      return nullptr;
  }
}

void collect(const FoundOutcome& outcome, void* arg) {
  auto* const history = static_cast<History*>(arg);
  if (event_of(outcome.kind) == nullptr) return;
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

// What became of the claim is told as well: by the end of its attempt, which has the same token.
bool is_told(const History& history, const FoundOutcome& claim, core::Token ending) {
  if (claim.token == ending) return true;
  for (int i = 0; i < history.count; i++) {
    const FoundOutcome& other = history.outcomes[i];
    if (other.token == claim.token && other.kind != core::OutcomeKind::claimed) return true;
  }
  return false;
}

/* The job may come from elsewhere, and no attempt is told of. */
bool may_carry(core::OutcomeKind kind) {
  return kind == core::OutcomeKind::redriven || kind == core::OutcomeKind::payload_replaced ||
         kind == core::OutcomeKind::relocated;
}

Datum history_element(const FoundOutcome& outcome) {
  JsonBuilder json;
  json.begin_object();
  json.time("at", outcome.at);
  json.text("event", event_of(outcome.kind));
  const bool carries = may_carry(outcome.kind);
  if (!carries) json.integer("attempt", outcome.attempt);
  if (outcome.has_detail)
    json.members_of(carries ? without_history(outcome.detail) : outcome.detail);
  json.end_object();
  return json.datum();
}

}  // namespace

bool carried_history(Datum carrier, Datum* history) {
  Jsonb* const detail = DatumGetJsonbP(carrier);
  if (!JB_ROOT_IS_OBJECT(detail)) return false;
  JsonbValue* const found =
      getKeyJsonValueFromContainer(&detail->root, kHistory, sizeof(kHistory) - 1, nullptr);
  if (found == nullptr) return false;
  *history = JsonbPGetDatum(JsonbValueToJsonb(found));
  return true;
}

bool carried_history(const FoundOutcome& outcome, Datum* history) {
  return may_carry(outcome.kind) && outcome.has_detail && carried_history(outcome.detail, history);
}

Datum without_history(Datum detail) {
  return DirectFunctionCall2(jsonb_delete, detail, CStringGetTextDatum(kHistory));
}

Datum failure_history(core::JobId id, core::QueueId queue, uint8 segment, core::Token ending,
                      std::optional<Datum> last) {
  History history{pg::allocate<FoundOutcome>(16), 0, 16};
  /* A job in parked may have been redriven from another queue. */
  find_outcomes(id, segment == core::kParkedSegment ? 0 : queue, segment, nullptr, collect,
                &history);
  qsort(history.outcomes, static_cast<Size>(history.count), sizeof(FoundOutcome), by_time);
  JsonBuilder json;
  json.begin_array();
  for (int i = 0; i < history.count; i++) {
    const FoundOutcome& outcome = history.outcomes[i];
    if (outcome.kind == core::OutcomeKind::claimed && is_told(history, outcome, ending)) continue;
    Datum carried = 0;
    if (carried_history(outcome, &carried))
      for_each_element(carried, [&json](Datum element) { json.element(element); });
    if (outcome.kind != core::OutcomeKind::relocated) json.element(history_element(outcome));
  }
  if (last) json.element(*last);
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
