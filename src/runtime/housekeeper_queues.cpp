/*
 * Making the queues in the arena those of the table durable_work.queue.
 *
 * Commits of create, alter and drop_queue change the arena themselves; this is for the start, and
 * for what was committed while there was no slot. The two run beside each other without a lock
 * between them: a row read here may be older than what a commit has put into the arena since. So a
 * pass that changed something is followed by another, whose snapshot sees whatever the first one
 * may have overwritten, until a pass changes nothing.
 */
#include "pg/headers.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/test_point.hpp"
#include "store/catalog.hpp"

namespace dw::runtime {

namespace {

constexpr int kMostPasses = 20;

struct QueueRow {
  core::QueueId id;
  int32 topic;
  core::QueueOptions options;
  core::QueueLimits limits;
  int64 retention;
  char name[core::kQueueNameSize];
};

struct QueueRows {
  QueueRow* rows;
  int count;
  int room;
};

/* A slot that was there before the table was read. */
struct ActiveSlot {
  core::QueueRef ref;
  core::QueueId id;
};

void collect_row(const store::QueueInfo& info, void* arg) {
  auto* const rows = static_cast<QueueRows*>(arg);
  if (rows->count == rows->room) {
    rows->room *= 2;
    rows->rows = static_cast<QueueRow*>(
        repalloc(rows->rows, mul_size(static_cast<Size>(rows->room), sizeof(QueueRow))));
  }
  QueueRow& row = rows->rows[rows->count++];
  row.id = info.id;
  row.topic = info.topic;
  row.options = info.options;
  row.limits = info.limits;
  row.retention = info.retention;
  std::memcpy(row.name, info.name, sizeof row.name);
}

int list_active_slots(const Housekeeper& self, ActiveSlot* slots) {
  int count = 0;
  for (core::Index i = 0; i < core::kMostQueues; i++) {
    const core::Queue& queue = arena()->queues[i];
    if (queue.state == core::QueueState::active && queue.database == self.slot)
      slots[count++] = ActiveSlot{dispatcher().queue_ref(i), queue.id};
  }
  return count;
}

bool read_rows(const Housekeeper& self, QueueRows* rows) {
  rows->room = 64;
  rows->count = 0;
  rows->rows = static_cast<QueueRow*>(
      MemoryContextAlloc(self.memory, static_cast<Size>(rows->room) * sizeof(QueueRow)));
  return transaction_step(self, [rows] {
    DW_SHELL_TEST_POINT("point:duty-catalog");
    store::for_each_queue(collect_row, rows);
  });
}

/* True if the arena was not as the row says. */
bool apply_row(const Housekeeper& self, const QueueRow& row) {
  core::Dispatcher& engine = dispatcher();
  const core::Index known = engine.find_queue(self.slot, row.id);
  if (known != core::kNone) {
    const core::Queue& is = arena()->queues[known];
    if (is.options == row.options && is.limits == row.limits) return false;
    if (is.options != row.options) engine.set_queue_options(self.slot, row.id, row.options);
    if (is.limits != row.limits) engine.set_queue_limits(self.slot, row.id, row.limits);
    return true;
  }
  const core::Index added = engine.add_queue(self.slot, row.id, row.name, row.options,
                                             core::QueueState::active, core::LoadMode::loading);
  if (added != core::kNone) {
    /* Before this process loads the first job of it. */
    engine.set_queue_limits(self.slot, row.id, row.limits);
    return true;
  }
  pg::report(LOG, DW_PROGRAM_LIMIT_EXCEEDED,
             psprintf("queue \"%s\" is not served, there are too many queues", row.name),
             psprintf("At most %u queues of all databases can be served.", core::kMostQueues),
             "Drop queues that are no longer used and restart the server.");
  return false;
}

bool remove_dropped(const ActiveSlot* slots, int slot_count, const QueueRows& rows) {
  bool changed = false;
  for (int s = 0; s < slot_count; s++) {
    bool listed = false;
    for (int i = 0; i < rows.count && !listed; i++) listed = rows.rows[i].id == slots[s].id;
    if (listed || !dispatcher().queue_matches(slots[s].ref)) continue;
    dispatcher().remove_queue(slots[s].ref);
    changed = true;
  }
  return changed;
}

bool tell_loader(Housekeeper* self, const QueueRows& rows) {
  return step(*self, [self, &rows] {
    auto* const topics = pg::allocate<core::Loader::QueueTopic>(static_cast<Size>(rows.count) + 1);
    for (int i = 0; i < rows.count; i++)
      topics[i] = core::Loader::QueueTopic{rows.rows[i].id, rows.rows[i].topic};
    self->loader->set_queues(topics, static_cast<std::size_t>(rows.count));
    self->census->set_queues(topics, static_cast<std::size_t>(rows.count));
    auto* const keeps = pg::allocate<core::QueueKeep>(static_cast<Size>(rows.count) + 1);
    for (int i = 0; i < rows.count; i++)
      keeps[i] = core::QueueKeep{rows.rows[i].id, rows.rows[i].topic, rows.rows[i].retention};
    self->rotation->set_queues(keeps, static_cast<std::size_t>(rows.count));
    self->prepared_scan->set_queues(topics, static_cast<std::size_t>(rows.count));
  });
}

}  // namespace

bool read_queues(Housekeeper* self) {
  auto* const slots = static_cast<ActiveSlot*>(
      MemoryContextAlloc(self->memory, core::kMostQueues * sizeof(ActiveSlot)));
  for (int pass = 0; pass < kMostPasses; pass++) {
    QueueRows rows{};
    const int slot_count = list_active_slots(*self, slots);
    if (!read_rows(*self, &rows)) return false;
    if (slot_is_gone(*self)) return true;
    bool changed = remove_dropped(slots, slot_count, rows);
    for (int i = 0; i < rows.count; i++) changed = apply_row(*self, rows.rows[i]) || changed;
    if (!tell_loader(self, rows)) return false;
    pfree(rows.rows);
    if (!changed) return true;
  }
  return true;
}

}  // namespace dw::runtime
