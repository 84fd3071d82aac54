/*
 * Noticing that the extension, or a database, goes away, or that the extension is updated.
 *
 * DROP EXTENSION detaches the database when it commits. ALTER EXTENSION makes every process look at
 * the extension's version again, and another housekeeper come. The server refuses to drop, copy,
 * rename or move a database while anybody is connected to it, and waits five seconds at most; a
 * housekeeper would be in the way, so it is asked to leave first, and none is sent there again
 * before the transaction has ended.
 *
 * COMMIT PREPARED and ROLLBACK PREPARED run no callback of ours: after them the housekeeper is told
 * to look (core/watch.hpp).
 *
 * And that rows of the log move, because somebody has a table of it written anew (VACUUM FULL,
 * CLUSTER, ALTER TABLE). It would be found out without this, by the next look at such a row.
 *
 * The hooks are called by the server, outside of the guard; what may throw goes through it here.
 */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "store/catalog.hpp"

namespace dw::runtime {

namespace {

object_access_hook_type next_object_access_hook = nullptr;
ProcessUtility_hook_type next_utility_hook = nullptr;

template <typename Function>
void guarded(Function function) {
  dw_failure failure;
  const bool done = dw_guard_plain([](void* argument) { (*static_cast<Function*>(argument))(); },
                                   &function, &failure);
  if (!done) dw_raise_failure(&failure);
}

void note_detach(Oid database) {
  guarded([database] {
    core::Transaction& open = transaction();
    open.reserve(1);
    open.note_database(level(), core::ActionKind::detach, database);
  });
}

void note_alteration() {
  guarded([] {
    transaction(); /* its callback tells the launcher */
    store::tables_changed();
    note_altered_extension();
  });
}

void on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void* arg) {
  if (next_object_access_hook != nullptr)
    next_object_access_hook(access, class_id, object_id, sub_id, arg);
  if (access == OAT_POST_ALTER && class_id == ExtensionRelationId &&
      object_id == get_extension_oid("durable_work", true))
    note_alteration();
  if (access != OAT_DROP) return;
  if (class_id == ExtensionRelationId) {
    if (object_id == get_extension_oid("durable_work", true)) note_detach(MyDatabaseId);
  } else if (class_id == DatabaseRelationId && object_id != MyDatabaseId) {
    note_detach(object_id);
    close_database_until_end(object_id);
  }
}

/* The server has not looked yet whether the user may run the statement. A refused one must not
 * keep the housekeeper out: the transaction around it can stay open, behind a savepoint. */
bool may_create_databases() {
  if (superuser()) return true;
  HeapTuple const role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
  if (!HeapTupleIsValid(role)) return false;
  const bool may = reinterpret_cast<Form_pg_authid>(GETSTRUCT(role))->rolcreatedb;
  ReleaseSysCache(role);
  return may;
}

bool is_template(Oid database) {
  HeapTuple const row = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
  if (!HeapTupleIsValid(row)) return false;
  const bool is = reinterpret_cast<Form_pg_database>(GETSTRUCT(row))->datistemplate;
  ReleaseSysCache(row);
  return is;
}

/* What cannot run in a transaction block is over when its statement is. */
bool may_copy(Oid database) {
  return may_create_databases() && !IsTransactionBlock() &&
         (is_template(database) || pg::owns_database(database));
}
bool may_move(Oid database) { return !IsTransactionBlock() && pg::owns_database(database); }
bool may_rename(Oid database) { return may_create_databases() && pg::owns_database(database); }

/* A database named by a statement; nullptr or an unknown one is left to the server to complain
 * about. */
void close_named(const char* name, bool (*may)(Oid database)) {
  if (name == nullptr) return;
  const Oid database = get_database_oid(name, true);
  if (!OidIsValid(database) || database == MyDatabaseId || !may(database)) return;
  guarded([database] {
    transaction(); /* its callback opens the database again */
    close_database_until_end(database);
  });
}

void look_for_databases() {
  guarded([] {
    transaction();
    note_created_database();
  });
}

const DefElem* find_option(const List* options, const char* name) {
  ListCell* cell;
  foreach (cell, options) {
    const auto* const option = static_cast<const DefElem*>(lfirst(cell));
    if (strcmp(option->defname, name) == 0) return option;
  }
  return nullptr;
}

void before_utility(const Node* statement) {
  switch (nodeTag(statement)) {
    case T_CreatedbStmt: {
      const auto* const create = reinterpret_cast<const CreatedbStmt*>(statement);
      const DefElem* const copied = find_option(create->options, "template");
      close_named(copied != nullptr && copied->arg != nullptr
                      ? defGetString(const_cast<DefElem*>(copied))
                      : "template1",
                  may_copy);
      if (may_create_databases()) look_for_databases();
      break;
    }
    case T_RenameStmt: {
      const auto* const rename = reinterpret_cast<const RenameStmt*>(statement);
      if (rename->renameType == OBJECT_DATABASE) close_named(rename->subname, may_rename);
      break;
    }
    case T_AlterDatabaseStmt: {
      const auto* const alter = reinterpret_cast<const AlterDatabaseStmt*>(statement);
      if (find_option(alter->options, "tablespace") != nullptr)
        close_named(alter->dbname, may_move);
      /* ALLOW_CONNECTIONS may let the launcher in. */
      const Oid altered = get_database_oid(alter->dbname, true);
      if (OidIsValid(altered) && pg::owns_database(altered)) look_for_databases();
      break;
    }
    default:
      break;
  }
}

bool is_end_of_prepared(const Node* statement) {
  if (nodeTag(statement) != T_TransactionStmt) return false;
  const TransactionStmtKind kind = reinterpret_cast<const TransactionStmt*>(statement)->kind;
  return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/* The transaction has ended for everybody else; what it means for the jobs is still to be done. */
void wake_for_prepared() {
  if (!preloaded() || arena()->watch_count.load() == 0) return;
  const core::Index here = database();
  if (here != core::kNone) platform().wake_housekeeper(here);
}

bool is_of_the_log(const RangeVar* name) {
  if (name == nullptr) return false;
  const Oid relation = RangeVarGetRelid(name, NoLock, true);
  /* queue_right has no rows, and gets its partitions by ALTER TABLE. */
  return OidIsValid(relation) && get_rel_relkind(relation) != RELKIND_PARTITIONED_TABLE &&
         get_rel_namespace(relation) == get_namespace_oid("durable_work", true);
}

/* Statements that may write a table of the log anew, so that its rows lie elsewhere. */
bool moves_rows_of_the_log(const Node* statement) {
  if (!preloaded() || !IsTransactionState() || database() == core::kNone) return false;
  switch (nodeTag(statement)) {
    case T_VacuumStmt: {
      const auto* const vacuum = reinterpret_cast<const VacuumStmt*>(statement);
      if (!vacuum->is_vacuumcmd || find_option(vacuum->options, "full") == nullptr) return false;
      ListCell* cell;
      foreach (cell, vacuum->rels) {
        if (is_of_the_log(static_cast<const VacuumRelation*>(lfirst(cell))->relation)) return true;
      }
      return vacuum->rels == NIL;
    }
    case T_ClusterStmt: {
      const RangeVar* const table = reinterpret_cast<const ClusterStmt*>(statement)->relation;
      return table == nullptr || is_of_the_log(table);
    }
    case T_AlterTableStmt:
      return is_of_the_log(reinterpret_cast<const AlterTableStmt*>(statement)->relation);
    default:
      return false;
  }
}

/* The housekeeper looks at the tables when this has committed. */
void note_moved_rows() {
  guarded([] {
    core::Transaction& open = transaction();
    open.reserve(1);
    open.note_database(level(), core::ActionKind::queues_arrived, MyDatabaseId);
  });
}

void on_utility(PlannedStmt* planned, const char* query, bool read_only_tree,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment* environment,
                DestReceiver* receiver, QueryCompletion* completion) {
  /* The statement may be freed with the transaction that it ends. */
  const bool ends_prepared = is_end_of_prepared(planned->utilityStmt);
  before_utility(planned->utilityStmt);
  /* The statement is not looked at when it has run: it may have been freed. */
  const bool moves_rows = moves_rows_of_the_log(planned->utilityStmt);
  if (next_utility_hook != nullptr) {
    next_utility_hook(planned, query, read_only_tree, context, params, environment, receiver,
                      completion);
  } else {
    standard_ProcessUtility(planned, query, read_only_tree, context, params, environment, receiver,
                            completion);
  }
  if (ends_prepared) wake_for_prepared();
  if (moves_rows) note_moved_rows();
}

}  // namespace

void install_hooks() {
  next_object_access_hook = object_access_hook;
  object_access_hook = on_object_access;
  next_utility_hook = ProcessUtility_hook;
  ProcessUtility_hook = on_utility;
}

}  // namespace dw::runtime
