// Steady load, paced, in and out, while another session holds a REPEATABLE READ snapshot. Four
// producers enqueue one by one; four consumers claim up to ten, finish them in a second
// transaction, and rest 10 ms when they got less. Figures compare the first window after the
// snapshot was taken with the last one before it ends.
#include "subject.hpp"

namespace bench {
namespace {

using std::chrono::milliseconds;

struct Plan {
  int per_second = 4000;
  int warm_up_seconds = 5;
  int window_seconds;
  int windows;
  int slice_seconds = 5;  // one point of the plot
};

struct Slice {
  double cpu = 0;
  double done = 0;
  double seconds = 0;
  std::vector<double> claim_ms;
};

struct Steady {
  TimePoint begin;
  TimePoint end;
  double done = 0;
  std::vector<double> claim_ms;  // since the last slice
};

Client produce_paced(Session& session, EventLoop& loop, const Steady& state,
                     std::chrono::nanoseconds interval, std::chrono::nanoseconds offset) {
  const std::string argument = payload();
  for (TimePoint next = state.begin + offset; next < state.end; next += interval) {
    co_await loop.sleep_until(next);
    co_await session.execute("enqueue", argument);
  }
}

Client consume_steadily(Session& session, EventLoop& loop, Steady& state) {
  while (Clock::now() < state.end) {
    const TimePoint sent = Clock::now();
    const Result claimed = co_await session.execute("claim", "worker-1", "10");
    state.claim_ms.push_back(
        std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
    if (claimed.rows() > 0)
      co_await session.execute("finish_many", claimed.column_as_array(0),
                               claimed.column_as_array(1));
    state.done += claimed.rows();
    if (claimed.rows() < 10) co_await loop.sleep_until(Clock::now() + milliseconds(10));
  }
}

Client sample(EventLoop& loop, Meter& meter, Steady& state, Connection& holder, const Plan& plan,
              std::vector<Slice>& slices) {
  co_await loop.sleep_until(state.begin + std::chrono::seconds(plan.warm_up_seconds));
  holder.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM pg_class");
  TimePoint next = Clock::now();
  const int count = plan.windows * plan.window_seconds / plan.slice_seconds;
  for (int i = 0; i < count; ++i) {
    const double done = state.done;
    state.claim_ms.clear();
    meter.start();
    next += std::chrono::seconds(plan.slice_seconds);
    co_await loop.sleep_until(next);
    const Usage usage = meter.stop();
    slices.push_back({usage.cpu, state.done - done, usage.seconds, state.claim_ms});
  }
  holder.script("COMMIT");
  state.end = Clock::now();
}

std::vector<Slice> run_once(const Subject& subject, const Plan& plan) {
  Connection admin;
  subject.create(admin);
  EventLoop loop;
  std::deque<Session> producers, consumers;
  open_sessions(producers, loop, 4, subject.statements(), false);
  open_sessions(consumers, loop, 4, subject.statements(), false);
  Connection holder;
  Meter meter;

  Steady state;
  state.begin = Clock::now() + milliseconds(100);
  state.end = TimePoint::max();
  std::vector<Slice> slices;
  const std::chrono::nanoseconds interval{4'000'000'000 / plan.per_second};
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    clients.push_back(produce_paced(producers[at], loop, state, interval, interval / 4 * i));
    clients.push_back(consume_steadily(consumers[at], loop, state));
  }
  clients.push_back(sample(loop, meter, state, holder, plan, slices));
  loop.run(std::move(clients));
  return slices;
}

struct Window {
  double cpu_us, p50_ms, p99_ms, per_second;
};

Window window(const std::vector<Slice>& slices, std::size_t from, std::size_t count) {
  Slice sum;
  for (std::size_t i = from; i < from + count; ++i) {
    sum.cpu += slices[i].cpu;
    sum.done += slices[i].done;
    sum.seconds += slices[i].seconds;
    sum.claim_ms.insert(sum.claim_ms.end(), slices[i].claim_ms.begin(), slices[i].claim_ms.end());
  }
  return {sum.cpu * 1e6 / sum.done, percentile(sum.claim_ms, 0.5), percentile(sum.claim_ms, 0.99),
          sum.done / sum.seconds};
}

void plot(Results& results, const Subject& subject, const Plan& plan,
          const std::vector<Slice>& slices) {
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const Window at = window(slices, i, 1);
    results.point("held_snapshot", {{"side", subject.name}},
                  {{"second", static_cast<double>((i + 1)) * plan.slice_seconds},
                   {"per_second", at.per_second},
                   {"cpu_us", at.cpu_us},
                   {"p99_ms", at.p99_ms}});
  }
}

double dead_tuples(Connection& connection) {
  connection.script("CREATE EXTENSION IF NOT EXISTS pgstattuple");
  const Result dead = connection.query(
      "SELECT coalesce(sum((public.pgstattuple(c.oid)).dead_tuple_count), 0) FROM pg_class c "
      "WHERE c.relnamespace = 'durable_work'::regnamespace AND c.relkind = 'r' AND c.relname ~ "
      "'^(job|outcome)_[0-9]+$'");
  return std::stod(dead.text(0, 0));
}

}  // namespace

void held_snapshot(Bench& bench) {
  const Plan plan{.window_seconds = bench.options.pick(20, 5), .windows = bench.options.pick(6, 4)};
  const auto per_window = static_cast<std::size_t>(plan.window_seconds / plan.slice_seconds);
  const Subject ours = Subject::durable_work("bench_held");
  const Subject theirs = Subject::textbook("bench_held_textbook");
  Results& results = bench.results;

  std::vector<double> cpu, p99, rate, first_cpu, first_p99;
  for (int run = 0; run < bench.options.pick(5, 1); ++run) {
    const std::vector<Slice> slices = run_once(ours, plan);
    const Window first = window(slices, 0, per_window);
    const Window last = window(slices, slices.size() - per_window, per_window);
    cpu.push_back(last.cpu_us / first.cpu_us);
    p99.push_back(last.p99_ms / first.p99_ms);
    rate.push_back(last.per_second);
    first_cpu.push_back(first.cpu_us);
    first_p99.push_back(first.p99_ms);
    results.note("CPU {:.2f} -> {:.2f} us, claim p99 {:.3f} -> {:.3f} ms, {:.0f} -> {:.0f}/s",
                 first.cpu_us, last.cpu_us, first.p99_ms, last.p99_ms, first.per_second,
                 last.per_second);
    if (run == 0) plot(results, ours, plan, slices);
  }
  results.at_most("server CPU per job, last window against the first", median(cpu), 1.05, "x",
                  fmt::format("first {:.2f} us; {} runs of {} s", median(first_cpu), cpu.size(),
                              plan.windows * plan.window_seconds));
  results.at_most("claim p99, last window against the first", median(p99), 1.5, "x",
                  fmt::format("first {:.3f} ms", median(first_p99)));
  results.shown("throughput of the last window", median(rate), "jobs/s", "offered 4000/s");
  Connection admin;
  results.at_most("dead tuples in job and outcome segments", dead_tuples(admin), 0, "");
  if (bench.options.ours_only) return;

  const std::vector<Slice> slices = run_once(theirs, plan);
  plot(results, theirs, plan, slices);
  const Window first = window(slices, 0, per_window);
  const Window last = window(slices, slices.size() - per_window, per_window);
  results.shown("textbook beside it: server CPU per job, last window against the first",
                last.cpu_us / first.cpu_us, "x",
                fmt::format("{:.1f} us to {:.1f} us; {:.0f}/s to {:.0f}/s; claim p99 {:.2f} ms to "
                            "{:.2f} ms",
                            first.cpu_us, last.cpu_us, first.per_second, last.per_second,
                            first.p99_ms, last.p99_ms));
}

}  // namespace bench
