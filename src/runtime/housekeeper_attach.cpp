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

namespace dw::runtime {

namespace {

/* The log begins in segment 0 and stays there: all ids belong to it. */
void set_first_segment(core::Index slot) {
  core::JobId first_ids[core::kSegments];
  for (core::JobId& first : first_ids) first = core::kNever;
  first_ids[0] = core::kAlways;
  dispatcher().set_segments(slot, 0, first_ids);
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
  if (!transaction_step(*self, [&found] { found = store::find_tables() != nullptr; }))
    return Attach::failed;
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

  const bool is_new = slot.state != core::DatabaseState::open;
  int64 epoch = 0;
  if (is_new) {
    set_first_segment(self->slot);
    if (start_paused()) engine.pause_database(self->slot);
    if (!transaction_step(*self, [&epoch] { epoch = raise_epoch(); })) return Attach::failed;
  }
  self->store = new (MemoryContextAlloc(TopMemoryContext, sizeof(store::PageStore)))
      store::PageStore(&engine, self->slot);
  self->loader = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Loader)))
      core::Loader(&engine, self->slot, self->store);
  self->sweeper = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Sweeper)))
      core::Sweeper(&engine, self->slot, self->store);
  self->census = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::Census)))
      core::Census(&engine, self->slot, self->store);
  self->expiry_walk = new (MemoryContextAlloc(TopMemoryContext, sizeof(core::ExpiryWalk)))
      core::ExpiryWalk(&engine, self->slot);
  if (self->took_over) self->expiry_walk->reset();
  self->loader->set_horizon(timer_horizon());
  if (!read_queues(self)) return Attach::failed;
  if (is_new && !slot_is_gone(*self)) engine.open_database(self->slot, epoch);
  self->wants_reload = self->took_over;
  report_pause(*self);
  return Attach::done;
}

}  // namespace dw::runtime
