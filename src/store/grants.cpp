/*
 * The statements are made by queries over the catalogs: only privileges that are missing are
 * granted, and only those that are there are revoked, so that a grant that changes nothing writes
 * nothing. Each query has a snapshot of its own, also under REPEATABLE READ: what a role still
 * needs is what it needs now.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "store/catalog.hpp"
#include "store/grants.hpp"

namespace dw::store {

namespace {

/* --- what each right needs --- */

enum FunctionNumber : uint8 {
#define DW_FUNCTION(name) number_of_##name,
#include "durable_work/functions.def"
#undef DW_FUNCTION
  number_of_functions
};

struct NeededFunction {
  int number;
  const char* symbol; /* as pg_proc.prosrc has it */
  Right right;
};
constexpr NeededFunction kFunctions[] = {
#define DW_RIGHT(name, right) {number_of_##name, "durable_work_" #name, Right::right},
#include "durable_work/rights.def"
#undef DW_RIGHT
};

constexpr bool is_complete() {
  if (std::size(kFunctions) != number_of_functions) return false;
  for (std::size_t i = 0; i < std::size(kFunctions); i++)
    if (kFunctions[i].number != static_cast<int>(i)) return false;
  return true;
}
static_assert(is_complete(), "rights.def has the functions of functions.def, in their order");

struct NeededView {
  const char* name;
  const char* privilege;
  Right right;
};
constexpr NeededView kViews[] = {
#define DW_RIGHT(name, right)
#define DW_VIEW(name, privilege, right) {#name, #privilege, Right::right},
#include "durable_work/rights.def"
#undef DW_VIEW
#undef DW_RIGHT
};

/* --- running statements as the owner --- */

void run(const char* statement) {
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const int result = SPI_execute(statement, false, 0);
  if (result < 0)
    elog(ERROR, "statement \"%s\" gave %s", statement, SPI_result_code_string(result));
  if (SPI_finish() != SPI_OK_FINISH) elog(ERROR, "SPI_finish failed");
  leave_owner(&scope);
}

/* The first column of all rows, as text in the current memory context. */
struct Texts {
  char** values;
  uint64 count;
};

Texts read(const char* query, int n, const Oid* types, const Datum* values) {
  const MemoryContext caller = CurrentMemoryContext;
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  SPIPlanPtr const plan = SPI_prepare(query, n, const_cast<Oid*>(types));
  if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  const int result = SPI_execute_snapshot(plan, const_cast<Datum*>(values), nullptr, snapshot,
                                          InvalidSnapshot, true, false, 0);
  UnregisterSnapshot(snapshot);
  if (result != SPI_OK_SELECT)
    elog(ERROR, "a query of privileges gave %s", SPI_result_code_string(result));
  Texts texts{nullptr, SPI_processed};
  pg::in_context(caller, [&texts] {
    texts.values = pg::allocate<char*>(Max(texts.count, uint64{1}));
    for (uint64 i = 0; i < texts.count; i++)
      texts.values[i] = pstrdup(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
  });
  SPI_freeplan(plan);
  if (SPI_finish() != SPI_OK_FINISH) elog(ERROR, "SPI_finish failed");
  leave_owner(&scope);
  return texts;
}

template <int n>
Texts read(const char* query, const Oid (&types)[n], const Datum (&values)[n]) {
  return read(query, n, types, values);
}

void run_all(const Texts& statements) {
  for (uint64 i = 0; i < statements.count; i++) run(statements.values[i]);
}

Datum text_array(const Datum* texts, int n) {
  return PointerGetDatum(
      construct_array(const_cast<Datum*>(texts), n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* --- functions and views --- */

/* $1 and $2: the role, by number and by name; $3: its functions, by symbol; $4 and $5: views and
 * the privileges on them; $6: the schema, $7: USAGE on it. Gives the GRANTs that are missing or,
 * with REVOKE in the place of GRANT, takes those that are there. */
constexpr char kStatements[] =
    "SELECT pg_catalog.format('%1$s EXECUTE ON ROUTINE %%s %2$s %%I', "
    "function.oid::pg_catalog.regprocedure, $2) FROM pg_catalog.pg_proc AS function "
    "WHERE function.pronamespace = $6 AND function.prosrc = ANY ($3) "
    "AND %3$s EXISTS (SELECT FROM pg_catalog.aclexplode(function.proacl) AS item "
    "WHERE item.grantee = $1 AND item.privilege_type = 'EXECUTE') "
    "UNION ALL SELECT pg_catalog.format('%1$s %%s ON %%s %2$s %%I', wanted.privilege, "
    "view.oid::pg_catalog.regclass, $2) "
    "FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5)) AS wanted (name, privilege) "
    "JOIN pg_catalog.pg_class AS view ON view.relnamespace = $6 AND view.relname = wanted.name "
    "WHERE %3$s EXISTS (SELECT FROM pg_catalog.aclexplode(view.relacl) AS item "
    "WHERE item.grantee = $1 AND item.privilege_type = wanted.privilege) "
    "UNION ALL SELECT pg_catalog.format('%1$s USAGE ON SCHEMA %%I %2$s %%I', schema.nspname, $2) "
    "FROM pg_catalog.pg_namespace AS schema WHERE schema.oid = $6 AND $7 "
    "AND %3$s EXISTS (SELECT FROM pg_catalog.aclexplode(schema.nspacl) AS item "
    "WHERE item.grantee = $1 AND item.privilege_type = 'USAGE')";

const char* name_of(Oid role) { return GetUserNameFromId(role, false); }

/* What `rights` need and `kept` do not: granted, or taken. */
void write_needs(Oid role, Right rights, Right kept, bool grant) {
  const auto wanted = [rights, kept](Right right) {
    return has(right, rights) && !has(right, kept);
  };
  Datum symbols[std::size(kFunctions)];
  int functions = 0;
  for (const NeededFunction& each : kFunctions)
    if (wanted(each.right)) symbols[functions++] = CStringGetTextDatum(each.symbol);
  Datum names[std::size(kViews)];
  Datum privileges[std::size(kViews)];
  int views = 0;
  for (const NeededView& each : kViews) {
    if (!wanted(each.right)) continue;
    names[views] = CStringGetTextDatum(each.name);
    privileges[views++] = CStringGetTextDatum(each.privilege);
  }
  run_all(read<7>(
      grant ? psprintf(kStatements, "GRANT", "TO", "NOT")
            : psprintf(kStatements, "REVOKE", "FROM", ""),
      {OIDOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, OIDOID, BOOLOID},
      {ObjectIdGetDatum(role), CStringGetTextDatum(name_of(role)), text_array(symbols, functions),
       text_array(names, views), text_array(privileges, views), ObjectIdGetDatum(tables().schema),
       BoolGetDatum(wanted(Right::any))}));
}

/* --- the table with the rights on a queue --- */

const char* table_name(core::QueueId queue) {
  return queue == kEveryQueue ? "queue_right" : psprintf("rights_%d", queue);
}

Oid rights_table(core::QueueId queue) {
  return get_relname_relid(table_name(queue), tables().schema);
}

/* Also takes back what ALTER DEFAULT PRIVILEGES gives on new tables. */
void make_rights_table(const QueueInfo& queue) {
  run(
      psprintf("CREATE TABLE durable_work.rights_%d "
               "(LIKE durable_work.queue_right INCLUDING CONSTRAINTS) USING heap",
               queue.id));
  run(
      psprintf("ALTER TABLE durable_work.queue_right ATTACH PARTITION durable_work.rights_%d "
               "FOR VALUES IN (%d)",
               queue.id, queue.id));
  run(psprintf("COMMENT ON TABLE durable_work.rights_%d IS %s", queue.id,
               quote_literal_cstr(psprintf("Rights on queue \"%s\"; the view queue_grants shows "
                                           "them, grant_queue and revoke_queue change them",
                                           queue.name))));
  run_all(read<2>(
      "SELECT DISTINCT pg_catalog.format('REVOKE ALL ON durable_work.rights_%s FROM %s', $2, CASE "
      "item.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident("
      "pg_catalog.pg_get_userbyid(item.grantee)) END) "
      "FROM pg_catalog.pg_class AS rights CROSS JOIN LATERAL "
      "pg_catalog.aclexplode(rights.relacl) AS item "
      "WHERE rights.oid = $1 AND item.grantee <> rights.relowner",
      {OIDOID, INT4OID}, {ObjectIdGetDatum(rights_table(queue.id)), Int32GetDatum(queue.id)}));
}

/* On whatever queue. */
Right all_rights_of(Oid role) {
  const Texts privileges = read<2>(
      "SELECT DISTINCT item.privilege_type FROM pg_catalog.pg_class AS rights "
      "CROSS JOIN LATERAL pg_catalog.aclexplode(rights.relacl) AS item "
      "WHERE item.grantee = $2 AND (rights.oid = $1 OR rights.oid IN "
      "(SELECT part.inhrelid FROM pg_catalog.pg_inherits AS part WHERE part.inhparent = $1))",
      {OIDOID, OIDOID}, {ObjectIdGetDatum(tables().queue_right), ObjectIdGetDatum(role)});
  Right rights = Right::none;
  for (uint64 i = 0; i < privileges.count; i++)
    for (const RightName& each : kRights)
      if (strcmp(privileges.values[i], each.privilege) == 0) rights = rights | each.right;
  return rights;
}

const char* privileges_of(Right rights) {
  StringInfoData list;
  initStringInfo(&list);
  for (const RightName& each : kRights)
    if (has(rights, each.right))
      appendStringInfo(&list, "%s%s", list.len == 0 ? "" : ", ", each.privilege);
  return list.data;
}

/*
 * Tables of queues that are not there any more. DROP TABLE locks out whoever looks at the table of
 * all rights, which pg_dump does all the time that it runs; so it is done if nobody does, and else
 * by the next queue that is dropped. Numbers are not given twice, so what stays means nothing. A
 * restore brings the tables before the queues, and sets the sequence last.
 */
void drop_unused_tables() {
  const Oid all = tables().queue_right;
  const Texts unused = read<1>(
      "SELECT rights.relname FROM pg_catalog.pg_inherits AS part "
      "JOIN pg_catalog.pg_class AS rights ON rights.oid = part.inhrelid "
      "WHERE part.inhparent = $1 AND rights.relname ~ '^rights_[0-9]+$' "
      "AND pg_catalog.substr(rights.relname::text, 8)::bigint <= "
      "(SELECT last_value FROM durable_work.queue_id_seq WHERE is_called) "
      "AND NOT EXISTS (SELECT FROM durable_work.queue AS queue "
      "WHERE queue.id = pg_catalog.substr(rights.relname::text, 8)::bigint)",
      {OIDOID}, {ObjectIdGetDatum(all)});
  if (unused.count == 0 || !ConditionalLockRelationOid(all, AccessExclusiveLock)) return;
  for (uint64 i = 0; i < unused.count; i++) {
    const Oid table = get_relname_relid(unused.values[i], tables().schema);
    if (OidIsValid(table) && ConditionalLockRelationOid(table, AccessExclusiveLock))
      run(psprintf("DROP TABLE durable_work.%s", unused.values[i]));
  }
}

}  // namespace

void lock_grants() { LockRelationOid(tables().queue_right, ShareUpdateExclusiveLock); }

void grant_rights(const QueueInfo* queue, Oid role, Right rights) {
  const core::QueueId id = queue != nullptr ? queue->id : kEveryQueue;
  if (!OidIsValid(rights_table(id))) make_rights_table(*queue);
  run(psprintf("GRANT %s ON durable_work.%s TO %s", privileges_of(rights), table_name(id),
               quote_identifier(name_of(role))));
  write_needs(role, rights, Right::none, true);
}

void revoke_rights(core::QueueId queue, Oid role, Right rights) {
  if (!OidIsValid(rights_table(queue))) return;
  run(psprintf("REVOKE %s ON durable_work.%s FROM %s CASCADE", privileges_of(rights),
               table_name(queue), quote_identifier(name_of(role))));
  write_needs(role, rights, all_rights_of(role), false);
}

void drop_rights(core::QueueId queue) {
  lock_grants();
  const Oid table = rights_table(queue);
  if (OidIsValid(table)) {
    const Texts roles = read<1>(
        "SELECT DISTINCT item.grantee FROM pg_catalog.pg_class AS rights "
        "CROSS JOIN LATERAL pg_catalog.aclexplode(rights.relacl) AS item "
        "WHERE rights.oid = $1 AND item.grantee NOT IN (0, rights.relowner)",
        {OIDOID}, {ObjectIdGetDatum(table)});
    for (uint64 i = 0; i < roles.count; i++)
      revoke_rights(queue, atooid(roles.values[i]), Right::any);
  }
  drop_unused_tables();
}

}  // namespace dw::store
