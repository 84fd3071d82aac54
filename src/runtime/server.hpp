/*
 * Differences between the majors in how processes are told apart, towards the newest name.
 */
#pragma once

#include "pg/headers.hpp"

namespace dw::runtime {

/* This process's place in the array of all processes. 17 took it out of PGPROC. */
inline ProcNumber my_proc_number() {
#if PG_VERSION_NUM >= 170000
  return MyProcNumber;
#else
  return MyProc->pgprocno;
#endif
}

inline void set_latch_of(int proc) { SetLatch(&GetPGProcByNumber(proc)->procLatch); }

}  // namespace dw::runtime
