/*
 * What one server process has of the engine: its dispatcher on the shared arena, its open
 * transaction, its waiter.
 */
#pragma once

#include <string_view>

#include "core/dispatcher.hpp"
#include "core/transaction.hpp"

#include "pg/headers.hpp"

namespace dw::runtime {

/* False when the library was not loaded by shared_preload_libraries. */
bool preloaded();

/* Raises DW007 unless preloaded and of a version that serves the SQL of this database, and 25000 in
 * a parallel worker, which cannot take the snapshots that are needed; one gets there only behind a
 * function that is marked safe and is not. The first line of every SQL function that needs the
 * dispatcher. */
void require_preloaded();

/* Raises 25006 on a standby or in a read-only transaction, as the server itself would for
 * `command`. */
void require_writable(const char* command);

/* Valid only when preloaded. */
core::Dispatcher& dispatcher();

/*
 * The intents of the open transaction. The first call in a process registers the transaction
 * callbacks. Its database slot is set, kNone while the housekeeper has not attached the database
 * yet.
 */
core::Transaction& transaction();

/* Slot of MyDatabaseId in the arena, or kNone. */
core::Index database();

/* Nesting level for intents: 1 outside any savepoint. */
int level();

/* This database started paused, see start_paused(), and still is. */
bool starts_paused();

/* This process's waiter number. */
core::Index waiter();

/* The worker's slot, remembered between calls with the same name; raises 53400 when every slot
 * holds leases. */
core::WorkerRef worker(std::string_view name, int64 instance);
/* After claim() said kWorkerGone. */
void forget_worker();

/* A claimed row was not what its entry says; health() tells how many were. */
void note_quarantined();

/* Settings, in microseconds. */
int64 timer_horizon();
int64 max_wait();
int64 heartbeat_interval();
int64 worker_dead_after();
/* Bytes. */
int64 max_headers();
/* A database that is attached now hands out nothing until the setting is off. */
bool start_paused();

/* Wakes the launcher, because a database or an extension came or went. */
void poke_launcher();

}  // namespace dw::runtime
