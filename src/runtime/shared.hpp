/*
 * What the runtime keeps in shared memory beside the arena, in one block named durable_work:
 *
 *   Control | closing[waiters] | locks | arena
 *
 * Who changes what:
 *   desks, pokes     under the lock kControlLock, a leaf like those of the arena
 *   housekeeper      the housekeeper of that database slot; read by whoever wakes it
 *   launcher         the launcher; refused_since too
 *   troubles         see trouble.hpp
 *   damaged_rows     the housekeeper of that database slot
 *   quarantined      whoever claims a row that is not what its entry says
 *   closing[p]       process p alone: the database that it is about to drop, copy, rename or move
 */
#pragma once

#include <atomic>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "runtime/trouble.hpp"

namespace dw::runtime {

constexpr uint32 kControlLock = core::kLockCount;
constexpr uint32 kAllLocks = core::kLockCount + 1;

/* Databases that are probed at the same time, beyond those that have the extension. */
constexpr uint32 kMostProbes = 2;
constexpr uint32 kDesks = core::kMostDatabases + kMostProbes;
constexpr uint32 kMostPokes = 32;
constexpr int kNoProcess = -1;

/*
 * A desk is where the launcher and one housekeeper meet.
 *   free -> starting (launcher) -> working (housekeeper) -> left (housekeeper, on any exit) -> free
 * (launcher)
 */
enum class DeskState : uint8 { free, starting, working, left };

/* Why a housekeeper left; nothing when it failed or was terminated. no_extension: none that this
 * library serves. */
enum class Farewell : uint8 { none, no_extension, asked, again };

struct Desk {
  Oid database;
  uint32 generation; /* of the occupant: one that was started for an earlier one goes away */
  int proc;
  DeskState state;
  Farewell farewell;
  bool settled; /* the extension is there: no longer a probe */
  bool leave;   /* the occupant is asked to go */
};

struct Control {
  int tranche;
  uint32 generation;
  uint32 waiters;
  std::atomic<int> launcher;
  /* Since when the server has had no room for another housekeeper (wall); 0: it had when last
   * asked. */
  std::atomic<int64> refused_since;
  /* Highest epoch of any database since the server started: an extension that is made anew goes on
   * above it. */
  std::atomic<int64> highest_epoch;
  std::atomic<int> housekeeper[core::kMostDatabases];
  /* Incarnation of the slot that a housekeeper has had; the next one takes over what it left. */
  uint32 attended[core::kMostDatabases];
  /* Since that housekeeper started: rows of the log that could not be read. */
  std::atomic<uint64> damaged_rows[core::kMostDatabases];
  /* Since the slot was taken. */
  std::atomic<uint64> quarantined[core::kMostDatabases];
  Trouble troubles[core::kMostDatabases][kDuties];
  Desk desks[kDesks];
  uint32 poke_count; /* more than kMostPokes: some were lost, look at every database */
  Oid pokes[kMostPokes];
};

/* nullptr when not preloaded. */
Control* control();
core::Arena* arena();
const core::Platform& platform();
LWLock* numbered_lock(uint32 number);

/* Holds kControlLock around plain memory work. */
template <typename Function>
auto under_control_lock(Function function) -> decltype(function()) {
  LWLockAcquire(numbered_lock(kControlLock), LW_EXCLUSIVE);
  if constexpr (std::is_void_v<decltype(function())>) {
    function();
    LWLockRelease(numbered_lock(kControlLock));
  } else {
    const auto result = function();
    LWLockRelease(numbered_lock(kControlLock));
    return result;
  }
}

/* closing[p], see above. */
std::atomic<Oid>* closing();

/* Asks the launcher to look at a database; InvalidOid: only for databases that came or went. Never
 * fails. */
void poke_about(Oid database);

/*
 * From here until the end of this transaction nobody of ours stays in, or is sent to, that
 * database: it is about to be dropped, copied, renamed or moved, which the server refuses while
 * somebody is connected to it.
 */
void close_database_until_end(Oid database);
/* The same is over. Called at every end of a transaction; never fails. */
void reopen_closed_database();
/* The launcher looks for new databases when this transaction commits. */
void note_created_database();
/* The housekeeper of this database is replaced when this transaction commits: the new one sees
 * whether the library serves the extension's version of then. */
void note_altered_extension();
/* The same at once. Never fails. */
void replace_housekeeper();
/* Whether some process has closed it. */
bool is_closed(Oid database);

/* Installers, called once by dw_runtime_init. */
void define_settings(bool at_server_start);
void request_shared_memory();
void install_hooks();
void help_binary_upgrade();
void register_launcher();

}  // namespace dw::runtime
