/*
 * Prepared transactions.
 *
 * COMMIT PREPARED runs in any process, perhaps after a restart. It takes the transaction off the
 * list of running ones and lets its locks go, and no callback of ours runs there. So PREPARE leaves
 * a watch in shared memory, with everything that the callback of a commit or an abort would have
 * done, and the housekeeper does it once the transaction is no longer open:
 *
 *   PRE_PREPARE   reserve_watch(), fill it; an error here refuses the PREPARE
 *   PREPARE       activate_watch(); the process forgets its list. Nobody can have ended the
 *                 transaction before: until the callbacks have run its name is locked
 *   ABORT         drop_watch(), when something failed between the two
 *   later         WatchKeeper::step()
 *
 * Until then a job that it decides is `completing`: nobody claims, sweeps, evicts or loads it.
 * What it enqueued has no entry. When it has committed its pages are marked, outcome pages before
 * any entry changes, and the loader finds the rows by a snapshot that is taken later.
 *
 * A watch and what hangs on it belong to one process at a time: to the preparing one, then to the
 * housekeeper. kWatchLock is for taking and giving back, and for those who only look.
 */
#pragma once

#include "core/dispatcher.hpp"
#include "core/store.hpp"

namespace dw::core {

enum class HeldKind : std::uint8_t {
  decision,
  room,     /* reserved in a queue, and not used */
  enqueued, /* jobs of one queue */
  redriven,
  redrives_changed,
  rows_arrived,
  queues_arrived,
};

/* One thing to be done at the end of a prepared transaction. */
struct Held {
  HeldKind kind;
  Decision decision;
  OutcomeKind outcome;
  EntryState before;
  bool settled; /* decision: it has been written; else the job is given back in any case */
  bool has_row;
  Index next;
  EntryRef ref;   /* decision */
  QueueRef queue; /* room, enqueued */
  QueueId id;     /* enqueued, redriven */
  std::uint32_t count;
  std::uint32_t with_room; /* enqueued: of these room was reserved */
  Token token;             /* decision: the entry's; redriven: the first */
  Token written;           /* decision: the one in the log */
  Micros due;
  JobId least; /* enqueued */
  JobId most;
  JobRow row; /* decision with has_row */
};
static_assert(sizeof(Held) == 136);

/* The housekeeper's part. */
class WatchKeeper {
 public:
  WatchKeeper(Dispatcher* dispatcher, Index database, Store* store)
      : dispatcher_(dispatcher), store_(store), database_(database) {}

  /* Looks at each prepared transaction of the database and finishes those that have ended. May
   * throw, between two of them. */
  void step();
  /* There is one that has not ended. */
  [[nodiscard]] bool waits() const;

 private:
  bool next(Index* watch, TransactionNumber* transaction) const;
  void finish(Index watch, bool committed) noexcept;
  void finish_decision(const Held& held, bool committed) noexcept;
  void finish_held(const Held& held, const Watch& watch, bool committed) noexcept;
  void finish_found(const Watch& watch, bool committed) noexcept;

  Dispatcher* dispatcher_;
  Store* store_;
  Index database_;
};

}  // namespace dw::core
