#include "change/job_walk.hpp"

#include <algorithm>

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/job_log.hpp"
#include "store/job_range.hpp"

namespace dw::change {

namespace {

// Jobs taken from memory, and from the table of long sleepers, at once.
constexpr int kWindow = 1000;
// Numbers of the log looked at at once.
constexpr core::JobId kSpan = 32768;

template <typename Element>
void make_room(Element** elements, int count, int* room) {
  if (count < *room) return;
  *room = std::max(2 * *room, kWindow);
  const Size bytes = mul_size(static_cast<Size>(*room), sizeof(Element));
  *elements = static_cast<Element*>(*elements == nullptr
                                        ? MemoryContextAllocHuge(CurrentMemoryContext, bytes)
                                        : repalloc_huge(*elements, bytes));
}

Candidate* add_found(JobWalk* walk) {
  Assert(walk->found_count < walk->found_room);
  return &walk->found[walk->found_count++];
}

void list(JobWalk* walk, const core::ListWish& wish, core::JobId after) {
  core::Dispatcher& dispatcher = runtime::dispatcher();
  auto* const batch = pg::allocate<core::ListedJob>(core::kEntriesPerHold);
  int room = 0;
  for (core::Index position = 0; position < dispatcher.arena().capacity;) {
    CHECK_FOR_INTERRUPTS();
    const uint32 n = dispatcher.list_jobs(walk->slot, wish, &position, batch);
    for (uint32 i = 0; i < n; i++) {
      if (batch[i].id <= after || batch[i].id >= walk->end) continue;
      make_room(&walk->listed, walk->listed_count, &room);
      walk->listed[walk->listed_count++] = batch[i];
    }
  }
  pfree(batch);
  std::sort(walk->listed, walk->listed + walk->listed_count,
            [](const core::ListedJob& a, const core::ListedJob& b) { return a.id < b.id; });
}

bool list_all(JobWalk* walk, const core::ListWish& wish, core::JobId after) {
  const core::Dispatcher& dispatcher = runtime::dispatcher();
  uint64 before = 0;
  uint64 behind = 0;
  if (walk->slot.queue == core::kNone || !dispatcher.keeps_all(walk->slot, &before)) return false;
  list(walk, wish, after);
  return dispatcher.keeps_all(walk->slot, &behind) && before == behind;
}

// --- a window -----------------------------------------------------------------------------------

// Runs in a scratch context: what it takes from the row must be copied.
void take_row(const core::StoredJob& job, const store::JobTuple* whole, void* arg) {
  auto* const walk = static_cast<JobWalk*>(arg);
  if (whole != nullptr && !fits(walk->filter, *whole)) return;
  *add_found(walk) = {job, false};
}

store::JobRange range_of(const JobWalk& walk, core::JobId last) {
  return {walk.next,
          last,
          walk.topic,
          walk.filter.partition_key.has_value(),
          walk.filter.key_hash,
          walk.filter.needs_row()};
}

bool entry_fits(const JobWalk& walk, const core::ListedJob& listed) {
  if (!walk.filter.needs_row()) return true;
  core::ClaimedJob address{};
  address.id = listed.id;
  address.block = listed.block;
  address.offset = listed.offset;
  address.segment = listed.segment;
  store::JobTuple row;
  bool found = false;
  store::read_jobs(&address, 1, &row, &found);
  if (!found) found = store::find_job(listed.id, &row);
  return found && fits(walk.filter, row);
}

void take_listed(JobWalk* walk, core::JobId last) {
  const MemoryContext scratch = pg::new_context(CurrentMemoryContext, "durable_work walk");
  for (; walk->listed_place < walk->listed_count; walk->listed_place++) {
    const core::ListedJob& listed = walk->listed[walk->listed_place];
    if (listed.id > last) break;
    CHECK_FOR_INTERRUPTS();
    const bool wanted = pg::in_context(scratch, [&] { return entry_fits(*walk, listed); });
    MemoryContextReset(scratch);
    if (!wanted) continue;
    Candidate* const found = add_found(walk);
    *found = {};
    found->known_by_entry = true;
    found->job.row.id = listed.id;
  }
  MemoryContextDelete(scratch);
}

void take_logged(JobWalk* walk, core::JobId last, Snapshot snapshot) {
  uint8 segments[core::kSegments];
  const int n = store::segments_between(walk->next, last, segments);
  for (int i = 0; i < n; i++)
    store::read_slot_range(range_of(*walk, last), segments[i], snapshot, take_row, walk);
}

core::JobId end_of_listed(const JobWalk& walk) {
  const int last = walk.listed_place + kWindow - 1;
  return last < walk.listed_count ? walk.listed[last].id : walk.end - 1;
}

// A job has a row in two places while it is moved: the one in parked counts, and an entry more.
void sort_found(JobWalk* walk) {
  const auto before = [](const Candidate& a, const Candidate& b) {
    if (a.job.row.id != b.job.row.id) return a.job.row.id < b.job.row.id;
    if (a.known_by_entry != b.known_by_entry) return a.known_by_entry;
    return a.job.row.segment > b.job.row.segment;
  };
  std::sort(walk->found, walk->found + walk->found_count, before);
  const Candidate* const end = std::unique(
      walk->found, walk->found + walk->found_count,
      [](const Candidate& a, const Candidate& b) { return a.job.row.id == b.job.row.id; });
  walk->found_count = static_cast<int>(end - walk->found);
}

}  // namespace

void begin_walk(JobWalk* walk, const store::QueueInfo& queue, const JobFilter& filter,
                const core::ListWish& wish, core::JobId after) {
  *walk = JobWalk{};
  walk->queue = queue.id;
  walk->topic = queue.topic;
  walk->slot = queue.slot;
  walk->filter = filter;
  walk->next = after + 1;
  /* Higher than that of any job whose enqueue has returned. */
  walk->end = store::next_job_id();
  walk->from_memory = list_all(walk, wish, after);
  walk->found_room = kWindow + (walk->from_memory ? kWindow : static_cast<int>(kSpan));
  walk->found = pg::allocate<Candidate>(static_cast<Size>(walk->found_room));
}

bool next_window(JobWalk* walk) {
  while (walk->next < walk->end) {
    CHECK_FOR_INTERRUPTS();
    walk->found_count = 0;
    core::JobId last =
        walk->from_memory ? end_of_listed(*walk) : std::min(walk->next + kSpan, walk->end) - 1;
    const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    last = store::read_parked_range(range_of(*walk, last), kWindow, snapshot, take_row, walk);
    if (walk->from_memory)
      take_listed(walk, last);
    else
      take_logged(walk, last, snapshot);
    UnregisterSnapshot(snapshot);
    walk->next = last + 1;
    if (walk->found_count == 0) continue;
    sort_found(walk);
    return true;
  }
  return false;
}

}  // namespace dw::change
