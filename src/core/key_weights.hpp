/*
 * Weights of keys from the table that says which they are into memory: after a start, and when rows
 * came past the functions. Whoever sets one by the function tells memory at commit, and has the
 * table read again, since two commits may be told in another order than they came in; a reading
 * that began before that is done again.
 */
#pragma once

#include "core/store.hpp"

#include <vector>

namespace dw::core {

class KeyWeights {
 public:
  KeyWeights(Dispatcher* dispatcher, Index database, Store* store)
      : dispatcher_(dispatcher), store_(store), database_(database) {}

  /* The table may have changed, or there are other queues. */
  void reread() { wants_ = true; }
  /* May throw; then the caller aborts the store's transaction and may call again. */
  void step();
  /* Monotonic time of the next step that is wanted; kNever: none is. */
  [[nodiscard]] Micros next_step() const { return wants_ || short_of_room_ ? not_before_ : kNever; }

 private:
  struct Reading {
    QueueId queue;
    QueueRef ref;
    std::uint32_t changes;
  };

  void list_queues();
  bool apply(const Reading& of);

  Dispatcher* dispatcher_;
  Store* store_;
  Index database_;
  bool wants_ = true;
  bool short_of_room_ = false; /* for keys of the table */
  Micros not_before_ = 0;
  std::uint32_t reading_ = 0;
  std::vector<Reading> queues_;
  std::vector<KeyWeight> found_;
};

}  // namespace dw::core
