/*
 * unblock_key: how the key of a used-up job goes on. The row of the table is what counts; whoever
 * locks it decides, and memory follows at commit.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "key/key_argument.hpp"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/blocked_key.hpp"
#include "store/queue_hold.hpp"
#include "store/redrive.hpp"
#include "store/redrive_task.hpp"
#include "store/statement.hpp"

namespace dw::key {

namespace {

enum class Action : uint8 { retry, skip, dead_letter };

Action read_action(FunctionCallInfo fcinfo) {
  const std::string_view word = pg::required_text(fcinfo, 2, "action", 1, NAMEDATALEN);
  if (word == "retry") return Action::retry;
  if (word == "skip") return Action::skip;
  if (word == "dead_letter") return Action::dead_letter;
  pg::raise_invalid(psprintf("action \"%s\" is not known", pg::copy(word)), nullptr,
                    "Use retry, skip or dead_letter.");
}

/* Locks the row. 0: the key is not blocked. */
core::JobId lock_row(const KeyArgument& argument) {
  const Oid types[] = {INT4OID, TEXTOID};
  Datum values[] = {Int32GetDatum(argument.queue.id), pg::text_datum(argument.key)};
  core::JobId job = 0;
  store::execute(
      "SELECT job_id FROM durable_work.blocked_key WHERE queue = $1 AND partition_key = "
      "$2 FOR UPDATE",
      types, values, "  ", [&job](uint64 row) { job = DatumGetInt64(store::number(row, 1)); });
  return job;
}

void note(core::QueueId queue, core::JobId job, core::Unblock how, core::JobId up_to) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  transaction.note_unblocked(runtime::level(), queue, job, how, up_to);
}

void take_along(const store::QueueInfo& queue, core::JobId job) {
  const core::Index database = runtime::database();
  if (database == core::kNone)
    pg::raise(DW_WRONG_STATE, "those that wait behind a job cannot be taken along now",
              "The queues of this database are not loaded yet.", "Try again in a moment.");
  const core::JobId up_to = runtime::dispatcher().end_of_followers(database);
  const Oid types[] = {INT4OID, INT8OID, INT8OID};
  Datum values[] = {Int32GetDatum(queue.id), Int64GetDatum(job), Int64GetDatum(up_to)};
  store::execute(
      "UPDATE durable_work.blocked_key SET takes_along = $3 WHERE queue = $1 AND job_id "
      "= $2",
      types, values, "   ", store::ignore);
  note(queue.id, job, core::Unblock::end, up_to);
}

/* The redrive deletes the row, too. */
void retry(const store::QueueInfo& queue, core::JobId job) {
  store::hold_queue(queue.id, true);
  store::Redrive redrive{};
  redrive.from = redrive.to = queue.id;
  redrive.to_topic = queue.topic;
  memcpy(redrive.from_name, queue.name, sizeof(redrive.from_name));
  redrive.job_ids = &job;
  redrive.job_id_count = 1;
  redrive.since = DT_NOBEGIN;
  redrive.until = DT_NOEND;
  redrive.wait = true;
  store::RedrivePosition position = store::kRedriveStart;
  if (store::redrive_some(redrive, &position, 1).moved == 1) return;
  pg::raise(DW_WRONG_STATE, psprintf("dead letter " INT64_FORMAT " is gone", job),
            "It was discarded or taken to another queue, so there is nothing to be tried again.",
            "Use the action skip, or dead_letter.");
}

void require_turns(const store::QueueInfo& queue) {
  if (queue.options.ordered || queue.options.fair) return;
  pg::raise_invalid(psprintf("queue \"%s\" has no turns of keys", queue.name),
                    "It has neither ordering nor fairness by key, so none of its keys is blocked.",
                    "A limit of the key may hold its jobs back: key_status says so.");
}

Datum unblock_key(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const KeyArgument argument = key_argument(fcinfo, store::Right::operate);
  require_turns(argument.queue);
  const Action action = read_action(fcinfo);
  runtime::require_writable("unblock_key()");
  const core::JobId job = lock_row(argument);
  if (job == 0)
    pg::raise(DW_UNKNOWN_OBJECT, psprintf("key \"%s\" is not blocked", pg::copy(argument.key)),
              psprintf("Queue \"%s\" has no blocked key of that name.", argument.queue.name),
              "durable_work.blocked_keys shows those that are, key_status what a key waits for.");
  switch (action) {
    case Action::retry:
      retry(argument.queue, job);
      break;
    case Action::skip:
      store::delete_blocked_key(argument.queue.id, job);
      note(argument.queue.id, job, core::Unblock::skip, 0);
      break;
    case Action::dead_letter:
      take_along(argument.queue, job);
      break;
  }
  return pg::void_result();
}

}  // namespace

}  // namespace dw::key

extern "C" Datum dw_unblock_key_body(FunctionCallInfo fcinfo) {
  return dw::key::unblock_key(fcinfo);
}
