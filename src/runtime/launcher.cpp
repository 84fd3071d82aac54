/*
 * The launcher: one background worker for the whole server. It finds the databases that can be
 * connected to, sends a housekeeper to each, and sends another when one dies. A housekeeper that
 * finds no extension leaves quietly, and none is sent there again until a commit says that
 * something changed (poke_about).
 *
 * States of a database, drawn once:
 *
 *   waiting -> staffed           a housekeeper was started at a desk
 *   staffed -> empty             it left because there is no extension
 *   staffed -> waiting           it left otherwise: at once, or after a pause when it failed
 *   empty   -> waiting           somebody poked
 *   any     -> forgotten         the database is gone
 */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "pg/subtransaction.hpp"
#include "runtime/launcher.hpp"
#include "runtime/process.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kRescanEvery = 30 * core::kSecond;
constexpr int64 kRetryRegistration = 1 * core::kSecond;

Launcher the_launcher;

bool note_database(void* arg, Oid oid, bool connectable) {
  auto* const self = static_cast<Launcher*>(arg);
  Site* site = find_site(self, oid);
  if (site == nullptr) site = add_site(self, oid);
  site->seen = true;
  site->connectable = connectable;
  return true;
}

/* Slots of databases that are gone, however that came. */
void free_slots(const Launcher& self, const Oid* served, uint32 count) {
  for (uint32 i = 0; i < count; i++) {
    if (!OidIsValid(served[i]) || find_site(&self, served[i]) != nullptr) continue;
    const core::Index slot = dispatcher().find_database(served[i]);
    if (slot != core::kNone) dispatcher().detach_database(slot);
  }
}

bool rescan(Launcher* self) {
  /* Before the snapshot: a database that is made later is not taken for one that is gone. */
  Oid served[core::kMostDatabases];
  for (uint32 i = 0; i < core::kMostDatabases; i++) {
    const core::Database& slot = arena()->databases[i];
    served[i] = slot.state != core::DatabaseState::free ? slot.oid : InvalidOid;
  }
  for (int i = 0; i < self->site_count; i++) self->sites[i].seen = false;
  pg::error_report report;
  const bool done = pg::transaction(&report, self->memory, LOG,
                                    [self] { for_each_database(note_database, self); });
  if (!done) return false;
  forget_unseen(self);
  free_slots(*self, served, core::kMostDatabases);
  return true;
}

/* Databases that somebody said something about. */
void take_pokes(Launcher* self) {
  Oid poked[kMostPokes];
  uint32 count = 0;
  under_control_lock([&] {
    count = control()->poke_count;
    std::memcpy(poked, control()->pokes, sizeof poked);
    control()->poke_count = 0;
  });
  if (count == 0) return;
  self->rescan_at = core::kAlways;
  const bool all = count > kMostPokes;
  for (int i = 0; i < self->site_count; i++) {
    Site& site = self->sites[i];
    bool named = all;
    for (uint32 k = 0; k < count && !named; k++) named = poked[k] == site.oid;
    if (!named) continue;
    site.poked = true;
    if (site.state == SiteState::empty) site.state = SiteState::waiting;
  }
}

int64 start_missing(Launcher* self) {
  int64 next = core::kNever;
  const int64 now = platform().monotonic_now();
  for (int i = 0; i < self->site_count; i++) {
    Site& site = self->sites[i];
    if (site.state != SiteState::waiting || !site.connectable || is_closed(site.oid)) continue;
    if (site.not_before > now) {
      next = Min(next, site.not_before);
      continue;
    }
    /* The next one to settle or to leave wakes the launcher. */
    if (count_probes() >= kMostProbes) return next;
    if (start_housekeeper(self, &site)) continue;
    self->retry_at = now + kRetryRegistration;
    return self->retry_at;
  }
  control()->refused_since.store(0);
  return next;
}

void leave_launcher(int, Datum) {
  int me = pg::my_proc_number();
  control()->launcher.compare_exchange_strong(me, kNoProcess);
}

}  // namespace

extern "C" void dw_launcher_main_body(Datum) {
  Launcher* const self = &the_launcher;
  start_worker_process();
  before_shmem_exit(leave_launcher, 0);
  control()->launcher.store(pg::my_proc_number(), std::memory_order_release);
  BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
  use_own_settings("durable_work launcher");
  self->memory = pg::new_context(TopMemoryContext, "durable_work launcher");
  self->rescan_at = core::kAlways;
  MemoryContextSwitchTo(self->memory);
  const uint32 wait_event = pg::new_wait_event("DurableWorkLauncher");

  take_over_desks(self);
  while (!shutdown_requested()) {
    MemoryContextReset(self->memory);
    take_pokes(self);
    clear_desks(self);
    int64 now = platform().monotonic_now();
    if (now >= self->rescan_at) {
      rescan(self);
      self->rescan_at = now + kRescanEvery;
    }
    int64 next = Min(self->rescan_at, now + kRescanEvery);
    if (now >= self->retry_at)
      next = Min(next, start_missing(self));
    else
      next = Min(next, self->retry_at);
    next = Min(next, self->look_at_desks_at);
    now = platform().monotonic_now();
    pgstat_report_stat(true);
    sleep_for(Max(next - now, int64{0}), wait_event);
  }
  /* Code 0 would mean that it is never to be started again. */
  proc_exit(1);
}

void register_launcher() {
  /* pg_upgrade moves files under a running server. */
  if (IsBinaryUpgrade) return;
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = 1;
  strlcpy(worker.bgw_library_name, "durable_work", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, "durable_work_launcher_main", sizeof worker.bgw_function_name);
  strlcpy(worker.bgw_name, "durable_work launcher", sizeof worker.bgw_name);
  strlcpy(worker.bgw_type, "durable_work launcher", sizeof worker.bgw_type);
  RegisterBackgroundWorker(&worker);
}

}  // namespace dw::runtime
