/*
 * durable_work.explain_waiting(queue): one row for each reason why jobs of the queue are not being
 * worked on now, with how many there are and what to do about it. The figures are the dispatcher's.
 */
#include "core/waits.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "runtime/session.hpp"
#include "runtime/settings.hpp"
#include "see/prepared.hpp"
#include "see/words.hpp"
#include "store/catalog.hpp"

namespace {

using namespace dw;
using see::moment;

struct Report {
  FunctionCallInfo fcinfo;
  const store::QueueInfo* queue;
  const core::QueueWaits* waits;
  uint32 rows;
};

/* Without a number: it is not known. */
void tell(Report* report, const char* reason, std::optional<int64> jobs, const char* detail) {
  const Datum values[] = {CStringGetTextDatum(reason), Int64GetDatum(jobs.value_or(0)),
                          CStringGetTextDatum(detail)};
  const bool nulls[] = {false, !jobs.has_value(), false};
  pg::put_row(report->fcinfo, values, nulls);
  report->rows++;
}

/* Nothing to add for a queue of its own. */
const char* shared_by(const core::LimitFigures& limit) {
  return limit.group[0] == '\0' ? "" : psprintf(" of limit group \"%s\"", limit.group);
}

void tell_places(Report* report, const core::LimitFigures& limit, uint32 of_queue) {
  if (limit.max_in_flight == 0) {
    tell(report, "at concurrency limit", report->waits->ready,
         psprintf("They are due, but the limit%s is 0, so nothing is handed out. "
                  "set_concurrency_limit changes it.",
                  shared_by(limit)));
    return;
  }
  tell(report, "at concurrency limit", report->waits->ready,
       psprintf("They are due, and %u jobs%s are in flight, %u of them of this queue, where at "
                "most %u may be. The next starts when one of them ends: the view leases shows who "
                "holds them.",
                limit.in_flight, shared_by(limit), of_queue, limit.max_in_flight));
}

void tell_tokens(Report* report, const core::LimitFigures& limit) {
  const char* const interval = DatumGetCString(
      DirectFunctionCall1(interval_out, IntervalPGetDatum(pg::make_interval(limit.rate.interval))));
  tell(report, "rate limited", report->waits->ready,
       psprintf("They are due, and %u jobs%s may start in %s, at most %u of them at once. The next "
                "may start %s.",
                limit.rate.jobs, shared_by(limit), interval, limit.rate.burst, moment(limit.next)));
}

/* What limits of keys hold back is not among the ready jobs. */
void tell_key_limits(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  const core::QueueLimits& limits = report->queue->limits;
  if (waits.key_places > 0 && limits.key_max_in_flight == 0)
    tell(report, "at concurrency limit", waits.key_places,
         "They are due and have a partition_key, and the limit for each key is 0. "
         "set_concurrency_limit with scope => 'key' changes it.");
  else if (waits.key_places > 0)
    tell(report, "at concurrency limit", waits.key_places,
         psprintf("They are due, and %u jobs of their partition_key are in flight, which is the "
                  "limit for each key. The next of a key starts when one of them ends.",
                  limits.key_max_in_flight));
  if (waits.key_tokens == 0) return;
  const char* const interval = DatumGetCString(DirectFunctionCall1(
      interval_out, IntervalPGetDatum(pg::make_interval(limits.key_rate.interval))));
  const char* const next =
      waits.next_token == core::kNever
          ? ""
          : psprintf(" The next of any key may start %s.", moment(waits.next_token));
  const bool is_short = GetCurrentTimestamp() - waits.short_of_keys < core::kRecently;
  tell(report, "rate limited", waits.key_tokens,
       psprintf("They are due, and of each partition_key %u jobs may start in %s, at most %u of "
                "them at once.%s%s",
                limits.key_rate.jobs, interval, limits.key_rate.burst, next,
                is_short ? " Some wait because more keys are to be counted than there is room "
                           "for: a sixteenth of durable_work.max_resident_jobs."
                         : ""));
}

/* False: no limit holds the ready jobs back. */
bool tell_limits(Report* report) {
  core::QueueLimitFigures figures;
  if (!runtime::dispatcher().see_limits(report->queue->slot.queue, report->queue->id, &figures))
    return false;
  const core::LimitFigures* const places = hindrance(figures, core::LimitKind::concurrency);
  if (places != nullptr) tell_places(report, *places, figures.in_flight);
  const core::LimitFigures* const tokens = hindrance(figures, core::LimitKind::rate);
  if (tokens != nullptr && places == nullptr) tell_tokens(report, *tokens);
  return places != nullptr || tokens != nullptr;
}

/* Jobs that no worker gets that claims with owned_only, where nobody else takes them; the number.
 */
uint32 tell_unowned(Report* report, core::ReadyWait why) {
  const core::QueueWaits& waits = *report->waits;
  const bool others_take_them = why == core::ReadyWait::busy || why == core::ReadyWait::waking;
  if (waits.unowned == 0 || waits.paused || others_take_them) return 0;
  tell(report, "bucket not owned", waits.unowned,
       "They are due, in buckets that no registered worker owns, because none of the queue is "
       "alive: see the view workers. Claims with owned_only do not get them, claims without do.");
  return waits.unowned;
}

void tell_ready(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  const char* const name = quote_literal_cstr(report->queue->name);
  tell_key_limits(report);
  if (waits.ready > 0 && waits.counting_keys && !waits.paused) {
    tell(
        report, "at concurrency limit", waits.ready,
        "They are due, and the limit for each key is new: leases from before it are being counted. "
        "If this stays, there is no room to count them, and nothing starts until they end.");
    return;
  }
  if (waits.ready > 0 && !waits.paused && tell_limits(report)) return;
  const core::ReadyWait why = core::why_ready_waits(waits, GetCurrentTimestamp());
  const uint32 ready = waits.ready - tell_unowned(report, why);
  if (ready == 0) return;
  switch (why) {
    case core::ReadyWait::nothing_ready:
      return;
    case core::ReadyWait::paused:
      tell(report, "paused", waits.ready,
           psprintf("They are due, but the queue is paused. When the reason for the pause is gone: "
                    "SELECT durable_work.resume_queue(%s);",
                    name));
      return;
    case core::ReadyWait::waking:
      tell(report, "workers are waking up", waits.ready,
           psprintf("They are due, and %u workers sleep in wait_for_work or claim and are being "
                    "woken. If this stays, their connections hang: look for them in "
                    "pg_stat_activity.",
                    waits.waiters));
      return;
    case core::ReadyWait::nobody_asked:
      tell(report, "no worker asks", ready,
           "They are due, but nobody has claimed from this queue since the server started. Is a "
           "worker running, for this database and with this queue's name?");
      return;
    case core::ReadyWait::nobody_asks:
      tell(report, "no worker asks", ready,
           psprintf("They are due, but no worker is waiting, and the last claim was %s. Do the "
                    "workers run, or are they all busy with what they hold?",
                    moment(waits.last_claim)));
      return;
    case core::ReadyWait::asked_in_vain:
      tell(report, "workers get nothing", ready,
           psprintf("They are due for longer than a minute and workers ask, the last time %s, but "
                    "none was handed out meanwhile. The other rows may say why; look into the "
                    "server's log, too.",
                    moment(waits.last_claim)));
      return;
    case core::ReadyWait::busy:
      tell(report, "workers are busy", waits.ready,
           psprintf("They are due. The last claim was %s, and workers hold %u jobs: it takes more "
                    "workers, larger batches or faster handlers to get through sooner.",
                    moment(waits.last_claim), waits.held));
      return;
  }
}

void tell_delayed(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  const auto tell_next = [report](const char* reason, uint32 jobs, const char* why,
                                  core::Micros next) {
    if (jobs == 0) return;
    const char* const when =
        next == core::kNever ? "" : psprintf(" The next is due %s.", moment(next));
    tell(report, reason, jobs,
         psprintf("%s%s%s", why, when,
                  report->waits->paused ? " The queue is paused, so it will not be handed out "
                                          "then either."
                                        : ""));
  };
  tell_next("due later", waits.later, "They were enqueued with a delay or deferred.",
            waits.next_due);
  tell_next("retry backoff", waits.retrying,
            "An attempt failed or was rolled back, and they wait for the next one. explain_job and "
            "history say why.",
            waits.next_retry);
}

void tell_behind_others(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  const char* const name = quote_literal_cstr(report->queue->name);
  if (waits.key_busy > 0)
    tell(report, "key busy", waits.key_busy,
         "An earlier job of their key is not finished: it is being worked on, waits for a retry or "
         "for its time, or is still being loaded. key_status says it for one key.");
  if (waits.blocked_keys > 0)
    tell(
        report, "key blocked", waits.key_blocked,
        psprintf("%u keys wait for an operator, because a job of theirs is a dead letter. SELECT * "
                 "FROM durable_work.blocked_keys(%s); then unblock_key.",
                 waits.blocked_keys, name));
}

void tell_held(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  if (waits.held > 0) {
    const core::LeaseRow& first = waits.first_to_end;
    tell(report, "held by workers", waits.held,
         psprintf("The lease that ends first is that of worker \"%s\" on job " INT64_FORMAT
                  ": claimed %s, it ends %s.",
                  first.worker, first.id, moment(first.leased_at), moment(first.deadline)));
  }
  if (waits.ending > 0 && !runtime::starts_paused())
    tell(report, "waiting for the sweep", waits.ending,
         "Their leases are over, or they may not be claimed any more, and the housekeeper is about "
         "to record that. If this stays, look for the housekeeper in pg_stat_activity and in the "
         "server's log.");
}

void tell_deciding(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  uint32 prepared = 0;
  const char* const names = see::prepared_deciders(report->queue->slot, &prepared);
  if (names != nullptr)
    tell(report, "prepared transaction", prepared,
         psprintf("Transactions that are prepared decide them and wait for COMMIT PREPARED or "
                  "ROLLBACK PREPARED: %s.",
                  names));
  else
    prepared = 0;
  if (waits.deciding > prepared)
    tell(report, "being decided", waits.deciding - prepared,
         "Transactions that are open have enqueued, completed, failed, cancelled or changed them. "
         "The oldest: SELECT pid, state, xact_start, query FROM pg_stat_activity WHERE xact_start "
         "IS NOT NULL ORDER BY xact_start LIMIT 5;");
}

void tell_on_disk(Report* report) {
  const core::QueueWaits& waits = *report->waits;
  if (!waits.counted) {
    tell(report, "loading", std::nullopt,
         "How many jobs are on disk only is being counted; ask again in a moment.");
    return;
  }
  if (waits.on_disk == 0) return;
  const char* const horizon = GetConfigOptionByName("durable_work.timer_horizon", nullptr, false);
  if (waits.mode == core::LoadMode::live && !waits.short_of_room) {
    tell(report, "due later, on disk", waits.on_disk,
         psprintf("They are due later than durable_work.timer_horizon (%s), and are brought into "
                  "memory when their time is near.",
                  horizon));
  } else if (waits.short_of_room) {
    tell(report, "waiting for room", waits.on_disk,
         psprintf("The backlog is deeper than the queue's share of "
                  "durable_work.max_resident_jobs (%u). They are on disk, and are read into memory "
                  "as room appears there: when jobs of it are finished. Some may be due later than "
                  "durable_work.timer_horizon (%s).",
                  runtime::max_resident_jobs(), horizon));
  } else {
    tell(report, "loading", waits.on_disk,
         psprintf("They are on disk and are being read into memory. Some may be due later than "
                  "durable_work.timer_horizon (%s).",
                  horizon));
  }
}

/* Before the queue's own reasons: none of them matters until this one is gone. */
void tell_start_paused(Report* report) {
  tell(report, "start_paused", int64{report->waits->ready} + report->waits->ending,
       "The database came up while durable_work.start_paused was on: nothing is handed out, and "
       "nothing expires. When its workers may begin: ALTER SYSTEM SET durable_work.start_paused = "
       "off; SELECT pg_reload_conf();");
}

void tell_all(Report* report) {
  if (!report->waits->open) {
    tell(report, "server is starting", std::nullopt,
         "Claims return nothing until the housekeeper has raised the epoch. If this stays: is "
         "there a durable_work housekeeper for this database in pg_stat_activity, and is "
         "max_worker_processes high enough? The server's log says what is the matter.");
  }
  if (runtime::starts_paused())
    tell_start_paused(report);
  else
    tell_ready(report);
  tell_delayed(report);
  tell_behind_others(report);
  tell_held(report);
  tell_deciding(report);
  tell_on_disk(report);
  if (report->rows == 0)
    tell(report, "nothing waits", 0, "Every job of the queue that was committed is finished.");
}

}  // namespace

extern "C" Datum dw_explain_waiting_body(FunctionCallInfo fcinfo) {
  runtime::require_preloaded();
  const store::QueueInfo queue = store::require_queue(
      pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1), store::Right::see, false);
  pg::begin_set(fcinfo);
  core::QueueWaits waits{};
  Report report{fcinfo, &queue, &waits, 0};
  if (RecoveryInProgress()) {
    tell(&report, "standby", std::nullopt,
         "This server is a standby: jobs are handed out by the primary. Ask there.");
  } else if (runtime::database() == core::kNone || queue.slot.queue == core::kNone ||
             !runtime::dispatcher().queue_waits(queue.slot.queue, queue.id, &waits)) {
    tell(&report, "server is starting", std::nullopt,
         "The queue is not known in memory yet: the server started or the queue was made a moment "
         "ago. If this stays, the housekeeper of this database does not run, or there are more "
         "queues than can be kept; the server's log says which.");
  } else {
    tell_all(&report);
  }
  return pg::end_set(fcinfo);
}
