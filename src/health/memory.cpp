/* How full the memory for jobs is, and whether queues of this database wait for room in it. */
#include "pg/headers.hpp"

#include "health/checks.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "store/catalog.hpp"

namespace dw::health {

namespace {

struct Sum {
  uint64 resident;
  int64 on_disk;
  uint32 spilling;
  char first[core::kQueueNameSize];
};

void add_queue(const store::QueueInfo& info, void* arg) {
  auto* const sum = static_cast<Sum*>(arg);
  if (info.slot.queue == core::kNone) return;
  core::QueueFigures figures;
  runtime::dispatcher().queue_figures(info.slot.queue, &figures);
  if (figures.id != info.id) return;
  sum->resident += figures.resident;
  /* A hint, read without the lock. */
  const bool short_of_room = runtime::arena()->queues[info.slot.queue].short_of_room != 0;
  if (figures.mode == core::LoadMode::live || !figures.counted || !short_of_room) return;
  const int64 on_disk = figures.unfinished - figures.ready - figures.delayed - figures.leased;
  if (on_disk <= 0) return;
  if (sum->spilling++ == 0) std::memcpy(sum->first, info.name, sizeof sum->first);
  sum->on_disk += on_disk;
}

Finding look() {
  Sum sum{};
  store::for_each_queue(add_queue, &sum);
  const uint32 capacity = runtime::arena()->capacity;
  const uint32 used = capacity - Min(runtime::arena()->free_count, capacity);
  const char* const full =
      psprintf("%u of %u entries are in use, " UINT64_FORMAT " of them by this database", used,
               capacity, sum.resident);
  if (sum.spilling == 0) return ok(full);
  return warning(
      psprintf("%s; " INT64_FORMAT " jobs of %u queues wait on disk for room, the first is \"%s\"",
               full, sum.on_disk, sum.spilling, sum.first),
      "Nothing is lost, and they are loaded as room appears. If such a backlog is normal, raise "
      "durable_work.max_resident_jobs (about 128 bytes each) and restart the server; else add "
      "workers.");
}

}  // namespace

const Check memory_check{"memory", Needs::slot, look};

}  // namespace dw::health
