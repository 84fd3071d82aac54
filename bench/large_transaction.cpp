// One transaction of a million enqueues: how long its commit takes, and what a claimer of the same
// queue sees meanwhile. Entries are linked in chunks, so a claim waits for one chunk, not for the
// whole commit.
#include "subject.hpp"

#include <atomic>
#include <mutex>
#include <thread>

namespace bench {
namespace {

struct Timed {
  TimePoint sent;
  double ms;
};

// Claims and completes one job at a time without a pause, until told to stop.
class Claimer {
 public:
  explicit Claimer(const Subject& queue) : thread_([this, &queue] { run(queue); }) {}

  std::vector<Timed> stop() {
    stop_ = true;
    thread_.join();
    return std::move(claims_);
  }

 private:
  void run(const Subject& queue) {
    try {
      Connection connection;
      connection.script("SET synchronous_commit = off");
      for (const Statement& statement : queue.statements())
        connection.prepare(statement.name, statement.sql);
      while (!stop_) {
        const TimePoint sent = Clock::now();
        const Result claimed = connection.execute("claim", "worker-1", "1");
        claims_.push_back(
            {sent, std::chrono::duration<double, std::milli>(Clock::now() - sent).count()});
        if (claimed.rows() == 1) connection.execute("finish", claimed.raw(0, 0), claimed.raw(0, 1));
      }
    } catch (const std::exception& error) {
      fmt::print(stderr, "claimer: {}\n", error.what());
    }
  }

  std::vector<Timed> claims_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Commit {
  double ms;
  double alone_p99_ms;   // claims before the transaction
  double beside_max_ms;  // claims that overlap the commit
};

Commit commit_once(const Subject& queue, std::int64_t jobs) {
  Connection connection;
  queue.fill(connection, 100000);
  Claimer claimer(queue);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const TimePoint begin = Clock::now();
  connection.script("BEGIN");
  queue.fill(connection, jobs);
  const TimePoint committing = Clock::now();
  connection.script("COMMIT");
  const TimePoint committed = Clock::now();
  const std::vector<Timed> claims = claimer.stop();

  std::vector<double> alone, beside;
  for (const Timed& claim : claims) {
    const TimePoint answered =
        claim.sent + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double, std::milli>(claim.ms));
    if (answered < begin)
      alone.push_back(claim.ms);
    else if (claim.sent < committed && answered > committing)
      beside.push_back(claim.ms);
  }
  queue.drain(connection);
  return {std::chrono::duration<double, std::milli>(committed - committing).count(),
          percentile(alone, 0.99), percentile(beside, 1)};
}

}  // namespace

void large_transaction(Bench& bench) {
  const Subject queue = Subject::durable_work("bench_large");
  const std::int64_t jobs = bench.options.pick<std::int64_t>(1000000, 200000);
  {
    Connection connection;
    queue.create(connection);
  }
  std::vector<double> commit, alone, beside;
  for (int run = 0; run < bench.options.pick(5, 2); ++run) {
    const Commit once = commit_once(queue, jobs);
    bench.results.note("commit {:.1f} ms, slowest claim meanwhile {:.2f} ms, p99 before {:.2f} ms",
                       once.ms, once.beside_max_ms, once.alone_p99_ms);
    commit.push_back(once.ms);
    alone.push_back(once.alone_p99_ms);
    beside.push_back(once.beside_max_ms);
  }
  const auto chunks = static_cast<double>((jobs + 1023) / 1024);
  bench.results.shown(
      fmt::format("commit of {} enqueues", jobs), median(commit), "ms",
      fmt::format("{:.0f} us for each 1,024 entries", median(commit) * 1e3 / chunks));
  bench.results.shown("slowest claim beside the commit", median(beside), "ms",
                      fmt::format("p99 before it: {:.2f} ms", median(alone)));
}

}  // namespace bench
