#include "core/transaction.hpp"

#include <algorithm>

namespace dw::core {

namespace {

/* Beyond this many elements a transaction's memory is given back at its end. */
constexpr std::size_t kKeptElements = 16384;

template <typename Vector>
void make_room(Vector& vector, std::size_t n) {
  if (vector.capacity() - vector.size() < n)
    vector.reserve(std::max(vector.capacity() * 2, vector.size() + n));
}

template <typename Vector>
void empty_out(Vector& vector) noexcept {
  if (vector.capacity() > kKeptElements) {
    Vector().swap(vector);
  } else {
    vector.clear();
  }
}

}  // namespace

void Transaction::reserve(std::size_t n) {
  make_room(jobs_, n);
  make_room(actions_, n);
  make_room(pages_, n);
}

void Transaction::reserve_rows(std::size_t n) { make_room(pages_, n); }

Transaction::Action& Transaction::add(std::int32_t level, ActionKind kind) noexcept {
  Action& action = actions_.emplace_back();
  action.kind = kind;
  action.level = level;
  action.ref = EntryRef{kNone, 0};
  action.queue = QueueRef{kNone, 0};
  return action;
}

void Transaction::note_enqueue(std::int32_t level, QueueRef queue, const JobRow& row) noexcept {
  jobs_.push_back(NewJob{row, EntryRef{kNone, 0}, queue, level});
}

Room Transaction::reserve_room(std::int32_t level, QueueRef queue, std::uint32_t n,
                               RoomFigures* figures, std::size_t* action) noexcept {
  const Room room = dispatcher_->reserve_room(queue, n, figures);
  if (room != Room::granted) return room;
  *action = actions_.size();
  Action& noted = add(level, ActionKind::room);
  noted.queue = queue;
  noted.number = n;
  return room;
}

std::size_t Transaction::begin_room(std::int32_t level, QueueRef queue) noexcept {
  Action& noted = add(level, ActionKind::room);
  noted.queue = queue;
  noted.number = 0;
  return actions_.size() - 1;
}

Room Transaction::exchange_room(std::int32_t level, std::size_t room, RoomFigures* figures,
                                Decided* out, std::size_t* action) noexcept {
  const Room answer = dispatcher_->exchange_room(actions_[room].queue, figures, out);
  if (answer == Room::granted || answer == Room::exchanged) actions_[room].number++;
  if (answer == Room::exchanged) note_decision(level, *out, Verdict::ok, action);
  return answer;
}

bool Transaction::enqueued_here(JobId id) const noexcept { return enqueued_row(id) != nullptr; }

const JobRow* Transaction::enqueued_row(JobId id) const noexcept {
  for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job)
    if (job->row.id == id) return &job->row;
  return nullptr;
}

void Transaction::replace_enqueued(std::int32_t level, JobId id, const JobRow& row) {
  for (std::size_t i = jobs_.size(); i-- > 0;) {
    JobRow& known = jobs_[i].row;
    if (known.id != id) continue;
    replaced_.push_back(ReplacedRow{i, level, known});
    const bool has_room = known.has_room;
    known = row;
    known.has_room = has_room;
    return;
  }
}

void Transaction::note_claims(std::int32_t level, const ClaimedJob* jobs,
                              std::uint32_t n) noexcept {
  for (std::uint32_t i = 0; i < n; i++) {
    Action& action = add(level, ActionKind::claim);
    action.ref = jobs[i].ref;
    action.token = jobs[i].token;
  }
}

void Transaction::note_request(std::int32_t level, RequestRef request) noexcept {
  add(level, ActionKind::request).request = request;
}

void Transaction::delivered(std::size_t first) noexcept {
  for (std::size_t i = first; i < actions_.size(); i++) actions_[i].delivered = true;
}

void Transaction::quarantine(EntryRef ref, Token token) noexcept {
  dispatcher_->quarantine(ref, token);
  /* The claim's action stays; its reference is stale now and does nothing. */
}

void Transaction::note_claim_row(std::size_t claim, std::uint8_t segment,
                                 std::uint32_t block) noexcept {
  actions_[claim].settled = true;
  note_outcome_row(claim, segment, block);
}

void Transaction::expire_claim(EntryRef ref, Token token) noexcept {
  dispatcher_->expire_claim(ref, token);
}

void Transaction::note_written(std::int32_t level, std::uint8_t segment,
                               std::uint32_t block) noexcept {
  /* Rows of two tables are written by turns. */
  constexpr std::ptrdiff_t kLooks = 4;
  for (auto page = pages_.rbegin(); page != pages_.rend() && page - pages_.rbegin() < kLooks;
       ++page) {
    if (page->segment == segment && page->block == block) return;
  }
  pages_.push_back(OutcomePage{level, block, segment});
}

void Transaction::note_redriven(std::int32_t level, QueueId queue, Micros due, std::uint32_t n,
                                Token first) noexcept {
  Action& action = add(level, ActionKind::redriven);
  action.number = queue;
  action.due = due;
  action.token = first;
  action.count = n;
}

bool Transaction::withhold(std::int32_t level, QueueRef queue, bool* all_resident) noexcept {
  const bool again = std::any_of(actions_.begin(), actions_.end(), [queue](const Action& action) {
    return action.kind == ActionKind::withheld && action.queue.queue == queue.queue &&
           action.queue.incarnation == queue.incarnation;
  });
  if (!dispatcher_->withhold(queue, again, all_resident)) return false;
  Action& action = add(level, ActionKind::withheld);
  action.queue = queue;
  action.count = again ? 1 : 0;
  return true;
}

void Transaction::note_purged(std::int32_t level, QueueId queue, std::uint32_t n,
                              Token first) noexcept {
  Action& action = add(level, ActionKind::purged);
  action.number = queue;
  action.token = first;
  action.count = n;
}

void Transaction::note_segment_emptied(std::int32_t level, std::uint8_t segment) noexcept {
  add(level, ActionKind::segment_emptied).number = segment;
}

void Transaction::note_unblocked(std::int32_t level, QueueId queue, JobId job, Unblock how,
                                 JobId up_to) noexcept {
  Action& action = add(level, ActionKind::key_unblocked);
  action.number = queue;
  action.token = job;
  action.due = up_to;
  action.count = static_cast<std::uint32_t>(how);
}

void Transaction::note_weight(std::int32_t level, const KeyWeight& row) noexcept {
  Action& action = add(level, ActionKind::key_weighed);
  action.number = row.queue;
  action.due = row.key_hash;
  action.token = row.key_check;
  action.count = row.weight;
}

void Transaction::set_options(QueueId id, const QueueOptions& options) {
  options_.push_back(Options{id, options});
}

void Transaction::note_queue(std::int32_t level, ActionKind kind, QueueRef queue,
                             QueueId id) noexcept {
  Action& action = add(level, kind);
  action.queue = queue;
  action.number = id;
  action.options = !options_.empty() && options_.back().id == id ? options_.size() : 0;
}

void Transaction::note_limits(std::int32_t level, QueueId id, const QueueLimits& limits) {
  reserve(1);
  limits_.push_back(limits);
  Action& action = add(level, ActionKind::limits_changed);
  action.number = id;
  action.options = limits_.size();
}

void Transaction::note_database(std::int32_t level, ActionKind kind, DatabaseOid oid) noexcept {
  add(level, kind).oid = oid;
  if (kind == ActionKind::detach) changes_database_ = true;
}

void Transaction::set_worker(const MemberRow& row) { workers_.push_back(row); }

void Transaction::note_worker(std::int32_t level, ActionKind kind) noexcept {
  add(level, kind).row = workers_.size();
}

void Transaction::note_attach(std::int32_t level, DatabaseOid oid, std::int64_t epoch,
                              bool paused) noexcept {
  Action& action = add(level, ActionKind::attach);
  action.oid = oid;
  action.number = epoch;
  action.count = paused ? 1 : 0;
  changes_database_ = true;
}

/* Consecutive jobs of one queue, at most as many as one lock hold may link. */
template <typename Each>
void Transaction::for_each_run(std::size_t first, Each each) noexcept {
  const JobRow* rows[kEntriesPerHold];
  EntryRef refs[kEntriesPerHold];
  while (first < jobs_.size()) {
    const NewJob& head = jobs_[first];
    std::uint32_t n = 0;
    while (n < kEntriesPerHold && first + n < jobs_.size()) {
      const NewJob& job = jobs_[first + n];
      if (job.row.queue != head.row.queue || job.queue.queue != head.queue.queue ||
          job.queue.incarnation != head.queue.incarnation)
        break;
      rows[n] = &job.row;
      refs[n] = job.ref;
      n++;
    }
    each(head, rows, refs, n);
    for (std::uint32_t i = 0; i < n; i++) jobs_[first + i].ref = refs[i];
    first += n;
  }
}

/* False: one is gone that was there when a job was written. */
bool Transaction::settle_queues(QueueId* gone) noexcept {
  const Database& database = dispatcher_->arena().databases[database_];
  for (NewJob& job : jobs_) {
    if (dispatcher_->queue_matches(job.queue)) continue;
    job.row.has_room = false;
    const Index found = dispatcher_->find_queue(database_, job.row.queue);
    if (found != kNone) {
      job.queue = dispatcher_->queue_ref(found);
    } else if (job.queue.queue != kNone && database.state == DatabaseState::open) {
      /* Its slot was there when the job was written: somebody dropped the queue since. */
      *gone = job.row.queue;
      return false;
    } else {
      job.queue = QueueRef{kNone, 0};
    }
  }
  return true;
}

bool Transaction::pre_commit(QueueId* gone) noexcept {
  if (jobs_.empty()) return true;
  if (database_ == kNone) database_ = dispatcher_->find_database(oid_);
  if (database_ == kNone) return true;
  if (!settle_queues(gone)) return false;
  for_each_run(0, [this](const NewJob& head, const JobRow* const* rows, EntryRef* refs,
                         std::uint32_t n) noexcept {
    dispatcher_->link_pending(head.queue, rows, refs, n);
  });
  return true;
}

void Transaction::apply_options(const Action& action) noexcept {
  if (database_ == kNone || action.options == 0) return;
  const Options& change = options_[action.options - 1];
  dispatcher_->set_queue_options(database_, change.id, change.options);
}

/* Without a slot of the database nothing is done: whoever makes it reads the table after that. */
void Transaction::apply_worker(const Action& action) noexcept {
  if (database_ == kNone) return;
  const MemberRow& row = workers_[action.row - 1];
  if (action.kind == ActionKind::worker_left) {
    dispatcher_->remove_member(database_, row.name, row.instance);
  } else if (dispatcher_->add_member(database_, row) == MemberChange::no_room) {
    /* The housekeeper finds it in the table, and room for it, or says that there is none. */
    dispatcher_->note_workers_changed(oid_);
  }
}

void Transaction::apply_decision(const Action& action) noexcept {
  if (action.settled) {
    const JobRow* const row = action.row != 0 ? &rows_[action.row - 1] : nullptr;
    dispatcher_->commit_decision(action.ref, action.token, action.decision, action.outcome,
                                 action.due, row);
    return;
  }
  undo(action);
  /* What it was to be decided over is the last word again. */
  if (action.before == EntryState::completing) apply_decision(actions_[action.earlier]);
}

void Transaction::apply(const Action& action) noexcept {
  switch (action.kind) {
    case ActionKind::claim:
      if (action.settled) dispatcher_->record_claim(action.ref, action.token);
      break;
    case ActionKind::placeholder:
      break;
    case ActionKind::request:
      dispatcher_->settle_request(action.request);
      break;
    case ActionKind::room:
      undo(action); /* what was not used */
      break;
    case ActionKind::decide:
      apply_decision(action);
      break;
    case ActionKind::queue_created:
      if (action.queue.queue != kNone) dispatcher_->activate_queue(action.queue);
      apply_options(action);
      dispatcher_->note_catalog_stale(oid_);
      break;
    case ActionKind::queue_changed:
      apply_options(action);
      dispatcher_->note_catalog_stale(oid_);
      break;
    case ActionKind::queue_dropped:
      if (action.queue.queue != kNone) dispatcher_->remove_queue(action.queue);
      dispatcher_->note_catalog_stale(oid_);
      break;
    case ActionKind::limits_changed:
      if (database_ != kNone)
        dispatcher_->set_queue_limits(database_, static_cast<QueueId>(action.number),
                                      limits_[action.options - 1]);
      dispatcher_->note_catalog_stale(oid_);
      break;
    case ActionKind::attach: {
      const Index index = dispatcher_->attach_database(action.oid);
      if (index == kNone) break;
      dispatcher_->begin_log(index);
      if (action.count != 0) dispatcher_->pause_database(index);
      dispatcher_->open_database(index, action.number);
      break;
    }
    case ActionKind::rows_arrived: {
      const Index index = dispatcher_->find_database(action.oid);
      if (index != kNone) dispatcher_->request_reload(index);
      break;
    }
    case ActionKind::queues_arrived:
      dispatcher_->note_catalog_stale(action.oid);
      break;
    case ActionKind::segment_emptied:
      if (database_ != kNone)
        dispatcher_->empty_segment(database_, static_cast<std::uint8_t>(action.number));
      break;
    case ActionKind::key_unblocked:
      /* What is not in memory yet may be read by a snapshot from before. */
      if (database_ != kNone &&
          !dispatcher_->unblock(database_, static_cast<QueueId>(action.number), action.token,
                                static_cast<Unblock>(action.count), action.due))
        dispatcher_->note_catalog_stale(oid_);
      break;
    case ActionKind::key_weighed:
      /* Two commits may be told in another order than they came in, so the table is read again;
       * also where there is no room, or no slot yet. */
      if (database_ == kNone) break;
      (void)dispatcher_->set_key_weight(database_, static_cast<QueueId>(action.number),
                                        static_cast<std::uint32_t>(action.due),
                                        static_cast<std::uint32_t>(action.token), action.count);
      dispatcher_->note_catalog_stale(oid_);
      break;
    case ActionKind::redriven:
      if (database_ != kNone)
        dispatcher_->publish_redriven(database_, static_cast<QueueId>(action.number), action.due,
                                      action.token, action.count);
      break;
    case ActionKind::redrives_changed:
      dispatcher_->note_redrives_changed(action.oid);
      break;
    case ActionKind::withheld:
      if (action.count == 0) undo(action);
      break;
    case ActionKind::worker_changed:
    case ActionKind::worker_left:
      apply_worker(action);
      break;
    case ActionKind::purged:
      if (database_ != kNone)
        dispatcher_->publish_purged(database_, static_cast<QueueId>(action.number), action.token,
                                    action.count);
      break;
    case ActionKind::detach: {
      const Index index = dispatcher_->find_database(action.oid);
      if (index != kNone) dispatcher_->detach_database(index);
      break;
    }
  }
}

void Transaction::commit(std::uint64_t log_position) noexcept {
  if (database_ == kNone) database_ = dispatcher_->find_database(oid_);
  /* First the pages, then the entries: a loader that no longer finds an entry, or finds it changed,
   * must find the outcome. */
  for (const OutcomePage& page : pages_) {
    if (database_ != kNone) dispatcher_->note_outcome_page(database_, page.segment, page.block);
  }
  for (const Action& action : actions_) apply(action);
  if (database_ == kNone) database_ = dispatcher_->find_database(oid_);
  /* A transaction that found no slot of its database does nothing here: whoever makes the slot
   * later reads the tables after that, with a snapshot that sees these rows. */
  if (database_ != kNone && !jobs_.empty()) {
    /* Before the jobs can be claimed. */
    dispatcher_->note_commit_position(database_, log_position);
    for_each_run(0, [this](const NewJob& head, const JobRow* const* rows, EntryRef* refs,
                           std::uint32_t n) noexcept {
      dispatcher_->publish(database_, head.row.queue, head.queue, rows, refs, n);
    });
  }
  clear();
}

void Transaction::undo(const Action& action) noexcept {
  switch (action.kind) {
    case ActionKind::claim:
      if (action.delivered) {
        dispatcher_->roll_back_claim(action.ref, action.token);
      } else {
        dispatcher_->refund_claim(action.ref, action.token);
      }
      break;
    case ActionKind::request:
      dispatcher_->forget_request(action.request);
      break;
    case ActionKind::decide:
      if (action.before == EntryState::completing) {
        dispatcher_->withdraw_decision(action.ref, action.token, actions_[action.earlier].token);
        actions_[action.earlier].superseded = false;
      } else {
        dispatcher_->abort_decision(action.ref, action.token,
                                    action.vanishes ? EntryState::free : action.before);
      }
      break;
    case ActionKind::placeholder:
      if (action.ref.entry != kNone) dispatcher_->drop_placeholder(action.ref);
      break;
    case ActionKind::room:
      dispatcher_->release_room(action.queue, static_cast<std::uint32_t>(action.number));
      break;
    case ActionKind::queue_created:
      if (action.queue.queue != kNone) dispatcher_->remove_queue(action.queue);
      break;
    case ActionKind::withheld:
      if (action.count == 0)
        dispatcher_->let_go(action.queue);
      else
        dispatcher_->stop_reading(action.queue);
      break;
    case ActionKind::purged:
    case ActionKind::segment_emptied:
    case ActionKind::key_unblocked:
    case ActionKind::key_weighed:
    case ActionKind::queue_changed:
    case ActionKind::queue_dropped:
    case ActionKind::limits_changed:
    case ActionKind::attach:
    case ActionKind::detach:
    case ActionKind::rows_arrived:
    case ActionKind::queues_arrived:
    case ActionKind::redriven:
    case ActionKind::redrives_changed:
    case ActionKind::worker_changed:
    case ActionKind::worker_left:
      break;
  }
}

void Transaction::unlink_jobs() noexcept {
  for_each_run(
      0, [this](const NewJob& head, const JobRow* const*, EntryRef* refs,
                std::uint32_t n) noexcept { dispatcher_->unlink_pending(head.queue, refs, n); });
}

void Transaction::release_room(std::size_t first) noexcept {
  while (first < jobs_.size()) {
    const QueueRef queue = jobs_[first].queue;
    std::uint32_t n = 0;
    for (; first < jobs_.size() && jobs_[first].queue.queue == queue.queue &&
           jobs_[first].queue.incarnation == queue.incarnation;
         first++)
      n += jobs_[first].row.has_room ? 1 : 0;
    dispatcher_->release_room(queue, n);
  }
}

/* Room is given back last: a job that was dropped in exchange for it is there again by then, so
 * nobody takes the place of both. */
void Transaction::abort() noexcept {
  if (watch_ != kNone) dispatcher_->drop_watch(watch_);
  unlink_jobs();
  for (auto action = actions_.rbegin(); action != actions_.rend(); ++action) {
    if (action->kind != ActionKind::room) undo(*action);
  }
  for (const Action& action : actions_) {
    if (action.kind == ActionKind::room) undo(action);
  }
  release_room(0);
  clear();
}

void Transaction::sub_commit(std::int32_t level) noexcept {
  for (auto job = jobs_.rbegin(); job != jobs_.rend() && job->level >= level; ++job)
    job->level = level - 1;
  for (auto action = actions_.rbegin(); action != actions_.rend() && action->level >= level;
       ++action)
    action->level = level - 1;
  for (auto page = pages_.rbegin(); page != pages_.rend() && page->level >= level; ++page)
    page->level = level - 1;
  for (auto row = replaced_.rbegin(); row != replaced_.rend() && row->level >= level; ++row)
    row->level = level - 1;
}

void Transaction::sub_abort(std::int32_t level) noexcept {
  std::size_t first = actions_.size();
  while (first > 0 && actions_[first - 1].level >= level) first--;
  for (std::size_t i = actions_.size(); i > first; i--) {
    if (actions_[i - 1].kind != ActionKind::room) undo(actions_[i - 1]);
  }
  while (!pages_.empty() && pages_.back().level >= level) pages_.pop_back();
  for (std::size_t i = first; i < actions_.size(); i++) {
    if (actions_[i].kind == ActionKind::room) undo(actions_[i]);
  }
  actions_.erase(actions_.begin() + static_cast<std::ptrdiff_t>(first), actions_.end());
  for (; !replaced_.empty() && replaced_.back().level >= level; replaced_.pop_back())
    jobs_[replaced_.back().job].row = replaced_.back().row;
  std::size_t first_job = jobs_.size();
  while (first_job > 0 && jobs_[first_job - 1].level >= level) first_job--;
  release_room(first_job);
  jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(first_job), jobs_.end());
}

void Transaction::clear() noexcept {
  changes_database_ = false;
  watch_ = kNone;
  empty_out(jobs_);
  empty_out(actions_);
  empty_out(options_);
  empty_out(limits_);
  empty_out(pages_);
  empty_out(rows_);
  empty_out(replaced_);
  empty_out(workers_);
}

}  // namespace dw::core
