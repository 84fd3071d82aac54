/*
 * pg_upgrade makes the extension anew in the new server, object by object, by the statements that
 * pg_dump writes. One of them is refused by every server: ALTER TABLE … ENABLE ALWAYS TRIGGER for a
 * trigger of a view. That is how the trigger of the view inbox must be (sql/40_see.sql), so under
 * pg_upgrade this library does what the statement says.
 *
 * It is in the session that restores the database by then, preloaded or not: the server loads it to
 * look at the first function. Nothing else of it runs there.
 */
#include "pg/headers.hpp"

#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

ProcessUtility_hook_type next_hook = nullptr;

/* The one command of a statement that enables a trigger of one of our views; nullptr: it is
 * another. */
const AlterTableCmd* find_enabling(const Node* statement, Oid* view) {
  if (!IsA(statement, AlterTableStmt)) return nullptr;
  const auto* const alter = reinterpret_cast<const AlterTableStmt*>(statement);
  if (list_length(alter->cmds) != 1) return nullptr;
  const auto* const command = static_cast<const AlterTableCmd*>(linitial(alter->cmds));
  if (command->subtype != AT_EnableAlwaysTrig) return nullptr;
  *view = RangeVarGetRelid(alter->relation, AccessExclusiveLock, true);
  if (!OidIsValid(*view) || get_rel_relkind(*view) != RELKIND_VIEW ||
      get_rel_namespace(*view) != get_namespace_oid("durable_work", true))
    return nullptr;
  return command;
}

void on_utility(PlannedStmt* planned, const char* query, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment* environment,
                DestReceiver* receiver, QueryCompletion* completion) {
  Oid view = InvalidOid;
  const AlterTableCmd* const enabling = find_enabling(planned->utilityStmt, &view);
  if (enabling != nullptr) {
    const Relation relation = relation_open(view, NoLock);
    pg::enable_trigger_always(relation, enabling->name);
    relation_close(relation, NoLock);
    return;
  }
  if (next_hook != nullptr) {
    next_hook(planned, query, read_only_tree, context, params, environment, receiver, completion);
  } else {
    standard_ProcessUtility(planned, query, read_only_tree, context, params, environment, receiver,
                            completion);
  }
}

}  // namespace

void help_binary_upgrade() {
  if (!IsBinaryUpgrade) return;
  next_hook = ProcessUtility_hook;
  ProcessUtility_hook = on_utility;
}

}  // namespace dw::runtime
