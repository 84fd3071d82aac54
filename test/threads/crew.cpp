#include "crew.hpp"

#include "core/waits.hpp"

#include <thread>

namespace dw::test {

namespace {

constexpr Micros kBudget = 2 * kMillisecond;

bool chance(int percent) { return ThreadedPlatform::chance(percent); }
std::uint64_t draw(std::uint64_t below) { return ThreadedPlatform::draw(below); }

}  // namespace

/* --- the housekeeper -------------------------------------------------------------------------- */

Housekeeper::Housekeeper(Stage* stage)
    : stage_(stage),
      store_(&stage->log, &stage->d(), stage->database()),
      sweeper_(&stage->d(), stage->database(), &store_),
      key_blocks_(&stage->d(), stage->database(), &store_),
      loader_(&stage->d(), stage->database(), &store_, &key_blocks_.aside()),
      census_(&stage->d(), stage->database(), &store_),
      expiry_walk_(&stage->d(), stage->database()),
      announcer_(&stage->d(), stage->database()) {
  store_.on_expiry = [stage](const Expiry& expiry) {
    if (expiry.outcome == OutcomeKind::dead_lettered) stage->books.ended(expiry.id, expiry.token);
  };
  announcer_.set_interval(50 * kMillisecond);
}

void Housekeeper::read_catalog() {
  const std::uint64_t version = stage_->catalog_version();
  if (!stage_->d().take_catalog_stale(stage_->database()) && version == known_version_) return;
  known_version_ = version;
  std::vector<Loader::QueueTopic> topics;
  for (std::size_t place = 0; place < kKinds; place++) {
    const QueueId id = stage_->queue_at(place);
    if (id != 0) topics.push_back(Loader::QueueTopic{id, id});
  }
  loader_.set_queues(topics.data(), topics.size());
  census_.set_queues(topics.data(), topics.size());
}

/* From one that has ended in the middle of anything. */
void Housekeeper::take_over() {
  expiry_walk_.reset();
  stage_->d().request_reload(stage_->database());
}

void Housekeeper::reload() {
  Dispatcher& d = stage_->d();
  if (!d.take_reload(stage_->database())) return;
  d.forget_waiting(stage_->database());
  loader_.reset();
  stage_->raise_epoch();
  d.raise_job_ids(stage_->database(), stage_->next_job_id());
  census_.reset();
  d.reload_begun(stage_->database());
}

bool Housekeeper::step() {
  Dispatcher& d = stage_->d();
  read_catalog();
  reload();
  d.check_members(stage_->database(), 500 * kMillisecond);
  bool more = sweeper_.step();
  expiry_walk_.step();
  key_blocks_.step();
  more = loader_.step(kBudget) || more;
  more = census_.step(kBudget) || more;
  (void)d.wake_idle(stage_->database());
  d.drop_idle_keys(stage_->database());
  (void)announcer_.look();
  announcer_.told();
  (void)sweeper_.next_deadline();
  (void)sweeper_.next_due();
  (void)loader_.next_wake();
  (void)loader_.has_pages(0, true);
  Straggler oldest{};
  (void)d.residents_of(stage_->database(), 0, 100, &oldest);
  return more;
}

/* Everybody who sleeps gets up at the end. */
void Housekeeper::run() {
  while (stage_->go_on()) {
    stage_->platform().advance(static_cast<Micros>(draw(2 * kMillisecond)));
    step();
    std::this_thread::yield();
  }
  stage_->platform().stop_all_sleep();
}

/* --- who changes things ----------------------------------------------------------------------- */

void Operator::run() {
  while (stage_->go_on()) {
    act();
    std::this_thread::yield();
  }
}

void Operator::change_options() {
  const auto place = static_cast<std::size_t>(draw(kKinds));
  const QueueId id = stage_->queue_at(place);
  if (id == 0) return;
  QueueOptions options = Stage::options_of(static_cast<Kind>(place));
  options.paused = chance(30);
  options.lease = static_cast<Micros>(50 + draw(300)) * kMillisecond;
  if (chance(30)) options.buckets = static_cast<std::int32_t>(1 + draw(64));
  stage_->d().set_queue_options(stage_->database(), id, options);
}

void Operator::change_members() {
  const int number = static_cast<int>(draw(Stage::kMembers));
  const std::uint64_t what = draw(10);
  if (what < 5)
    stage_->register_member(number);
  else if (what < 8)
    stage_->drain_member(number);
  else
    stage_->remove_member(number);
}

void Operator::act() {
  Dispatcher& d = stage_->d();
  const Index database = stage_->database();
  const std::uint64_t what = draw(100);
  if (what < 20) {
    change_options();
  } else if (what < 50) {
    change_members();
  } else if (what < 70) {
    stage_->set_any_limits(static_cast<std::size_t>(draw(kKinds)));
  } else if (what < 80) {
    const QueueId fair = stage_->queue_at(static_cast<std::size_t>(Kind::fair));
    const auto hash = static_cast<std::uint32_t>(1 + draw(20));
    (void)d.set_key_weight(database, fair, hash, hash * 2 + 1,
                           static_cast<std::uint32_t>(1 + draw(4)));
  } else if (what < 90) {
    const auto place = static_cast<std::size_t>(Kind::comes_and_goes);
    if (stage_->queue_at(place) != 0)
      stage_->drop_queue(place);
    else
      stage_->add_queue(place);
  } else if (what < 93) {
    stage_->raise_epoch();
  } else if (what < 94) {
    d.request_reload(database);
  } else if (what < 97) {
    d.mark_dirty(database, stage_->any_queue(), 0, static_cast<std::uint32_t>(draw(100)));
  } else {
    d.note_catalog_stale(Stage::kOid);
    d.note_redrives_changed(Stage::kOid);
    (void)d.take_redrives_changed(database);
  }
}

/* --- who looks -------------------------------------------------------------------------------- */

void Reader::run() {
  while (stage_->go_on()) {
    const std::uint64_t what = draw(3);
    if (what == 0)
      look_at_queue();
    else if (what == 1)
      look_at_jobs();
    else
      look_at_workers();
    std::this_thread::yield();
  }
}

void Reader::look_at_queue() {
  Dispatcher& d = stage_->d();
  const QueueId id = stage_->any_queue();
  const Index index = id == 0 ? kNone : d.find_queue(stage_->database(), id);
  if (index == kNone) return;
  QueueFigures figures{};
  d.queue_figures(index, &figures);
  QueueWaits waits{};
  (void)d.queue_waits(index, id, &waits);
  QueueLimitFigures limits{};
  (void)d.see_limits(index, id, &limits);
  std::int64_t unfinished = 0;
  (void)d.length_of(index, &unfinished);
  LeaseRow rows[8];
  (void)d.see_leases(index, id, rows, 8);
  KeyLook look{};
  look.key_hash = static_cast<std::uint32_t>(1 + draw(20));
  look.key_check = look.key_hash * 2 + 1;
  while (d.look_at_key(index, id, &look)) {
  }
  char name[kWorkerNameSize];
  (void)d.owner_of_bucket(index, id, look.key_hash, name);
  (void)d.calls_for_work(d.queue_ref(index));
}

void Reader::look_at_jobs() {
  Dispatcher& d = stage_->d();
  const QueueId id = stage_->any_queue();
  const Index index = id == 0 ? kNone : d.find_queue(stage_->database(), id);
  if (index == kNone) return;
  const QueueRef ref = d.queue_ref(index);
  std::vector<ListedJob> listed(kEntriesPerHold);
  std::vector<KeyedJob> keyed(kEntriesPerHold);
  ListWish wish{};
  wish.leased = true;
  Index position = 0;
  const std::uint32_t n = d.list_jobs(ref, wish, &position, listed.data());
  for (std::uint32_t i = 0; i < n; i++) {
    const JobId job = listed[i].id;
    if (stage_->books.has_room_for(job) && stage_->books.queue_of(job) != id &&
        stage_->books.queue_of(job) != 0)
      stage_->books.broke("a job of another queue was listed");
    if (!chance(10)) continue;
    ResidentRow row{};
    (void)d.see_job(stage_->database(), 0, job, &row);
    unsigned char text[kMostProgressBytes];
    (void)d.see_progress(row.holder, row.token, text);
    (void)d.queue_of(stage_->database(), job, row.token);
    (void)d.is_resident(ref, job);
  }
  position = 0;
  (void)d.list_keys(ref, &position, keyed.data());
  std::uint64_t given_up = 0;
  (void)d.keeps_all(ref, &given_up);
}

void Reader::look_at_workers() {
  Dispatcher& d = stage_->d();
  const Index queue =
      d.find_queue(stage_->database(), stage_->queue_at(static_cast<std::size_t>(Kind::owned)));
  for (Index i = 0; i < Stage::kMembers; i++) {
    MemberFigures figures{};
    if (!d.see_member(i, stage_->database(), &figures)) continue;
    std::uint16_t buckets[kMostBuckets];
    if (queue != kNone) (void)d.owned_buckets(queue, figures.queues[0], figures.ref, buckets);
  }
  (void)d.segment_of(stage_->database(), static_cast<JobId>(draw(1000)));
  (void)d.end_of_followers(stage_->database());
}

}  // namespace dw::test
