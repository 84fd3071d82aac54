/* Transactions, and what is enqueued and claimed in them; decisions are in deciding.cpp. */
#include "session.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr std::int64_t kMostUnfinished = 1500;
constexpr std::size_t kMostHeld = 24;
constexpr std::uint32_t kMostAtOnce = 6;

}  // namespace

Session::Session(Stage* stage, int number)
    : stage_(stage), number_(number), transaction_(&stage->d()), claimed_(kMostAtOnce) {
  /* Registered workers by their names. */
  name_ = Stage::member_name(number % Stage::kMembers);
  transaction_.set_database(stage->database(), Stage::kOid);
}

void Session::run() {
  while (stage_->go_on()) act();
  if (level() > 0) {
    if (chance(50))
      commit();
    else
      abort();
  }
  d().sleep_as(static_cast<Index>(number_), nullptr);
  d().await_end(static_cast<Index>(number_));
  d().wait_end(static_cast<Index>(number_));
  d().pass_wake_on(static_cast<Index>(number_));
}

void Session::act() {
  stage_->platform().advance(static_cast<Micros>(draw(200)));
  if (level() == 0) begin();
  const std::uint64_t what = draw(100);
  if (what < 28)
    enqueue();
  else if (what < 52)
    claim();
  else if (what < 76)
    decide();
  else if (what < 84)
    keep_lease();
  else if (what < 93)
    cancel_or_change();
  else if (what < 95)
    take_from_disk();
  else if (what < 97)
    await_one();
  else if (level() < 3)
    savepoint();
  else
    roll_back();
  if (level() > 1 && chance(30)) {
    if (chance(50))
      end_savepoint();
    else
      roll_back();
  }
  if (!chance(40)) return;
  if (chance(85))
    commit();
  else
    abort();
}

/* --- transactions ----------------------------------------------------------------------------- */

void Session::begin() {
  xids_.push_back(stage_->log.with([](FakeLog& log) { return log.begin(); }));
  transactions_++;
}

void Session::savepoint() {
  const Xid parent = xids_.back();
  xids_.push_back(stage_->log.with([parent](FakeLog& log) { return log.begin(parent); }));
}

void Session::end_savepoint() {
  const Xid xid = xids_.back();
  stage_->log.with([xid](FakeLog& log) { log.merge(xid); });
  transaction_.sub_commit(level());
  for (Effect& effect : effects_) effect.level = std::min(effect.level, level() - 1);
  for (Held& held : held_) held.level = std::min(held.level, level() - 1);
  xids_.pop_back();
}

void Session::roll_back() {
  const Xid xid = xids_.back();
  const std::int32_t from = level();
  stage_->log.with([xid](FakeLog& log) { log.abort(xid); });
  transaction_.sub_abort(from);
  std::erase_if(effects_, [from](const Effect& effect) { return effect.level >= from; });
  std::erase_if(held_, [from](const Held& held) { return held.level >= from; });
  xids_.pop_back();
}

/* What the log shows is in the books before. */
void Session::commit() {
  while (level() > 1) end_savepoint();
  QueueId gone = 0;
  if (!transaction_.pre_commit(&gone)) {
    abort();
    return;
  }
  for (const Effect& effect : effects_) {
    if (effect.token == 0)
      stage_->books.committed(effect.id, effect.queue);
    else
      stage_->books.ended(effect.id, effect.token);
  }
  const Xid xid = xids_.front();
  const Snapshot end = stage_->log.with([xid](FakeLog& log) {
    log.commit(xid);
    return log.snapshot();
  });
  transaction_.commit(end);
  for (Held& held : held_) held.level = 0;
  effects_.clear();
  xids_.clear();
}

void Session::abort() {
  const Xid xid = xids_.front();
  stage_->log.with([xid](FakeLog& log) { log.abort(xid); });
  transaction_.abort();
  std::erase_if(held_, [](const Held& held) { return held.level > 0; });
  effects_.clear();
  xids_.clear();
}

/* --- enqueue ---------------------------------------------------------------------------------- */

QueueRef Session::ref_of(QueueId queue) {
  const Index index = queue == 0 ? kNone : d().find_queue(stage_->database(), queue);
  return index == kNone ? QueueRef{kNone, 0} : d().queue_ref(index);
}

void Session::enqueue() {
  if (stage_->books.unfinished() > kMostUnfinished) return;
  const QueueId queue = stage_->any_queue();
  for (std::uint64_t n = 1 + draw(3); n > 0 && queue != 0; n--) enqueue_one(queue);
}

/* False: the queue is full. A job that goes for it is decided here. */
bool Session::take_room(QueueRef ref, JobRow* row) {
  RoomFigures figures{};
  Decided decided{};
  std::size_t action = 0;
  const std::size_t room = transaction_.begin_room(level(), ref);
  switch (transaction_.exchange_room(level(), room, &figures, &decided, &action)) {
    case Room::exchanged:
      settle(decided, action, Decision::finish, OutcomeKind::cancelled, 0);
      break;
    case Room::granted:
      break;
    case Room::unlimited:
      return true;
    default:
      return false;
  }
  transaction_.use_room(room);
  row->has_room = true;
  return true;
}

void Session::enqueue_one(QueueId queue) {
  const Micros now = stage_->platform().wall();
  transaction_.reserve(4);
  transaction_.reserve_rows(4);
  const QueueRef ref = ref_of(queue);
  if (ref.queue == kNone) return;
  JobRow row = row_of(queue, stage_->next_job_id());
  if (!stage_->books.has_room_for(row.id) || !take_room(ref, &row)) return;
  row.priority = static_cast<std::uint8_t>(draw(kLowestPriority + 1));
  if (chance(80)) {
    row.key_hash = static_cast<std::uint32_t>(1 + draw(20));
    row.key_check = row.key_hash * 2 + 1;
  }
  if (chance(30)) row.due = now + static_cast<Micros>(draw(500 * kMillisecond));
  if (chance(5)) row.expires_at = expiry_seconds(now + static_cast<Micros>(draw(3 * kSecond)));
  row.enqueued_at = now;
  const Xid xid = xids_.back();
  stage_->log.with([this, xid, &row](FakeLog& log) {
    log.insert_job(xid, static_cast<std::uint32_t>(number_ + 1), row.queue, &row);
  });
  transaction_.note_enqueue(level(), ref, row);
  effects_.push_back(Effect{row.id, 0, queue, level()});
  last_enqueued_ = row.id;
}

/* --- claim ------------------------------------------------------------------------------------ */

WorkerRef Session::worker() {
  MemberFacts facts{};
  claimant_.member = d().find_member(stage_->database(), name_, &facts);
  claimant_.capacity = facts.capacity;
  const std::int64_t instance = claimant_.member.member != kNone ? facts.instance : 0;
  if (claimant_.member.member != kNone) d().note_seen(claimant_.member);
  return d().worker_slot(stage_->database(), name_, instance);
}

/* After worker(). */
const Claimant* Session::claimant(QueueId queue) {
  if (claimant_.member.member == kNone || !d().serves(claimant_.member, queue)) return nullptr;
  claimant_.owned_only = chance(60);
  return &claimant_;
}

std::uint32_t Session::claim_from(QueueId queue, std::uint32_t n, const RequestRef* request) {
  const QueueRef ref = ref_of(queue);
  if (ref.queue == kNone) return 0;
  transaction_.reserve(n + 1);
  const WorkerRef holder = worker();
  if (holder.worker == kNone) return 0;
  const std::size_t first = transaction_.size();
  if (request != nullptr) transaction_.note_request(level(), *request);
  const Micros lease = chance(20) ? kSecond : 0;
  const std::uint32_t taken = d().claim(ref, holder, lease, claimed_.data(), n, request,
                                        static_cast<Index>(number_), claimant(queue));
  if (taken == kWorkerGone) return 0;
  transaction_.note_claims(level(), claimed_.data(), taken);
  for (std::uint32_t i = 0; i < taken; i++) {
    const ClaimedJob& job = claimed_[i];
    stage_->books.claimed(job.id, job.token);
    if (stage_->books.queue_of(job.id) != queue)
      stage_->books.broke("a claim got a job of another queue");
    held_.push_back(Held{job.id, job.token, queue, level()});
  }
  if (chance(97)) {
    transaction_.delivered(first);
    return taken;
  }
  /* The statement fails. */
  abort();
  begin();
  return taken;
}

void Session::claim_with_request(QueueId queue) {
  const RequestKey key{{static_cast<std::uint64_t>(number_) * 1000 + draw(4), ++requests_ % 8}};
  const RequestOwner self{number_ + 1, transactions_};
  RequestRef request{kNone, 0};
  RequestOwner other{};
  transaction_.reserve(1);
  switch (d().begin_request(key, self, &request, &other)) {
    case RequestStanding::fresh:
      claim_from(queue, kMostAtOnce, &request);
      break;
    case RequestStanding::known: {
      LeaseRef leases[kMostAtOnce];
      const std::uint32_t n = d().request_leases(key, leases, kMostAtOnce);
      ClaimedJob job{};
      for (std::uint32_t i = 0; i < n; i++) (void)d().see_claimed(leases[i], &job);
      break;
    }
    default:
      break;
  }
}

void Session::claim() {
  if (held_.size() >= kMostHeld) held_.erase(held_.begin(), held_.begin() + kMostHeld / 2);
  const QueueId queue = stage_->any_queue();
  if (queue == 0) return;
  if (chance(10)) {
    claim_with_request(queue);
  } else if (claim_from(queue, static_cast<std::uint32_t>(1 + draw(kMostAtOnce)), nullptr) == 0 &&
             chance(30)) {
    sleep(queue);
  }
}

/* As in the server: hang on the lists, sleep, get off the lists, claim. Nobody sleeps in a
 * transaction that others may wait for. */
void Session::sleep(QueueId queue) {
  const auto waiter = static_cast<Index>(number_);
  if (chance(70))
    commit();
  else
    abort();
  std::vector<QueueRef> queues{ref_of(queue)};
  const QueueRef second = ref_of(stage_->any_queue());
  const Claimant* const self = claimant(queue);
  if (self == nullptr && second.queue != queues[0].queue) queues.push_back(second);
  std::erase_if(queues, [](const QueueRef& ref) { return ref.queue == kNone; });
  const bool owned = self != nullptr && self->owned_only;
  stage_->platform().reset_latch(waiter);
  if (owned) d().sleep_as(waiter, &self->member);
  if (!queues.empty() &&
      d().wait_begin(waiter, queues.data(), static_cast<std::uint32_t>(queues.size()),
                     owned ? &self->member : nullptr)) {
    while (!d().woken(waiter) && !stage_->is_over() && (!owned || d().may_claim(self->member))) {
      stage_->platform().sleep(waiter);
      stage_->platform().reset_latch(waiter);
    }
    d().wait_end(waiter);
  }
  d().sleep_as(waiter, nullptr);
  begin();
  if (chance(80)) claim_from(queue, kMostAtOnce, nullptr);
  d().pass_wake_on(waiter);
}

std::uint32_t Session::work_off(QueueId queue) {
  if (level() == 0) begin();
  claimant_.member = MemberRef{kNone, 0};
  const QueueRef ref = ref_of(queue);
  transaction_.reserve(2 * kMostAtOnce);
  const WorkerRef holder = d().worker_slot(stage_->database(), "last", 0);
  const std::uint32_t taken = d().claim(ref, holder, 0, claimed_.data(), kMostAtOnce);
  const std::size_t first = transaction_.size();
  transaction_.note_claims(level(), claimed_.data(), taken);
  transaction_.delivered(first);
  held_.clear();
  for (std::uint32_t i = 0; i < taken; i++) {
    stage_->books.claimed(claimed_[i].id, claimed_[i].token);
    held_.push_back(Held{claimed_[i].id, claimed_[i].token, queue, level()});
  }
  while (!held_.empty()) decide_held(0, Decision::finish, OutcomeKind::completed);
  commit();
  return taken;
}

}  // namespace dw::test
