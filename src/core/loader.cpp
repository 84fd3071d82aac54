#include "core/loader.hpp"

#include "core/queue_lock.hpp"
#include "core/test_point.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace dw::core {

namespace {

/* Near enough to the tail for commits to link their own jobs again. */
constexpr std::uint64_t kNearTail = 128;
/* Entries taken back in one lock hold. */
constexpr std::uint32_t kEvictedAtOnce = 64;
/* What a chunk of an ordered queue gathers at most, and how much more than there is room for: pages
 * that were written by turns have jobs of the same time. */
constexpr std::size_t kMostGathered = 32768;
constexpr std::size_t kGatheredAhead = 1024;
/* Nothing is passed over for being of a worse priority. */
constexpr std::uint8_t kNoLimit = PageClasses::kClasses;

JobId before(JobId id) { return id == std::numeric_limits<JobId>::min() ? id : id - 1; }

}  // namespace

/* Ends the chunk on every path; a thrown error leaves no queue with an active chunk. */
class Loader::ChunkEnd {
 public:
  explicit ChunkEnd(Loader* loader) : loader_(loader) {}
  ChunkEnd(const ChunkEnd&) = delete;
  ChunkEnd& operator=(const ChunkEnd&) = delete;
  ~ChunkEnd() { loader_->end_chunk(); }

 private:
  Loader* loader_;
};

/* Sorts the rows of a page by queue. */
class Loader::PageRows : public JobSink {
 public:
  explicit PageRows(Loader* loader) : loader_(loader) {}
  bool take(const StoredJob& job) override {
    for (QueueLoad& load : loader_->queues_) {
      if (load.active && load.topic == job.topic) load.rows.push_back(job);
    }
    return true;
  }

 private:
  Loader* loader_;
};

class Loader::OutcomeRows : public OutcomeSink {
 public:
  explicit OutcomeRows(Loader* loader) : loader_(loader) {}
  void set_segment(std::uint8_t segment) { segment_ = segment; }
  bool take(const StoredOutcome& outcome) override {
    if (!loader_->known_.add(segment_, outcome.first_id, outcome.batch, outcome.body,
                             outcome.length))
      loader_->damaged_++;
    return true;
  }

 private:
  Loader* loader_;
  std::uint8_t segment_ = 0;
};

void Loader::set_queues(const QueueTopic* queues, std::size_t n) {
  std::erase_if(queues_, [this, queues, n](const QueueLoad& load) {
    const bool listed =
        std::any_of(queues, queues + n, [&load](const QueueTopic& q) { return q.id == load.id; });
    return !listed || !dispatcher_->queue_matches(load.ref);
  });
  for (std::size_t i = 0; i < n; i++) {
    const bool known =
        std::any_of(queues_.begin(), queues_.end(),
                    [&queues, i](const QueueLoad& load) { return load.id == queues[i].id; });
    if (known) continue;
    const Index index = dispatcher_->find_queue(database_, queues[i].id);
    if (index == kNone) continue;
    QueueLoad load{};
    load.ref = dispatcher_->queue_ref(index);
    load.id = queues[i].id;
    load.topic = queues[i].topic;
    load.asleep_until = kNever;
    load.has_left = false;
    load.busy_from = kNever;
    {
      const QueueLock hold(*dispatcher_, index);
      load.whole = dispatcher_->queue(index).mode == LoadMode::loading;
      load.ordered = dispatcher_->queue(index).options.ordered;
    }
    /* Its parked rows were passed over so far: in a restore the rows of queues may come last. */
    forget_parked(load);
    queues_.push_back(std::move(load));
  }
}

void Loader::reset() {
  for (QueueLoad& load : queues_) {
    load.whole = true;
    load.has_left = false;
    load.scan.clear();
    load.asleep.clear();
    load.asleep_until = kNever;
    load.busy_from = kNever;
    forget_parked(load);
    const QueueLock hold(*dispatcher_, load.ref.queue);
    Queue& q = dispatcher_->queue(load.ref.queue);
    if (q.incarnation == load.ref.incarnation) take_over(q);
  }
  known_.clear();
  outcome_pages_.clear();
  all_outcomes_ = true;
}

/* Under the queue lock. A housekeeper that was terminated unwinds nothing. */
void Loader::take_over(Queue& q) noexcept {
  q.mode = LoadMode::loading;
  q.chunk_active = 0;
  q.blocks_known = 0;
  Dispatcher::lower_frontier(q, kAlways);
  if (q.withheld == Withheld::ended) q.withheld = Withheld::no;
  while (q.withheld != Withheld::reading && dispatcher_->free_tombstones(q)) {
  }
  for (Entry& e : q.leased) {
    if (e.state == EntryState::expiring)
      e.state = e.worker != kNone ? EntryState::leased : EntryState::overdue;
  }
}

/*
 * Under the queue lock. Retries and deferrals can fill a queue with entries that are due later;
 * those beyond the limit make way for what may be due on disk. Their pages are read again and kept
 * asleep until they are due.
 */
bool Loader::has_room(Queue& q) {
  bool worth = dispatcher_->worth_loading(q);
  if (q.options.ordered) return worth;
  for (std::uint32_t i = 0;
       i < kEvictedAtOnce && !worth && q.delayed_count > dispatcher_->most_sleepers(q); i++) {
    if (!dispatcher_->evict_sleeper(q)) break;
    worth = dispatcher_->worth_loading(q);
  }
  return worth;
}

/*
 * Under the queue lock. Without room only what is to overtake a resident job is worth reading;
 * pages that nobody has seen are read to know whether they have such jobs. 0: nothing is worth it.
 */
std::uint8_t Loader::limit_of(const QueueLoad& load, Queue& q) {
  /* Others have given way for the first one that was left. It comes before long sleepers, too, or
   * those that gave way might come back in front of it, again and again. */
  if (load.has_left && dispatcher_->room(q) > 0) return load.left.priority + 1;
  if (load.whole || has_room(q)) return kNoLimit;
  if (q.options.ordered) {
    /* A blocked key whose job is tried again goes on when that is read from parked. */
    const bool goes_on = q.held_count > 0 || (q.blocked_count > 0 && load.parked);
    return goes_on && q.ready_count == 0 ? kNoLimit : 0;
  }
  if (q.options.fair) return 0;
  const std::uint8_t worst = Dispatcher::ready_worst(q);
  std::uint8_t best = load.scan.best_seen();
  if (!q.urgent.empty()) best = std::min(best, q.urgent.best);
  if (!q.dirty.empty()) best = std::min(best, q.dirty.best);
  const bool unseen = !load.scan.pages(PageClasses::kUnseen).empty();
  return worst > 0 && (best < worst || unseen) ? worst : std::uint8_t{0};
}

/* Under the queue lock, before the snapshot: rows of parked that commits have left without an
 * entry. They lie behind the frontier, as long as it cannot be raised past them. */
void Loader::take_parked_left(QueueLoad& load, Queue& q) noexcept {
  if (q.parked_left == ParkedLeft::none) return;
  if (load.ordered && q.parked_left == ParkedLeft::some)
    go_back_to_id(load, before(q.frontier));
  else
    go_back(load, kAlways);
  q.parked_left = ParkedLeft::none;
}

/* Which queues take part in the next chunk. */
bool Loader::choose() {
  const Micros now = dispatcher_->platform().wall_now();
  bool any = false;
  for (QueueLoad& load : queues_) {
    load.active = false;
    load.full = false;
    load.starved = false;
    load.dry = false;
    load.limit = 0;
    load.raises = false;
    load.made_way = false;
    load.gathered.clear();
    const QueueLock hold(*dispatcher_, load.ref.queue);
    Queue& q = dispatcher_->queue(load.ref.queue);
    if (q.incarnation != load.ref.incarnation || q.state == QueueState::free) {
      load.parked = false;
      continue;
    }
    take_parked_left(load, q);
    const bool wants = load.whole || !load.scan.empty() || load.parked || !q.dirty.empty() ||
                       !q.urgent.empty() || q.mode != LoadMode::live;
    if (wants) load.limit = limit_of(load, q);
    load.made_way = load.has_left && load.limit == load.left.priority + 1;
    load.has_left = false;
    load.active = load.limit > 0;
    load.most_gathered =
        std::min<std::size_t>(dispatcher_->room(q), kMostGathered) + kGatheredAhead;
    load.full = load.active && load.limit < kNoLimit;
    load.dry = wants && !load.active && Dispatcher::due_count(q) == 0;
    q.waits_for_room = wants && !load.active ? 1 : 0;
    load.parked_tried = now;
    load.starved =
        wants && !load.active && q.resident < dispatcher_->share() && dispatcher_->room(q) == 0;
    any = any || load.active;
  }
  return any;
}

void Loader::begin_chunk() {
  DirtyPages dirty;
  DirtyPages urgent;
  for (QueueLoad& load : queues_) {
    if (!load.active) continue;
    {
      const QueueLock hold(*dispatcher_, load.ref.queue);
      Queue& q = dispatcher_->queue(load.ref.queue);
      if (q.incarnation != load.ref.incarnation) {
        load.active = false;
        continue;
      }
      /* Also what came since the queue was chosen: from here on nothing keeps the frontier. */
      take_parked_left(load, q);
      dirty = q.dirty;
      urgent = q.urgent;
      q.dirty.clear();
      q.urgent.clear();
      q.chunk_active = 1;
      q.chunks++;
      q.dirty_from = kNever;
      q.short_of_room = 0;
    }
    load.scan.add(dirty, load.ordered ? PageClasses::kUnseen : dirty.best);
    load.scan.add(urgent, load.ordered ? PageClasses::kUnseen : urgent.best);
    if (load.whole || load.full || load.scan.blocks() > kNearTail) continue;
    const QueueLock hold(*dispatcher_, load.ref.queue);
    Queue& q = dispatcher_->queue(load.ref.queue);
    if (q.mode == LoadMode::loading) q.mode = LoadMode::handover;
  }
  BoundedRanges noted;
  {
    const LeafLock leaf(dispatcher_->platform(), kArenaLock);
    noted = dispatcher_->arena().databases[database_].outcome_pages;
    dispatcher_->arena().databases[database_].outcome_pages.clear();
  }
  outcome_pages_.add(noted);
}

void Loader::end_chunk() noexcept {
  for (QueueLoad& load : queues_) {
    if (!load.active) continue;
    load.active = false;
    const bool looked = load.raises;
    if (load.ordered) raise_frontier(load);
    /* The chunk has failed: these pages are on no list. */
    if (!load.gathered.empty()) {
      load.whole = true;
      go_back_to_id(load, std::numeric_limits<JobId>::min());
    }
    bool more_tombstones = true;
    while (more_tombstones) {
      QueueLock hold(*dispatcher_, load.ref.queue);
      Queue& q = dispatcher_->queue(load.ref.queue);
      if (q.incarnation != load.ref.incarnation) break;
      /* From here finished entries are freed at once; those of the chunk go piece by piece. */
      more_tombstones = q.withheld != Withheld::reading && dispatcher_->free_tombstones(q);
      if (more_tombstones) continue;
      q.chunk_active = 0;
      if (q.withheld == Withheld::ended) q.withheld = Withheld::no;
      /* Also those that have come due and wait for their chunk. */
      q.has_sleepers = load.asleep.empty() && load.scan.empty() ? 0 : 1;
      if (!load.whole && load.scan.empty() && !load.parked && q.dirty.empty() && q.urgent.empty() &&
          (!load.ordered || (looked && is_raised(q)))) {
        q.mode = LoadMode::live;
      } else if (load.full) {
        q.mode = LoadMode::loading;
        q.short_of_room = 1;
      }
      overtaking_ = make_way(load, q) || overtaking_;
    }
  }
}

/* Under the queue lock, in a chunk that has found out how far: nothing stays held. Keys that are
 * set aside stop the frontier, and a job that may be of one has lowered it. */
bool Loader::is_raised(const Queue& q) noexcept {
  return q.blocks_known != 0 && q.aside_count == 0 && q.dirty_from == kNever;
}

/*
 * Under the queue lock. A job found no room and is to overtake others: those that come last give
 * way, and the next chunk brings it. Only at the end of a chunk, for what is evicted while one runs
 * keeps its entry until then.
 */
bool Loader::make_way(QueueLoad& load, Queue& q) noexcept {
  if (!load.has_left) return false;
  /* Of a small arena not all at once. */
  const std::uint32_t most =
      std::min(kEvictedAtOnce, std::max(dispatcher_->arena().capacity / 16, 1U));
  std::uint32_t gone = 0;
  while (gone < most && dispatcher_->evict_behind(q, load.left)) gone++;
  if (gone == 0) load.has_left = false;
  return gone > 0;
}

bool Loader::scan_outcomes(Micros until) {
  if (all_outcomes_) {
    for (std::uint8_t segment = 0; segment < kStores; segment++) {
      const std::uint32_t blocks = store_->outcome_blocks(segment);
      if (blocks > 0) outcome_pages_.add(segment, 0, blocks - 1);
    }
    all_outcomes_ = false;
  }
  OutcomeRows sink(this);
  while (!outcome_pages_.empty()) {
    const BlockRange range = outcome_pages_.ranges().front();
    sink.set_segment(range.segment);
    store_->scan_outcomes(range.segment, range.first, sink);
    outcome_pages_.remove(range.segment, range.first);
    if (out_of_time(until)) return outcome_pages_.empty();
  }
  return true;
}

/* Slots that are not known to be in use, as in the middle of a restore, come last. */
void Loader::rank_segments() {
  std::uint8_t segments[kSegments];
  const std::uint8_t n = dispatcher_->segments_in_order(database_, segments);
  std::fill(rank_, rank_ + kSegments, kSegments);
  for (std::uint8_t i = 0; i < n; i++) rank_[segments[i]] = i;
}

/* Oldest ids first, whichever slot of the ring they are in. */
bool Loader::is_before(const BlockRange& a, std::uint8_t segment, std::uint32_t block) const {
  if (a.segment == segment) return a.first < block;
  return rank_[a.segment] != rank_[segment] ? rank_[a.segment] < rank_[segment]
                                            : a.segment < segment;
}

/* Ranges are sorted by slot: of each the first one counts. */
const BlockRange& Loader::first_range(const RangeList& pages) const {
  const BlockRange* first = nullptr;
  for (const BlockRange& range : pages.ranges()) {
    if (first == nullptr || is_before(range, first->segment, first->first)) first = &range;
  }
  return *first;
}

/* Queues that have room come before those that only look for what is to overtake. */
bool Loader::next_page(std::uint8_t* segment, std::uint32_t* block) const {
  const QueueLoad* chosen = nullptr;
  for (const QueueLoad& load : queues_) {
    const std::uint8_t next = load.active ? load.scan.next(load.limit) : PageClasses::kNoClass;
    if (next == PageClasses::kNoClass || load.limit == 0) continue;
    const BlockRange& first = first_range(load.scan.pages(next));
    if (chosen != nullptr) {
      if (load.full && !chosen->full) continue;
      if (!is_before(first, *segment, *block) && load.full == chosen->full) continue;
    }
    chosen = &load;
    *segment = first.segment;
    *block = first.first;
  }
  return chosen != nullptr;
}

/* By place in the order, so that what is left out when room ends comes last. */
void Loader::prepare_rows(QueueLoad& load, std::uint8_t segment) {
  std::sort(load.rows.begin(), load.rows.end(), [](const StoredJob& a, const StoredJob& b) {
    return a.row.priority != b.row.priority ? a.row.priority < b.row.priority : a.row.id < b.row.id;
  });
  for (StoredJob& job : load.rows) {
    job.row.queue = load.id;
    job.row.expires_at = expiry_seconds(job.expires_at);
    known_.apply(load.id, segment, job.row.id, &job.row.attempts, &job.row.due);
    job.row.claim_is_open = known_.last_claim(load.id, segment, job.row.id).open;
  }
}

namespace {

/* What evict_behind() would take away for the first one. */
bool comes_behind(const JobRow& row, const JobRow& first) noexcept {
  return row.priority > first.priority || (row.priority == first.priority && row.id > first.id &&
                                           row.segment == first.segment && row.block > first.block);
}

}  // namespace

/*
 * Under the queue lock. Jobs whose priority is `limit` or worse are passed over; the answer is the
 * best priority of those that are left on the page, kNoLimit: none.
 */
std::uint8_t Loader::link_prepared(QueueLoad& load, Queue& q, std::uint8_t segment,
                                   std::uint8_t limit, Micros* look_again) {
  const Micros now = dispatcher_->platform().wall_now();
  for (const StoredJob& job : load.rows) {
    /* It may have ended since others gave way for it: nothing waits for it then. */
    const bool is_next = load.made_way && job.row.id == load.left.id;
    if (known_.finished(load.id, segment, job.row.id)) {
      if (is_next) load.made_way = false;
      continue;
    }
    if (job.row.priority >= limit) return job.row.priority;
    /* A page may be read early because another queue has its turn. */
    if (load.made_way && comes_behind(job.row, load.left)) return job.row.priority;
    if (is_next) load.made_way = false;
    /* What has expired is linked whatever its due time, to become a dead letter. */
    const Micros expires = expiry_time(job.row.expires_at);
    const bool sleeps = job.row.due > now && expires > now && !job.row.claim_is_open;
    if (sleeps && job.row.due - now > horizon_) {
      *look_again = std::min({*look_again, job.row.due - horizon_ / 2, expires});
      continue;
    }
    if (sleeps && q.delayed_count + q.pending_later >= dispatcher_->most_sleepers(q)) {
      *look_again = std::min({*look_again, job.row.due, expires});
      continue;
    }
    const LinkResult result = dispatcher_->link_loaded(load.ref.queue, job.row, now);
    if (result == LinkResult::no_room && sleeps) {
      *look_again = std::min({*look_again, job.row.due, expires});
    } else if (result == LinkResult::no_room) {
      load.full = true;
      load.limit = std::min(load.limit, job.row.priority);
      if (q.options.fair) return job.row.priority;
      if (!load.has_left || job.row.priority < load.left.priority) load.left = job.row;
      load.has_left = true;
      return job.row.priority;
    }
    if (result == LinkResult::busy) *look_again = std::min(*look_again, now + kBusyRetry);
    if (result == LinkResult::linked) loaded_++;
  }
  return kNoLimit;
}

/* Links the page's rows of one queue; the page stays in the scan set, in the class of the best that
 * is left, when not all of them were. */
void Loader::link_rows(QueueLoad& load, std::uint8_t segment, std::uint32_t block) {
  const std::uint8_t found_in = load.scan.class_of(segment, block, load.limit);
  if (load.limit == 0 || found_in == PageClasses::kNoClass) return;
  /* While there are pages with worse jobs only, those wait until the better ones are in. */
  std::uint8_t limit = load.limit;
  if (found_in != PageClasses::kUnseen && !load.scan.is_only(found_in))
    limit = std::min<std::uint8_t>(limit, found_in + 1);
  prepare_rows(load, segment);
  Micros look_again = kNever;
  std::uint8_t left = kNoLimit;
  {
    QueueLock hold(*dispatcher_, load.ref.queue);
    Queue& q = dispatcher_->queue(load.ref.queue);
    if (q.incarnation != load.ref.incarnation) {
      load.full = true; /* dropped meanwhile */
      load.limit = 0;
      return;
    }
    const std::uint32_t ready_before = Dispatcher::due_count(q);
    /* It has ended since, or lies elsewhere: nothing would end the waiting for it. */
    if (load.made_way &&
        load.scan.class_of(load.left.segment, load.left.block, load.limit) == PageClasses::kNoClass)
      load.made_way = false;
    left = link_prepared(load, q, segment, limit, &look_again);
    if (Dispatcher::due_count(q) > ready_before)
      dispatcher_->wake_for_work(hold, load.ref.queue, hold.waiter_room());
  }
  if (look_again != kNever) {
    load.asleep.add(segment, block, block);
    load.asleep_until = std::min(load.asleep_until, look_again);
  }
  load.scan.remove(segment, block, found_in);
  if (left != kNoLimit) load.scan.add(segment, block, block, left);
}

void Loader::load_page(std::uint8_t segment, std::uint32_t block) {
  for (QueueLoad& load : queues_) load.rows.clear();
  PageRows sink(this);
  store_->scan_jobs(segment, block, sink);
  for (QueueLoad& load : queues_) {
    if (!load.active) continue;
    if (load.ordered)
      gather_rows(load, segment, block);
    else
      link_rows(load, segment, block);
  }
}

/* Of queues that are to be read as a whole; in the chunk's transaction, which knows how many there
 * are. */
void Loader::list_pages() {
  for (QueueLoad& load : queues_) {
    if (!load.active || !load.whole) continue;
    load.whole = false;
    for (std::uint8_t segment = 0; segment < kSegments; segment++) {
      const std::uint32_t blocks = store_->job_blocks(segment);
      if (blocks > 0) load.scan.add(segment, 0, blocks - 1, PageClasses::kUnseen);
    }
  }
}

bool Loader::scan_jobs(Micros until) {
  rank_segments();
  std::uint8_t segment = 0;
  std::uint32_t block = 0;
  while (next_page(&segment, &block)) {
    load_page(segment, block);
    DW_TEST_POINT("point:loader-page");
    if (out_of_time(until) && !is_stuck()) return next_page(&segment, &block);
  }
  return false;
}

void Loader::wake_sleepers(Micros now) {
  for (QueueLoad& load : queues_) {
    if (load.asleep_until > now) continue;
    load.scan.add(load.asleep, load.ordered ? PageClasses::kUnseen : std::uint8_t{0});
    load.asleep.clear();
    load.asleep_until = kNever;
    load.busy_from = kNever;
  }
}

/*
 * A queue below its share finds no free entry: whoever holds most beyond its own gives some back.
 * That may be a queue of another database, whose housekeeper is told.
 */
bool Loader::relieve() {
  const bool starved = std::any_of(queues_.begin(), queues_.end(),
                                   [](const QueueLoad& load) { return load.starved; });
  if (!starved) return false;
  /* By what they hold now; that changes while they are sorted. */
  std::vector<std::pair<std::uint32_t, Index>> borrowers;
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& q = dispatcher_->queue(i);
    const std::uint32_t resident = q.resident;
    if (q.state == QueueState::active && resident > dispatcher_->share())
      borrowers.emplace_back(resident, i);
  }
  std::sort(borrowers.begin(), borrowers.end(), std::greater<>());
  for (const auto& [resident, borrower] : borrowers) {
    QueueLock hold(*dispatcher_, borrower);
    Queue& q = dispatcher_->queue(borrower);
    bool any = false;
    for (std::uint32_t i = 0; i < kEvictedAtOnce && q.resident > dispatcher_->share(); i++) {
      if (!dispatcher_->evict_last(q)) break;
      any = true;
    }
    if (any && q.database != database_) hold.wake_housekeeper(q.database);
    if (any) return true;
  }
  return false;
}

bool Loader::step(Micros budget) {
  const Micros now = dispatcher_->platform().wall_now();
  wake_sleepers(now);
  wake_parked(now);
  overtaking_ = false;
  if (!choose()) return relieve();
  relieve();
  DW_TEST_POINT("point:loader-chosen");
  const Micros until = dispatcher_->platform().monotonic_now() + budget;
  bool more = true;
  {
    const ChunkEnd end(this);
    begin_chunk();
    DW_TEST_POINT("point:loader-marks");
    store_->begin();
    DW_TEST_POINT("point:loader-snapshot");
    dispatcher_->note_commit_position(database_, store_->log_position());
    const bool all_outcomes = scan_outcomes(until);
    DW_TEST_POINT("point:loader-outcomes");
    if (all_outcomes) {
      list_pages();
      more = scan_parked(until) || scan_jobs(until);
      link_ordered();
    }
    DW_TEST_POINT("point:loader-rows");
    store_->commit();
    DW_TEST_POINT("point:loader-committed");
  }
  DW_TEST_POINT("point:loader-ended");
  return more || overtaking_;
}

Micros Loader::next_wake() const {
  const Micros position = dispatcher_->arena().databases[database_].parked_until.load();
  Micros next = position == kAlways ? kAlways : position - horizon_ / 2;
  for (const QueueLoad& load : queues_) {
    next = std::min({next, load.asleep_until, load.parked_again});
    if (load.parked) next = std::min(next, load.parked_tried + kParkedRetry);
    if (load.dry) next = std::min(next, load.parked_tried + kRoomRetry);
  }
  return next;
}

bool Loader::has_pages(std::uint8_t segment, bool asleep) const {
  for (const QueueLoad& load : queues_) {
    const QueueLock hold(*dispatcher_, load.ref.queue);
    const Queue& q = dispatcher_->queue(load.ref.queue);
    /* Nothing of a dropped one is read any more. */
    if (q.incarnation != load.ref.incarnation || q.state == QueueState::free) continue;
    if (load.whole || load.scan.has_segment(segment)) return true;
    if (asleep && load.asleep.has_segment(segment)) return true;
    for (const BoundedRanges* marked : {static_cast<const BoundedRanges*>(&q.dirty),
                                        static_cast<const BoundedRanges*>(&q.urgent)}) {
      for (std::uint32_t i = 0; i < marked->size(); i++)
        if (marked->at(i).segment == segment) return true;
    }
  }
  return false;
}

void Loader::forget_segment(std::uint8_t segment) {
  const Database& database = dispatcher_->arena().databases[database_];
  /* Ids of a segment lie between its first and the next one's; those before the oldest are gone. */
  std::uint8_t segments[kSegments];
  const std::uint8_t n = dispatcher_->segments_in_order(database_, segments);
  if (n > 0) known_.forget_before(database.first_id[segments[0]].load());
  for (QueueLoad& load : queues_) load.asleep.remove_segment(segment);
  outcome_pages_.remove_segment(segment);
}

bool Loader::complete() const {
  return std::all_of(queues_.begin(), queues_.end(),
                     [](const QueueLoad& load) { return !load.whole && load.scan.empty(); });
}

}  // namespace dw::core
