/*
 * durable_work.health(): one row for each check, in the order of checks.hpp. It does not fail
 * because something is not there or in somebody's hands: a check that cannot be made, or that waits
 * for a lock, says so in its row.
 */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "health/checks.hpp"
#include "pg/datum.hpp"
#include "pg/subtransaction.hpp"
#include "runtime/session.hpp"
#include "store/extension.hpp"

namespace {

using namespace dw;
using namespace dw::health;

const char* words_of(Severity severity) {
  switch (severity) {
    case Severity::ok:
      return "ok";
    case Severity::warning:
      return "warning";
    case Severity::critical:
      return "critical";
    case Severity::unknown:
      break;
  }
  return "unknown";
}

/* Why the check cannot be made here; nullptr: it can. */
const char* missing(Needs needs) {
  if (needs == Needs::nothing) return nullptr;
  if (needs >= Needs::memory && !runtime::preloaded())
    return "not known: the library is not loaded at server start, see the first row";
  if (needs == Needs::memory) return nullptr;
  if (needs != Needs::workers && !store::installed_extension().fits())
    return "not known: library and SQL are of versions that do not fit, see the row versions";
  if (RecoveryInProgress()) return "not known: this server is a standby, the primary does the work";
  if (needs == Needs::slot && runtime::database() == core::kNone)
    return "not known: the housekeeper has not taken charge of this database yet";
  return nullptr;
}

Finding run(const Check& check) {
  constexpr char kLongestWait[] = "100ms";
  const int level = NewGUCNestLevel();
  (void)set_config_option("lock_timeout", kLongestWait, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                          true, 0, false);
  const Finding finding = check.look();
  AtEOXact_GUC(false, level);
  return finding;
}

Finding look(const Check& check) {
  const char* const why = missing(check.needs);
  if (why != nullptr) return Finding{Severity::unknown, why, nullptr};
  pg::error_report report{};
  Finding finding{};
  if (pg::subtransaction(&report, [&] { finding = run(check); })) return finding;
  return Finding{Severity::unknown, psprintf("not known: %s", report.message),
                 "If this stays, see the row locks, and the server's log."};
}

}  // namespace

extern "C" Datum dw_health_body(FunctionCallInfo fcinfo) {
  PreventCommandIfParallelMode("functions of durable_work");
  pg::begin_set(fcinfo);
  for (const Check* const check : kChecks) {
    const Finding finding = look(*check);
    const bool has_advice = finding.advice != nullptr;
    const Datum values[] = {CStringGetTextDatum(check->name),
                            CStringGetTextDatum(words_of(finding.severity)),
                            CStringGetTextDatum(finding.seen),
                            has_advice ? CStringGetTextDatum(finding.advice) : Datum{0}};
    const bool nulls[] = {false, false, false, !has_advice};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}
