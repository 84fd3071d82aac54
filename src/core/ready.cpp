/*
 * The order of the jobs that are ready: (priority, id). Everything here runs under the lock of the
 * entry's queue, and nobody else touches the tree.
 */
#include "core/queue_lock.hpp"
#include "core/tree.hpp"

namespace dw::core {

namespace {

/* The first of a priority. */
ReadyTree::const_iterator first_of(const Queue& q, std::uint8_t priority) noexcept {
  struct ByPriority {
    bool operator()(std::uint8_t a, const Entry& e) const noexcept { return a < e.priority; }
    bool operator()(const Entry& e, std::uint8_t a) const noexcept { return e.priority < a; }
  };
  return q.ready.lower_bound(priority, ByPriority{});
}

}  // namespace

void Dispatcher::ready_add(Queue& q, Entry& e) noexcept {
  e.state = EntryState::ready;
  insert_near_end(q.ready, e);
  q.ready_count++;
}

void Dispatcher::ready_remove(Queue& q, Entry& e) noexcept {
  q.ready.erase(q.ready.iterator_to(e));
  q.ready_count--;
}

Entry* Dispatcher::ready_first(Queue& q) noexcept { return &*q.ready.begin(); }

Entry* Dispatcher::ready_oldest(Queue& q) noexcept {
  const Entry* oldest = nullptr;
  for (std::uint8_t priority = 0; priority <= kLowestPriority; priority++) {
    const auto first = first_of(q, priority);
    if (first == q.ready.end() || first->priority != priority) continue;
    if (oldest == nullptr || first->id < oldest->id) oldest = &*first;
  }
  return const_cast<Entry*>(oldest);
}

Entry* Dispatcher::ready_last_to_go(Queue& q) noexcept { return last_to_go(q.ready); }

std::uint8_t Dispatcher::ready_worst(const Queue& q) noexcept {
  return q.ready.empty() ? std::uint8_t{0} : q.ready.rbegin()->priority;
}

/*
 * Ready jobs lie by priority and id, so the one that is due longest is mostly the first of its
 * priority; a retried job in front of it became due later. The first few of each are looked at.
 */
Micros Dispatcher::ready_oldest_due(const Queue& q) noexcept {
  constexpr int kLooks = 64;
  Micros oldest = kNever;
  for (std::uint8_t priority = 0; priority <= kLowestPriority; priority++) {
    auto e = first_of(q, priority);
    for (int i = 0; i < kLooks && e != q.ready.end() && e->priority == priority; i++, ++e)
      oldest = e->at < oldest ? e->at : oldest;
  }
  return oldest;
}

}  // namespace dw::core
