/* Queues with due jobs of which none has been handed out for long: a sentence each. */
#include "core/waits.hpp"

#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "see/words.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

/* Nothing was handed out for so long, and the oldest has been due for so long. */
constexpr int64 kPatience = 5 * USECS_PER_MINUTE;
constexpr uint32 kMostSentences = 5;

struct Sum {
  uint32 queues;
  StringInfoData sentences; /* of the first few */
  char name[core::kQueueNameSize];
};

const char* words_of(core::ReadyWait why, const core::QueueWaits& waits) {
  if (runtime::starts_paused()) return "the database started paused and still is";
  if (waits.unowned == waits.ready)
    return "their buckets have no owner, for none of its registered workers is alive, and nobody "
           "claims without owned_only";
  switch (why) {
    case core::ReadyWait::waking:
      return psprintf("%u workers sleep and do not wake up", waits.waiters);
    case core::ReadyWait::nobody_asked:
      return "no worker has asked since the server started";
    case core::ReadyWait::nobody_asks:
      return psprintf("the last worker asked %s, and they hold %u jobs",
                      see::moment(waits.last_claim), waits.held);
    case core::ReadyWait::asked_in_vain:
    case core::ReadyWait::busy:
      return psprintf("workers ask and get nothing, the last time %s",
                      see::moment(waits.last_claim));
    case core::ReadyWait::nothing_ready:
    case core::ReadyWait::paused:
      break;
  }
  return "";
}

/* The check `limits` tells of those that have waited too long. */
bool is_held_back(const store::QueueInfo& info) {
  core::QueueLimitFigures limits;
  return runtime::dispatcher().see_limits(info.slot.queue, info.id, &limits) &&
         (hindrance(limits, core::LimitKind::concurrency) != nullptr ||
          hindrance(limits, core::LimitKind::rate) != nullptr);
}

void add_queue(const store::QueueInfo& info, void* arg) {
  auto* const sum = static_cast<Sum*>(arg);
  if (info.options.paused || info.slot.queue == core::kNone) return;
  const TimestampTz now = GetCurrentTimestamp();
  /* Read without the lock. */
  const core::Micros handed_out = runtime::arena()->queues[info.slot.queue].last_handed_out;
  if (handed_out != 0 && now - handed_out < kPatience) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(info.slot.queue, &figures);
  if (figures.id != info.id || figures.ready == 0 || figures.oldest_due == core::kNever ||
      now - figures.oldest_due < kPatience)
    return;
  core::QueueWaits waits;
  if (!runtime::dispatcher().queue_waits(info.slot.queue, info.id, &waits) || waits.ready == 0)
    return;
  const core::ReadyWait why = core::why_ready_waits(waits, now);
  if (why == core::ReadyWait::paused || is_held_back(info)) return;
  if (sum->queues == 0) std::memcpy(sum->name, info.name, sizeof sum->name);
  if (sum->queues++ >= kMostSentences) return;
  appendStringInfo(&sum->sentences, "%sin \"%s\" %u are due, the oldest for %s: %s",
                   sum->sentences.len > 0 ? "; " : "", info.name, waits.ready,
                   see::duration(now - figures.oldest_due), words_of(why, waits));
}

Finding look() {
  Sum sum{};
  initStringInfo(&sum.sentences);
  store::for_each_queue(add_queue, &sum);
  if (sum.queues == 0) return ok("every queue with due jobs has workers that get them");
  if (sum.queues > kMostSentences)
    appendStringInfo(&sum.sentences, "; and %u queues more", sum.queues - kMostSentences);
  return warning(
      sum.sentences.data,
      psprintf("Is a worker running for this database, with this queue's name? SELECT * FROM "
               "durable_work.explain_waiting(%s); says more.",
               quote_literal_cstr(sum.name)));
}

}  // namespace

const Check workers_check{"workers", Needs::slot, look};

}  // namespace dw::health
