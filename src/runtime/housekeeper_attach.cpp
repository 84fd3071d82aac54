/*
 * Taking charge of a database.
 *
 * A slot that CREATE EXTENSION has just made is open already. After a server start there is none:
 * it is made, claims return nothing from it, and it is opened once a higher epoch is on disk. An
 * enqueue that commits in between leaves a request to load everything, and is found.
 */
#include <new>

#include "core/token.hpp"

#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "runtime/epoch.hpp"
#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/extension.hpp"

namespace dw::runtime {

namespace {

/*
 * In a transaction. A version that this library does not serve is reported once: the housekeeper
 * leaves, and none is sent again until the extension is altered. A slot that is there stays:
 * transactions that began before the version changed still end in it, and the housekeeper that
 * finds a served version again takes it over.
 */
bool is_served() {
  if (store::find_tables() != nullptr) return true;
  const store::InstalledExtension extension = store::installed_extension();
  if (extension.is_here() && !extension.fits()) store::report_misfit(LOG, extension);
  return false;
}

void report_pause(const Housekeeper& self) {
  if (!slot_of(self).paused.load()) return;
  ereport(LOG, (errmsg("durable_work: database starts paused, no job of it is handed out"),
                errhint("When its workers may begin: set durable_work.start_paused = off and "
                        "reload the configuration.")));
}

}  // namespace

bool renew_epoch(Housekeeper* self) {
  int64 epoch = 0;
  if (!transaction_step(*self, [&epoch] { epoch = raise_epoch(); })) return false;
  if (!slot_is_gone(*self)) dispatcher().open_database(self->slot, epoch);
  return true;
}

bool catch_up_epoch(Housekeeper* self) {
  int64 least = 0;
  if (!transaction_step(*self, [&least] { least = least_epoch(); })) return false;
  return least <= slot_of(*self).epoch || renew_epoch(self);
}

Attach attach_slot(Housekeeper* self) {
  bool found = false;
  if (!transaction_step(*self, [&found] { found = is_served(); })) return Attach::failed;
  if (!found) return Attach::no_extension;
  settle_at_desk(*self);

  core::Dispatcher& engine = dispatcher();
  self->slot = engine.attach_database(MyDatabaseId);
  if (self->slot == core::kNone) {
    pg::report(LOG, DW_PROGRAM_LIMIT_EXCEEDED, "durable_work serves too many databases",
               psprintf("At most %u databases of one server can have the extension.",
                        core::kMostDatabases));
    return Attach::failed;
  }
  core::Database& slot = slot_of(*self);
  self->incarnation = slot.incarnation;
  self->took_over = control()->attended[self->slot] == self->incarnation;
  control()->attended[self->slot] = self->incarnation;
  control()->housekeeper[self->slot].store(pg::my_proc_number(), std::memory_order_release);
  reset_troubles(self->slot, !self->took_over);
  if (!self->took_over) control()->quarantined[self->slot].store(0, std::memory_order_relaxed);

  const bool is_new = slot.state != core::DatabaseState::open;
  int64 epoch = 0;
  if (is_new) {
    if (!know_segments(self, true)) return Attach::failed;
    if (start_paused()) engine.pause_database(self->slot);
    if (!transaction_step(*self, [&epoch] { epoch = raise_epoch(); })) return Attach::failed;
  }
  self->store = new (MemoryContextAlloc(TopMemoryContext, sizeof(store::PageStore)))
      store::PageStore(&engine, self->slot);
  self->key_blocks = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::KeyBlocks)))
      core::KeyBlocks(&engine, self->slot, self->store);
  self->loader = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Loader)))
      core::Loader(&engine, self->slot, self->store, &self->key_blocks->aside());
  self->key_weights = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::KeyWeights)))
      core::KeyWeights(&engine, self->slot, self->store);
  self->sweeper = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Sweeper)))
      core::Sweeper(&engine, self->slot, self->store);
  self->census = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Census)))
      core::Census(&engine, self->slot, self->store);
  self->expiry_walk = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::ExpiryWalk)))
      core::ExpiryWalk(&engine, self->slot);
  self->segments = new (MemoryContextAlloc(TopMemoryContext, sizeof(store::SegmentTables)))
      store::SegmentTables(&engine, self->slot, self->store);
  self->rotation = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Rotation)))
      core::Rotation(&engine, self->slot, self->store, self->segments, self->loader);
  self->prepared_scan = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::PreparedScan)))
      core::PreparedScan(&engine, self->slot, self->store);
  self->watch_keeper = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::WatchKeeper)))
      core::WatchKeeper(&engine, self->slot, self->store);
  self->announcer = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Announcer)))
      core::Announcer(&engine, self->slot);
  if (self->took_over) self->expiry_walk->reset();
  self->loader->set_horizon(timer_horizon());
  if (!read_queues(self) || !read_workers(self)) return Attach::failed;
  if (is_new && !find_prepared(self)) return Attach::failed;
  if (is_new && !slot_is_gone(*self)) engine.open_database(self->slot, epoch);
  self->wants_reload = self->took_over;
  report_pause(*self);
  return Attach::done;
}

}  // namespace dw::runtime
