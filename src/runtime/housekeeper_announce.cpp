/*
 * Notifications for clients that can neither block in wait_for_work nor ask all the time
 * (core/announcer.hpp says which queues, and when).
 *
 * NOTIFY takes one lock for the whole cluster at commit, and holds it until the commit is done.
 * That is why no producer sends one: this process does, for all queues of its database at once, in
 * a transaction that does nothing else. It writes no row, so its commit is not flushed.
 *
 * One channel for all queues: the name of a channel has at most 63 bytes, that of a queue may have
 * twice as many; so it is the payload. Nobody can ask cheaply whether anybody listens; if nobody
 * does the notifications are thrown away.
 */
#include "pg/headers.hpp"

#include "runtime/housekeeper.hpp"
#include "runtime/test_point.hpp"

namespace dw::runtime {

namespace {

constexpr char kChannel[] = "durable_work";

}  // namespace

void announce(Housekeeper* self) {
  /* In any case, or what has come due would stay so and this process would look again at once. */
  const std::vector<core::Announcer::Call>* calls = nullptr;
  bool good = step(*self, [self, &calls] { calls = &self->announcer->look(); });
  if (good && (calls->empty() || !is_due(self->announce))) return;
  good = good && transaction_step(*self, [calls] {
           DW_SHELL_TEST_POINT("point:duty-announce");
           for (const core::Announcer::Call& call : *calls) Async_Notify(kChannel, call.name);
         });
  if (!good) {
    note_failure(&self->announce);
    return;
  }
  self->announcer->told();
  note_success(&self->announce);
}

}  // namespace dw::runtime
