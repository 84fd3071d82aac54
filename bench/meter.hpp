// What a piece of work cost the server: processor time of its processes, WAL, elapsed time.
//
// Processor time comes from /proc/<pid>/schedstat (nanoseconds on a processor, whatever else the
// machine does), else from the ticks of /proc/<pid>/stat. `cpu` is the sum over the client backends
// and over all background processes the server does not have by itself, so work that an extension
// moves into its own workers is counted. Autovacuum, checkpointer and WAL writer are not in it:
// what they do falls into whichever side is measured at that moment. `whole_cpu` has them all, for
// the long runs.
#pragma once

#include "connection.hpp"
#include "session.hpp"

#include <vector>

namespace bench {

struct Usage {
  double seconds = 0;
  double cpu = 0;        // seconds
  double whole_cpu = 0;  // seconds
  std::int64_t wal = 0;  // bytes
};

class Meter {
 public:
  Meter();

  // The processes are listed here: connections must be open before, and stay open until stop().
  void start();
  // Usage since start(); may be called again and again.
  Usage stop();
  // Counts only these backends from the next start() on; an empty list means all.
  void only(std::vector<int> pids) { only_ = std::move(pids); }

  std::int64_t wal_position();

 private:
  double cpu_of_counted() const;
  double cpu_of_whole_server() const;

  Connection monitor_;
  int postmaster_ = 0;
  std::vector<int> only_;
  std::vector<int> counted_;
  TimePoint started_;
  double cpu_ = 0;
  double whole_cpu_ = 0;
  std::int64_t wal_ = 0;
};

}  // namespace bench
