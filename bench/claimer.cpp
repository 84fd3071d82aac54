#include "claimer.hpp"

namespace bench {

void Claimer::run(const Subject& queue) {
  try {
    Connection connection;
    connection.script("SET synchronous_commit = off");
    for (const Statement& statement : queue.statements())
      connection.prepare(statement.name, statement.sql);
    // Somebody may be ending the job meanwhile.
    connection.prepare("try", "SELECT durable_work.try_complete($1, $2)");
    while (!stop_) {
      const TimePoint sent = Clock::now();
      const Result claimed = connection.execute("claim", "worker-1", "1");
      const auto us =
          std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - sent).count();
      if (us > longest_us_) longest_us_ = us;
      if (claimed.rows() != 1) continue;
      connection.execute("try", claimed.raw(0, 0), claimed.raw(0, 1));
      ++finished_;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "claimer: {}\n", error.what());
  }
}

}  // namespace bench
