/*
 * The housekeeper: one background worker for each database with the extension.
 *
 * It makes jobs resident that are only on disk (core/loader.hpp), counts them (core/census.hpp),
 * finds those that have expired (core/expiry_walk.hpp), ends leases that ran out
 * (core/sweeper.hpp), wakes waiters of jobs that come due, raises the epoch, follows the table of
 * queues, tells clients that listen of work, and summarises block ranges. Each is a phase of short
 * transactions; a failing one pauses while the others go on.
 *
 * Timers: before it looks for the next deadline and due time it sets the plan in shared memory to
 * "never", so that whoever sets a timer from then on wakes it; after looking it writes down what it
 * will sleep for, so that only earlier timers wake it.
 */
#include <algorithm>

#include "core/token.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/memory.hpp"
#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/settings.hpp"
#include "runtime/test_point.hpp"
#include "store/job_log.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kChunk = 10 * core::kMillisecond;
constexpr int64 kLongestSleep = 60 * core::kSecond;

Housekeeper the_housekeeper;

/* Requests that commits and functions left in shared memory; kept here until they are done. */
void take_requests(Housekeeper* self) {
  core::Dispatcher& engine = dispatcher();
  self->wants_catalog = engine.take_catalog_stale(self->slot) || self->wants_catalog;
  if (engine.take_reload(self->slot)) {
    self->wants_reload = true;
    self->wants_recount = true;
    self->rows_arrived = true;
    self->arrived_at = platform().monotonic_now();
    /* Rows of a restore may carry tokens of this epoch; the count must tell them from those to
     * come. */
    self->wants_epoch = true;
  }
  self->wants_redrives = engine.take_redrives_changed(self->slot) || self->wants_redrives;
  self->wants_workers = engine.take_workers_changed(self->slot) || self->wants_workers;
  if (core::counter_of(slot_of(*self).last_token.load(std::memory_order_relaxed)) >=
      core::kCounterRaise)
    self->wants_epoch = true;
}

/*
 * A number above those that the sequence has come to, for the boundary of the census. The rest of
 * its block is given up: a restore that has brought rows moves the sequence past them later, and
 * until then the block's numbers may be those of its jobs.
 */
bool draw_job_id(const Housekeeper& self) {
  return transaction_step(self, [&self] {
    store::next_job_id();
    dispatcher().close_job_ids(self.slot);
  });
}

/* Somebody may have written a table of the log anew. */
void look_at_files(Housekeeper* self) {
  if (self->wants_catalog && !self->wants_reload && !self->store->tables_rewritten())
    (void)transaction_step(*self, [self] { self->store->check_files(); });
  if (!self->store->tables_rewritten()) return;
  self->wants_reload = true;
  self->wants_recount = true;
}

void follow_catalog(Housekeeper* self) {
  look_at_files(self);
  if (!self->wants_catalog && !self->wants_reload && !self->wants_epoch) return;
  if (!is_due(self->catalog)) return;
  bool good = true;
  if (self->wants_epoch) {
    good = renew_epoch(self);
    self->wants_epoch = !good;
  }
  /* Queues first: a reload may be for one that has no slot yet. */
  if (good && (self->wants_catalog || self->wants_reload)) {
    /* The rows may be those of a restored dump, whose tokens must stay below ours. */
    good = catch_up_epoch(self) && read_queues(self);
    self->wants_catalog = !good;
    self->key_blocks->reread();
    self->key_weights->reread();
  }
  if (good && self->wants_reload) {
    /* A new housekeeper reads again as well, but what is in memory is right then. */
    if (self->wants_recount) dispatcher().forget_waiting(self->slot);
    self->store->forget_files();
    /* A restore brings segments, too. */
    good = know_segments(self, false) && step(*self, [self] { self->loader->reset(); });
    self->wants_reload = !good;
    self->wants_redrives = true;
  }
  if (good && self->wants_recount) {
    good = draw_job_id(*self) && step(*self, [self] { self->census->reset(); });
    self->wants_recount = !good;
  }
  if (good) {
    dispatcher().reload_begun(self->slot);
    note_success(&self->catalog);
  } else {
    note_failure(&self->catalog);
  }
}

void report_load(Housekeeper* self) {
  if (self->load_reported) return;
  self->load_reported = true;
  uint32 queues = 0;
  for (const core::Queue& queue : arena()->queues) {
    if (queue.state == core::QueueState::active && queue.database == self->slot) queues++;
  }
  const int64 elapsed = platform().monotonic_now() - self->started;
  ereport(LOG,
          (errmsg("durable_work: loaded " UINT64_FORMAT " jobs of %u queues in " INT64_FORMAT " ms",
                  static_cast<uint64>(self->loader->loaded()), queues, elapsed / 1000)));
}

bool load(Housekeeper* self) {
  if (!is_due(self->load) || self->store->tables_rewritten()) return false;
  bool more = false;
  if (!step(*self, [self, &more] {
        DW_SHELL_TEST_POINT("point:duty-load");
        self->key_blocks->step();
        self->key_weights->step();
        more = self->loader->step(kChunk);
      })) {
    self->store->abort();
    if (self->store->tables_rewritten()) return true;
    note_failure(&self->load);
    return false;
  }
  note_success(&self->load);
  control()->damaged_rows[self->slot].store(self->loader->damaged_rows(),
                                            std::memory_order_relaxed);
  if (more) {
    pgstat_report_activity(STATE_RUNNING, "loading jobs");
  } else {
    report_load(self);
  }
  return more;
}

/* Beside the loader: enqueues into a full queue wait for it. */
bool count(Housekeeper* self) {
  if (!is_due(self->count) || self->store->tables_rewritten()) return false;
  bool more = false;
  const bool good =
      (!self->census->needs_job_id() || draw_job_id(*self)) && step(*self, [self, &more] {
        DW_SHELL_TEST_POINT("point:duty-count");
        more = self->census->step(kChunk);
      });
  if (!good) {
    self->store->abort();
    if (self->store->tables_rewritten()) return true;
    note_failure(&self->count);
    return false;
  }
  note_success(&self->count);
  return more;
}

/* The sweep makes dead letters, and jobs of them for a dead_letter_queue. In a restore the sequence
 * is set after the rows have come: a number from it could be that of one of them. */
bool must_not_make_jobs(const Housekeeper& self) {
  return self.rows_arrived && (self.wants_recount || !self.census->complete());
}

bool sweep(Housekeeper* self) {
  if (!is_due(self->sweep)) return false;
  if (must_not_make_jobs(*self)) {
    constexpr int64 kPause = 20 * core::kMillisecond;
    self->sweep.not_before = platform().monotonic_now() + kPause;
    return false;
  }
  bool more = false;
  if (!step(*self, [self, &more] {
        DW_SHELL_TEST_POINT("point:duty-sweep");
        more = self->sweeper->step();
      })) {
    self->store->abort();
    note_failure(&self->sweep);
    return false;
  }
  note_success(&self->sweep);
  return more;
}

/* What changes jobs by itself; nothing of it happens in a database that started paused. */
bool act_by_itself(Housekeeper* self) {
  self->expiry_walk->step();
  bool more = sweep(self);
  more = redrive(self) || more;
  return rotate(self) || more;
}

/* The reload of the configuration has woken this process. */
void end_pause(Housekeeper* self) {
  if (start_paused() || !slot_of(*self).paused.load()) return;
  dispatcher().unpause_database(self->slot);
  ereport(LOG, (errmsg("durable_work: database is no longer paused, its jobs are handed out")));
}

/* What is left of a phase's pause; 0: none. */
int64 pause_left(const Phase& phase, int64 monotonic) {
  return phase.not_before > monotonic ? phase.not_before - monotonic : 0;
}

int64 span(int64 from, int64 to) {
  return to == core::kNever ? kLongestSleep : to <= from ? 0 : to - from;
}

/* Until the next end of a lease, expiry or redrive. */
int64 span_to_acts(Housekeeper* self, int64 monotonic) {
  if (slot_of(*self).paused.load()) return kLongestSleep;
  const int64 deadline = self->sweeper->next_deadline();
  int64 sleep = std::max(span(monotonic, deadline), pause_left(self->sweep, monotonic));
  sleep = std::min(sleep, self->expiry_walk->pause());
  sleep = std::min(sleep,
                   std::max(span(monotonic, next_redrive()), pause_left(self->redrive, monotonic)));
  return std::min(sleep, std::max(span(monotonic, self->rotation->next_step()),
                                  pause_left(self->rotate, monotonic)));
}

/*
 * Microseconds until something is to be done without anybody asking. What is written down is when
 * the housekeeper wakes at the latest, so that a lease which ends later, as most do, wakes nobody.
 */
int64 plan(Housekeeper* self) {
  self->idle_check_at = std::min(self->idle_check_at, self->sweeper->next_due());
  const int64 wake = self->loader->next_wake();

  const int64 monotonic = platform().monotonic_now();
  const int64 wall = platform().wall_now();
  int64 sleep = span_to_acts(self, monotonic);
  sleep = std::min(sleep, span(wall, self->idle_check_at));
  sleep = std::min(sleep, span(monotonic, self->key_blocks->next_step()));
  sleep = std::min(sleep, std::max(span(monotonic, self->key_weights->next_step()),
                                   pause_left(self->load, monotonic)));
  sleep = std::min(sleep, std::max(span(wall, wake), pause_left(self->load, monotonic)));
  sleep = std::min(sleep, std::max(pause_of_workers(), pause_left(self->workers, monotonic)));
  sleep =
      std::min(sleep, std::max(pause_of_prepared(*self), pause_left(self->prepared, monotonic)));
  sleep = std::min(sleep, std::max(span(monotonic, self->announcer->next()),
                                   pause_left(self->announce, monotonic)));
  for (const Phase* phase :
       {&self->catalog, &self->prepared, &self->load, &self->count, &self->sweep, &self->redrive,
        &self->rotate, &self->prune, &self->summary, &self->announce, &self->workers}) {
    const int64 left = pause_left(*phase, monotonic);
    if (left > 0) sleep = std::min(sleep, left);
  }
  sleep = std::min(sleep, kLongestSleep);

  core::Database& slot = slot_of(*self);
  slot.planned_deadline.store(monotonic + sleep, std::memory_order_seq_cst);
  slot.planned_due.store(wall + sleep, std::memory_order_seq_cst);
  return sleep;
}

/* Where the trouble of each phase is shown, once the slot is known. */
void begin_phases(Housekeeper* self) {
  self->catalog = new_phase(self->slot, Duty::catalog);
  self->prepared = new_phase(self->slot, Duty::prepared);
  self->load = new_phase(self->slot, Duty::load);
  self->count = new_phase(self->slot, Duty::count);
  self->sweep = new_phase(self->slot, Duty::sweep);
  self->redrive = new_phase(self->slot, Duty::redrive);
  self->rotate = new_phase(self->slot, Duty::rotate);
  self->prune = new_phase(self->slot, Duty::prune);
  self->summary = new_phase(self->slot, Duty::summary);
  self->announce = new_phase(self->slot, Duty::announce);
  self->workers = new_phase(self->slot, Duty::workers);
}

/* One look at everything; true: there is more to do at once. */
bool work(Housekeeper* self) {
  core::Database& slot = slot_of(*self);
  slot.planned_deadline.store(core::kNever, std::memory_order_seq_cst);
  slot.planned_due.store(core::kNever, std::memory_order_seq_cst);
  take_requests(self);
  follow_catalog(self);
  follow_prepared(self);
  follow_workers(self);
  end_pause(self);
  bool more = load(self);
  more = count(self) || more;
  if (!slot.paused.load()) more = act_by_itself(self) || more;
  if (platform().wall_now() >= self->idle_check_at) {
    self->idle_check_at = core::kNever;
    dispatcher().wake_idle(self->slot);
  }
  dispatcher().drop_idle_keys(self->slot);
  announce(self);
  if (!more && is_due(self->summary)) more = summarise_ranges(self);
  if (!more && !slot.paused.load() && !rows_are_arriving(*self) && is_due(self->prune))
    more = prune(self);
  return more;
}

Farewell serve(Housekeeper* self, uint32 wait_event) {
  for (;;) {
    if (shutdown_requested()) return Farewell::none;
    if (asked_to_leave(*self)) return Farewell::asked;
    if (slot_is_gone(*self)) return Farewell::again;
    self->loader->set_horizon(timer_horizon());
    self->announcer->set_interval(notify_interval());
    MemoryContextReset(self->memory);
    const bool more = work(self);
    if (slot_is_gone(*self)) continue;
    const int64 sleep = more ? 0 : plan(self);
    if (!more) {
      pgstat_report_stat(true);
      pgstat_report_activity(STATE_IDLE, nullptr);
    }
    if (!more) sleep_for(sleep, wait_event);
  }
}

}  // namespace

core::Database& slot_of(const Housekeeper& self) { return arena()->databases[self.slot]; }

bool slot_is_gone(const Housekeeper& self) {
  if (self.slot == core::kNone) return false;
  const core::Database& slot = slot_of(self);
  return slot.incarnation != self.incarnation || slot.state == core::DatabaseState::free;
}

extern "C" void dw_housekeeper_main_body(Datum argument) {
  Housekeeper* const self = &the_housekeeper;
  start_worker_process();
  if (!take_desk(self, argument)) return;
  /* Closed after the launcher had looked. */
  if (asked_to_leave(*self) || is_closed(self->desk->database)) {
    say_farewell(*self, Farewell::asked);
    return;
  }
  self->started = platform().monotonic_now();
  self->idle_check_at = core::kNever;
  self->wants_redrives = true;
  BackgroundWorkerInitializeConnectionByOid(self->desk->database, InvalidOid, 0);
  use_own_settings("durable_work housekeeper");
  self->memory = pg::new_context(TopMemoryContext, "durable_work housekeeper");
  MemoryContextSwitchTo(self->memory);

  switch (attach_slot(self)) {
    case Attach::failed:
      note_trouble(self->slot, Duty::start);
      return;
    case Attach::no_extension:
      say_farewell(*self, Farewell::no_extension);
      return;
    case Attach::done:
      end_trouble(self->slot, Duty::start);
      break;
  }
  begin_phases(self);
  say_farewell(*self, serve(self, pg::new_wait_event("DurableWorkHousekeeper")));
}

}  // namespace dw::runtime
