/* Registered workers that come, go, die and come back, numbers of buckets that change, and claims
 * of jobs of own buckets. */
#include "world.hpp"

namespace dw::test {

namespace {

constexpr std::uint64_t kNames = 4;

void set_name(MemberRow& row, std::uint64_t number) {
  const std::string name = fmt::format("member {}", number);
  name.copy(row.name, sizeof(row.name) - 1);
  name.copy(row.utf8_name, sizeof(row.utf8_name) - 1);
}

}  // namespace

void World::register_member(std::uint64_t number) {
  MemberRow row{};
  set_name(row, number);
  row.instance = next_instance_++;
  row.drain_deadline = kNever;
  row.vnodes = static_cast<std::uint32_t>(1 + draw(20));
  for (const QueueId queue : committed_queues())
    if (chance(70)) row.queues[row.queue_count++] = queue;
  note("worker registered", "member {} for {} queues", number, row.queue_count);
  d().add_member(database_, row);
}

void World::resize_buckets() {
  const std::vector<QueueId> queues = committed_queues();
  if (queues.empty()) return;
  const QueueId queue = queues[draw_index(queues.size())];
  ModelQueue& row = queues_.at(queue);
  row.buckets = static_cast<std::int32_t>(1 + draw(40));
  note("buckets changed", "queue {} to {}", queue, row.buckets);
  d().set_queue_options(database_, queue, options_of(row));
}

/* One thing; others act between its holds of locks. */
void World::change_ring() {
  callback([this] { change_members(); });
}

void World::change_members() {
  MemberRow row{};
  const std::uint64_t number = draw(kNames);
  set_name(row, number);
  MemberFacts facts{};
  const MemberRef member = d().find_member(database_, row.name, &facts);
  const std::uint64_t what = draw(10);
  if (member.member == kNone || what < 2) {
    register_member(number);
  } else if (what < 3) {
    note("worker left", "member {}", number);
    d().remove_member(database_, row.name, facts.instance);
  } else if (what < 5) {
    note("worker drains", "member {}", number);
    row.instance = facts.instance;
    row.drain_deadline = platform().wall;
    d().add_member(database_, row);
  } else if (what < 7) {
    note("workers looked after");
    d().check_members(database_, chance(50) ? 1 : 10 * kSecond);
  } else if (what < 9) {
    d().note_seen(member);
  } else {
    resize_buckets();
  }
}

/* A member that may own buckets of the queue; kNone: there is none. */
MemberRef World::any_member(QueueId queue, std::string* name, std::int64_t* instance) {
  MemberRow row{};
  set_name(row, draw(kNames));
  MemberFacts facts{};
  const MemberRef member = d().find_member(database_, row.name, &facts);
  if (member.member == kNone || !d().serves(member, queue)) return MemberRef{kNone, 0};
  *name = row.name;
  *instance = facts.instance;
  return member;
}

/* What a claim of own jobs took was the member's, and was what came first of it. */
void World::check_owned(Index index, MemberRef member, const std::vector<ClaimedJob>& jobs,
                        std::uint32_t wanted) {
  const Queue& q = d().arena().queues[index];
  const auto owner = [&](const Entry& e) {
    const OwnerTable& table = d().arena().owner_tables[q.owners];
    return table.owner[e.key_hash % static_cast<std::uint32_t>(q.options.buckets)];
  };
  for (const ClaimedJob& job : jobs) {
    if (owner(d().arena().entries[job.ref.entry]) != member.member)
      throw Violation(fmt::format("job {} is not the member's", job.id));
  }
  if (q.options.paused || q.owners == kNone || !d().may_claim(member) || q.limited != 0) return;
  const auto check = [&](const Entry& e) {
    if (owner(e) != member.member) return;
    if (jobs.size() < wanted) throw Violation(fmt::format("own job {} was left behind", e.id));
    if (settings_.fair || q.limits.key_rate.jobs != 0) return;
    const ClaimedJob& last = jobs.back();
    if (e.priority < last.priority || (e.priority == last.priority && e.id < last.id))
      throw Violation(fmt::format("own job {} was passed over", e.id));
  };
  for (const Entry& e : q.ready) check(e);
  for (const Group& group : q.groups) {
    if (group.owner == kStaleGroup) continue;
    for (const Entry& e : group.jobs) check(e);
  }
}

}  // namespace dw::test
