/*
 * Where the extension's tables are in this database.
 *
 * Looked up once per process and forgotten when the server's invalidation messages name one of them
 * or a namespace. Only success is remembered: a process that has not found the extension looks
 * again each time, which is a few cache look-ups.
 *
 * A table counts only if it is a member of the extension, so that somebody else's schema of the
 * same name is never mistaken for ours, and only if this library serves the extension's version
 * there. pg_extension has no invalidation messages of its own: whoever changes the version sends
 * one for the table of queues (tables_changed).
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "store/catalog.hpp"
#include "store/extension.hpp"

namespace dw::store {

namespace {

constexpr char kSchema[] = "durable_work";

/* Process-local. */
constinit bool callbacks_registered = false;
constinit bool tables_known = false;
constinit uint32 changes = 0; /* seen so far; tells a look-up that it was overtaken */
constinit Tables known_tables{};
/* Lowest and highest of the known tables, to dismiss most invalidations at once. */
constinit Oid lowest = InvalidOid;
constinit Oid highest = InvalidOid;

void forget_tables() {
  tables_known = false;
  changes++;
}

void on_relation_change(Datum, Oid relation) {
  if (!OidIsValid(relation) || (relation >= lowest && relation <= highest)) forget_tables();
}

void on_namespace_change(Datum, int, uint32) { forget_tables(); }

void register_callbacks() {
  if (callbacks_registered) return;
  CacheRegisterRelcacheCallback(on_relation_change, Datum{0});
  CacheRegisterSyscacheCallback(NAMESPACEOID, on_namespace_change, Datum{0});
  callbacks_registered = true;
}

Oid relation_named(const Tables& found, const char* name) {
  return get_relname_relid(name, found.schema);
}

bool look_up(Tables* found, Oid* first, Oid* last) {
  *found = Tables{};
  const InstalledExtension extension = installed_extension();
  if (!extension.fits()) return false;
  found->schema = get_namespace_oid(kSchema, true);
  if (!OidIsValid(found->schema)) return false;

  char name[NAMEDATALEN];
  for (int i = 0; i < core::kSegments; i++) {
    snprintf(name, sizeof(name), "job_%d", i);
    found->job[i] = relation_named(*found, name);
    snprintf(name, sizeof(name), "outcome_%d", i);
    found->outcome[i] = relation_named(*found, name);
  }
  found->job[core::kParkedSegment] = relation_named(*found, "parked");
  found->outcome[core::kParkedSegment] = relation_named(*found, "parked_outcome");
  found->job_id_sequence = relation_named(*found, "job_id_seq");
  found->topic = relation_named(*found, "topic");
  found->queue = relation_named(*found, "queue");
  found->queue_right = relation_named(*found, "queue_right");
  found->epoch = relation_named(*found, "epoch");
  found->segment = relation_named(*found, "segment");
  found->blocked_key = relation_named(*found, "blocked_key");
  found->key_weight = relation_named(*found, "key_weight");
  found->idempotency = relation_named(*found, "idempotency");
  found->dead_letter = relation_named(*found, "dead_letter");
  found->redrive_task = relation_named(*found, "redrive_task");
  found->handled = relation_named(*found, "handled");
  found->fence_token = relation_named(*found, "fence_token");
  found->worker = relation_named(*found, "worker");

  Oid least = PG_UINT32_MAX;
  Oid most = InvalidOid;
  const auto note = [&least, &most](Oid relation) {
    least = Min(least, relation);
    most = Max(most, relation);
  };
  for (const Oid relation : found->job) note(relation);
  for (const Oid relation : found->outcome) note(relation);
  for (const Oid relation :
       {found->job_id_sequence, found->topic, found->queue, found->queue_right, found->epoch,
        found->segment, found->blocked_key, found->key_weight, found->idempotency,
        found->dead_letter, found->redrive_task, found->handled, found->fence_token, found->worker})
    note(relation);
  if (!OidIsValid(least)) return false; /* one is missing: the script has not got that far */
  *first = least;
  *last = most;
  if (getExtensionOfObject(RelationRelationId, found->queue) != extension.oid) return false;

  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(found->queue));
  if (!HeapTupleIsValid(tuple)) return false;
  found->owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return true;
}

}  // namespace

const Tables* find_tables() {
  if (likely(tables_known)) return &known_tables;
  register_callbacks();

  lowest = InvalidOid;
  highest = PG_UINT32_MAX;
  Tables found;
  Oid first = InvalidOid;
  Oid last = InvalidOid;
  uint32 seen = 0;
  do {
    seen = changes;
    if (!look_up(&found, &first, &last)) return nullptr;
  } while (seen != changes);
  known_tables = found;
  lowest = first;
  highest = last;
  tables_known = true;
  return &known_tables;
}

const Tables& tables() {
  const Tables* const found = find_tables();
  if (unlikely(found == nullptr)) raise_not_served();
  return *found;
}

void tables_changed() {
  const Oid schema = get_namespace_oid(kSchema, true);
  const Oid queue = OidIsValid(schema) ? get_relname_relid("queue", schema) : InvalidOid;
  if (OidIsValid(queue)) CacheInvalidateRelcacheByRelid(queue);
}

void enter_owner(OwnerScope* scope) {
  const Oid owner = tables().owner;
  GetUserIdAndSecContext(&scope->user, &scope->security_context);
  SetUserIdAndSecContext(
      owner, scope->security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
  scope->guc_level = NewGUCNestLevel();
  (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                          GUC_ACTION_SAVE, true, 0, false);
}

void leave_owner(OwnerScope* scope) {
  AtEOXact_GUC(false, scope->guc_level);
  SetUserIdAndSecContext(scope->user, scope->security_context);
}

}  // namespace dw::store
