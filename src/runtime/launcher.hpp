/* What the parts of the launcher share. */
#pragma once

#include "core/types.hpp"

#include "pg/headers.hpp"

#include "runtime/shared.hpp"

namespace dw::runtime {

enum class SiteState : uint8 { waiting, staffed, empty };

/* A database of this server. */
struct Site {
  Oid oid;
  SiteState state;
  bool connectable;
  bool seen;  /* by the scan that runs */
  bool poked; /* since its housekeeper was started */
  uint32 desk;
  int64 started;                  /* monotonic */
  int64 not_before;               /* monotonic */
  int64 pause;                    /* the last one after a failure */
  BackgroundWorkerHandle* handle; /* nullptr: started by a launcher before this one */
};

struct Launcher {
  MemoryContext memory; /* reset in each round */
  Site* sites;          /* in TopMemoryContext */
  int site_count;
  int site_room;
  int64 rescan_at; /* monotonic */
  int64 retry_at;
  int64 complained_at;
  int64 look_at_desks_at;
};

/* --- launcher_sites.cpp --- */
Site* find_site(const Launcher* self, Oid oid);
Site* add_site(Launcher* self, Oid oid);
/* Databases that the scan has not met are gone. */
void forget_unseen(Launcher* self);
/* In a transaction. */
void for_each_database(bool (*each)(void* arg, Oid oid, bool connectable), void* arg);

/* --- launcher_desks.cpp --- */
/* Housekeepers that an earlier launcher started are still at work. */
void take_over_desks(Launcher* self);
/* Frees desks whose housekeeper has left or never came, and decides what is next for the database.
 */
void clear_desks(Launcher* self);
/* Housekeepers that have not yet found out whether there is an extension. */
uint32 count_probes();
/* False: the server has no room for another background worker. */
bool start_housekeeper(Launcher* self, Site* site);

}  // namespace dw::runtime
