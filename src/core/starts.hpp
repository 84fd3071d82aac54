/* What a claim may hand out under the limits of its queue; what it does not use goes back. */
#pragma once

#include "core/queue_lock.hpp"

namespace dw::core {

/* Under the queue's lock, from which it must be gone when that is let go. */
class Starts {
 public:
  Starts(const Dispatcher& dispatcher, QueueLock& hold, Queue& q, std::uint32_t wanted) noexcept
      : dispatcher_(dispatcher), hold_(hold), queue_(q), reserved_(wanted) {
    if (q.limited == 0) return;
    at_ = dispatcher.platform().monotonic_now();
    reserved_ = dispatcher.allowance(&hold, q, wanted, at_, true);
    unused_ = reserved_;
  }
  Starts(const Starts&) = delete;
  Starts& operator=(const Starts&) = delete;
  ~Starts() { end(); }

  [[nodiscard]] std::uint32_t reserved() const noexcept { return reserved_; }
  void use(std::uint32_t n) noexcept {
    if (unused_ > 0) unused_ -= n;
  }
  void end() noexcept {
    if (unused_ > 0) dispatcher_.return_starts(hold_, queue_, unused_, at_);
    unused_ = 0;
  }

 private:
  const Dispatcher& dispatcher_;
  QueueLock& hold_;
  Queue& queue_;
  std::uint32_t reserved_;
  std::uint32_t unused_ = 0; /* of a queue without limits nothing is reserved */
  Micros at_ = 0;
};

}  // namespace dw::core
