#include "client.hpp"

#include "fake_platform.hpp"

#include <stdexcept>

namespace dw::test {

namespace {

Micros now() { return FakePlatform::get().wall; }

}  // namespace

Client::Client(FakeLog* log, Dispatcher* dispatcher, Index database, DatabaseOid oid,
               std::uint32_t writer)
    : log_(log),
      dispatcher_(dispatcher),
      database_(database),
      writer_(writer),
      transaction_(dispatcher),
      xids_{log->begin()} {
  transaction_.set_database(database, oid);
}

void Client::savepoint() { xids_.push_back(log_->begin(xid())); }

void Client::release() {
  log_->merge(xid());
  transaction_.sub_commit(level());
  xids_.pop_back();
}

void Client::roll_back() {
  log_->abort(xid());
  transaction_.sub_abort(level());
  xids_.pop_back();
}

void Client::write(OutcomeKind kind, std::uint8_t segment, const OutcomeMember& member) {
  for (const std::uint32_t block :
       log_->insert_outcome(xid(), writer_, segment, kind, now(), decided_.queue_id, {member}))
    transaction_.note_written(level(), segment, block);
}

void Client::enqueue(JobRow row) {
  reserve();
  log_->insert_job(xid(), writer_, row.queue, &row);
  const Index index = dispatcher_->find_queue(database_, row.queue);
  transaction_.note_enqueue(level(), dispatcher_->queue_ref(index), row);
}

Verdict Client::replace(JobId id, const Edit& edit) {
  reserve();
  const JobRow* const known = transaction_.enqueued_row(id);
  if (known == nullptr) return Verdict::not_resident;
  JobRow row = *known;
  if (row.segment != kParkedSegment) log_->remove_job(xid(), row);
  edit(row);
  if (row.due == kAlways) row.due = 1;
  log_->park_job(xid(), writer_, row.queue, &row);
  transaction_.replace_enqueued(level(), id, row);
  return Verdict::ok;
}

Verdict Client::hold(JobId id, bool again) {
  reserve();
  return transaction_.begin_change(level(), id, 0, again, &decided_, &action_);
}

Verdict Client::take_from_disk(JobId id, QueueId queue) {
  reserve();
  const Verdict verdict = transaction_.add_placeholder(level(), queue, id, &action_);
  if (verdict != Verdict::ok) return verdict;
  const LoggedJob found = log_->look_up(log_->snapshot(), queue, id);
  if (!found.exists || found.finished) {
    transaction_.drop_placeholder(action_);
    return Verdict::not_resident;
  }
  return transaction_.fill_placeholder(action_, found.row, true, found.redriven, &decided_)
             ? Verdict::ok
             : Verdict::stale;
}

void Client::put_row(const Edit& edit, OutcomeKind kind) {
  const JobId id = decided_.id;
  JobRow row = log_->job_pages(decided_.segment).at(decided_.block).at(decided_.offset - 1U).row;
  if (row.id != id) throw std::logic_error("the row of a decided job lies elsewhere");
  row.due = decided_.due;
  row.attempts = decided_.attempts;
  row.has_room = false;
  edit(row);
  if (row.due == kAlways) row.due = 1;
  const bool was_there = log_->park_job(xid(), writer_, row.queue, &row);
  write(kind, kParkedSegment, {id, decided_.token, row.attempts, explicit_due(row.due, now())});
  if (!was_there) write(OutcomeKind::moved, decided_.segment, {id, decided_.token, 0, 0});
  transaction_.set_row(action_, row);
  transaction_.settle(action_, Decision::reschedule, kind, row.due);
}

Verdict Client::change(JobId id, const Edit& edit, bool again, OutcomeKind kind) {
  const Verdict verdict = hold(id, again);
  if (verdict == Verdict::ok) put_row(edit, kind);
  return verdict;
}

Verdict Client::reschedule(JobId id, Micros due, bool again) {
  const Verdict verdict = hold(id, again);
  if (verdict != Verdict::ok) return verdict;
  write(OutcomeKind::rescheduled, decided_.segment,
        {id, decided_.token, decided_.attempts, explicit_due(due, now())});
  transaction_.settle(action_, Decision::reschedule, OutcomeKind::rescheduled, due);
  return verdict;
}

Verdict Client::cancel(JobId id, OutcomeKind kind) {
  reserve();
  const Verdict verdict = transaction_.begin_cancel(level(), id, 0, &decided_, &action_);
  if (verdict != Verdict::ok) return verdict;
  write(kind, decided_.segment, {id, decided_.token, 0, 0});
  const bool held = decided_.before == EntryState::leased;
  transaction_.settle(action_, held ? Decision::cancel_held : Decision::finish, kind, 0);
  return verdict;
}

bool Client::withhold(QueueId queue) {
  reserve();
  purged_ = queue;
  slot_ = dispatcher_->queue_ref(dispatcher_->find_queue(database_, queue));
  return transaction_.withhold(level(), slot_, &all_resident_);
}

std::vector<JobId> Client::purge_resident() {
  std::vector<ListedJob> listed(kEntriesPerHold);
  std::vector<JobId> ended;
  ListWish wish{};
  wish.leased = true;
  for (Index position = 0; position < dispatcher_->arena().capacity;) {
    const std::uint32_t n = dispatcher_->list_jobs(slot_, wish, &position, listed.data());
    for (std::uint32_t i = 0; i < n; i++) {
      if (cancel(listed[i].id, OutcomeKind::purged) == Verdict::ok) ended.push_back(listed[i].id);
    }
  }
  return ended;
}

std::vector<JobId> Client::purge_on_disk(std::uint8_t segment) {
  std::vector<JobId> ended;
  for (const JobId id : log_->unfinished(snapshot_, purged_, segment)) {
    if (!dispatcher_->is_resident(slot_, id)) ended.push_back(id);
  }
  if (ended.empty()) return ended;
  reserve();
  const auto n = static_cast<std::uint32_t>(ended.size());
  const Token first = dispatcher_->take_tokens(database_, n);
  std::vector<OutcomeMember> members;
  for (std::uint32_t i = 0; i < n; i++) members.push_back({ended[i], first + i, 0, 0});
  for (const std::uint32_t block : log_->insert_outcome(
           xid(), writer_, segment, OutcomeKind::purged, now(), purged_, members)) {
    transaction_.reserve_rows(1);
    transaction_.note_written(level(), segment, block);
  }
  transaction_.note_purged(level(), purged_, n, first);
  return ended;
}

void Client::stop_reading() { dispatcher_->stop_reading(slot_); }

std::size_t Client::purge(QueueId queue) {
  if (!withhold(queue)) throw std::logic_error("the queue cannot be withheld");
  std::size_t n = purge_resident().size();
  look();
  n += purge_on_disk(kParkedSegment).size();
  if (!all_resident_) {
    for (std::uint8_t segment = 0; segment < kSegments; segment++)
      n += purge_on_disk(segment).size();
  }
  stop_reading();
  return n;
}

void Client::pre_commit() {
  while (level() > 1) release();
  QueueId gone = 0;
  if (!transaction_.pre_commit(&gone)) throw std::logic_error("a queue is gone");
}

void Client::commit() {
  pre_commit();
  show();
  call_back();
}

void Client::abort() {
  log_->abort(xids_.front());
  transaction_.abort();
}

}  // namespace dw::test
