/*
 * grant_queue, revoke_queue: rights of a role on a queue. Whoever may operate a queue may pass
 * rights on it on, once the owner has granted EXECUTE on these two.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/grants.hpp"

namespace {

using namespace dw;
using store::Right;

enum Argument { kQueue, kRole, kRight };

Oid role_argument(FunctionCallInfo fcinfo) {
  const std::string_view name = pg::required_text(fcinfo, kRole, "role", 1, NAMEDATALEN - 1);
  if (name == "public")
    pg::raise_invalid("nothing is granted to PUBLIC", nullptr,
                      "Name a role. A role that others are members of serves for many.");
  const char* const role = pg::copy(name);
  const Oid found = get_role_oid(role, true);
  if (!OidIsValid(found))
    pg::raise("42704", psprintf("role \"%s\" does not exist", role), nullptr,
              "Names of roles are taken as pg_roles has them, without quotes.");
  return found;
}

Right right_argument(FunctionCallInfo fcinfo) {
  const std::string_view name = pg::text_view(pg::required_datum(fcinfo, kRight, "right"));
  for (const store::RightName& each : store::kRights)
    if (name == each.name) return each.right;
  pg::raise_invalid(psprintf("right \"%s\" is not known", pg::copy(name)), nullptr,
                    "Use enqueue, work, operate or monitor.");
}

std::optional<std::string_view> begin(FunctionCallInfo fcinfo, const char* command) {
  runtime::require_preloaded();
  const auto name = pg::optional_text(fcinfo, kQueue, "queue", 1, core::kQueueNameSize - 1);
  runtime::require_writable(command);
  return name;
}

void require_owner() {
  if (store::is_owner()) return;
  pg::raise(DW_INSUFFICIENT_PRIVILEGE, "permission denied for all queues",
            "Rights on every queue are given and taken by the owner of the extension.",
            "Name a queue.");
}

}  // namespace

extern "C" Datum dw_grant_queue_body(FunctionCallInfo fcinfo) {
  const auto name = begin(fcinfo, "grant_queue()");
  const Right right = right_argument(fcinfo);
  const Oid role = role_argument(fcinfo);
  store::lock_grants();
  if (!name) {
    require_owner();
    store::grant_rights(nullptr, role, right);
    return pg::void_result();
  }
  /* A copy: the statements that follow may have it read again. */
  const store::QueueInfo queue = store::require_queue(*name, Right::operate);
  store::grant_rights(&queue, role, right);
  return pg::void_result();
}

extern "C" Datum dw_revoke_queue_body(FunctionCallInfo fcinfo) {
  const auto name = begin(fcinfo, "revoke_queue()");
  const Right right = pg::is_null(fcinfo, kRight) ? Right::any : right_argument(fcinfo);
  const Oid role = role_argument(fcinfo);
  store::lock_grants();
  core::QueueId queue = store::kEveryQueue;
  if (name) {
    queue = store::require_queue(*name, Right::operate, false).id;
  } else {
    require_owner();
  }
  store::revoke_rights(queue, role, right);
  return pg::void_result();
}
