/*
 * durable_work.reload(): rows were loaded past the functions where the triggers could not see it.
 *
 * It asks for what those ask for (arrivals.cpp): a higher epoch, since the rows may carry tokens of
 * this one, the table of queues, the whole log, a new count. The request is made at commit; work
 * that is being done goes on beside it. Nothing is waited for: what the caller would like to see
 * shows in queue_stats, whose `unfinished` is null from that commit until everything is counted.
 */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"

namespace dw::runtime {

extern "C" Datum dw_reload_body(FunctionCallInfo fcinfo) {
  (void)fcinfo;
  require_preloaded();
  require_writable("durable_work.reload()");
  /* Other sessions may have read the queues before the rows came. */
  store::queues_changed();
  core::Transaction& open = transaction();
  open.reserve(1);
  open.note_database(level(), core::ActionKind::rows_arrived, MyDatabaseId);
  return pg::void_result();
}

}  // namespace dw::runtime
