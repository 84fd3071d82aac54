/*
 * The segments of the log: core/rotation.hpp decides, store/segment_tables.hpp does.
 */
#include "pg/headers.hpp"

#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/settings.hpp"
#include "runtime/test_point.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kBudget = 10 * core::kMillisecond;
/* Between two tables of a restore. */
constexpr int64 kArrival = 10 * core::kMinute;

/* A queue that is not known yet looks like one that was dropped, and jobs of a dropped one keep no
 * segment. */
bool queues_are_known(const Housekeeper& self) { return !self.wants_catalog && !self.wants_reload; }

}  // namespace

bool rows_are_arriving(const Housekeeper& self) {
  return self.rows_arrived && platform().monotonic_now() - self.arrived_at < kArrival;
}

bool know_segments(Housekeeper* self, bool at_start) {
  return transaction_step(*self, [self, at_start] { store::read_segments(self->slot, at_start); });
}

bool rotate(Housekeeper* self) {
  if (!is_due(self->rotate)) return false;
  self->rotation->set({segment_max_age(), segment_max_size(), truncate_grace()});
  bool more = false;
  if (!step(*self, [self, &more] {
        DW_SHELL_TEST_POINT("point:duty-rotate");
        more = self->rotation->step(kBudget, !self->census->complete(),
                                    rows_are_arriving(*self) || !queues_are_known(*self));
      })) {
    self->store->abort();
    self->rotation->abandon();
    note_failure(&self->rotate);
    return false;
  }
  note_success(&self->rotate);
  return more;
}

}  // namespace dw::runtime
