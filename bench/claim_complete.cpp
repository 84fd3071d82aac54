// Claim and complete, two transactions a job on both sides, against the textbook table.
// Every point works off a fixed number of jobs of a standing backlog; filling up is not measured.
#include "consumers.hpp"

namespace bench {
namespace {

struct Limits {
  int batch;
  std::int64_t jobs;
  double cpu;         // of ours against the textbook's
  double throughput;  // expected, shown
};

class Side {
 public:
  Side(const Subject& subject, const Options& options, bool synchronous)
      : workers_(subject, 16, synchronous) {
    subject.fill(workers_.admin(), options.pick(100000, 20000));
    if (!subject.ours) workers_.admin().script("VACUUM ANALYZE " + subject.place);
  }

  Sample measure(int clients, int batch, std::int64_t jobs) {
    workers_.subject().fill(workers_.admin(), jobs);
    return workers_.work_off(clients, batch, jobs);
  }

 private:
  Consumers workers_;
};

void append(Pairs& all, const Pairs& more) {
  all.ours.insert(all.ours.end(), more.ours.begin(), more.ours.end());
  all.theirs.insert(all.theirs.end(), more.theirs.begin(), more.theirs.end());
}

void plot(Results& results, const Pairs& pairs, int clients, int batch, bool synchronous) {
  for (const bool ours : {true, false}) {
    const auto value = [&](Field field) {
      return ours ? pairs.our_median(field) : pairs.their_median(field);
    };
    results.point("throughput",
                  {{"side", ours ? "durable_work" : "textbook"},
                   {"synchronous_commit", synchronous ? "on" : "off"}},
                  {{"clients", clients},
                   {"batch", batch},
                   {"per_second", value(&Sample::per_second)},
                   {"cpu_us", value(&Sample::cpu_us)}});
  }
}

// Pairs at 1 client for the plot, at 4 and 16 for the figure.
Pairs measure_pairs(Bench& bench, const Limits& limits, bool synchronous, int pairs) {
  Side ours(Subject::durable_work("bench_claim"), bench.options, synchronous);
  Side theirs(Subject::textbook("bench_textbook"), bench.options, synchronous);
  Pairs counted;
  for (const int clients : {1, 4, 16}) {
    // Flushes bound the rate when commits are synchronous, most of all with one client.
    const std::int64_t jobs = limits.jobs / bench.options.pick(1, 4) / (synchronous ? 4 : 1) /
                              (synchronous && clients == 1 ? 4 : 1);
    ours.measure(clients, limits.batch, jobs / 4);
    theirs.measure(clients, limits.batch, jobs / 4);
    const int count = clients == 1 ? std::max(1, pairs / 4) : (pairs + 1) / 2;
    const Pairs at = interleave(
        count, [&](int) { return ours.measure(clients, limits.batch, jobs); },
        [&](int) { return theirs.measure(clients, limits.batch, jobs); });
    plot(bench.results, at, clients, limits.batch, synchronous);
    bench.results.note(
        "synchronous_commit {}, {} clients, batch {}: {:.2f} us and {:.0f}/s, "
        "textbook {:.2f} us and {:.0f}/s",
        synchronous ? "on" : "off", clients, limits.batch, at.our_median(&Sample::cpu_us),
        at.our_median(&Sample::per_second), at.their_median(&Sample::cpu_us),
        at.their_median(&Sample::per_second));
    if (clients > 1) append(counted, at);
  }
  return counted;
}

// Only the product, in a loop of points, for a profiler to look at.
void measure_ours(Bench& bench, const Limits& limits) {
  Side ours(Subject::durable_work("bench_claim"), bench.options, false);
  std::vector<double> cpu;
  for (int point = 0; point < bench.options.pick(40, 10); ++point)
    cpu.push_back(ours.measure(point % 2 == 0 ? 4 : 16, limits.batch, limits.jobs).cpu_us);
  bench.results.shown("server CPU per job, durable_work alone", median(cpu), "us");
}

void run(Bench& bench, const Limits& limits) {
  if (bench.options.ours_only) return measure_ours(bench, limits);
  Results& results = bench.results;
  for (const bool synchronous : {false, true}) {
    const int count = synchronous ? bench.options.pick(8, 2) : bench.options.pick(16, 4);
    const Pairs pairs = measure_pairs(bench, limits, synchronous, count);
    const std::string beside = fmt::format(
        "{:.2f} us against {:.2f} us; median of {} pairs at 4 and 16 clients",
        pairs.our_median(&Sample::cpu_us), pairs.their_median(&Sample::cpu_us), pairs.ours.size());
    const double ratio = pairs.ratio(&Sample::cpu_us);
    if (synchronous)
      results.shown("server CPU per job against the textbook, synchronous_commit on", ratio, "x",
                    beside);
    else
      results.at_most("server CPU per job against the textbook", ratio, limits.cpu, "x", beside);
    results.shown(synchronous ? "throughput against the textbook, synchronous_commit on"
                              : "throughput against the textbook",
                  pairs.ratio(&Sample::per_second), "x",
                  fmt::format("expected at least {}; {:.0f}/s against {:.0f}/s", limits.throughput,
                              pairs.our_median(&Sample::per_second),
                              pairs.their_median(&Sample::per_second)));
    if (!synchronous) {
      results.shown("CPU of the whole server per job against the textbook",
                    pairs.ratio(&Sample::whole_cpu_us), "x",
                    "with autovacuum, checkpointer, WAL writer");
      results.shown("WAL per job", pairs.our_median(&Sample::wal_bytes), "B",
                    fmt::format("textbook {:.0f} B", pairs.their_median(&Sample::wal_bytes)));
    }
  }
}

}  // namespace

void claim_single(Bench& bench) { run(bench, {1, 12000, 1 / 3.3, 2.5}); }

void claim_batch10(Bench& bench) { run(bench, {10, 60000, 1 / 4.5, 3.3}); }

void claim_batch100(Bench& bench) { run(bench, {100, 120000, 1 / 5.5, 4}); }

}  // namespace bench
