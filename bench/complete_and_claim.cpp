// A worker's round with one job: complete_and_claim in one call against complete and claim in two,
// each a transaction of its own. Both sides are the product, on queues of their own.
#include "consumers.hpp"

#include <stdexcept>

namespace bench {
namespace {

constexpr double kLimit = 0.65;
constexpr int kClients = 4;

const char* const kBoth = "both";

// One job and its token as complete() gets them, and as the guide has it.
std::string complete_and_claim_from(const std::string& place) {
  return fmt::format(
      "SELECT outcome, job_id, lease_token, payload, attempt FROM "
      "durable_work.complete_and_claim(ARRAY[$1::bigint], "
      "ARRAY[$2::bigint], '{}'::text, $3, $4)",
      place);
}

// Takes one; then completes what it holds and takes one more, until nothing is wanted any more.
Client rounds(Session& session, Consumption& state) {
  state.wanted--;
  const Result first = co_await session.execute("claim", "worker-1", "1");
  if (first.rows() != 1) throw std::runtime_error("nothing to claim");
  std::string id = first.text(0, 0);
  std::string token = first.text(0, 1);
  while (state.wanted > 0) {
    state.wanted--;
    const Result reply = co_await session.execute(kBoth, id, token, "worker-1", "1");
    if (reply.rows() != 2 || reply.text(0, 0) != "completed" || reply.text(1, 0) != "claimed")
      throw std::runtime_error("a round did not complete one job and claim another");
    state.done++;
    id = reply.text(1, 1);
    token = reply.text(1, 2);
  }
  co_await session.execute("finish", id, token);
  state.done++;
}

class Side {
 public:
  Side(const std::string& place, bool both)
      : workers_(Subject::durable_work(place), kClients), both_(both) {
    for (int i = 0; i < kClients; ++i)
      workers_.connection(i).prepare(kBoth, complete_and_claim_from(place));
  }

  Sample measure(int clients, std::int64_t jobs) {
    workers_.subject().fill(workers_.admin(), jobs);
    const Consumers::Work work = [](int, Session& session, Consumption& state) {
      return rounds(session, state);
    };
    return workers_.work_off(clients, 1, jobs, both_ ? work : nullptr);
  }

 private:
  Consumers workers_;
  bool both_;
};

}  // namespace

void complete_and_claim(Bench& bench) {
  const std::int64_t jobs = bench.options.pick(12000, 4000);
  Side both("bench_both", true);
  if (bench.options.ours_only) {
    std::vector<double> cpu;
    for (int point = 0; point < bench.options.pick(40, 20); ++point)
      cpu.push_back(both.measure(4, jobs).cpu_us);
    bench.results.shown("server CPU per job, complete_and_claim alone", median(cpu), "us");
    return;
  }
  Side apart("bench_apart", false);
  both.measure(4, jobs / 4);
  apart.measure(4, jobs / 4);
  Pairs pairs;
  for (const int clients : {1, 4}) {
    const Pairs at = interleave(
        bench.options.pick(8, 3), [&](int) { return both.measure(clients, jobs); },
        [&](int) { return apart.measure(clients, jobs); });
    bench.results.note("{} clients: {:.3f} x, {:.2f} us against {:.2f} us", clients,
                       at.ratio(&Sample::cpu_us), at.our_median(&Sample::cpu_us),
                       at.their_median(&Sample::cpu_us));
    pairs.ours.insert(pairs.ours.end(), at.ours.begin(), at.ours.end());
    pairs.theirs.insert(pairs.theirs.end(), at.theirs.begin(), at.theirs.end());
  }
  bench.results.at_most(
      "server CPU per job against complete and claim", pairs.ratio(&Sample::cpu_us), kLimit, "x",
      fmt::format("{:.2f} us against {:.2f} us; median of {} pairs at 1 and 4 clients",
                  pairs.our_median(&Sample::cpu_us), pairs.their_median(&Sample::cpu_us),
                  pairs.ours.size()));
  bench.results.shown(
      "throughput against complete and claim", pairs.ratio(&Sample::per_second), "x",
      fmt::format("{:.0f}/s against {:.0f}/s", pairs.our_median(&Sample::per_second),
                  pairs.their_median(&Sample::per_second)));
  bench.results.shown("WAL per job", pairs.our_median(&Sample::wal_bytes), "B",
                      fmt::format("{:.0f} B apart", pairs.their_median(&Sample::wal_bytes)));
}

}  // namespace bench
