/* Queues with due jobs that nobody asks for. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "see/words.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

/* Nobody has asked for so long, and the oldest has been due for so long. */
constexpr int64 kPatience = 5 * USECS_PER_MINUTE;

struct Sum {
  uint32 queues;
  int64 longest; /* microseconds that a job has been due */
  uint32 ready;  /* of that queue */
  char name[core::kQueueNameSize];
};

void add_queue(const store::QueueInfo& info, void* arg) {
  auto* const sum = static_cast<Sum*>(arg);
  if (info.options.paused || info.slot.queue == core::kNone) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(info.slot.queue, &figures);
  if (figures.id != info.id || figures.ready == 0 || figures.waiters > 0) return;
  if (figures.oldest_due == core::kNever) return;
  const TimestampTz now = GetCurrentTimestamp();
  const int64 due_for = now - figures.oldest_due;
  /* Read without the lock. */
  const core::Micros last_claim = runtime::arena()->queues[info.slot.queue].last_claim;
  if (due_for < kPatience || (last_claim != 0 && now - last_claim < kPatience)) return;
  sum->queues++;
  if (due_for <= sum->longest) return;
  sum->longest = due_for;
  sum->ready = figures.ready;
  std::memcpy(sum->name, info.name, sizeof sum->name);
}

Finding look() {
  Sum sum{};
  store::for_each_queue(add_queue, &sum);
  if (sum.queues == 0) return ok("every queue with due jobs has workers that ask");
  return warning(
      psprintf("%u queues have due jobs and no worker that asks: in \"%s\" %u are due, the oldest "
               "for %s",
               sum.queues, sum.name, sum.ready, see::duration(sum.longest)),
      psprintf("Is a worker running for this database, with this queue's name? SELECT * FROM "
               "durable_work.explain_waiting(%s); says more.",
               quote_literal_cstr(sum.name)));
}

}  // namespace

const Check workers_check{"workers", Needs::slot, look};

}  // namespace dw::health
