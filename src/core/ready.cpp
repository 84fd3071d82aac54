/*
 * The order of the jobs that are ready: (round, priority, id), the round being 0 but in a fair
 * queue, see gate.cpp. Everything here runs under the lock of the entry's queue, and nobody else
 * touches the trees.
 *
 * What becomes ready lies on the shelf, one tree for the queue. Claims of workers that want jobs of
 * their own buckets take others off it into groups, see ready_groups.cpp; without such claims there
 * are none. The next job is the first of the shelf or the first of the first group.
 */
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

#include <algorithm>

namespace dw::core {

namespace {

/* The first behind those of its round and priority. */
ReadyTree::const_iterator behind(const ReadyTree& tree, const Entry& e) noexcept {
  struct ByClass {
    bool operator()(const ReadyPlace& a, const Entry& b) const noexcept {
      return a.leased_at != b.leased_at ? a.leased_at < b.leased_at : a.priority < b.priority;
    }
  };
  return tree.upper_bound(ReadyPlace::of(e), ByClass{});
}

/* Visits the first of each round and priority; of a fair queue one or two rounds are there. */
template <typename Visit>
void for_each_first(const ReadyTree& tree, Visit visit) noexcept {
  for (auto first = tree.begin(); first != tree.end(); first = behind(tree, *first)) visit(first);
}

const Entry* oldest_of(const ReadyTree& tree, const Entry* oldest) noexcept {
  for_each_first(tree, [&oldest](ReadyTree::const_iterator first) {
    if (oldest == nullptr || first->id < oldest->id) oldest = &*first;
  });
  return oldest;
}

/* Mostly the first of its priority; a retried job in front of it became due later. */
Micros oldest_due_of(const ReadyTree& tree, int looks, Micros oldest) noexcept {
  for_each_first(tree, [&tree, looks, &oldest](ReadyTree::const_iterator first) {
    const std::uint8_t priority = first->priority;
    for (int i = 0; i < looks && first != tree.end() && first->priority == priority; i++, ++first)
      oldest = std::min(oldest, first->at);
  });
  return oldest;
}

std::uint32_t& count_of(Queue& q, const Entry& e) noexcept {
  return q.ready_of_priority[std::min(e.priority, kLowestPriority)];
}

}  // namespace

void Dispatcher::ready_add(Queue& q, Entry& e) noexcept {
  e.state = EntryState::ready;
  e.next_of_worker = kNone;
  if (q.owners == kNone || !join_group(q, e)) insert_near_end(q.ready, e);
  q.ready_count++;
  count_of(q, e)++;
  if (q.owners != kNone) count_ready(q, e, 1);
}

void Dispatcher::ready_remove(Queue& q, Entry& e) noexcept {
  if (q.owners != kNone) count_ready(q, e, -1);
  if (e.next_of_worker == kNone) {
    q.ready.remove(e);
  } else {
    leave_group(q, e);
  }
  q.ready_count--;
  count_of(q, e)--;
}

Entry* Dispatcher::ready_first(Queue& q) noexcept {
  if (q.groups.empty()) return &*q.ready.begin();
  Entry& grouped = first_group(q).first();
  const bool on_shelf = !q.ready.empty() && ReadyOrder{}(*q.ready.begin(), grouped);
  return on_shelf ? &*q.ready.begin() : &grouped;
}

Entry* Dispatcher::ready_oldest(Queue& q) noexcept {
  const Entry* oldest = oldest_of(q.ready, nullptr);
  for (const Group& group : q.groups) oldest = oldest_of(group.jobs, oldest);
  return const_cast<Entry*>(oldest);
}

/* The last of any group: the loader goes by the worst priority that there is (ready_worst), and
 * would try for ever to make room where this found a better one only. */
Entry* Dispatcher::ready_last_to_go(Queue& q) noexcept {
  Entry* last = last_to_go(q.ready);
  for (Group& group : q.groups) {
    Entry* const of_group = last_to_go(group.jobs);
    if (of_group != nullptr && (last == nullptr || ReadyOrder{}(*last, *of_group))) last = of_group;
  }
  return last;
}

std::uint8_t Dispatcher::ready_worst(const Queue& q) noexcept {
  std::uint8_t worst = kLowestPriority;
  while (worst > 0 && q.ready_of_priority[worst] == 0) worst--;
  return worst;
}

/* The first few of each priority are looked at, and of the first few groups. */
Micros Dispatcher::ready_oldest_due(const Queue& q) noexcept {
  constexpr int kLooks = 64;
  constexpr int kLooksInGroup = 4;
  Micros oldest = oldest_due_of(q.ready, kLooks, kNever);
  int groups = 0;
  for (auto group = q.groups.begin(); group != q.groups.end() && groups < kLooks; ++group, groups++)
    oldest = oldest_due_of(group->jobs, kLooksInGroup, oldest);
  return oldest;
}

}  // namespace dw::core
