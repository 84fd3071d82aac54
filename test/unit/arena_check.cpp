#include "arena_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
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
    check_requests();
    check_entries();
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

  template <typename Tree>
  std::uint32_t walk_tree(Index queue, const Tree& tree, const char* name) {
    std::uint32_t count = 0;
    const Entry* before = nullptr;
    for (const Entry& e : tree) {
      if (before != nullptr && tree.key_comp()(e, *before))
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
    const std::uint32_t ready = walk_tree(i, q.ready, "ready");
    const std::uint32_t delayed = walk_tree(i, q.delayed, "delayed");
    const std::uint32_t leased = walk_tree(i, q.leased, "leased");
    check_gates(i);
    if (ready != q.ready_count) fault("queue {}: {} ready, {} counted", i, ready, q.ready_count);
    if (delayed != q.delayed_count)
      fault("queue {}: {} delayed, {} counted", i, delayed, q.delayed_count);
    if (leased != q.leased_count)
      fault("queue {}: {} leased, {} counted", i, leased, q.leased_count);
    const auto retrying = std::count_if(q.delayed.begin(), q.delayed.end(),
                                        [](const Entry& e) { return e.attempts > 0; });
    if (retrying != q.retrying)
      fault("queue {}: {} delayed after an attempt, {} counted", i, retrying, q.retrying);
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
    std::uint32_t waiters = 0;
    Index before = kNone;
    for (Index link = q.first_waiter;
         link != kNone && waiters <= arena_.waiter_capacity * kMostWaitedQueues;) {
      const Waiter& waiter = arena_.waiters[link / kMostWaitedQueues];
      const WaitLink& at = waiter.links[link % kMostWaitedQueues];
      if (at.queue != i || at.previous != before)
        fault("queue {}: wait list is damaged at {}", i, link);
      if (before != kNone && arena_.waiters[before / kMostWaitedQueues].place >= waiter.place)
        fault("queue {}: waiters are not in their order at {}", i, link);
      before = link;
      link = at.next;
      waiters++;
    }
    if (q.last_waiter != before) fault("queue {}: wait list ends elsewhere", i);
    if (waiters != q.waiter_count)
      fault("queue {}: {} waiters, {} counted", i, waiters, q.waiter_count);
    std::uint32_t owed = 0;
    for (Index w = 0; w < arena_.waiter_capacity; w++)
      owed += arena_.waiters[w].woken_by.load() == wake_word(i, q.incarnation) ? 1 : 0;
    if (owed != q.owed) fault("queue {}: {} waiters owe a claim, {} counted", i, owed, q.owed);
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
      if (turn == turns.end() && e.id < q.frontier && !waits_in_held(q, e))
        fault("entry {} waits behind nobody", index_of(e));
    }
  }
  static bool waits_in_held(const Queue& q, const Entry& e) {
    return std::any_of(q.held.begin(), q.held.end(), [&e](const Entry& other) {
      return other.key_hash == e.key_hash && other.key_check == e.key_check && other.id < e.id;
    });
  }

  void check_free_queue(Index i) {
    const Queue& q = arena_.queues[i];
    if (!q.ready.empty() || !q.delayed.empty() || !q.leased.empty() || q.resident != 0 ||
        q.ready_count != 0 || q.delayed_count != 0 || q.leased_count != 0)
      fault("free queue slot {} has entries", i);
    if (q.first_waiter != kNone || q.waiter_count != 0) fault("free queue slot {} has waiters", i);
    if (q.owed != 0) fault("free queue slot {} is owed claims", i);
    if (!q.dirty.empty()) fault("free queue slot {} has dirty pages", i);
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
      if (q.state != QueueState::free && q.length.reserved < 0)
        fault("queue {}: less than no room is reserved", i);
      if (arena_.queues[i].state != QueueState::free &&
          pending_later[i] != arena_.queues[i].pending_later)
        fault("queue {}: {} entries are pending and due later, {} are counted", i, pending_later[i],
              arena_.queues[i].pending_later);
    }
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
