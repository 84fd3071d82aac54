#include "stage.hpp"

#include "core/transaction.hpp"

#include <algorithm>
#include <cstring>

namespace dw::test {

namespace {

constexpr std::uint64_t kMostJobsForOperation = 2;

void set_name(char (&out)[kGroupNameSize], const char* name) {
  std::strncpy(out, name, kGroupNameSize - 1);
}

}  // namespace

Stage::Stage(std::uint32_t entries, std::uint64_t operations)
    : books(static_cast<JobId>(operations * kMostJobsForOperation + 10000)),
      books_size_(operations * kMostJobsForOperation),
      memory_(entries, ThreadedPlatform::kMostWaiters),
      dispatcher_(memory_.arena(), ThreadedPlatform::functions()),
      database_(dispatcher_.attach_database(kOid)),
      operations_(static_cast<std::int64_t>(operations)) {
  d().begin_log(database_);
  d().open_database(database_, kFirstEpoch);
  arena().databases[database_].announce_interval.store(kSecond);
  for (std::size_t place = 0; place < kKinds; place++) add_queue(place);
}

QueueOptions Stage::options_of(Kind kind) noexcept {
  QueueOptions options;
  options.lease = 200 * kMillisecond;
  options.backoff_base = 20 * kMillisecond;
  options.max_attempts = 5;
  options.buckets = 16;
  options.ordered = kind == Kind::ordered;
  options.fair = kind == Kind::fair;
  options.max_length = kind == Kind::bounded ? 50 : 0;
  options.drop_oldest = kind == Kind::bounded;
  options.max_runtime = kind == Kind::plain ? 10 * kSecond : 0;
  return options;
}

QueueId Stage::any_queue() noexcept { return queue_at(ThreadedPlatform::draw(kKinds)); }

bool Stage::is_there(QueueId id) const noexcept {
  return std::any_of(queues_.begin(), queues_.end(),
                     [id](const std::atomic<QueueId>& queue) { return queue.load() == id; });
}

void Stage::add_queue(std::size_t place) {
  const QueueId id = next_queue_.fetch_add(1);
  const std::string name = "queue " + std::to_string(id);
  d().add_queue(database_, id, name, options_of(static_cast<Kind>(place)), QueueState::creating,
                LoadMode::live);
  d().activate_queue(d().queue_ref(d().find_queue(database_, id)));
  queues_[place].store(id, std::memory_order_relaxed);
  version_.fetch_add(1);
  set_any_limits(place);
}

void Stage::drop_queue(std::size_t place) {
  const QueueId id = queues_[place].exchange(0);
  if (id == 0) return;
  d().remove_queue(d().queue_ref(d().find_queue(database_, id)));
  version_.fetch_add(1);
}

void Stage::set_any_limits(std::size_t place) {
  const auto kind = static_cast<Kind>(place);
  QueueLimits limits;
  const bool any = ThreadedPlatform::chance(80);
  const auto few = static_cast<std::uint32_t>(1 + ThreadedPlatform::draw(6));
  const Rate rate{few * 100, few, kSecond};
  if (any && kind == Kind::limited_keys) {
    limits.key_max_in_flight = ThreadedPlatform::chance(70) ? few : kUnlimited;
    if (ThreadedPlatform::chance(50)) limits.key_rate = rate;
  } else if (any && (kind == Kind::grouped || kind == Kind::grouped_too)) {
    limits.group_max_in_flight = few;
    set_name(limits.group[0], "together");
    if (ThreadedPlatform::chance(50)) {
      limits.group_rate = rate;
      set_name(limits.group[1], "at a rate");
    }
  } else if (any && kind == Kind::comes_and_goes) {
    limits.max_in_flight = few;
    limits.rate = rate;
  } else if (kind != Kind::limited_keys && kind != Kind::grouped && kind != Kind::grouped_too) {
    return;
  }
  const QueueId id = queue_at(place);
  if (id != 0) d().set_queue_limits(database_, id, limits);
}

/* As a session does: from the block that is open, or a block of its own. */
JobId Stage::next_job_id() {
  constexpr std::uint32_t kBlock = 16;
  for (;;) {
    const JobId id = d().take_job_id(database_, kSequence);
    if (id != 0) return id;
    const JobId first = sequence_.fetch_add(kBlock, std::memory_order_relaxed);
    if (d().open_job_ids(database_, kSequence, first, kBlock)) return first;
  }
}

void Stage::raise_epoch() { d().open_database(database_, epoch_.fetch_add(1) + 1); }

std::string Stage::member_name(int number) { return "member " + std::to_string(number); }

namespace {

MemberRow row_of_member(int number, std::int64_t instance, QueueId queue, Micros deadline) {
  MemberRow row{};
  row.instance = instance;
  row.drain_deadline = deadline;
  row.vnodes = 20;
  row.capacity = number % 2 == 0 ? 0 : 3;
  row.queue_count = 1;
  row.queues[0] = queue;
  const std::string name = Stage::member_name(number);
  std::strncpy(row.name, name.c_str(), kWorkerNameSize - 1);
  std::strncpy(row.utf8_name, name.c_str(), kUtf8NameSize - 1);
  return row;
}

}  // namespace

void Stage::register_member(int number) {
  std::int64_t& instance = instances_[static_cast<std::size_t>(number)];
  instance = next_instance_++;
  const QueueId queue = queue_at(static_cast<std::size_t>(Kind::owned));
  const Index index = d().find_queue(database_, queue);
  if (index == kNone || !d().make_owner_table(d().queue_ref(index))) return;
  d().add_member(database_, row_of_member(number, instance, queue, kNever));
}

void Stage::drain_member(int number) {
  const std::int64_t instance = instances_[static_cast<std::size_t>(number)];
  if (instance == 0) return;
  const QueueId queue = queue_at(static_cast<std::size_t>(Kind::owned));
  d().add_member(database_, row_of_member(number, instance, queue, platform().wall() + kSecond));
}

void Stage::remove_member(int number) {
  const std::int64_t instance = instances_[static_cast<std::size_t>(number)];
  if (instance != 0) d().remove_member(database_, member_name(number), instance);
}

}  // namespace dw::test
