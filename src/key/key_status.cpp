/*
 * key_status, blocked_keys: which job of a key has its turn, and which keys wait for an operator.
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

const char* state_name(core::EntryState state) {
  switch (state) {
    case core::EntryState::ready:
      return "ready";
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

const char* advice_for(core::EntryState state) {
  switch (state) {
    case core::EntryState::blocked:
      return "The job that has the turn is a dead letter. Look at it in dead_letters, then call "
             "unblock_key with the action retry, skip or dead_letter.";
    case core::EntryState::delayed:
      return "The jobs behind it wait until it is due. retry_now_many makes it due at once, cancel "
             "takes it out of the way.";
    default:
      return nullptr;
  }
}

TimestampTz until_of(const core::KeyFigures& figures) {
  const bool has_time = figures.state == core::EntryState::delayed ||
                        figures.state == core::EntryState::leased ||
                        figures.state == core::EntryState::cancelled;
  return has_time && IS_VALID_TIMESTAMP(figures.at) ? figures.at : 0;
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

Datum key_status(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const KeyArgument argument = key_argument(fcinfo, store::Right::read);
  const store::QueueInfo& queue = argument.queue;
  core::KeyFigures figures{0, 0, core::EntryState::free, core::kNever};
  const bool there =
      queue.slot.queue != core::kNone &&
      runtime::dispatcher().see_key(queue.slot.queue, queue.id, store::key_hash(argument.key),
                                    core::key_check(argument.key), &figures);
  const char* const state = !there               ? "idle"
                            : figures.first == 0 ? "waiting"
                                                 : state_name(figures.state);
  const TimestampTz until = there ? until_of(figures) : 0;
  const TimestampTz since =
      there && figures.state == core::EntryState::blocked ? blocked_at(queue.id, figures.first) : 0;
  const char* const advice = there ? advice_for(figures.state) : nullptr;
  const Datum values[] = {
      CStringGetTextDatum(state), Int64GetDatum(figures.first),
      TimestampTzGetDatum(until), Int64GetDatum(figures.waiting),
      TimestampTzGetDatum(since), advice != nullptr ? CStringGetTextDatum(advice) : Datum{0}};
  const bool nulls[] = {false, figures.first == 0, until == 0,
                        false, since == 0,         advice == nullptr};
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
  if (!queue.options.ordered && !queue.options.fair)
    pg::raise_invalid(psprintf("queue \"%s\" does not keep keys apart", queue.name),
                      "It has neither ordering nor fairness by key, so no job waits for another.",
                      nullptr);
  return {queue, pg::required_text(fcinfo, 1, "partition_key", 0, kLongestKey)};
}

}  // namespace dw::key

extern "C" Datum dw_key_status_body(FunctionCallInfo fcinfo) { return dw::key::key_status(fcinfo); }
extern "C" Datum dw_blocked_keys_body(FunctionCallInfo fcinfo) {
  return dw::key::blocked_keys(fcinfo);
}
