/*
 * Prepared transactions: core/watch.hpp and core/prepared_scan.hpp, in steps that may fail.
 *
 * Whoever runs COMMIT PREPARED or ROLLBACK PREPARED wakes the housekeeper afterwards. Logical
 * replication ends prepared transactions without a statement, so there is a look now and then as
 * well, as long as there is one.
 */
#include "pg/headers.hpp"

#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/test_point.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kLookEvery = 1 * core::kSecond;

}  // namespace

bool find_prepared(Housekeeper* self) {
  if (max_prepared_xacts == 0) return true;
  const bool good = step(*self, [self] { self->prepared_scan->run(); });
  if (!good) {
    self->store->abort();
    return false;
  }
  const auto found = self->prepared_scan->found();
  if (found > 0)
    ereport(LOG, (errmsg("durable_work: %zu transactions were prepared before the start", found)));
  return true;
}

void follow_prepared(Housekeeper* self) {
  if (!is_due(self->prepared) || !self->watch_keeper->waits()) return;
  /* In a transaction, so that an error lets go of the server's locks. */
  const bool good = step(*self, [self] {
    StartTransactionCommand();
    DW_SHELL_TEST_POINT("point:duty-prepared");
    self->watch_keeper->step();
    CommitTransactionCommand();
  });
  if (good) {
    note_success(&self->prepared);
  } else {
    note_failure(&self->prepared);
  }
}

int64 pause_of_prepared(const Housekeeper& self) {
  return self.watch_keeper->waits() ? kLookEvery : core::kNever;
}

}  // namespace dw::runtime
