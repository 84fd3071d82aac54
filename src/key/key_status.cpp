/*
 * key_status, blocked_keys: which job of a key comes next and what holds it up, and which keys wait
 * for an operator.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "key/key_argument.hpp"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "see/words.hpp"
#include "store/key_hash.hpp"
#include "store/statement.hpp"

namespace dw::key {

namespace {

bool is_held_back(const core::KeyFigures& figures) {
  return figures.first_is_due && figures.hindrance != core::KeyHindrance::none;
}

const char* state_name(const core::KeyFigures& figures) {
  if (figures.first == 0) return figures.waiting == 0 ? "idle" : "waiting";
  if (is_held_back(figures)) return "limited";
  if (figures.first_is_due) return "ready";
  switch (figures.state) {
    case core::EntryState::delayed:
      return "delayed";
    case core::EntryState::leased:
    case core::EntryState::cancelled:
      return "processing";
    case core::EntryState::pending:
    case core::EntryState::completing:
    case core::EntryState::busy:
      return "deciding";
    case core::EntryState::expiring:
    case core::EntryState::overdue:
      return "ending";
    case core::EntryState::blocked:
      return "blocked";
    default:
      return "waiting";
  }
}

const char* advice_about_limits(const core::KeyFigures& figures) {
  switch (figures.hindrance) {
    case core::KeyHindrance::none:
      return nullptr;
    case core::KeyHindrance::place:
      if (figures.max_in_flight == 0)
        return "The limit for each key is 0, so nothing with a partition_key is handed out. "
               "set_concurrency_limit with scope => 'key' changes it.";
      return "As many jobs of the key are in flight as may be, and the next starts when one of "
             "them "
             "ends. The view leases shows who holds them.";
    case core::KeyHindrance::token:
      return "The rate for each key lets none of its jobs start for now. The view limits shows it, "
             "and set_rate_limit with scope => 'key' changes it.";
    case core::KeyHindrance::counting:
      return "The limit for each key is new: leases from before it are being counted. If this "
             "stays, there is no room to count them, and nothing starts until they end.";
    case core::KeyHindrance::record:
      return "More keys are to be counted than there is room for: a sixteenth of "
             "durable_work.max_resident_jobs. The job is tried again every second.";
  }
  return nullptr;
}

const char* advice_for(const store::QueueInfo& queue, const core::KeyFigures& figures) {
  if (is_held_back(figures)) return advice_about_limits(figures);
  if (figures.state == core::EntryState::blocked)
    return "The job that has the turn is a dead letter. Look at it in dead_letters, then call "
           "unblock_key with the action retry, skip or dead_letter.";
  if (figures.state == core::EntryState::delayed && !figures.first_is_due && queue.options.ordered)
    return "The jobs behind it wait until it is due. retry_now_many makes it due at once, cancel "
           "takes it out of the way.";
  return nullptr;
}

/* 0: nobody knows. */
TimestampTz until_of(const core::KeyFigures& figures) {
  const bool has_time = figures.state == core::EntryState::leased ||
                        figures.state == core::EntryState::cancelled ||
                        (figures.state == core::EntryState::delayed && !figures.first_is_due);
  const TimestampTz at = is_held_back(figures) ? figures.next : has_time ? figures.at : 0;
  return IS_VALID_TIMESTAMP(at) ? at : 0;
}

TimestampTz blocked_at(core::QueueId queue, core::JobId job) {
  const Oid types[] = {INT4OID, INT8OID};
  Datum values[] = {Int32GetDatum(queue), Int64GetDatum(job)};
  TimestampTz at = 0;
  store::execute("SELECT blocked_at FROM durable_work.blocked_key WHERE queue = $1 AND job_id = $2",
                 types, values, "  ",
                 [&at](uint64 row) { at = DatumGetTimestampTz(store::number(row, 1)); });
  return at;
}

void require_keys(const store::QueueInfo& queue) {
  const core::QueueLimits& limits = queue.limits;
  if (queue.options.ordered || queue.options.fair || limits.key_max_in_flight != core::kUnlimited ||
      limits.key_rate.jobs != 0)
    return;
  pg::raise_invalid(psprintf("queue \"%s\" does not keep keys apart", queue.name),
                    "It has neither ordering nor fairness by key, nor a limit for each key, so no "
                    "job waits because of its key.",
                    "explain_waiting says what jobs of the queue wait for, hot_keys which keys "
                    "have the most.");
}

core::KeyFigures look_at(const KeyArgument& argument) {
  core::KeyLook look{};
  look.key_hash = store::key_hash(argument.key);
  look.key_check = core::key_check(argument.key);
  const store::QueueInfo& queue = argument.queue;
  if (queue.slot.queue == core::kNone) return look.figures;
  while (runtime::dispatcher().look_at_key(queue.slot.queue, queue.id, &look))
    CHECK_FOR_INTERRUPTS();
  return look.figures;
}

Datum key_status(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const KeyArgument argument = key_argument(fcinfo, store::Right::read);
  require_keys(argument.queue);
  const core::KeyFigures figures = look_at(argument);
  const bool limits_places = figures.limited && figures.max_in_flight != core::kUnlimited;
  const TimestampTz until = until_of(figures);
  const TimestampTz next =
      figures.limited && figures.available == 0 && IS_VALID_TIMESTAMP(figures.next) ? figures.next
                                                                                    : 0;
  const TimestampTz since = figures.first != 0 && figures.state == core::EntryState::blocked
                                ? blocked_at(argument.queue.id, figures.first)
                                : 0;
  const char* const advice = figures.first != 0 ? advice_for(argument.queue, figures) : nullptr;
  const Datum values[] = {CStringGetTextDatum(state_name(figures)),
                          Int64GetDatum(figures.first),
                          TimestampTzGetDatum(until),
                          Int64GetDatum(int64{figures.waiting}),
                          Int64GetDatum(int64{figures.in_flight}),
                          Int64GetDatum(int64{figures.max_in_flight}),
                          Int64GetDatum(int64{figures.available}),
                          TimestampTzGetDatum(next),
                          TimestampTzGetDatum(since),
                          advice != nullptr ? CStringGetTextDatum(advice) : Datum{0}};
  const bool nulls[] = {false,      figures.first == 0, until == 0,       false,
                        false,      !limits_places,     !figures.limited, next == 0,
                        since == 0, advice == nullptr};
  return pg::row_result(fcinfo, values, nulls);
}

Datum blocked_keys(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const store::QueueInfo queue =
      store::require_queue(pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1),
                           store::Right::read, false);
  pg::begin_set(fcinfo);
  const Oid types[] = {INT4OID};
  Datum parameters[] = {Int32GetDatum(queue.id)};
  store::execute(
      "SELECT b.partition_key, b.job_id, b.blocked_at, b.takes_along IS NOT NULL, d.reason, "
      "d.history -> -1 -> 'error' FROM durable_work.blocked_key AS b LEFT JOIN "
      "durable_work.dead_letter AS d ON d.queue = b.queue AND d.job_id = b.job_id "
      "WHERE b.queue = $1 ORDER BY b.blocked_at, b.job_id",
      types, parameters, " ", [fcinfo](uint64 row) {
        Datum values[6];
        bool nulls[6];
        for (int i = 0; i < 6; i++) values[i] = store::column(row, i + 1, &nulls[i]);
        pg::put_row(fcinfo, values, nulls);
      });
  return pg::end_set(fcinfo);
}

}  // namespace

KeyArgument key_argument(FunctionCallInfo fcinfo, store::Right needed) {
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  const store::QueueInfo queue = store::require_queue(name, needed, false);
  return {queue, pg::required_text(fcinfo, 1, "partition_key", 0, kLongestKey)};
}

}  // namespace dw::key

extern "C" Datum dw_key_status_body(FunctionCallInfo fcinfo) { return dw::key::key_status(fcinfo); }
extern "C" Datum dw_blocked_keys_body(FunctionCallInfo fcinfo) {
  return dw::key::blocked_keys(fcinfo);
}
