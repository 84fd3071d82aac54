// A claim that finds nothing, against the round trip of a C function that does nothing
// (pg_backend_pid: it returns a variable).
#include "subject.hpp"

namespace bench {

void empty_claim(Bench& bench) {
  const Subject queue = Subject::durable_work("bench_empty");
  Connection connection;
  queue.create(connection);
  for (const Statement& statement : queue.statements())
    connection.prepare(statement.name, statement.sql);
  connection.prepare("empty", "SELECT pg_catalog.pg_backend_pid()");
  connection.prepare("one", "SELECT 1");

  Meter meter;
  meter.only({connection.backend_pid()});
  const int calls = bench.options.pick(20000, 5000);
  const auto measure = [&](const char* statement) {
    meter.start();
    for (int call = 0; call < calls; ++call) {
      if (statement[0] == 'c')
        connection.execute(statement, "worker-1", "1");
      else
        connection.execute(statement);
    }
    return per_job(meter.stop(), calls);
  };
  measure("claim");
  if (bench.options.ours_only) {
    for (int i = 0; i < 50; ++i) measure("claim");
    return;
  }

  std::vector<Sample> ones;
  const Pairs pairs = interleave(
      bench.options.pick(21, 7), [&](int) { return measure("claim"); },
      [&](int) {
        ones.push_back(measure("one"));
        return measure("empty");
      });
  const Pairs to_select_one{pairs.ours, ones};
  bench.results.at_most(
      "server CPU against an empty C function", pairs.ratio(&Sample::cpu_us), 1.25, "x",
      fmt::format("{:.2f} us against {:.2f} us", pairs.our_median(&Sample::cpu_us),
                  pairs.their_median(&Sample::cpu_us)));
  // Rates, so the inverse of the ratio of times.
  bench.results.at_most(
      "round trip against an empty C function", 1 / pairs.ratio(&Sample::per_second), 1.25, "x",
      fmt::format("{:.2f} us against {:.2f} us", 1e6 / pairs.our_median(&Sample::per_second),
                  1e6 / pairs.their_median(&Sample::per_second)));
  bench.results.shown(
      "server CPU against select 1", to_select_one.ratio(&Sample::cpu_us), "x",
      fmt::format("select 1: {:.2f} us", to_select_one.their_median(&Sample::cpu_us)));
}

}  // namespace bench
