/* Whether keys of ordered queues wait for an operator. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "see/words.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

struct Sum {
  uint32 keys;
  uint32 queues;
  const char* name; /* of the queue with the most */
  uint32 most;
};

void add_queue(const store::QueueInfo& info, void* arg) {
  auto* const sum = static_cast<Sum*>(arg);
  if (!info.options.ordered || info.slot.queue == core::kNone) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(info.slot.queue, &figures);
  if (figures.id != info.id || figures.blocked_keys == 0) return;
  sum->keys += figures.blocked_keys;
  sum->queues++;
  if (figures.blocked_keys <= sum->most) return;
  sum->most = figures.blocked_keys;
  sum->name = pstrdup(info.name);
}

Finding look() {
  Sum sum{};
  store::for_each_queue(add_queue, &sum);
  if (sum.keys == 0) return ok("no key is blocked");
  return warning(psprintf("%u keys of %u queues are blocked, %u of them of \"%s\"", sum.keys,
                          sum.queues, sum.most, sum.name),
                 psprintf("Their next jobs are dead letters: SELECT * FROM "
                          "durable_work.blocked_keys(%s); mend the cause, then unblock_key.",
                          quote_literal_cstr(sum.name)));
}

}  // namespace

const Check keys_check{"keys", Needs::slot, look};

}  // namespace dw::health
