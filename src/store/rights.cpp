/*
 * Rights of the current user, with a small memory of what was found.
 *
 * A place of the memory is found by role and queue; whoever comes later takes it over. What holds
 * for all queues has places of its own: it is asked for with nearly every queue. All of it is
 * forgotten when a role, a membership or the database's owner changes, and when a relation changes
 * whose number lies among those that were looked at: tables with rights, queue_right (a partition
 * comes or goes) and queue (whose owner is the owner of everything).
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "store/catalog.hpp"
#include "store/rights.hpp"

namespace dw::store {

namespace {

constexpr uint32 kPlaces = 256; /* powers of two */
constexpr uint32 kPlacesOfRoles = 16;
constexpr AclMode kAllModes = ACL_INSERT | ACL_REFERENCES | ACL_UPDATE | ACL_SELECT;
struct Known {
  Oid role; /* InvalidOid: nothing is known */
  core::QueueId queue;
  Right rights;
};

/* Process-local. */
constinit Known known[kPlaces]{};
constinit Known known_everywhere[kPlacesOfRoles]{};
constinit bool callbacks_registered = false;
constinit bool looking = false; /* every change counts then */
constinit uint32 changes = 0;   /* seen so far; tells a look-up that it was overtaken */
constinit Oid lowest = InvalidOid;
constinit Oid highest = InvalidOid;

void forget_rights() {
  memset(static_cast<void*>(known), 0, sizeof(known));
  memset(static_cast<void*>(known_everywhere), 0, sizeof(known_everywhere));
  lowest = highest = InvalidOid;
  changes++;
}

void on_relation_change(Datum, Oid relation) {
  if (!OidIsValid(relation) || looking || (relation >= lowest && relation <= highest))
    forget_rights();
}

void on_role_change(Datum, int, uint32) { forget_rights(); }

void register_callbacks() {
  if (callbacks_registered) return;
  CacheRegisterRelcacheCallback(on_relation_change, Datum{0});
  for (const auto cache : {AUTHOID, AUTHMEMROLEMEM, DATABASEOID})
    CacheRegisterSyscacheCallback(cache, on_role_change, Datum{0});
  callbacks_registered = true;
}

Right rights_of_modes(AclMode modes) {
  Right rights = Right::none;
  for (const RightName& each : kRights)
    if ((modes & each.mode) != 0) rights = rights | each.right;
  return rights;
}

/* Only what was granted: not what pg_write_all_data and its like give on every table. A table that
 * somebody else has put there gives nothing. */
Right granted_rights(Oid role, Oid table, const Tables& here) {
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
  if (!HeapTupleIsValid(tuple)) return Right::none;
  const auto* const row = reinterpret_cast<const FormData_pg_class*>(GETSTRUCT(tuple));
  bool null = true;
  Right rights = Right::none;
  const Datum list = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &null);
  if (!null && row->relowner == here.owner && (row->relispartition || table == here.queue_right))
    rights =
        rights_of_modes(aclmask(DatumGetAclP(list), role, row->relowner, kAllModes, ACLMASK_ALL));
  ReleaseSysCache(tuple);
  return rights;
}

struct Found {
  Right rights;
  Oid table; /* InvalidOid: nothing is granted on the queue */
};

Found find_rights(Oid role, core::QueueId queue, const Tables& here) {
  if (superuser_arg(role) || has_privs_of_role(role, here.owner))
    return {Right::any | Right::owner, InvalidOid};
  const Right everywhere = granted_rights(role, here.queue_right, here);
  if (queue == kEveryQueue) return {everywhere, InvalidOid};
  char name[NAMEDATALEN];
  snprintf(name, sizeof(name), "rights_%d", queue);
  const Oid table = get_relname_relid(name, here.schema);
  if (!OidIsValid(table)) return {everywhere, InvalidOid};
  return {everywhere | granted_rights(role, table, here), table};
}

Right look_up(Oid role, core::QueueId queue, Known* place) {
  register_callbacks();
  Found found{};
  Tables here{};
  uint32 seen = 0;
  looking = true; /* an error leaves it so: more is forgotten than need be, until the next look */
  do {
    seen = changes;
    here = tables();
    found = find_rights(role, queue, here);
  } while (seen != changes);
  looking = false;
  for (const Oid relation : {here.queue, here.queue_right, found.table}) {
    if (!OidIsValid(relation)) continue;
    lowest = OidIsValid(lowest) ? Min(lowest, relation) : relation;
    highest = Max(highest, relation);
  }
  *place = Known{role, queue, found.rights};
  return found.rights;
}

const char* needed_words(Right needed) {
  StringInfoData words;
  initStringInfo(&words);
  int left = 0;
  for (const RightName& each : kRights)
    if (has(needed, each.right)) left++;
  for (const RightName& each : kRights) {
    if (!has(needed, each.right)) continue;
    appendStringInfo(&words, "%s%s", words.len == 0 ? "" : left == 1 ? " or " : ", ", each.name);
    left--;
  }
  return words.data;
}

}  // namespace

Right rights_on(core::QueueId queue) {
  const Oid role = GetUserId();
  Known* const place = queue == kEveryQueue
                           ? &known_everywhere[role & (kPlacesOfRoles - 1)]
                           : &known[(static_cast<uint32>(queue) ^ (role * 7)) & (kPlaces - 1)];
  if (likely(place->role == role && place->queue == queue)) return place->rights;
  return look_up(role, queue, place);
}

void require_right(const QueueInfo& queue, Right needed) {
  const Right rights = rights_on(queue.id);
  if (likely(has(rights, needed))) return;
  if (rights == Right::none) raise_unknown_queue(queue.name);
  raise_no_right(queue.name, needed);
}

void raise_unknown_queue(std::string_view name) {
  pg::raise(DW_UNKNOWN_OBJECT, psprintf("queue \"%s\" does not exist", pg::copy(name)), nullptr,
            is_owner() ? "Make it with durable_work.create_queue."
                       : "Make it with durable_work.create_queue, or ask its owner for a right on "
                         "it: durable_work.grant_queue.");
}

void raise_no_right(const char* queue, Right needed) {
  pg::raise(DW_INSUFFICIENT_PRIVILEGE, psprintf("permission denied for queue \"%s\"", queue),
            psprintf("It takes the right to %s.", needed_words(needed)),
            "Rights on a queue are given with durable_work.grant_queue.");
}

}  // namespace dw::store
