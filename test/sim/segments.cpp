/*
 * The ring of segments: tables that are locked, ids that come in blocks, segments that are begun,
 * left, drained, cleared of their last jobs and emptied, and who reads them meanwhile.
 *
 * A table of the log is locked by whoever writes to it until his transaction ends, prepared or not.
 * The housekeeper takes its locks only if they are free; who wants to write waits for it then.
 */
#include "world.hpp"

#include "core/known_slots.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr std::uint32_t kSequence = 1;
constexpr std::uint64_t kPageSize = 8192;
constexpr std::size_t kWantedByDump = 3;

}  // namespace

/* --- locks ------------------------------------------------------------------------------------ */

void World::wait_while(const bool& locked) {
  while (locked) {
    if (current_ == nullptr) throw Violation("a lock of the housekeeper outlived what it was for");
    stop();
    if (crashing_) throw Crashed{};
  }
}

void World::lock_table(int session, std::uint8_t segment, bool outcomes) {
  if (segment == kParkedSegment) return;
  Session& self = s(session);
  const bool has_it = std::any_of(self.locks.begin(), self.locks.end(), [&](const TableLock& lock) {
    return lock.segment == segment && lock.outcomes == outcomes;
  });
  if (has_it) return;
  wait_while(outcomes ? ring_[segment].closed : ring_[segment].closed_to_jobs);
  self.locks.push_back(TableLock{segment, outcomes, self.level()});
}

/* A session that has written to one of the tables and has not ended; kNobody: there is none. */
int World::writer_of(std::uint8_t segment, bool outcomes) const {
  for (std::size_t i = 0; i < sessions_.size(); i++) {
    for (const TableLock& lock : sessions_[i].locks) {
      if (lock.segment == segment && (outcomes || !lock.outcomes)) return static_cast<int>(i);
    }
  }
  return kNobody;
}

/* The segment that a new job is written to; parked if its own may not be written any more. */
std::uint8_t World::segment_to_write(int session, JobId id) {
  for (;;) {
    const std::uint8_t segment = d().segment_of(database_, id);
    if (!d().may_write(database_, segment)) return kParkedSegment;
    const std::size_t locks = s(session).locks.size();
    maybe_stop();
    lock_table(session, segment, false);
    if (d().segment_of(database_, id) == segment && d().may_write(database_, segment))
      return segment;
    note("segment left meanwhile", "session {} job {}", session, id);
    s(session).locks.resize(locks);
  }
}

/* --- ids -------------------------------------------------------------------------------------- */

JobId World::next_of_sequence() {
  const JobId first = sequence_;
  sequence_ += settings_.id_block;
  return first;
}

JobId World::draw_id() {
  JobId id = d().take_job_id(database_, kSequence);
  while (id == 0) {
    id = next_of_sequence();
    maybe_stop();
    if (!d().open_job_ids(database_, kSequence, id, static_cast<std::uint32_t>(settings_.id_block)))
      id = d().take_job_id(database_, kSequence);
  }
  return id;
}

/* For the boundary of the census. */
void World::draw_id_for_census() {
  draw_id();
  d().close_job_ids(database_);
}

/* --- the tables as the rotation sees them ------------------------------------------------------
 */

class World::Segments final : public SegmentLog {
 public:
  explicit Segments(World* world) : w_(*world) {}

  std::int32_t last_topic() override { return w_.next_queue_ - 1; }
  SegmentFacts facts(std::uint8_t segment) override {
    const std::size_t pages = w_.log_.job_pages(segment).size();
    return {static_cast<std::uint32_t>(pages),
            (pages + w_.log_.outcome_pages(segment).size()) * kPageSize,
            w_.ring_[segment].opened_at};
  }
  JobId begin(std::uint8_t segment, std::uint32_t ahead) override;
  void skip_ids(JobId first) override;
  bool make_quiet(std::uint8_t segment, std::int32_t* pid) override;
  std::uint64_t now_in_transactions() override { return w_.log_.next_xid(); }
  bool all_snapshots_behind(std::uint64_t point, std::int32_t* pid) override {
    *pid = 1;
    return w_.oldest_snapshot() >= point;
  }
  bool empty(std::uint8_t segment, std::int32_t* pid) override;
  void relocate(std::uint8_t segment, const Straggler* jobs, std::size_t n,
                Relocation* results) override {
    w_.relocate(segment, jobs, n, results);
  }

 private:
  /* The housekeeper's lock, until its transaction ends. */
  class Closed {
   public:
    Closed(Slot* slot, bool to_all) : slot_(slot) {
      slot->closed_to_jobs = true;
      slot->closed = to_all;
    }
    Closed(const Closed&) = delete;
    Closed& operator=(const Closed&) = delete;
    ~Closed() { slot_->closed_to_jobs = slot_->closed = false; }

   private:
    Slot* slot_;
  };

  World& w_;
};

std::unique_ptr<SegmentLog> World::make_segments() { return std::make_unique<Segments>(this); }

JobId World::Segments::begin(std::uint8_t segment, std::uint32_t ahead) {
  if (w_.writer_of(segment, true) != kNobody || !w_.log_.job_pages(segment).empty() ||
      !w_.log_.outcome_pages(segment).empty())
    return 0;
  JobId first = 0;
  {
    const Closed closed(&w_.ring_[segment], true);
    w_.at_store_call(FakeStore::Call::before_snapshot);
    first = w_.next_of_sequence() + w_.settings_.id_block * ahead;
    w_.at_store_call(FakeStore::Call::before_commit);
    const std::uint8_t current = w_.d().arena().databases[w_.database_].current_segment.load();
    JobId& remembered = w_.ring_[current].first;
    if (remembered == kNever) remembered = 0;
    w_.ring_[segment].first = first;
    w_.ring_[segment].opened_at = w_.platform().wall;
  }
  w_.note("segment announced", "segment {} from {}", segment, first);
  w_.at_store_call(FakeStore::Call::committed);
  return first;
}

void World::Segments::skip_ids(JobId first) {
  const std::uint8_t current = w_.d().arena().databases[w_.database_].current_segment.load();
  w_.note("segment begun", "segment {} from {}", current, first);
  for (;;) {
    w_.at_store_call(FakeStore::Call::before_snapshot);
    const JobId id = w_.next_of_sequence();
    if (id < first) continue;
    w_.d().open_job_ids(w_.database_, kSequence, id, 1);
    return;
  }
}

bool World::Segments::make_quiet(std::uint8_t segment, std::int32_t* pid) {
  const int writer = w_.writer_of(segment, false);
  *pid = writer + 1;
  if (writer != kNobody) {
    w_.note("writers waited for", "segment {} session {}", segment, writer);
    return false;
  }
  const Closed closed(&w_.ring_[segment], false);
  w_.at_store_call(FakeStore::Call::before_snapshot);
  w_.d().make_quiet(w_.database_, segment);
  w_.note("segment quiet", "segment {}", segment);
  return true;
}

bool World::Segments::empty(std::uint8_t segment, std::int32_t* pid) {
  *pid = w_.writer_of(segment, true) + 1;
  if (*pid > 0) return false;
  const Closed closed(&w_.ring_[segment], true);
  Transaction transaction(&w_.d());
  transaction.set_database(w_.database_, 0);
  transaction.reserve(1);
  w_.at_store_call(FakeStore::Call::before_snapshot);
  w_.check_emptied(segment);
  transaction.note_segment_emptied(1, segment);
  w_.at_store_call(FakeStore::Call::before_commit);
  w_.check_emptied(segment);
  w_.keep_outcomes(segment);
  w_.log_.truncate(segment);
  w_.ring_[segment].first = kNever;
  w_.ring_[segment].times_emptied++;
  w_.note("segment emptied", "segment {}", segment);
  w_.at_store_call(FakeStore::Call::committed);
  transaction.commit(w_.log_.snapshot());
  return true;
}

/* --- what a start knows of them -----------------------------------------------------------------
 */

void World::know_segments() {
  SlotFacts slots[kSegments];
  for (std::uint8_t segment = 0; segment < kSegments; segment++)
    slots[segment] = SlotFacts{ring_[segment].first, !log_.job_pages(segment).empty()};
  bool any = false;
  for (std::uint8_t segment = 0; segment < kSegments; segment++) {
    switch (judge_slot(slots, segment, true)) {
      case SlotStanding::unused:
        break;
      case SlotStanding::in_use:
        d().know_segment(database_, segment, slots[segment].first);
        any = true;
        break;
      case SlotStanding::only_announced:
        note("announced in vain", "segment {}", segment);
        ring_[segment].first = kNever;
        break;
      case SlotStanding::without_row:
        throw Violation(fmt::format("segment {} has jobs and no row", segment));
    }
  }
  if (!any) d().begin_log(database_);
}

/* --- what must be true when a segment is emptied ------------------------------------------------
 */

/* Every job in it has ended, or goes on in parked; it was kept for its queue's retention; nobody's
 * rows are in it who may still commit. */
void World::check_emptied(std::uint8_t segment) {
  std::map<JobKey, Micros> ended_at;
  for (const auto& page : log_.outcome_pages(segment)) {
    for (const OutcomeOnPage& outcome : page) {
      if (log_.is_open(outcome.xid))
        throw Violation(fmt::format("segment {} is emptied under an open decision", segment));
      if (!log_.sees(log_.snapshot(), outcome.xid)) continue;
      OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body.data(),
                           outcome.body.size());
      OutcomeMember member{};
      /* The first: a dead letter that is discarded later is not kept anew. */
      while (is_final(reader.kind()) && reader.next(&member))
        ended_at.emplace(JobKey{reader.queue(), member.id}, reader.at());
    }
  }
  for (const auto& page : log_.job_pages(segment)) {
    for (const JobOnPage& stored : page) {
      if (log_.is_open(stored.xid))
        throw Violation(fmt::format("segment {} is emptied under an open enqueue", segment));
      if (!log_.sees(log_.snapshot(), stored)) continue;
      const JobKey key{stored.row.queue, stored.row.id};
      const ModelJob& job = reference_.job(key);
      if (job.gone || log_.is_parked(log_.snapshot(), key.queue, key.id)) continue;
      if (!job.finished)
        throw Violation(
            fmt::format("segment {} is emptied with job {} of queue {}, which is not "
                        "finished",
                        segment, key.id, key.queue));
      const auto end = ended_at.find(key);
      if (end == ended_at.end()) throw Violation(fmt::format("job {} has no end", key.id));
      if (end->second + settings_.retention > platform().wall)
        throw Violation(fmt::format("job {} was not kept for its retention", key.id));
    }
  }
}

/* For the account at the end, and the rows of dead letters, which have a table of their own. */
void World::keep_outcomes(std::uint8_t segment) {
  each_outcome_of(segment, [this](JobKey key, OutcomeKind kind, Token token) {
    emptied_.push_back({key, kind, token});
  });
  for (const auto& page : log_.job_pages(segment)) {
    for (const JobOnPage& stored : page) {
      const JobKey key{stored.row.queue, stored.row.id};
      if (log_.sees(log_.snapshot(), stored) && reference_.job(key).dead)
        dead_letters_[key] = stored.row;
    }
  }
}

/* --- who reads ---------------------------------------------------------------------------------
 */

/* The oldest transaction that is open. */
Xid World::oldest_open() const {
  Xid oldest = log_.next_xid();
  for (const Session& session : sessions_) {
    if (!session.xids.empty() && log_.in_progress(session.xids.front()))
      oldest = std::min(oldest, session.xids.front());
  }
  return oldest;
}

/* The oldest transaction that a snapshot in use does not see the end of. */
Xid World::oldest_snapshot() const {
  Xid oldest = oldest_open();
  if (dump_) oldest = std::min(oldest, dump_->oldest_open);
  for (const Session& session : sessions_) {
    if (session.has_placeholder) oldest = std::min(oldest, session.placeholder_oldest);
    if (session.purge && session.purge->step > Purge::Step::look)
      oldest = std::min(oldest, session.purge->oldest_open);
  }
  return oldest;
}

/* By its id, as a client does: parked, then the segment of the id, then its outcomes, by a snapshot
 * of their own. */
LoggedJob World::look_up(JobKey key) {
  const ModelJob& job = reference_.job(key);
  const bool is_there = job.visible && !job.finished && !job.gone;
  const std::uint8_t expected = d().segment_of(database_, key.id);
  const Snapshot snapshot = log_.snapshot();
  LoggedJob found;
  for (const std::uint8_t segment : {kParkedSegment, expected}) {
    if (!found.exists) found = log_.find_row(snapshot, key.queue, key.id, segment);
  }
  if (is_there && !found.exists)
    throw Violation(fmt::format("job {} of queue {} is not where its id says", key.id, key.queue));
  if (!found.exists) return found;
  const std::uint8_t store = found.row.segment;
  const std::uint32_t before = store == kParkedSegment ? 0 : ring_[store].times_emptied;
  maybe_stop();
  /* A client has looked before it put down its placeholder; so for it the row is gone now. */
  if (store != kParkedSegment && ring_[store].times_emptied != before) return look_up(key);
  log_.add_outcomes(log_.snapshot(), key.queue, key.id, &found);
  if (is_there && found.finished && !job.finished && !job.gone)
    throw Violation(fmt::format("the log says that job {} is finished", key.id));
  return found;
}

/* A dump takes its snapshot, and looks at the tables later. */
void World::dump() {
  if (!dump_) {
    dump_ = Dump{log_.snapshot(), oldest_open(), platform().monotonic, {}};
    std::vector<JobKey> unfinished;
    for (const auto& [key, job] : reference_.jobs) {
      if (job.visible && !job.finished && !job.gone) unfinished.push_back(key);
    }
    for (std::size_t i = 0; i < unfinished.size() && i < kWantedByDump; i++) {
      dump_->wanted.push_back(unfinished[i]);
      dump_->wanted.push_back(unfinished[draw_index(unfinished.size())]);
    }
    note("dump begun");
    return;
  }
  if (chance(60)) return;
  const bool promised = platform().monotonic - dump_->began_at < settings_.grace;
  for (const JobKey key : dump_->wanted) {
    if (!promised || reference_.job(key).gone) continue;
    const LoggedJob found = log_.look_up(dump_->snapshot, key.queue, key.id);
    if (!found.exists || found.finished)
      throw Violation(fmt::format("a dump does not find job {} of queue {}", key.id, key.queue));
  }
  note(promised ? "dump" : "dump too old");
  dump_.reset();
}

}  // namespace dw::test
