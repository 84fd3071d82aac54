/*
 * Telling clients that can neither block nor ask all the time: which queues have due work that
 * nobody has taken and no waiter is going to. The housekeeper sends what is collected here; no
 * producer does.
 *
 * Each queue is told of at most once an interval, for as long as it has such work. The first call
 * of a burst goes out at once if the last one is an interval old: a commit that finds nobody to
 * wake wakes the housekeeper, unless that looks within the interval anyway. So a steady stream
 * wakes it once an interval, and an idle queue not at all.
 */
#pragma once

#include "core/dispatcher.hpp"

#include <vector>

namespace dw::core {

class Announcer {
 public:
  struct Call {
    QueueRef queue;
    char name[kQueueNameSize];
  };

  Announcer(Dispatcher* dispatcher, Index database)
      : dispatcher_(dispatcher), database_(database) {}

  /* From the next look on; 0: nobody is told anything. */
  void set_interval(Micros interval) noexcept;
  /* Queues that clients are to be told of now. May throw for want of memory. */
  const std::vector<Call>& look();
  /* They were. Those that look() found and that were not told stay due. */
  void told() noexcept;
  /* Monotonic time of the next look that nobody asks for; kNever: none. */
  [[nodiscard]] Micros next() const noexcept { return next_; }

 private:
  struct Told {
    std::uint32_t incarnation; /* of the queue */
    bool any;
    Micros at; /* monotonic */
  };

  void look_at(Index queue, Micros now);

  Dispatcher* dispatcher_;
  Index database_;
  Micros interval_ = 0;
  Micros next_ = kNever;
  std::vector<Call> calls_;
  Told told_[kMostQueues] = {};
};

}  // namespace dw::core
