// Shared memory per resident job: everything the extension asked for, over the jobs it can hold.
#include "subject.hpp"

namespace bench {

void memory(Bench& bench) {
  Connection connection;
  const Result size = connection.query(
      "SELECT sum(allocated_size), current_setting('durable_work.max_resident_jobs') FROM "
      "pg_catalog.pg_shmem_allocations WHERE name ~* '^durable.?work'");
  const double bytes = size.is_null(0, 0) ? 0 : std::stod(size.text(0, 0));
  const double jobs = std::stod(size.text(0, 1));
  if (bytes == 0) {
    bench.results.holds("the extension's shared memory is found", false);
    return;
  }
  bench.results.at_most("shared memory per resident job", bytes / jobs, 128, "B",
                        fmt::format("{:.0f} B for {:.0f} jobs", bytes, jobs));
}

}  // namespace bench
