/* The launcher's side of the desks: who sits where, who has left, who is sent next. */
#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/launcher.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kFirstPause = 1 * core::kSecond;
constexpr int64 kLongestPause = 60 * core::kSecond;
/* Who lived this long begins with a short pause again. */
constexpr int64 kHealthyLife = 30 * core::kSecond;
/* A worker registered by a launcher that has died since comes within this time, or never. */
constexpr int64 kStartingTime = 30 * core::kSecond;
constexpr int64 kComplainEvery = 60 * core::kSecond;
constexpr uint32 kNoDesk = PG_UINT32_MAX;

/* Reserves a free desk. */
uint32 prepare_desk(Oid database, uint32* generation) {
  return under_control_lock([database, generation] {
    Control& shared = *control();
    for (uint32 i = 0; i < kDesks; i++) {
      Desk& desk = shared.desks[i];
      if (desk.state != DeskState::free) continue;
      *generation = ++shared.generation;
      desk = Desk{database,       *generation, kNoProcess, DeskState::starting,
                  Farewell::none, false,       false};
      return i;
    }
    return kNoDesk;
  });
}

void free_desk(uint32 number) {
  under_control_lock([number] {
    Desk& desk = control()->desks[number];
    desk = Desk{InvalidOid,     desk.generation, kNoProcess, DeskState::free,
                Farewell::none, false,           false};
  });
}

void complain(Launcher* self) {
  int64 never = 0;
  control()->refused_since.compare_exchange_strong(never, GetCurrentTimestamp());
  const int64 now = platform().monotonic_now();
  if (self->complained_at != 0 && now - self->complained_at < kComplainEvery) return;
  self->complained_at = now;
  pg::report(LOG, "53400", "durable_work could not start a housekeeper",
             "There is no free slot for a background worker.",
             "Raise max_worker_processes by one for each database with the extension, plus three.");
}

bool never_came(const Site& site, DeskState state) {
  if (state != DeskState::starting) return false;
  if (site.handle == nullptr) return platform().monotonic_now() - site.started > kStartingTime;
  pid_t pid = 0;
  return GetBackgroundWorkerPid(site.handle, &pid) == BGWH_STOPPED;
}

void decide_next(Site* site, Farewell farewell) {
  const int64 now = platform().monotonic_now();
  site->state = SiteState::waiting;
  site->not_before = core::kAlways;
  switch (farewell) {
    case Farewell::no_extension:
      site->pause = 0;
      /* A poke may have come after it had looked. */
      if (!site->poked) site->state = SiteState::empty;
      break;
    case Farewell::asked:
    case Farewell::again:
      site->pause = 0;
      break;
    case Farewell::none:
      if (now - site->started > kHealthyLife) site->pause = 0;
      site->pause = site->pause == 0 ? kFirstPause : Min(2 * site->pause, kLongestPause);
      site->not_before = now + site->pause;
      break;
  }
}

}  // namespace

uint32 count_probes() {
  return under_control_lock([] {
    uint32 count = 0;
    for (const Desk& desk : control()->desks) {
      const bool occupied = desk.state == DeskState::starting || desk.state == DeskState::working;
      if (occupied && !desk.settled) count++;
    }
    return count;
  });
}

void take_over_desks(Launcher* self) {
  for (uint32 i = 0; i < kDesks; i++) {
    const Desk desk = under_control_lock([i] { return control()->desks[i]; });
    if (desk.state == DeskState::free) continue;
    Site* const site = add_site(self, desk.database);
    site->state = SiteState::staffed;
    site->connectable = true;
    site->desk = i;
    site->started = platform().monotonic_now();
  }
}

void clear_desks(Launcher* self) {
  self->look_at_desks_at = core::kNever;
  for (int i = 0; i < self->site_count; i++) {
    Site& site = self->sites[i];
    if (site.state != SiteState::staffed) continue;
    const Desk desk = under_control_lock([&site] { return control()->desks[site.desk]; });
    if (desk.state != DeskState::left && !never_came(site, desk.state)) {
      if (desk.state == DeskState::starting)
        self->look_at_desks_at = platform().monotonic_now() + core::kSecond;
      continue;
    }
    free_desk(site.desk);
    /* It may have been what was in the way of another. */
    self->retry_at = core::kAlways;
    if (site.handle != nullptr) pfree(site.handle);
    site.handle = nullptr;
    decide_next(&site, desk.farewell);
    site.poked = false;
  }
}

bool start_housekeeper(Launcher* self, Site* site) {
  uint32 generation = 0;
  const uint32 desk = prepare_desk(site->oid, &generation);
  if (desk == kNoDesk) {
    complain(self);
    return false;
  }
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  worker.bgw_notify_pid = MyProcPid;
  worker.bgw_main_arg = UInt64GetDatum(uint64{generation} << 32 | desk);
  strlcpy(worker.bgw_library_name, "durable_work", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, "durable_work_housekeeper_main",
          sizeof worker.bgw_function_name);
  strlcpy(worker.bgw_name, "durable_work housekeeper", sizeof worker.bgw_name);
  strlcpy(worker.bgw_type, "durable_work housekeeper", sizeof worker.bgw_type);
  BackgroundWorkerHandle* handle = nullptr;
  const bool registered = pg::in_context(
      TopMemoryContext, [&] { return RegisterDynamicBackgroundWorker(&worker, &handle); });
  if (!registered) {
    free_desk(desk);
    complain(self);
    return false;
  }
  site->state = SiteState::staffed;
  site->desk = desk;
  site->handle = handle;
  site->poked = false;
  site->started = platform().monotonic_now();
  return true;
}

}  // namespace dw::runtime
