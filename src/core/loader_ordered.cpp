/*
 * The loader's part about ordered queues (see gate.cpp): jobs come in by their ids.
 *
 * Heap position follows the id only roughly. So a chunk gathers the unfinished jobs of the pages
 * that it reads, in the order of the pages, and links by id those before the first id on the first
 * page that it has not read: nothing that is still on disk comes before them. Pages with what is
 * left are read again. The frontier goes to that id; when room ends, to the first job that found
 * none.
 */
#include "core/loader.hpp"
#include "core/queue_lock.hpp"

#include <algorithm>

namespace dw::core {

/* Rows of parked, in the order of their ids. */
class Loader::ParkedById : public JobSink {
 public:
  ParkedById(Loader* loader, QueueLoad* load) : loader_(loader), load_(load) {}
  bool take(const StoredJob& job) override {
    any_ = true;
    load_->parked_id = job.row.id;
    if (job.topic == load_->topic) loader_->gather(*load_, job, kParkedSegment);
    return true;
  }
  [[nodiscard]] bool any() const { return any_; }

 private:
  Loader* loader_;
  QueueLoad* load_;
  bool any_ = false;
};

void Loader::go_back_to_id(QueueLoad& load, JobId id) noexcept {
  load.parked_id = load.parked ? std::min(load.parked_id, id) : id;
  load.parked = true;
}

void Loader::gather(QueueLoad& load, const StoredJob& job, std::uint8_t segment) {
  if (known_.finished(load.id, segment, job.row.id)) return;
  StoredJob found = job;
  found.row.queue = load.id;
  found.row.segment = segment;
  found.row.expires_at = expiry_seconds(job.expires_at);
  known_.apply(load.id, segment, job.row.id, &found.row.attempts, &found.row.due);
  found.row.claim_is_open = known_.last_claim(load.id, segment, job.row.id).open;
  if (load.gathered.empty()) load.first_gathered = kNever;
  load.first_gathered = std::min(load.first_gathered, job.row.id);
  load.gathered.push_back(found);
}

void Loader::gather_parked(QueueLoad& load, Micros until) {
  while (load.parked && load.gathered.size() < load.most_gathered) {
    ParkedById sink(this, &load);
    store_->scan_parked_by_id(load.parked_id, sink);
    load.parked = sink.any();
    if (out_of_time(until)) return;
  }
}

void Loader::gather_rows(QueueLoad& load, std::uint8_t segment, std::uint32_t block) {
  if (load.limit == 0 || load.scan.class_of(segment, block, 0) == PageClasses::kNoClass) return;
  for (const StoredJob& job : load.rows) gather(load, job, segment);
  load.scan.remove(segment, block, PageClasses::kUnseen);
  if (load.gathered.size() >= load.most_gathered && !is_stuck(load)) load.limit = 0;
}

/* The first id on a page that is left to be read; kNever: there is none. */
JobId Loader::first_page_left(const QueueLoad& load) {
  JobId first = kNever;
  for (const BlockRange& range : load.scan.pages(PageClasses::kUnseen).ranges())
    first = std::min(first, store_->first_job_id(range.segment, range.first));
  return first;
}

/* The same of what is not on pages to be read: rows of parked, and jobs that somebody was about to
 * decide. */
JobId Loader::first_other_left(const QueueLoad& load) {
  const JobId first = std::min(load.busy_from, load.parked_busy_id);
  return load.parked && load.parked_id != kNever ? std::min(first, load.parked_id + 1) : first;
}

/* Nothing of what was gathered can be linked, for something on a page may come before it. */
bool Loader::is_stuck(const QueueLoad& load) {
  return !load.gathered.empty() && first_other_left(load) > load.first_gathered &&
         first_page_left(load) <= load.first_gathered;
}

bool Loader::is_stuck() {
  return std::any_of(queues_.begin(), queues_.end(), [this](const QueueLoad& load) {
    return load.active && load.ordered && load.limit > 0 && is_stuck(load);
  });
}

/* It is read again. */
void Loader::leave(QueueLoad& load, const JobRow& row) {
  if (row.segment == kParkedSegment)
    go_back_to_id(load, row.id - 1);
  else
    load.scan.add(row.segment, row.block, row.block, PageClasses::kUnseen);
}

/* Under the queue lock. Later ones that wait for the loader give way. */
LinkResult Loader::link_in_order(QueueLoad& load, Queue& q, const StoredJob& job, Micros now) {
  const LinkResult result = dispatcher_->link_loaded(load.ref.queue, job.row, now);
  if (result != LinkResult::no_room || !load.ordered || !dispatcher_->evict_younger(q, job.row.id))
    return result;
  return dispatcher_->link_loaded(load.ref.queue, job.row, now);
}

void Loader::link_gathered(QueueLoad& load) {
  std::sort(load.gathered.begin(), load.gathered.end(),
            [](const StoredJob& a, const StoredJob& b) { return a.row.id < b.row.id; });
  const Micros now = dispatcher_->platform().wall_now();
  JobId bound = std::min(first_page_left(load), first_other_left(load));
  std::size_t i = 0;
  bool gone = false;
  while (!gone && i < load.gathered.size() && load.gathered[i].row.id < bound) {
    QueueLock hold(*dispatcher_, load.ref.queue);
    Queue& q = dispatcher_->queue(load.ref.queue);
    gone = q.incarnation != load.ref.incarnation;
    const std::uint32_t ready_before = Dispatcher::due_count(q);
    for (std::uint32_t k = 0; !gone && k < kEntriesPerHold && i < load.gathered.size(); k++, i++) {
      const StoredJob& job = load.gathered[i];
      if (job.row.id >= bound) break;
      const LinkResult result = link_in_order(load, q, job, now);
      if (result == LinkResult::no_room) {
        load.full = true;
        bound = job.row.id;
        break;
      }
      if (result == LinkResult::linked) loaded_++;
      if (result != LinkResult::busy) continue;
      if (job.row.segment == kParkedSegment) {
        load.parked_busy_id = std::min(load.parked_busy_id, job.row.id);
        load.parked_again = std::min(load.parked_again, now + kBusyRetry);
        continue;
      }
      load.busy_from = std::min(load.busy_from, job.row.id);
      load.asleep.add(job.row.segment, job.row.block, job.row.block);
      load.asleep_until = std::min(load.asleep_until, now + kBusyRetry);
    }
    /* Those without a key, and those before the frontier. */
    if (!gone && Dispatcher::due_count(q) > ready_before)
      dispatcher_->wake_for_work(hold, load.ref.queue, hold.waiter_room());
  }
  for (; i < load.gathered.size(); i++) leave(load, load.gathered[i].row);
  load.gathered.clear();
  load.frontier = std::min({bound, load.busy_from, load.parked_busy_id});
}

/* While the chunk's transaction is open. */
void Loader::link_ordered() {
  for (QueueLoad& load : queues_) {
    if (!load.active || !load.ordered) continue;
    link_gathered(load);
    load.raises = true;
  }
}

/* What was found out, unless commits have left jobs without an entry since the chunk began. */
void Loader::raise_frontier(QueueLoad& load) noexcept {
  bool more = load.raises;
  load.raises = false;
  while (more) {
    const QueueLock hold(*dispatcher_, load.ref.queue);
    Queue& q = dispatcher_->queue(load.ref.queue);
    if (q.incarnation != load.ref.incarnation || q.blocks_known == 0) return;
    JobId to = std::min(load.frontier, q.dirty_from);
    if (to <= q.frontier) return;
    more = q.aside_count != 0 && !aside_->make_way(load.ref, q, &to);
    if (to > q.frontier) more = !dispatcher_->raise_frontier(q, to) || more;
  }
}

}  // namespace dw::core
