/*
 * The housekeeper of one database: what its parts share. One instance a process.
 */
#pragma once

#include "core/announcer.hpp"
#include "core/census.hpp"
#include "core/expiry_walk.hpp"
#include "core/key_blocks.hpp"
#include "core/key_weights.hpp"
#include "core/loader.hpp"
#include "core/prepared_scan.hpp"
#include "core/rotation.hpp"
#include "core/sweeper.hpp"
#include "core/watch.hpp"

#include "pg/headers.hpp"

#include "runtime/process.hpp"
#include "runtime/shared.hpp"
#include "store/page_store.hpp"
#include "store/segment_tables.hpp"

namespace dw::runtime {

struct Housekeeper {
  Desk* desk;
  uint32 generation;
  MemoryContext memory; /* reset before each round */
  core::Index slot;     /* kNone: not attached */
  uint32 incarnation;   /* of the slot */
  bool took_over;       /* another housekeeper had the slot before */
  store::PageStore* store;
  core::Loader* loader;
  core::KeyBlocks* key_blocks;
  core::KeyWeights* key_weights;
  core::Sweeper* sweeper;
  core::Census* census;
  core::ExpiryWalk* expiry_walk;
  store::SegmentTables* segments;
  core::Rotation* rotation;
  core::PreparedScan* prepared_scan;
  core::WatchKeeper* watch_keeper;
  core::Announcer* announcer;

  /* What is asked for and not done yet. */
  bool wants_catalog;
  bool wants_reload;
  bool wants_recount; /* rows came in past the engine */
  bool rows_arrived;  /* that has been so: numbers may lie below theirs while a queue is not counted
                       */
  int64 arrived_at;   /* monotonic; the last time */
  bool wants_epoch;
  bool wants_redrives;
  bool wants_workers;
  Phase catalog;
  Phase prepared;
  Phase load;
  Phase count;
  Phase sweep;
  Phase redrive;
  Phase rotate;
  Phase prune;
  Phase summary;
  Phase announce;
  Phase workers;

  bool load_reported;
  int64 started;       /* monotonic */
  int64 idle_check_at; /* wall */
};

/* --- housekeeper.cpp --- */
/* The extension was dropped, perhaps made anew since. */
bool slot_is_gone(const Housekeeper& self);
core::Database& slot_of(const Housekeeper& self);

/* --- housekeeper_desk.cpp --- */
/* Takes the desk that the launcher prepared; false: it was meant for another. */
bool take_desk(Housekeeper* self, Datum argument);
/* The extension is there. */
void settle_at_desk(const Housekeeper& self);
bool asked_to_leave(const Housekeeper& self);
void say_farewell(const Housekeeper& self, Farewell farewell);

/* A step that may fail; what fails because the extension has just been dropped or altered is
 * nobody's concern. */
template <typename Function>
[[nodiscard]] bool step(const Housekeeper& self, Function function) {
  return protected_step(
      self.memory, [&self] { return slot_is_gone(self) || asked_to_leave(self) ? DEBUG1 : LOG; },
      function);
}

/* The same in a transaction with a snapshot. */
template <typename Function>
[[nodiscard]] bool transaction_step(const Housekeeper& self, Function function) {
  return step(self, [&function] {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    function();
    PopActiveSnapshot();
    CommitTransactionCommand();
  });
}

/* --- housekeeper_attach.cpp --- */
enum class Attach : uint8 { done, no_extension, failed };
/* Finds or makes the database's slot, raises the epoch when it was new, reads the queues, opens it.
 */
Attach attach_slot(Housekeeper* self);
/* A new epoch, flushed, then known to the claims. False: failed, reported. */
bool renew_epoch(Housekeeper* self);
/* Raises it only if the rows in the table ask for it: after a restore. */
bool catch_up_epoch(Housekeeper* self);

/* --- housekeeper_queues.cpp --- */
/* Makes the arena's queues those of the table. False: failed, reported. */
bool read_queues(Housekeeper* self);

/* --- housekeeper_prepared.cpp --- */
/* Prepared transactions that are older than the slot; before it is opened. False: failed, reported.
 */
bool find_prepared(Housekeeper* self);
/* Does what the end of prepared transactions asks for. */
void follow_prepared(Housekeeper* self);
/* Microseconds until the next look without anybody asking; kNever when there is none. */
int64 pause_of_prepared(const Housekeeper& self);

/* --- housekeeper_redrive.cpp --- */
/* One step of each redrive at a rate that may go on. True: more is to be done at once. */
bool redrive(Housekeeper* self);
/* Monotonic time of the next; kNever when there is none. */
int64 next_redrive();

/* --- housekeeper_rotation.cpp --- */
/* Rows have come from elsewhere a short time ago, and others that belong to them may follow. */
bool rows_are_arriving(const Housekeeper& self);
/* Reads the table of segments. False: failed, reported. */
bool know_segments(Housekeeper* self, bool at_start);
/* One step in the life of the log's segments. True: more is to be done at once. */
bool rotate(Housekeeper* self);

/* --- housekeeper_workers.cpp --- */
/* Makes the members of rings those of the table. False: failed, reported. */
bool read_workers(Housekeeper* self);
/* Takes dead workers out of their rings, and ends those that drain. */
void follow_workers(Housekeeper* self);
/* Microseconds until the next look without anybody asking. */
int64 pause_of_workers();

/* --- housekeeper_prune.cpp --- */
/* Removes what is past its time from the ordinary tables, a little at a time. True: more is to be
 * done at once. */
bool prune(Housekeeper* self);

/* --- housekeeper_announce.cpp --- */
/* Tells clients that listen of work that nobody takes, if that is asked for. */
void announce(Housekeeper* self);

/* --- housekeeper_summary.cpp --- */
/* Summarises page ranges that are full, for a few milliseconds. True: more is to be done at once.
 */
bool summarise_ranges(Housekeeper* self);

}  // namespace dw::runtime
