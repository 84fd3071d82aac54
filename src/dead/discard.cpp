// discard_dead_letter: a dead letter that nobody wants any more.
//
// Whoever deletes the row of dead_letter has the job, as in a redrive. Its last outcome says that
// it was given up, under a token that is higher than all it had.
#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/job_log.hpp"
#include "store/json_builder.hpp"
#include "store/outcome_log.hpp"
#include "store/saved_plan.hpp"

namespace dw::dead {

namespace {

constexpr char kDelete[] = "DELETE FROM durable_work.dead_letter WHERE queue = $1 AND job_id = $2";

store::SavedPlan delete_plan;

bool delete_row(core::QueueId queue, core::JobId id) {
  const Oid types[] = {INT4OID, INT8OID};
  const Datum values[] = {Int32GetDatum(queue), Int64GetDatum(id)};
  return store::run_as_owner(&delete_plan, kDelete, 2, types, values, "  ") == 1;
}

core::Token draw_token(core::JobId id) {
  const core::Index database = runtime::database();
  const core::Token token =
      database != core::kNone ? runtime::dispatcher().take_tokens(database, 1) : 0;
  if (token == 0)
    pg::raise(DW_WRONG_STATE, psprintf("job " INT64_FORMAT " cannot be discarded now", id),
              "The queues of this database are not loaded yet.", "Try again in a moment.");
  return token;
}

void write_discarded(core::QueueId queue, core::JobId id, uint8 segment) {
  store::JsonBuilder json;
  json.begin_object();
  json.text("reason", "discarded");
  json.end_object();
  const core::OutcomeMember member{id, draw_token(id), 0, 0};
  store::insert_outcome(
      core::OutcomeKind::purged, GetCurrentTimestamp(), queue, segment, &member, 1, json.datum(),
      true,
      [](uint8 where, uint32 block, int, void*) {
        core::Transaction& transaction = runtime::transaction();
        transaction.reserve_rows(1);
        transaction.note_written(runtime::level(), where, block);
      },
      nullptr);
}

Datum discard_dead_letter(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  runtime::require_writable("discard_dead_letter()");
  const core::JobId id = pg::required_bigint(fcinfo, 0, "job_id", 1);
  const std::string_view name = pg::required_text(fcinfo, 1, "queue", 1, core::kQueueNameSize - 1);
  const core::QueueId queue = store::require_queue(name, store::Right::operate, false).id;
  const bool deleted = delete_row(queue, id);
  store::JobTuple job;
  const bool found = store::find_job(id, &job);
  /* One that is in a queue of others is not there for the caller. */
  const store::QueueInfo* const seen_by = found ? store::find_queue_by_topic(job.topic) : nullptr;
  const bool known = found && (store::is_owner() ||
                               (seen_by != nullptr && store::may(seen_by->id, store::Right::any)));
  if (!deleted && !known)
    pg::raise(DW_UNKNOWN_OBJECT, psprintf("job " INT64_FORMAT " does not exist", id),
              "It never existed, or it finished and its retention is over.");
  if (deleted && found && store::keep_slot(job.segment, id))
    write_discarded(queue, id, job.segment);
  return BoolGetDatum(deleted);
}

}  // namespace

}  // namespace dw::dead

extern "C" Datum dw_discard_dead_letter_body(FunctionCallInfo fcinfo) {
  return dw::dead::discard_dead_letter(fcinfo);
}
