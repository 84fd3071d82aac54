/*
 * Where the extension's tables are in this database, and which queues it has. Both are remembered
 * per process and forgotten when the server's invalidation messages say that something changed.
 */
#pragma once

#include "core/dispatcher.hpp"
#include "pg/headers.hpp"
#include "store/rights.hpp"

#include <string_view>

namespace dw::store {

/* Object ids in the current database. job[8] is parked, outcome[8] parked_outcome. */
struct Tables {
  Oid schema;
  Oid owner; /* of the extension's tables; SPI work of the engine runs as this role */
  Oid job[core::kStores];
  Oid outcome[core::kStores];
  Oid job_id_sequence;
  Oid topic;
  Oid queue;
  Oid queue_right;
  Oid epoch;
  Oid segment;
  Oid blocked_key;
  Oid key_weight;
  Oid idempotency;
  Oid dead_letter;
  Oid redrive_task;
  Oid handled;
  Oid fence_token;
  Oid worker;
};

/* Raises DW007 when the extension is not in this database, or of a version that this library does
 * not serve. */
const Tables& tables();

/* The same without an error: nullptr. For background workers and callbacks' set-up. */
const Tables* find_tables();

/* Makes every process look again when this transaction commits: the extension's version changes. */
void tables_changed();

/* A row of durable_work.queue, with its topic's options. */
struct QueueInfo {
  core::QueueId id;
  int32 topic;
  core::QueueRef slot; /* in the arena; slot.queue is kNone when it is not there (yet) */
  core::QueueOptions options;
  core::QueueLimits limits;
  int64 dedupe_window; /* microseconds */
  int64 retention;
  int64 max_payload;               /* bytes */
  core::QueueId dead_letter_queue; /* 0: none */
  char name[core::kQueueNameSize];
};

/*
 * The queue of that name as this transaction sees it, own uncommitted changes included; nullptr
 * when there is none. Valid until the next call into this header. Read with the latest snapshot,
 * not with the transaction's.
 */
const QueueInfo* find_queue(std::string_view name);
const QueueInfo* find_queue_by_id(core::QueueId id);
const QueueInfo* find_queue_by_topic(int32 topic);

/*
 * The door of everything that names a queue: the queue, if the current user has one of the rights
 * needed (rights.hpp). Raises DW002 for an unknown name, and for a queue that the user has no right
 * on; 42501 when it has another one; 22023 for an empty or too long name. `default` is made when
 * somebody first names it who has the right on every queue, and make_default allows it.
 */
const QueueInfo& require_queue(std::string_view name, Right needed, bool make_default = true);

/* Calls each for every queue of the database, in order of id. */
void for_each_queue(void (*each)(const QueueInfo& queue, void* arg), void* arg);

/* To be called by whoever changes durable_work.queue or .topic, in the same transaction. */
void queues_changed();

/* Runs SPI statements as the owner of the extension's tables, with a safe search_path, until end.
 * Usage: OwnerScope scope; enter_owner(&scope); … SPI … ; leave_owner(&scope);   an ERROR restores
 * the user by itself. */
struct OwnerScope {
  Oid user;
  int security_context;
  int guc_level;
};
void enter_owner(OwnerScope* scope);
void leave_owner(OwnerScope* scope);

}  // namespace dw::store
