// A restart with a million pending: how soon the first claim is served after the server accepts
// connections, and how fast the housekeeper loads, read from its line "loaded N jobs of Q queues in
// M ms" in the server's log, which bench/run puts into log/bench.log of the data directory.
#include "subject.hpp"

#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

using Seconds = std::chrono::duration<double>;

std::optional<Connection> try_connect() {
  try {
    return std::optional<Connection>(std::in_place);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// The first connection to the server that was started after `before`.
Connection connect_to_next(const std::string& before) {
  const TimePoint patience = Clock::now() + std::chrono::minutes(2);
  while (Clock::now() < patience) {
    try {
      std::optional<Connection> connection = try_connect();
      if (connection &&
          connection->query("SELECT pg_catalog.pg_postmaster_start_time()").text(0, 0) != before)
        return std::move(*connection);
    } catch (const std::exception&) {
      // The old server, on its way down.
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  throw std::runtime_error("the server did not come back");
}

struct Start {
  double first_claim;  // seconds after the server accepted a connection
  double loaded_jobs;
  double load_ms;
};

// The numbers of the last "loaded N jobs of Q queues in M ms" written since position `from` of the
// log.
bool read_load(Connection& connection, std::int64_t from, Start& start) {
  const Result found = connection.query(
      "SELECT m[1], m[2] FROM pg_catalog.regexp_matches(pg_catalog.pg_read_file('log/bench.log', "
      "$1, 100000000), 'loaded (\\d+) jobs of \\d+ queues in (\\d+(?:\\.\\d+)?) ms', 'g') AS m",
      std::to_string(from));
  if (found.rows() == 0) return false;
  start.loaded_jobs = std::stod(found.text(found.rows() - 1, 0));
  start.load_ms = std::stod(found.text(found.rows() - 1, 1));
  return true;
}

void restart_server(const std::string& command, const char* mode) {
  const int status = std::system(fmt::format("{} {} >&2", command, mode).c_str());
  if (status == -1 || WEXITSTATUS(status) != 0)
    throw std::runtime_error("the restart command failed");
}

Start restart_once(const Options& options, const Subject& queue, const char* mode) {
  std::string before;
  std::int64_t log_end = 0;
  {
    Connection connection;
    connection.script("CHECKPOINT");
    before = connection.query("SELECT pg_catalog.pg_postmaster_start_time()").text(0, 0);
    log_end = connection.integer("SELECT size FROM pg_catalog.pg_stat_file('log/bench.log')");
  }
  std::future<void> restarted =
      std::async(std::launch::async, restart_server, std::cref(options.restart_command), mode);
  Connection connection = connect_to_next(before);
  const TimePoint accepted = Clock::now();
  Start start{};
  for (;;) {
    const Result claimed = connection.query(
        "SELECT job_id, lease_token FROM durable_work.claim($1::text, 'first', 1)", queue.place);
    start.first_claim = Seconds(Clock::now() - accepted).count();
    if (claimed.rows() == 1) break;
    if (start.first_claim > 60) throw std::runtime_error("no claim was served within a minute");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  restarted.get();
  const TimePoint patience = Clock::now() + std::chrono::seconds(60);
  while (!read_load(connection, log_end, start)) {
    if (Clock::now() > patience)
      throw std::runtime_error("no line \"loaded N jobs of Q queues in M ms\" in the log");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return start;
}

}  // namespace

void restart(Bench& bench) {
  if (bench.options.restart_command.empty()) throw std::runtime_error("needs --restart");
  const std::int64_t jobs = bench.options.pick<std::int64_t>(1000000, 200000);
  const Subject queue = Subject::durable_work("bench_restart");
  {
    Connection connection;
    queue.create(connection);
    queue.fill(connection, jobs);
  }
  for (const char* mode : {"fast", "immediate"}) {
    std::vector<double> first, rate, loaded;
    for (int run = 0; run < bench.options.pick(3, 1); ++run) {
      const Start start = restart_once(bench.options, queue, mode);
      bench.results.note("{}: first claim after {:.3f} s, {} jobs loaded in {} ms", mode,
                         start.first_claim, start.loaded_jobs, start.load_ms);
      first.push_back(start.first_claim);
      rate.push_back(start.loaded_jobs / start.load_ms * 1e3);
      loaded.push_back(start.loaded_jobs);
    }
    const std::string after = std::strcmp(mode, "fast") == 0 ? "a restart" : "a crash";
    const std::string beside = fmt::format("{} pending, median of {}", jobs, first.size());
    bench.results.at_most("first claim served after " + after, median(first), 0.5, "s", beside);
    bench.results.at_least("load rate after " + after, median(rate), 2e6, "jobs/s",
                           fmt::format("{:.0f} jobs", median(loaded)));
  }
}

}  // namespace bench
