// Waking another process by its place in the array of all processes.
#pragma once

#include "pg/headers.hpp"

namespace pg {

inline void set_latch_of(ProcNumber process) { SetLatch(&GetPGProcByNumber(process)->procLatch); }

}  // namespace pg
