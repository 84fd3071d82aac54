/*
 * Names of outcomes, and members of their details.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "see/detail.hpp"
#include "store/json_builder.hpp"

namespace dw::see {

namespace {

/* Written by the sweep into the detail of an attempt whose lease ran out. */
constexpr std::string_view kLeaseExpired = "lease expired";

JsonbValue* find_member(Datum object, const char* name) {
  Jsonb* const json = DatumGetJsonbP(object);
  if (!JB_ROOT_IS_OBJECT(json)) return nullptr;
  return getKeyJsonValueFromContainer(&json->root, name, static_cast<int>(strlen(name)), nullptr);
}

}  // namespace

const char* kind_name(core::OutcomeKind kind) {
  switch (kind) {
    case core::OutcomeKind::completed:
      return "completed";
    case core::OutcomeKind::attempt_failed:
      return "attempt_failed";
    case core::OutcomeKind::dead_lettered:
      return "dead_lettered";
    case core::OutcomeKind::cancelled:
      return "cancelled";
    case core::OutcomeKind::moved:
      return "moved";
    case core::OutcomeKind::claimed:
      return "claimed";
    case core::OutcomeKind::rescheduled:
      return "rescheduled";
    case core::OutcomeKind::payload_replaced:
      return "payload_replaced";
    case core::OutcomeKind::purged:
      return "purged";
    case core::OutcomeKind::redriven:
      return "redriven";
    case core::OutcomeKind::relocated:
      return "relocated";
  }
  return "unknown";
}

const char* event_name(core::OutcomeKind kind, Datum detail, bool has_detail) {
  switch (kind) {
    case core::OutcomeKind::completed:
      return "completed";
    case core::OutcomeKind::attempt_failed: {
      const char* const reason = has_detail ? json_text(detail, "reason") : nullptr;
      return reason != nullptr && reason == kLeaseExpired ? "expired" : "failed";
    }
    case core::OutcomeKind::dead_lettered:
      return "dead_letter";
    case core::OutcomeKind::cancelled:
    case core::OutcomeKind::purged:
      return "cancelled";
    case core::OutcomeKind::rescheduled:
      /* A worker's deferral has nothing to say. */
      return has_detail ? "rescheduled" : "deferred";
    case core::OutcomeKind::payload_replaced:
      return "payload_replaced";
    case core::OutcomeKind::redriven:
      return "redriven";
    case core::OutcomeKind::moved:
    case core::OutcomeKind::relocated:
    case core::OutcomeKind::claimed:
      break;
  }
  return nullptr;
}

bool json_member(Datum object, const char* name, Datum* member) {
  JsonbValue* const value = find_member(object, name);
  if (value == nullptr) return false;
  *member = JsonbPGetDatum(JsonbValueToJsonb(value));
  return true;
}

const char* json_text(Datum object, const char* name) {
  const JsonbValue* const value = find_member(object, name);
  if (value == nullptr || value->type != jbvString) return nullptr;
  return pnstrdup(value->val.string.val, static_cast<Size>(value->val.string.len));
}

bool error_of(Datum detail, Datum* error) {
  if (json_member(detail, "error", error)) return true;
  const char* const reason = json_text(detail, "reason");
  if (reason == nullptr) return false;
  store::JsonBuilder json;
  json.begin_object();
  json.text("reason", reason);
  json.end_object();
  *error = json.datum();
  return true;
}

}  // namespace dw::see
