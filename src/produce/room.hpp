// Room in a queue of limited length: taken in the statement that enqueues, before it writes, so
// that no commit has to be refused.
#pragma once

#include "core/transaction.hpp"

#include "pg/headers.hpp"

#include "produce/submit.hpp"

namespace dw::produce {

struct TakenRoom {
  bool taken;          // false: the queue takes any number
  std::size_t action;  // for Transaction::use_room
};

// Takes room for n jobs; raises DW005 when there is none. A queue that drops its oldest makes dead
// letters of as many as go for them. Finds the target's slot anew when it had
// none. After a start of the server it waits until the queue's jobs have been counted, and raises
// DW006 when that takes too long.
TakenRoom take_room(Target* target, int n);

}  // namespace dw::produce
