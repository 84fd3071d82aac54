/*
 * Blocked keys between the table that says which they are and the entries that stand for them.
 *
 * A transaction that ends a job and blocks its key writes a row of the table, and its callback
 * makes the job's entry `blocked`. What is left to the housekeeper: making the entries after a
 * start; and, where the followers of the dead job are to die too, ending those, deleting the row
 * and letting the key go on. The row stays until the sweep has written that they are dead: after a
 * crash before that it is what says so. It is deleted before the key goes on: a crash in between
 * leaves a key that is free, which it is. Where room is short, keys that are about to end are kept
 * without entries (see aside_keys.hpp).
 */
#pragma once

#include "core/aside_keys.hpp"

#include <utility>
#include <vector>

namespace dw::core {

class KeyBlocks {
 public:
  KeyBlocks(Dispatcher* dispatcher, Index database, Store* store)
      : dispatcher_(dispatcher), store_(store), database_(database), aside_(dispatcher) {}

  /* For the loader of the same database. */
  AsideKeys& aside() { return aside_; }

  /* The table may have changed past the engine, or in a prepared transaction. */
  void reread() { wants_ = true; }
  /* Before each step of the loader. May throw; then the caller aborts the store's transaction and
   * may call again. */
  void step();
  /* Monotonic time of the next step that is wanted; kNever: none is. */
  [[nodiscard]] Micros next_step() const;

 private:
  using Key = std::pair<std::uint32_t, std::uint32_t>; /* hash and check */
  struct Standing {
    QueueId queue;
    JobId job;
    bool operator==(const Standing& other) const {
      return queue == other.queue && job == other.job;
    }
  };

  struct Seen {
    QueueRef ref;
    QueueId id;
    bool unknown; /* the table is to be read for it */
    bool blocks;
    bool ends;  /* followers of a dead job are to die */
    bool aside; /* so they are, and it has no entry */
  };

  [[nodiscard]] bool is_wanted() const;
  void list_standing();
  void read();
  void let_go_of_others(std::uint32_t parked_outcomes);
  [[nodiscard]] std::vector<KeyBlock> list_ending(QueueRef queue, QueueId id) const;
  [[nodiscard]] std::vector<Key> list_dying(Index index) const;
  void end_keys();
  void end_keys(const Seen& seen);
  template <typename Each>
  void for_each_queue(Each each) const;

  Dispatcher* dispatcher_;
  Store* store_;
  Index database_;
  bool wants_ = false;
  bool again_ = false; /* some could not be made, or are not certain to be gone */
  Micros not_before_ = 0;
  std::vector<Standing> standing_;
  /* Their rows were gone the last time. */
  std::vector<Standing> missing_;
  std::vector<KeyBlock> found_;
  AsideKeys aside_;
};

}  // namespace dw::core
