/*
 * Dying keys without an entry. Of the housekeeper, which reads the table of blocked keys.
 *
 * A key whose followers die with it has an entry until everything before the end of its followers
 * has been read. Where many keys die in front of a deep backlog, such entries would take all the
 * room there is, and nothing could be read any more. So a queue that lacks room sets those aside
 * that nothing waits behind: the entry goes, and what it said is known here, and in the table.
 *
 * Of a key that is set aside no job has the turn, and none is in `gated`; only in `held` there may
 * be some. Two rules keep that. While a queue has such keys, a job from before the frontier whose
 * key has no turn is held as well (Dispatcher::enter_gate). And before the loader raises the
 * frontier past a held job it asks here. A follower dies at once. In front of any other job of such
 * a key the frontier stops: if it is about to commit, or came before the dead one, until the key
 * has an entry again, behind which it waits; if it comes behind the followers, until those are
 * dead, which they are when the frontier has come so far.
 */
#pragma once

#include "core/store.hpp"

#include <map>
#include <tuple>
#include <vector>

namespace dw::core {

class AsideKeys {
 public:
  explicit AsideKeys(Dispatcher* dispatcher) : dispatcher_(dispatcher) {}

  /* There is little left for what is on disk. */
  [[nodiscard]] bool lacks_room(QueueRef queue) const;
  /* The entry of a dying key goes, if nothing waits behind it. */
  void set_aside(QueueRef queue, const KeyBlock& block);
  /* A key of the table that has no entry. False: a job of it has the turn, or waits for it. */
  bool add(QueueRef queue, const KeyBlock& block);

  /* A reading of the table, from its beginning; then each row; then its end. What a housekeeper
   * before this one had set aside is in the table only. */
  void begin_reading(QueueRef queue);
  [[nodiscard]] bool has(QueueRef queue, const KeyBlock& block);
  void forget_others();

  struct Ended {
    JobId dead;
    std::uint32_t key_hash;
    std::uint32_t key_check;
  };
  /* All their followers are in memory, or were. */
  [[nodiscard]] std::vector<Ended> list_ended(QueueRef queue) const;
  void remove(QueueRef queue, const Ended& key);
  /* An entry for each that has to have one again. Between two chunks: what gives way goes at once.
   */
  void stand_again(QueueRef queue);

  /* Under the queue lock, before the frontier is raised to `to`, which is lowered to where it may
   * go in this lock hold. False: it may go on in the next one. */
  bool make_way(QueueRef queue, Queue& q, JobId* to) noexcept;

 private:
  using Place = std::tuple<Index, std::uint32_t, std::uint32_t, std::uint32_t>;
  struct Dying {
    JobId dead;
    JobId up_to;
    bool seen;   /* in the table, by this reading */
    bool stands; /* it has to have an entry again */
  };
  using Keys = std::map<Place, Dying>;

  static Place place_of(QueueRef queue, std::uint32_t key_hash, std::uint32_t key_check) {
    return {queue.queue, queue.incarnation, key_hash, key_check};
  }
  [[nodiscard]] static bool is_of(const Place& place, QueueRef queue) {
    return std::get<0>(place) == queue.queue && std::get<1>(place) == queue.incarnation;
  }
  Keys::iterator first_of(QueueRef queue) { return keys_.lower_bound(place_of(queue, 0, 0)); }
  Keys::const_iterator first_of(QueueRef queue) const {
    return keys_.lower_bound(place_of(queue, 0, 0));
  }
  [[nodiscard]] static bool has_waiting(Queue& q, std::uint32_t key_hash,
                                        std::uint32_t key_check) noexcept;
  Keys::iterator erase(Keys::iterator key);

  Dispatcher* dispatcher_;
  Keys keys_;
};

}  // namespace dw::core
