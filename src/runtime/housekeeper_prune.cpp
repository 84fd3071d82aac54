/*
 * Pruning of the ordinary tables: finished jobs of parked once the retention of their queues is
 * over, idempotency keys and marks of mark_handled that have expired.
 *
 * Each table is walked from end to end, a few pages in a transaction, and then left alone for a
 * while. store/prune.hpp has the statements.
 */
#include "pg/headers.hpp"

#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/test_point.hpp"
#include "store/prune.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kLongestRest = 10 * core::kMinute;
constexpr int64 kShortestRest = 5 * core::kSecond;
/* At most this share of the time is spent on it. */
constexpr int64 kRestForWork = 9;

/* Process-local. */
store::PrunePosition position;
int64 pass_work = 0;
int64 rest = kShortestRest;
bool removed_any = false;

}  // namespace

bool prune(Housekeeper* self) {
  store::Pruned done{};
  const int64 begun = platform().monotonic_now();
  const bool jobs = self->census->complete();
  if (!transaction_step(*self, [&done, jobs] {
        DW_SHELL_TEST_POINT("point:duty-prune");
        done = store::prune_some(&position, jobs);
      })) {
    note_failure(&self->prune);
    return false;
  }
  const int64 ended = platform().monotonic_now();
  note_success(&self->prune);
  pass_work += ended - begun;
  removed_any = removed_any || done.removed > 0;
  if (jobs && done.removed > 0) dispatcher().note_rows_gone(runtime::database());
  if (!done.end_of_pass) {
    self->prune.not_before = ended + kRestForWork * (ended - begun);
    return false;
  }
  /* Rests longer while there is nothing to be done. */
  rest = removed_any ? kShortestRest : Min(2 * rest, kLongestRest);
  self->prune.not_before = ended + Max(rest, kRestForWork * pass_work);
  pass_work = 0;
  removed_any = false;
  return false;
}

}  // namespace dw::runtime
