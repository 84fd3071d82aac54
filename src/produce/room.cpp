#include "produce/room.hpp"

#include <atomic>

#include "pg/headers.hpp"

#include "durable_work/errors.h"
#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "store/dead_letter.hpp"
#include "store/outcome_log.hpp"
#include "worker/outcome_batch.hpp"

namespace dw::produce {

namespace {

constexpr long kLookEvery = 10;       // milliseconds
constexpr long kLongestWait = 10000;  // milliseconds

const char* name_of(const Target& target) {
  const store::QueueInfo* const queue = store::find_queue_by_id(target.queue);
  return queue != nullptr ? queue->name : "";
}

// What the dispatcher goes by, read without the lock; 0: any number.
int64 limit_of(core::QueueRef slot) {
  core::Queue& queue = runtime::dispatcher().arena().queues[slot.queue];
  return std::atomic_ref<std::int64_t>(queue.options.max_length).load(std::memory_order_relaxed);
}

bool drops_oldest(core::QueueRef slot) {
  core::Queue& queue = runtime::dispatcher().arena().queues[slot.queue];
  return std::atomic_ref<bool>(queue.options.drop_oldest).load(std::memory_order_relaxed);
}

[[noreturn]] void raise_full(const Target& target, int n, const core::RoomFigures& figures) {
  const char* const detail =
      psprintf("It takes " INT64_FORMAT " unfinished jobs and has " INT64_FORMAT
               "; open transactions add " INT64_FORMAT ", this call would add %d.%s",
               figures.max_length, figures.unfinished, figures.reserved, n,
               drops_oldest(target.slot) && n <= figures.max_length
                   ? " No job that waits in memory can go for it."
                   : "");
  pg::raise(
      DW_QUEUE_FULL, psprintf("queue \"%s\" is full", name_of(target)), detail,
      "Try again when jobs have finished, or raise max_length with durable_work.alter_queue.");
}

[[noreturn]] void raise_counting(const Target& target) {
  pg::raise(
      DW_WRONG_STATE, psprintf("queue \"%s\" takes no jobs yet", name_of(target)),
      psprintf("It has a max_length, and its jobs are still being counted after a start of the "
               "server; the call waited %ld seconds.",
               kLongestWait / 1000),
      "Try again in a moment.");
}

void find_slot(Target* target) {
  const store::QueueInfo* const queue = store::find_queue_by_id(target->queue);
  target->slot = queue != nullptr ? queue->slot : core::QueueRef{core::kNone, 0};
}

bool has_limit(const Target& target) {
  if (target.slot.queue != core::kNone) return limit_of(target.slot) != 0;
  const store::QueueInfo* const queue = store::find_queue_by_id(target.queue);
  return queue != nullptr && queue->options.max_length != 0;
}

void pause() {
  static uint32 wait_event = 0;
  if (wait_event == 0) wait_event = pg::new_wait_event("DurableWorkCount");
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLookEvery, wait_event);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

// The dead letter of a job that goes.
void drop(const core::Decided& decided, std::size_t action) {
  constexpr char kReason[] = "overflow";
  const TimestampTz at = GetCurrentTimestamp();
  core::ClaimedJob address{};
  address.ref = decided.ref;
  address.id = decided.id;
  address.token = decided.token;
  address.block = decided.block;
  address.offset = decided.offset;
  address.segment = decided.segment;
  const Datum detail = store::failure_detail(nullptr, Datum{0}, false, kReason);
  store::bury(decided.queue_id, address, decided.attempts, kReason, at, detail);
  worker::write_outcome(core::OutcomeKind::dead_lettered, at,
                        worker::decided_job(decided, action, decided.attempts, 0), detail,
                        core::Decision::finish, 0);
  store::obey_strict(decided.options);
}

struct Asking {
  Target* target;
  int n;
  int granted;
  bool begun;
  TakenRoom room;
  core::RoomFigures figures;
};

// One by one, each in exchange for the oldest when the queue is full. What a refusal leaves goes
// with the statement.
core::Room exchange(Asking* asking) {
  core::Transaction& transaction = runtime::transaction();
  if (!asking->begun)
    asking->room.action = transaction.begin_room(runtime::level(), asking->target->slot);
  asking->begun = true;
  while (asking->granted < asking->n) {
    CHECK_FOR_INTERRUPTS();
    transaction.reserve(2);
    core::Decided decided;
    std::size_t action = 0;
    const core::Room answer = transaction.exchange_room(runtime::level(), asking->room.action,
                                                        &asking->figures, &decided, &action);
    if (answer == core::Room::exchanged) {
      drop(decided, action);
    } else if (answer != core::Room::granted) {
      return answer;
    }
    asking->granted++;
  }
  return core::Room::granted;
}

core::Room ask(Asking* asking) {
  const core::QueueRef slot = asking->target->slot;
  if (slot.queue == core::kNone) return core::Room::no_queue;
  if (drops_oldest(slot) && asking->n <= limit_of(slot)) return exchange(asking);
  return runtime::transaction().reserve_room(runtime::level(), slot, static_cast<uint32>(asking->n),
                                             &asking->figures, &asking->room.action);
}

}  // namespace

TakenRoom take_room(Target* target, int n) {
  if (likely(target->slot.queue != core::kNone && limit_of(target->slot) == 0)) return {};
  const TimestampTz end = GetCurrentTimestamp() + kLongestWait * 1000;
  Asking asking{};
  asking.target = target;
  asking.n = n;
  while (has_limit(*target)) {
    switch (ask(&asking)) {
      case core::Room::granted:
      case core::Room::exchanged:
        asking.room.taken = true;
        return asking.room;
      case core::Room::unlimited:
        return {};
      case core::Room::full:
        raise_full(*target, n, asking.figures);
      case core::Room::counting:
      case core::Room::no_queue:
        break;
    }
    if (GetCurrentTimestamp() >= end) raise_counting(*target);
    pause();
    if (asking.begun) continue; /* what was granted so far is of that slot */
    find_slot(target);
  }
  return {};
}

}  // namespace dw::produce
