/*
 * Finding the jobs whose expires_at passes while nobody claims.
 *
 * An entry has no room for one more tree. So a database keeps one time, next_expiry: nothing that
 * waits expires before it. It is lowered whenever an entry with an earlier expires_at is linked,
 * and nobody raises it when a job ends. When it comes, the housekeeper walks over all entries of
 * the arena, makes those that have expired overdue, and finds the next time on the way.
 *
 * A walk begins by setting next_expiry to never, before it reads the first entry. An entry linked
 * behind its position lowers next_expiry itself, and one in front of it is seen; see set_expiry().
 * Jobs that are leased or being decided are passed over: they become overdue when they are given
 * back.
 *
 * Cost: a step reads a bounded number of entries, takes queue locks only for those that have an
 * expires_at, a few dozen to a hold, and is followed by a pause of nine times as long as it took:
 * at most a tenth of the housekeeper's time, whatever the size of the arena.
 */
#pragma once

#include "core/dispatcher.hpp"

namespace dw::core {

class ExpiryWalk {
 public:
  ExpiryWalk(Dispatcher* dispatcher, Index database) noexcept
      : dispatcher_(dispatcher), database_(database) {}

  /* A housekeeper that was ended in the middle of a walk may have left entries unseen. */
  void reset() noexcept;
  /* Walks a piece of the way, if it is time to. */
  void step() noexcept;
  /* Microseconds until the next step; kNever: nothing is to be found. */
  [[nodiscard]] Micros pause() const noexcept;

 private:
  static constexpr Index kIdle = kNone;

  [[nodiscard]] Database& database() const noexcept {
    return dispatcher_->arena().databases[database_];
  }
  [[nodiscard]] Index visit(Index from, Index end, Micros now) noexcept;
  [[nodiscard]] Micros look_at(Queue& q, Entry& e, Micros now) noexcept;

  Dispatcher* dispatcher_;
  Index database_;
  Index position_ = kIdle;      /* the next entry to look at */
  Micros earliest_ = kNever;    /* wall, of those seen */
  Micros not_before_ = kAlways; /* monotonic */
};

}  // namespace dw::core
