#include "arena_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <vector>

namespace dw::test {

using namespace dw::core;

namespace {

class Check {
 public:
  explicit Check(const Arena& arena)
      : arena_(arena),
        in_hash_(arena.capacity),
        is_free_(arena.capacity),
        in_tree_(arena.capacity),
        on_worker_(arena.capacity) {}

  std::string run() {
    walk_free_list();
    walk_hash();
    for (Index i = 0; i < kMostQueues; i++) {
      if (arena_.queues[i].state == QueueState::free)
        check_free_queue(i);
      else
        check_queue(i);
    }
    walk_workers();
    check_bucket_groups();
    check_owner_tables();
    check_requests();
    check_limited_keys();
    check_weighted_keys();
    check_wait_links();
    check_entries();
    check_groups();
    check_room();
    return faults_;
  }

 private:
  template <typename... Args>
  void fault(fmt::format_string<Args...> pattern, Args&&... args) {
    if (faults_.size() < 2000) faults_ += fmt::format(pattern, std::forward<Args>(args)...) + "\n";
  }
  [[nodiscard]] Index index_of(const Entry& e) const {
    return static_cast<Index>(&e - arena_.entries);
  }

  void walk_free_list() {
    std::uint32_t count = 0;
    for (Index i = arena_.first_free; i != kNone; i = arena_.entries[i].next_in_stripe) {
      if (i >= arena_.capacity || is_free_[i] != 0)
        return fault("the free list is damaged at {}", i);
      is_free_[i] = 1;
      count++;
      if (arena_.entries[i].state != EntryState::free)
        fault("entry {} on the free list is not free", i);
    }
    if (count != arena_.free_count)
      fault("{} entries are free, {} are counted", count, arena_.free_count);
  }

  void walk_hash() {
    for (std::uint32_t b = 0; b <= arena_.bucket_mask; b++) {
      for (Index i = arena_.buckets[b]; i != kNone; i = arena_.entries[i].next_in_stripe) {
        if (i >= arena_.capacity || in_hash_[i] != 0)
          return fault("hash chain {} is damaged at {}", b, i);
        in_hash_[i] = 1;
      }
    }
  }

  template <typename Order>
  std::uint32_t walk_tree(Index queue, const OrderedTree<Entry, Order>& tree, const char* name) {
    std::uint32_t count = 0;
    const Entry* before = nullptr;
    for (const Entry& e : tree) {
      if (before != nullptr && Order{}(e, *before))
        fault("queue {}: {} is out of order", queue, name);
      if (in_tree_[index_of(e)]++ != 0) fault("entry {} is in two trees", index_of(e));
      if (e.queue != queue)
        fault("entry {} of queue {} is in the {} of queue {}", index_of(e), e.queue, name, queue);
      before = &e;
      count++;
    }
    return count;
  }

  void check_queue(Index i) {
    const Queue& q = arena_.queues[i];
    std::uint32_t ready = walk_tree(i, q.ready, "ready");
    for (const Group& group : q.groups) ready += walk_tree(i, group.jobs, "group");
    const std::uint32_t delayed = walk_tree(i, q.delayed, "delayed");
    const std::uint32_t leased = walk_tree(i, q.leased, "leased");
    check_gates(i);
    if (ready != q.ready_count) fault("queue {}: {} ready, {} counted", i, ready, q.ready_count);
    if (delayed != q.delayed_count)
      fault("queue {}: {} delayed, {} counted", i, delayed, q.delayed_count);
    if (leased != q.leased_count)
      fault("queue {}: {} leased, {} counted", i, leased, q.leased_count);
    const auto retrying = std::count_if(q.delayed.begin(), q.delayed.end(), [](const Entry& e) {
      return e.attempts > 0 && e.waits_for_key == 0;
    });
    if (retrying != q.retrying)
      fault("queue {}: {} delayed after an attempt, {} counted", i, retrying, q.retrying);
    const auto key_waits = std::count_if(q.delayed.begin(), q.delayed.end(),
                                         [](const Entry& e) { return e.waits_for_key != 0; });
    if (key_waits != q.key_waits)
      fault("queue {}: {} wait for their keys, {} counted", i, key_waits, q.key_waits);
    for (const Entry& e : q.ready)
      if (e.state != EntryState::ready)
        fault("entry {} is in ready with another state", index_of(e));
    for (const Entry& e : q.delayed)
      if (e.state != EntryState::delayed)
        fault("entry {} is in delayed with another state", index_of(e));
    for (const Entry& e : q.leased) {
      const bool overdue = e.state == EntryState::overdue || e.state == EntryState::expiring;
      if (e.worker == kNone && !overdue)
        fault("entry {} is in leased without a worker", index_of(e));
      if (e.state == EntryState::overdue && e.lapsed == Lapse::none)
        fault("entry {} is overdue without a reason", index_of(e));
    }
    check_priorities(i);
    const std::uint32_t waiters = check_waiters(i);
    if (waiters != q.waiter_count)
      fault("queue {}: {} waiters, {} counted", i, waiters, q.waiter_count);
    check_owed(i);
  }

  std::uint32_t check_waiters(Index i) {
    const Queue& q = arena_.queues[i];
    std::uint32_t waiters = walk_waiters(i, q.waiters, [](OwnerNumber m) { return m == kNoOwner; });
    if (q.owners == kNone) return waiters;
    const OwnerTable& table = arena_.owner_tables[q.owners];
    std::vector<std::uint64_t> waited_for(kMostMembers / 64);
    for (std::uint32_t c = 0; c < kWaitClasses; c++) {
      waiters += walk_waiters(i, table.waiters[c], [c, &waited_for](OwnerNumber m) {
        if (m >= kMostMembers || wait_class(m) != c) return false;
        waited_for[m / 64U] |= std::uint64_t{1} << m % 64U;
        return true;
      });
    }
    if (!std::equal(waited_for.begin(), waited_for.end(), table.waited_for))
      fault("queue {}: for which members somebody waits is wrong", i);
    return waiters;
  }

  template <class Belongs>
  std::uint32_t walk_waiters(Index i, const WaitList& list, Belongs belongs) {
    std::uint32_t waiters = 0;
    Index before = kNone;
    for (Index link = list.first;
         link != kNone && waiters <= arena_.waiter_capacity * kMostWaitedQueues;) {
      const Waiter& waiter = arena_.waiters[link / kMostWaitedQueues];
      const WaitLink& at = waiter.links[link % kMostWaitedQueues];
      if (at.queue != i || at.previous != before || !belongs(waiter.member.load()))
        fault("queue {}: wait list is damaged at {}", i, link);
      if (before != kNone && arena_.waiters[before / kMostWaitedQueues].place >= waiter.place)
        fault("queue {}: waiters are not in their order at {}", i, link);
      before = link;
      link = at.next;
      waiters++;
    }
    if (list.last != before) fault("queue {}: wait list ends elsewhere", i);
    return waiters;
  }

  /* Who was woken for the queue and has not asked: in all, and of each member. */
  void check_owed(Index i) {
    const Queue& q = arena_.queues[i];
    std::vector<std::uint32_t> of_member(kMostMembers);
    std::uint32_t owed = 0;
    for (Index w = 0; w < arena_.waiter_capacity; w++) {
      const Waiter& waiter = arena_.waiters[w];
      if (waiter.woken_by.load() != wake_word(i, q.incarnation)) continue;
      owed++;
      if (waiter.member.load() != kNoOwner) of_member[waiter.member.load()]++;
    }
    if (owed != q.owed) fault("queue {}: {} waiters owe a claim, {} counted", i, owed, q.owed);
    for (std::uint32_t m = 0; q.owners != kNone && m < kMostMembers; m++) {
      if (of_member[m] != arena_.owner_tables[q.owners].owed[m])
        fault("queue {}: {} waiters of member {} owe a claim, {} counted", i, of_member[m], m,
              arena_.owner_tables[q.owners].owed[m]);
    }
  }

  /* Of each key one entry has the turn, and the others hang behind it. */
  void check_gates(Index i) {
    const Queue& q = arena_.queues[i];
    const std::uint32_t gated = walk_tree(i, q.gated, "gated");
    const std::uint32_t held = walk_tree(i, q.held, "held");
    if (gated != q.gated_count) fault("queue {}: {} gated, {} counted", i, gated, q.gated_count);
    if (held != q.held_count) fault("queue {}: {} held, {} counted", i, held, q.held_count);
    if (q.turns_passed != 0) fault("queue {}: nobody was woken for a passed turn", i);
    for (const Entry& e : q.gated) {
      if (static_cast<Gate>(e.gate) != Gate::waits_for_turn)
        fault("entry {} is in gated and does not know", index_of(e));
    }
    for (const Entry& e : q.held) {
      if (static_cast<Gate>(e.gate) != Gate::waits_for_loader)
        fault("entry {} is in held and does not know", index_of(e));
      if (e.id < q.frontier) fault("entry {} is held before the frontier", index_of(e));
    }
    using Key = std::pair<std::uint32_t, std::uint32_t>;
    std::map<Key, const Entry*> turns;
    std::uint32_t blocked = 0;
    std::uint32_t ending = 0;
    for (Index k = 0; k < arena_.capacity; k++) {
      const Entry& e = arena_.entries[k];
      if (e.state == EntryState::free || e.state == EntryState::tombstone || e.queue != i) continue;
      if (e.state == EntryState::blocked) {
        blocked++;
        ending += e.at != 0 ? 1 : 0;
        if (e.has_turn == 0) fault("entry {} is blocked and has no turn", k);
      }
      if (e.state == EntryState::gated && e.gate == 0) fault("entry {} is gated nowhere", k);
      if (e.has_turn != 0 && e.gate != 0) fault("entry {} has its turn and waits for it", k);
      const bool may_run = e.state == EntryState::ready || e.state == EntryState::delayed ||
                           e.state == EntryState::leased;
      if (q.options.ordered && e.key_check != 0 && may_run && e.has_turn == 0)
        fault("entry {} runs without its turn", k);
      if (e.has_turn != 0 && !turns.emplace(Key{e.key_hash, e.key_check}, &e).second)
        fault("entry {} has the turn of a key that another has", k);
    }
    if (blocked != q.blocked_count || ending != q.ending_count)
      fault("queue {}: {} blocked keys, {} ending; counted {}, {}", i, blocked, ending,
            q.blocked_count, q.ending_count);
    for (const Entry& e : q.gated) {
      const auto turn = turns.find(Key{e.key_hash, e.key_check});
      const bool may_wait =
          q.options.ordered ? e.id >= q.frontier || waits_in_held(q, e) : has_no_place(i, e);
      if (turn == turns.end() && !may_wait) fault("entry {} waits behind nobody", index_of(e));
    }
  }
  /* As many of its key are in flight as may be, or it is not known yet. */
  bool has_no_place(Index i, const Entry& e) const {
    const Queue& q = arena_.queues[i];
    if (q.keys_limited == 0) return false;
    if (q.limits.key_max_in_flight == 0) return true;
    if (q.counts_keys == 0) return false;
    if (q.counted_places != q.in_flight) return true;
    std::uint32_t held = 0;
    for (const Entry& other : q.leased)
      held +=
          other.holds_place != 0 && other.key_hash == e.key_hash && other.key_check == e.key_check
              ? 1
              : 0;
    return held >= q.limits.key_max_in_flight;
  }
  static bool waits_in_held(const Queue& q, const Entry& e) {
    return std::any_of(q.held.begin(), q.held.end(), [&e](const Entry& other) {
      return other.key_hash == e.key_hash && other.key_check == e.key_check && other.id < e.id;
    });
  }

  void check_priorities(Index i) {
    const Queue& q = arena_.queues[i];
    std::uint32_t count[kLowestPriority + 1] = {};
    for (const Entry& e : q.ready) count[e.priority]++;
    for (const Group& group : q.groups)
      for (const Entry& e : group.jobs) count[e.priority]++;
    for (std::uint8_t p = 0; p <= kLowestPriority; p++) {
      if (count[p] != q.ready_of_priority[p])
        fault("queue {}: {} ready of priority {}, {} counted", i, count[p], p,
              q.ready_of_priority[p]);
    }
  }

  /* Each group hangs in its queue, not behind its place, and holds jobs of its owner's buckets, but
   * for those that are still to be moved. */
  void check_queue_groups(Index i, std::vector<char>* seen) {
    const Queue& q = arena_.queues[i];
    const Group* before = nullptr;
    std::uint32_t stale_groups = 0;
    for (const Group& group : q.groups) {
      const auto index = static_cast<std::size_t>(&group - arena_.groups);
      if (index >= arena_.used_groups.load() || (*seen)[index]++ != 0)
        return fault("queue {}: group {} is not its own", i, index);
      if (group.queue != i) fault("group {} of queue {} hangs in queue {}", index, group.queue, i);
      if (group.jobs.empty()) return fault("group {} is empty", index);
      if (before != nullptr && GroupOrder{}(group, *before))
        fault("queue {}: groups are out of order", i);
      before = &group;
      if (ReadyPlace::of(group.first()).is_before(group.listed))
        fault("group {} hangs behind its place", index);
      const bool stale = group.owner == kStaleGroup;
      if (stale) stale_groups++;
      const OwnerTable& table = arena_.owner_tables[q.owners];
      const std::uint32_t place = group.owner == kNoOwner ? kMostMembers : group.owner;
      if (!stale && table.group[place] != index + 1)
        fault("group {} is not that of owner {}", index, group.owner);
      const bool loses = !stale && (table.loses[place / 64] >> (place % 64) & 1) != 0;
      for (const Entry& e : group.jobs) {
        if (e.next_of_worker != index) fault("entry {} lies in another group", index_of(e));
        const auto bucket = e.key_hash % static_cast<std::uint32_t>(q.options.buckets);
        if (!stale && !loses && table.owner[bucket] != group.owner)
          fault("entry {} is not of owner {}", index_of(e), group.owner);
      }
    }
    if (q.owners != kNone) {
      const std::uint32_t counted = arena_.owner_tables[q.owners].stale_groups;
      if (counted != stale_groups)
        fault("queue {}: {} groups are stale, {} counted", i, stale_groups, counted);
      if (stale_groups != 0 && stale_groups != std::distance(q.groups.begin(), q.groups.end()))
        fault("queue {}: only some groups are stale", i);
      if (stale_groups != 0 && arena_.owner_tables[q.owners].all_counted != 0)
        fault("queue {}: all is counted, and groups are stale", i);
    }
    for (const Entry& e : q.ready)
      if (e.next_of_worker != kNone) fault("entry {} on the shelf names a group", index_of(e));
  }

  void check_bucket_groups() {
    std::vector<char> seen(arena_.used_groups.load());
    for (Index i = 0; i < kMostQueues; i++) {
      check_queue_groups(i, &seen);
    }
    for (auto i = static_cast<Index>(arena_.free_groups.load()); i != 0;
         i = arena_.groups[i - 1].next_free.load()) {
      if (i > seen.size() || seen[i - 1]++ != 0) return fault("free groups are damaged at {}", i);
      if (arena_.groups[i - 1].queue != kNone) fault("a group that is free has a queue");
    }
    for (std::size_t i = 0; i < seen.size(); i++)
      if (seen[i] == 0) fault("group {} is lost", i);
  }

  /* Counts of what is ready, of everything once all is counted. */
  void check_owner_table(const OwnerTable& table) {
    const Queue& q = arena_.queues[table.queue - 1];
    if (table.all_counted == 0) return;
    std::vector<std::uint32_t> ready(kMostBuckets);
    std::vector<std::uint32_t> owned(kMostMembers);
    std::uint32_t unowned = 0;
    const auto count = [&](const Entry& e) {
      const auto bucket = e.key_hash % static_cast<std::uint32_t>(q.options.buckets);
      ready[bucket]++;
      const OwnerNumber owner = table.owner[bucket];
      (owner == kNoOwner ? unowned : owned[owner])++;
    };
    for (const Entry& e : q.ready) count(e);
    for (const Group& group : q.groups) {
      if (group.owner == kStaleGroup) continue;
      for (const Entry& e : group.jobs) count(e);
    }
    for (std::uint32_t b = 0; b < kMostBuckets; b++) {
      if (ready[b] != table.ready[b])
        fault("queue {}: {} ready in bucket {}, {} counted", table.queue - 1, ready[b], b,
              table.ready[b]);
    }
    for (std::uint32_t m = 0; m < kMostMembers; m++) {
      if (owned[m] != table.owned[m])
        fault("queue {}: {} ready for member {}, {} counted", table.queue - 1, owned[m], m,
              table.owned[m]);
    }
    if (unowned != table.unowned)
      fault("queue {}: {} ready for nobody, {} counted", table.queue - 1, unowned, table.unowned);
  }

  void check_owner_tables() {
    for (Index t = 0; t < arena_.owner_table_capacity; t++) {
      const OwnerTable& table = arena_.owner_tables[t];
      if (table.queue == 0) continue;
      if (arena_.queues[table.queue - 1].owners != t)
        return fault("owner table {} is not that of its queue", t);
      check_owner_table(table);
    }
  }

  /* Each queue counts its keys that have a weight; each key has one record, and what is not in use
   * is free. */
  void check_weighted_keys() {
    using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;
    std::set<Key> keys;
    std::vector<std::uint32_t> of_queue(kMostQueues + 1);
    for (const Index head : arena_.weighted_key_buckets) {
      for (Index k = head; k != kNone; k = arena_.weighted_keys[k].next_in_chain) {
        const WeightedKey& key = arena_.weighted_keys[k];
        of_queue[key.queue]++;
        if (!keys.emplace(key.queue, key.key_hash, key.key_check).second)
          return fault("a key of queue {} has two weights", key.queue - 1);
        if (key.weight < 2 || key.weight > kMostWeight)
          fault("a key of queue {} has the weight {}", key.queue - 1, key.weight);
      }
    }
    for (Index i = 0; i < kMostQueues; i++) {
      if (arena_.queues[i].weighted_keys != of_queue[i + 1])
        fault("queue {} has {} keys with a weight, not {}", i, of_queue[i + 1],
              arena_.queues[i].weighted_keys);
    }
    if (arena_.weighted_key_count.load() != keys.size() || of_queue[0] != 0)
      fault("{} keys have a weight, not {}", keys.size(), arena_.weighted_key_count.load());
    std::size_t free = 0;
    for (Index k = arena_.first_free_weighted_key; k != kNone && free <= kMostWeightedKeys;
         k = arena_.weighted_keys[k].next_in_chain) {
      if (arena_.weighted_keys[k].queue != 0) return fault("a weight is free and in use");
      free++;
    }
    if (free + keys.size() != arena_.used_weighted_keys)
      fault("{} weights are free and {} in use, of {}", free, keys.size(),
            arena_.used_weighted_keys);
  }

  /* Who hangs on a queue is on one of its lists. */
  void check_wait_links() {
    std::vector<std::uint32_t> linked(kMostQueues);
    for (Index w = 0; w < arena_.waiter_capacity; w++) {
      for (const WaitLink& link : arena_.waiters[w].links)
        if (link.queue.load() != kNone) linked[link.queue.load()]++;
    }
    for (Index i = 0; i < kMostQueues; i++) {
      if (linked[i] != arena_.queues[i].waiter_count)
        fault("queue {}: {} waiters hang on it, {} are on its lists", i, linked[i],
              arena_.queues[i].waiter_count.get());
    }
  }

  /* A record is that of one key of its queue, found by its hash, and says something; it counts the
   * leases of its key. */
  void check_limited_keys() {
    using Key = std::pair<Index, std::pair<std::uint32_t, std::uint32_t>>;
    std::map<Key, std::uint32_t> held;
    std::vector<std::uint32_t> counted(kMostQueues);
    for (Index k = 0; k < arena_.capacity; k++) {
      const Entry& e = arena_.entries[k];
      if (e.state == EntryState::free || e.counted_for_key == 0) continue;
      if (e.holds_place == 0) fault("entry {} counts for its key without a place", k);
      counted[e.queue]++;
      if (e.key_check != 0) held[{e.queue, {e.key_hash, e.key_check}}]++;
    }
    std::vector<char> seen(arena_.limited_key_capacity);
    for (Index i = 0; i < kMostQueues; i++) {
      const Queue& q = arena_.queues[i];
      if (q.counted_places != counted[i])
        fault("queue {}: {} leases count for keys, {} counted", i, counted[i], q.counted_places);
      Index before = kNone;
      for (Index k = q.oldest_key; k != kNone; k = arena_.limited_keys[k].newer) {
        const LimitedKey& key = arena_.limited_keys[k];
        if (seen[k]++ != 0) return fault("record {} of a key is in two lists", k);
        if (key.queue != i + 1 || key.older != before)
          fault("queue {}: its records of keys are damaged at {}", i, k);
        before = k;
        const auto found = held.find({i, {key.key_hash, key.key_check}});
        const std::uint32_t in_flight = found != held.end() ? found->second : 0;
        if (in_flight != key.in_flight)
          fault("queue {}: {} of a key in flight, {} counted", i, in_flight, key.in_flight);
        if (found != held.end()) held.erase(found);
        if (key.in_flight == 0 && q.limits.key_rate.jobs == 0)
          fault("record {} of a key says nothing", k);
      }
      if (q.newest_key != before) fault("queue {}: its records of keys end elsewhere", i);
    }
    for (const auto& [key, count] : held)
      fault("queue {}: {} leases of a key have no record", key.first, count);
    std::uint32_t chained = 0;
    for (std::uint32_t b = 0; b <= arena_.limited_key_mask; b++) {
      for (Index k = arena_.limited_key_buckets[b]; k != kNone;
           k = arena_.limited_keys[k].next_in_chain) {
        if (seen[k] == 0) return fault("record {} of a key is in no list", k);
        chained++;
      }
    }
    const auto listed = std::count(seen.begin(), seen.end(), 1);
    if (listed != chained) fault("{} records of keys, {} are found by hash", listed, chained);
    std::uint32_t unused = arena_.limited_key_capacity - arena_.used_keys;
    for (Index k = arena_.first_free_key; k != kNone; k = arena_.limited_keys[k].next_in_chain) {
      if (arena_.limited_keys[k].queue != 0 || seen[k]++ != 0)
        return fault("free records of keys are damaged at {}", k);
      unused++;
    }
    if (unused + chained != arena_.limited_key_capacity)
      fault("{} records of keys of {} are left", unused + chained, arena_.limited_key_capacity);
  }

  void check_free_queue(Index i) {
    const Queue& q = arena_.queues[i];
    if (!q.ready.empty() || !q.delayed.empty() || !q.leased.empty() || q.resident != 0 ||
        q.ready_count != 0 || q.delayed_count != 0 || q.leased_count != 0)
      fault("free queue slot {} has entries", i);
    if (q.owners != kNone || !q.groups.empty()) fault("free queue slot {} has owners", i);
    if (q.waiters.first != kNone || q.waiter_count != 0) fault("free queue slot {} has waiters", i);
    if (q.owed != 0) fault("free queue slot {} is owed claims", i);
    if (!q.dirty.empty()) fault("free queue slot {} has dirty pages", i);
    if (q.weighted_keys != 0) fault("free queue slot {} has keys with a weight", i);
    if (q.oldest_key != kNone || q.counted_places != 0 || q.key_waits != 0)
      fault("free queue slot {} has limited keys", i);
    if (q.in_flight != 0) fault("free queue slot {} has {} jobs in flight", i, q.in_flight);
    for (const GroupMember& member : q.member)
      if (member.group != kNone) fault("free queue slot {} is in a limit group", i);
  }

  void walk_workers() {
    for (Index w = 0; w < kMostWorkers; w++) {
      const Worker& worker = arena_.workers[w];
      std::uint32_t count = 0;
      Index before = kNone;
      for (Index i = worker.first_lease; i != kNone; i = arena_.entries[i].next_of_worker) {
        if (i >= arena_.capacity || on_worker_[i] != 0)
          return fault("lease list of worker {} is damaged", w);
        on_worker_[i] = 1;
        if (arena_.entries[i].worker != w)
          fault("entry {} hangs on worker {} but names another", i, w);
        if (arena_.entries[i].previous_of_worker != before)
          fault("lease list of worker {} is not linked back", w);
        before = i;
        count++;
      }
      if (count != worker.lease_count)
        fault("worker {}: {} leases, {} counted", w, count, worker.lease_count);
    }
  }

  void check_entries() {
    std::vector<std::uint32_t> residents(kMostQueues);
    std::vector<std::uint32_t> pending_later(kMostQueues);
    std::vector<std::uint32_t> deciding(kMostQueues);
    std::vector<std::uint32_t> cancelled(kMostQueues);
    std::vector<std::int64_t> leaving(kMostQueues);
    std::vector<std::uint32_t> in_flight(kMostQueues);
    for (Index i = 0; i < arena_.capacity; i++) {
      const Entry& e = arena_.entries[i];
      const bool is_free = e.state == EntryState::free;
      if (is_free != (is_free_[i] != 0))
        fault("entry {} is lost: free {}, on the free list {}", i, is_free, is_free_[i]);
      if (is_free == (in_hash_[i] != 0))
        fault("entry {}: free {}, in the hash {}", i, is_free, in_hash_[i]);
      const bool in_some_tree =
          !is_free &&
          (e.worker != kNone || e.state == EntryState::ready || e.state == EntryState::delayed ||
           e.state == EntryState::overdue || e.state == EntryState::expiring || e.gate != 0);
      if (in_some_tree != (in_tree_[i] != 0))
        fault("entry {} of state {} is in {} trees", i, static_cast<int>(e.state), in_tree_[i]);
      if (!is_free && (e.worker != kNone) != (on_worker_[i] != 0))
        fault("entry {} is not on its worker's list", i);
      const bool needs_worker = e.state == EntryState::leased || e.state == EntryState::cancelled;
      if (!is_free && needs_worker && e.worker == kNone)
        fault("entry {} of state {} has no worker", i, static_cast<int>(e.state));
      if (!is_free) residents[e.queue]++;
      if (e.state == EntryState::pending && e.later != 0) pending_later[e.queue]++;
      if (is_free) continue;
      if (e.state != EntryState::completing && (e.deciding != 0 || e.leaving != 0))
        fault("entry {} of state {} is marked as being decided", i, static_cast<int>(e.state));
      deciding[e.queue] += e.deciding;
      leaving[e.queue] += e.leaving;
      cancelled[e.queue] += e.state == EntryState::cancelled ? 1 : 0;
      /* Every lease holds a place, but a cancelled one whose holder has been told. */
      const bool may_hold = e.worker != kNone;
      const bool must_hold = may_hold && e.state != EntryState::cancelled;
      if ((e.holds_place != 0 && !may_hold) || (e.holds_place == 0 && must_hold))
        fault("entry {} of state {} holds {} places", i, static_cast<int>(e.state), e.holds_place);
      in_flight[e.queue] += e.holds_place;
    }
    for (Index i = 0; i < kMostQueues; i++) {
      if (residents[i] != arena_.queues[i].resident)
        fault("queue {}: {} entries, {} counted resident", i, residents[i],
              arena_.queues[i].resident);
      const Queue& q = arena_.queues[i];
      if (q.state != QueueState::free &&
          (q.deciding != deciding[i] || q.cancelled != cancelled[i] ||
           q.length.leaving != leaving[i]))
        fault(
            "queue {}: {} being decided, {} leaving, {} cancelled under their holders; counted {}, "
            "{}, {}",
            i, deciding[i], leaving[i], cancelled[i], q.deciding, q.length.leaving, q.cancelled);
      if (q.in_flight != in_flight[i])
        fault("queue {}: {} in flight, {} counted", i, in_flight[i], q.in_flight);
      if (q.freed_places != 0) fault("queue {}: nobody has seen to the end of a lease", i);
      if (q.state != QueueState::free && q.length.reserved < 0)
        fault("queue {}: less than no room is reserved", i);
      if (arena_.queues[i].state != QueueState::free &&
          pending_later[i] != arena_.queues[i].pending_later)
        fault("queue {}: {} entries are pending and due later, {} are counted", i, pending_later[i],
              arena_.queues[i].pending_later);
    }
  }

  /* A group has the places of its members, and each member is on its list. */
  void check_groups() {
    std::uint32_t listed = 0;
    for (Index g = 0; g < kMostLimitGroups; g++) {
      const LimitGroup& group = arena_.limit_groups[g];
      if (group.database == kNone) continue;
      const auto kind = static_cast<std::size_t>(group.kind);
      std::uint32_t members = 0;
      std::uint32_t waiting = 0;
      std::uint32_t in_flight = 0;
      Index before = kNone;
      for (Index i = group.first_member; i != kNone && members <= kMostQueues;
           i = arena_.queues[i].member[kind].next) {
        const Queue& q = arena_.queues[i];
        if (q.member[kind].group != g || q.member[kind].previous != before)
          fault("limit group {}: its list is damaged at queue {}", g, i);
        if (q.grouped == 0 || q.limited == 0) fault("queue {} does not know of its group", i);
        before = i;
        members++;
        waiting += q.member[kind].waits;
        if (group.kind == LimitKind::concurrency) in_flight += q.in_flight;
      }
      listed += members;
      if (members == 0 || members != group.members || waiting != group.waiting)
        fault("limit group {}: {} members, {} waiting; counted {}, {}", g, members, waiting,
              group.members, group.waiting);
      if (in_flight != group.in_flight)
        fault("limit group {}: {} in flight, {} counted", g, in_flight, group.in_flight);
    }
    std::uint32_t named = 0;
    for (const Queue& q : arena_.queues)
      for (const GroupMember& member : q.member) named += member.group != kNone ? 1 : 0;
    if (named != listed) fault("{} queues are in limit groups, {} are listed", named, listed);
  }

  /* The requests of a worker are those that leases hang on it of, as many as they say; settled ones
   * without a lease are in the list of the finished. */
  void check_requests() {
    std::vector<char> seen(arena_.request_capacity);
    for (Index w = 0; w < kMostWorkers; w++) {
      Index before = kNone;
      for (Index i = arena_.workers[w].first_request.load(); i != kNone;
           i = arena_.requests[i].next) {
        const Request& request = arena_.requests[i];
        if (seen[i]++ != 0) return fault("request {} is in two lists", i);
        if (request.previous != before) fault("requests of worker {} are damaged at {}", w, i);
        std::uint32_t held = 0;
        for (Index e = arena_.workers[w].first_lease; e != kNone;
             e = arena_.entries[e].next_of_worker) {
          const Token token = arena_.entries[e].token;
          if (token >= request.first && token - request.first < request.count) held++;
        }
        if (held != request.held || held == 0)
          fault("request {}: {} leases, {} counted", i, held, request.held);
        before = i;
      }
    }
    Index before = kNone;
    for (Index i = arena_.first_finished_request; i != kNone; i = arena_.requests[i].next) {
      const Request& request = arena_.requests[i];
      if (seen[i]++ != 0) return fault("request {} is in two lists", i);
      if (request.previous != before) fault("finished requests are damaged at {}", i);
      if (request.held != 0 || request.count == 0 || request.process != kSettled)
        fault("request {} is not finished", i);
      before = i;
    }
    if (arena_.last_finished_request != before) fault("finished requests end elsewhere");
    count_requests(seen);
  }

  /* Each is in its hash chain or free; one in the chain and in no list is open. */
  void count_requests(const std::vector<char>& listed) {
    std::uint32_t count = 0;
    for (std::uint32_t b = 0; b <= arena_.request_mask; b++) {
      for (Index i = arena_.request_buckets[b]; i != kNone; i = arena_.requests[i].next_in_bucket) {
        const Request& request = arena_.requests[i];
        if ((request.key[0] & arena_.request_mask) != b)
          fault("request {} is in another's bucket", i);
        if (listed[i] == 0 && request.process == kSettled) fault("request {} is in no list", i);
        if (++count > arena_.request_capacity) return fault("a chain of requests is damaged");
      }
    }
    for (Index i = arena_.first_free_request; i != kNone; i = arena_.requests[i].next_in_bucket)
      if (++count > arena_.request_capacity) return fault("free requests are damaged");
    if (count != arena_.request_capacity)
      fault("{} requests of {} are left", count, arena_.request_capacity);
  }

  /* Half of the arena in equal shares, at least 16 each; what queues hold beyond theirs is
   * borrowed. */
  void check_room() {
    std::uint32_t queues = 0;
    for (const Queue& q : arena_.queues) queues += q.state != QueueState::free ? 1 : 0;
    if (queues != arena_.queue_count) fault("{} queues, {} counted", queues, arena_.queue_count);
    const std::uint32_t share =
        std::max(std::clamp(arena_.capacity / std::max(queues, 1U), 1U, 16U),
                 arena_.capacity / (2 * std::max(queues, 1U)));
    std::uint64_t borrowed = 0;
    for (const Queue& q : arena_.queues) borrowed += q.resident > share ? q.resident - share : 0;
    if (borrowed != arena_.borrowed)
      fault("{} entries are borrowed, {} are counted", borrowed, arena_.borrowed);
  }

  const Arena& arena_;
  std::vector<char> in_hash_;
  std::vector<char> is_free_;
  std::vector<char> in_tree_;
  std::vector<char> on_worker_;
  std::string faults_;
};

}  // namespace

std::string arena_faults(const Arena& arena) { return Check(arena).run(); }

}  // namespace dw::test
