/*
 * Rows of the log that come past the engine's functions: COPY by a restore, logical replication, a
 * superuser's INSERT. The engine itself inserts through the table access method, which fires no
 * trigger, so a statement trigger on the log's tables tells the two apart.
 */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "store/blocked_key.hpp"
#include "store/catalog.hpp"
#include "store/key_weight.hpp"

namespace dw::runtime {

/* durable_work.rows_arrived(): trigger function. At commit the housekeeper is asked to read the
 * table of queues, or the whole log, again. */
extern "C" Datum dw_rows_arrived_body(FunctionCallInfo fcinfo) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    pg::raise(DW_FEATURE_NOT_SUPPORTED, "rows_arrived can only be called as a trigger", nullptr,
              "There is nothing to do: the tables of the log have their triggers.");
  if (!preloaded()) return PointerGetDatum(nullptr);
  const auto* const trigger = reinterpret_cast<const TriggerData*>(fcinfo->context);
  const Oid table = RelationGetRelid(trigger->tg_relation);
  core::ActionKind kind = core::ActionKind::rows_arrived;
  /* Of a version that this library does not serve: a restore must not fail of it, and a housekeeper
   * that comes before this commit is told to read everything. */
  const store::Tables* const tables = store::find_tables();
  /* The housekeeper itself writes this one by statements, and knows. */
  if (tables != nullptr && table == tables->segment && MyBgworkerEntry != nullptr)
    return PointerGetDatum(nullptr);
  const bool is_blocked_key = tables != nullptr && table == tables->blocked_key;
  if (is_blocked_key && store::writes_blocked_key()) return PointerGetDatum(nullptr);
  const bool is_key_weight = tables != nullptr && table == tables->key_weight;
  if (is_key_weight && store::writes_key_weight()) return PointerGetDatum(nullptr);
  if (tables != nullptr &&
      (table == tables->queue || table == tables->topic || is_blocked_key || is_key_weight))
    kind = core::ActionKind::queues_arrived;
  /* These rows are written by statements, also by redrive(). */
  if (tables != nullptr && table == tables->redrive_task) kind = core::ActionKind::redrives_changed;
  core::Transaction& open = transaction();
  open.reserve(1);
  open.note_database(level(), kind, MyDatabaseId);
  return PointerGetDatum(nullptr);
}

}  // namespace dw::runtime
