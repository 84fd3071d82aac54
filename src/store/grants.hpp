/*
 * Giving and taking rights on queues, with all that they need: USAGE on the schema, EXECUTE on
 * functions, SELECT on views (rights.def). All of it are privileges of the server, written by its
 * own GRANT and REVOKE as the owner of the extension.
 */
#pragma once

#include "core/types.hpp"

#include "pg/headers.hpp"

#include "store/rights.hpp"

namespace dw::store {

struct QueueInfo;

/* Held until the transaction ends: two sessions that write the same privileges at a time would
 * fail, and what a role still needs is found by looking at all of its rights. Before the queue is
 * looked up, so that one that is being dropped is not granted on. */
void lock_grants();

/* One right of the four or several. nullptr, kEveryQueue: on every queue, also those to come. */
void grant_rights(const QueueInfo* queue, Oid role, Right rights);
/* With what no other right of this role needs. */
void revoke_rights(core::QueueId queue, Oid role, Right rights);
/* All rights that anybody has on it; it is being dropped. */
void drop_rights(core::QueueId queue);

}  // namespace dw::store
