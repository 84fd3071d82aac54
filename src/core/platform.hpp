/*
 * What the dispatcher needs from the process it runs in. In the server these are lightweight locks,
 * the server's clock and process latches; in tests a mutex, a clock that the test sets and a list
 * of who was woken.
 *
 * None of the functions may fail, allocate or return by anything but return: they are called in
 * commit and abort callbacks.
 */
#pragma once

#include "core/types.hpp"

namespace dw::core {

struct Platform {
  /* Locks are numbered by the arena, see layout.hpp. */
  void (*lock)(std::uint32_t number);
  void (*unlock)(std::uint32_t number);
  Micros (*wall_now)();
  Micros (*monotonic_now)();
  /* Evenly in [0, 1). */
  double (*random)();
  /* Sets the latch of the backend with this waiter number. */
  void (*wake_waiter)(Index waiter);
  /* Sets the latch of the housekeeper of this database slot, if there is one. */
  void (*wake_housekeeper)(Index database);
};

}  // namespace dw::core
