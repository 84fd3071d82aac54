// The log going round. `steady`: eight clients enqueue ten, claim ten and finish them, as fast as
// it goes, while segments are begun by size and given back after a short retention; alone, under a
// held snapshot, and with pg_dump running again and again. `relocation`: what it costs to move a
// job that is left in a segment, against what it cost to enqueue it.
#include "subject.hpp"

#include <atomic>
#include <cstdlib>
#include <optional>
#include <thread>

namespace bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kBatch = 10;

struct Load {
  TimePoint end;
  double done = 0;
};

Client cycle(Session& session, Load& load, std::string argument) {
  while (Clock::now() < load.end) {
    co_await session.execute("enqueue_many", argument);
    const Result claimed = co_await session.execute("claim", "worker-1", std::to_string(kBatch));
    if (claimed.rows() == 0) continue;
    co_await session.execute("finish_many", claimed.column_as_array(0), claimed.column_as_array(1));
    load.done += claimed.rows();
  }
}

struct Window {
  double per_second;
  double wal;
  double cpu_us;
  double bytes;
};

double log_bytes(Connection& connection) {
  return std::stod(connection
                       .query("SELECT sum(job_bytes + outcome_bytes) FROM durable_work.segments "
                              "WHERE segment <> 'parked'")
                       .text(0, 0));
}

Client sample(EventLoop& loop, Meter& meter, Load& load, Connection& looker, seconds length,
              int count, std::vector<Window>& windows, Results& results) {
  TimePoint next = Clock::now() + seconds(2);
  co_await loop.sleep_until(next);
  for (int i = 0; i < count; ++i) {
    const double done = load.done;
    meter.start();
    next += length;
    co_await loop.sleep_until(next);
    const Usage usage = meter.stop();
    const double jobs = load.done - done;
    windows.push_back({jobs / usage.seconds, static_cast<double>(usage.wal) / jobs,
                       usage.cpu * 1e6 / jobs, log_bytes(looker)});
    results.note("{:4} s: {:.0f} jobs/s, {:.1f} us, {:.0f} MB", (i + 1) * length.count(),
                 windows.back().per_second, windows.back().cpu_us, windows.back().bytes / 1e6);
  }
  load.end = Clock::now();
}

// pg_dump of the whole database, one after the other, until told to stop.
class Dumps {
 public:
  Dumps()
      : thread_([this](std::stop_token stop) {
          while (!stop.stop_requested()) {
            if (std::system("pg_dump --format=custom --no-sync --file=/dev/null") != 0)
              failed_ = true;
            count_++;
          }
        }) {}
  int stop() {
    thread_.request_stop();
    thread_.join();
    return failed_.load() ? -1 : count_.load();
  }

 private:
  std::atomic<bool> failed_ = false;
  std::atomic<int> count_ = 0;
  std::jthread thread_;
};

enum class Beside { nothing, snapshot, dump };

std::vector<Window> run_once(Beside beside, seconds length, int count, int* dumps,
                             Results& results) {
  const Subject subject = Subject::durable_work("bench_rotation");
  Connection admin;
  subject.create(admin);
  admin.script("SELECT durable_work.alter_queue('bench_rotation', retention => '10 s')");
  EventLoop loop;
  std::deque<Session> sessions;
  open_sessions(sessions, loop, 8, subject.statements(), false);
  Meter meter;
  Connection looker, holder;
  if (beside == Beside::snapshot)
    holder.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM pg_class");
  std::optional<Dumps> running_dumps;
  if (beside == Beside::dump) running_dumps.emplace();
  Load load;
  load.end = TimePoint::max();
  std::vector<Window> windows;
  std::vector<Client> clients;
  for (Session& session : sessions) clients.push_back(cycle(session, load, payloads(kBatch)));
  clients.push_back(sample(loop, meter, load, looker, length, count, windows, results));
  loop.run(std::move(clients));
  if (running_dumps) *dumps = running_dumps->stop();
  if (beside == Beside::snapshot) holder.script("COMMIT");
  return windows;
}

void show(Bench& bench, const char* what, Beside beside, int length, int count) {
  int dumps = 0;
  const std::vector<Window> windows =
      run_once(beside, seconds(length), count, &dumps, bench.results);
  // The median window of the first and of the last quarter: what the disk does makes some of them
  // a third slower than others.
  const auto part = std::max<std::size_t>(1, windows.size() / 4);
  const auto middle = [&](std::size_t from, double Window::*field) {
    std::vector<double> values;
    for (std::size_t i = from; i < from + part; ++i) values.push_back(windows[i].*field);
    return median(values);
  };
  const std::size_t last = windows.size() - part;
  double most = 0;
  for (const Window& window : windows) most = std::max(most, window.bytes);
  const std::string conditions =
      fmt::format("{:.0f}/s then {:.0f}/s, {} s{}", middle(0, &Window::per_second),
                  middle(last, &Window::per_second), length * count,
                  beside == Beside::dump ? fmt::format(", {} dumps", dumps) : std::string());
  bench.results.at_least(fmt::format("{}: jobs/s, last windows against the first", what),
                         middle(last, &Window::per_second) / middle(0, &Window::per_second), 0.95,
                         "x", conditions);
  bench.results.shown(fmt::format("{}: server CPU per job, last against first", what),
                      middle(last, &Window::cpu_us) / middle(0, &Window::cpu_us), "x",
                      fmt::format("{:.1f} us", middle(last, &Window::cpu_us)));
  bench.results.shown(fmt::format("{}: WAL per job", what), middle(last, &Window::wal), "bytes",
                      fmt::format("first {:.0f}", middle(0, &Window::wal)));
  bench.results.shown(fmt::format("{}: most disk space of the log", what), most / 1e6, "MB",
                      fmt::format("{:.1f} million jobs went through it",
                                  middle(0, &Window::per_second) * length * count / 1e6));
}

}  // namespace

void steady(Bench& bench) {
  const char* const minutes = std::getenv("DW_BENCH_MINUTES");
  const int length = bench.options.pick(30, 5);
  const int count =
      minutes != nullptr ? std::atoi(minutes) * 60 / length : bench.options.pick(60, 4);
  show(bench, "alone", Beside::nothing, length, count);
  if (bench.options.ours_only) return;
  show(bench, "under a held snapshot", Beside::snapshot, length, std::max(count / 3, 4));
  show(bench, "with pg_dump running", Beside::dump, length, std::max(count / 3, 4));
}

void relocation(Bench& bench) {
  const std::int64_t jobs = bench.options.pick<std::int64_t>(1000000, 100000);
  const Subject subject = Subject::durable_work("bench_relocation");
  Connection admin;
  subject.create(admin);
  admin.script("SELECT durable_work.alter_queue('bench_relocation', retention => '0 s')");
  Meter meter;
  meter.start();
  subject.fill(admin, jobs);
  const Usage filled = meter.stop();
  EventLoop loop;
  std::deque<Session> sessions;
  open_sessions(sessions, loop, 8, subject.statements(), false);
  // Few enough to be moved.
  Consumption state{.batch = 100, .wanted = jobs - jobs / 40, .done = 0};
  std::vector<Client> running;
  for (Session& session : sessions) running.push_back(consume(session, state));
  loop.run(std::move(running));
  const std::int64_t left =
      admin.integer("SELECT ready FROM durable_work.queue_stats WHERE queue = 'bench_relocation'");

  const auto parked = [&] { return admin.integer("SELECT count(*) FROM durable_work.parked"); };
  meter.start();
  TimePoint began = Clock::now();
  // Something new makes the log go on to another segment.
  admin.script("SELECT durable_work.enqueue('bench_relocation', '{}')");
  while (parked() < left && Clock::now() - began < std::chrono::minutes(5))
    std::this_thread::sleep_for(milliseconds(50));
  const Usage moved = meter.stop();
  const double cost = moved.cpu * 1e6 / static_cast<double>(left);
  const double enqueue = filled.cpu * 1e6 / static_cast<double>(jobs);
  bench.results.holds("all that were left are moved", parked() >= left,
                      fmt::format("{} of {} jobs", left, jobs));
  bench.results.shown(
      "server CPU to move a job, with reading its segment", cost, "us",
      fmt::format("enqueueing it in a batch took {:.1f} us: {:.1f} x", enqueue, cost / enqueue));
  bench.results.shown("time until all were moved", moved.seconds, "s",
                      fmt::format("{:.0f} bytes of WAL each",
                                  static_cast<double>(moved.wal) / static_cast<double>(left)));
}

}  // namespace bench
