// Does a claim cost more when the backlog is deep? Phases with a thousand and with five million
// pending take turns (small, deep, small, deep, small) with a million delayed and five million
// finished jobs around. Claimed jobs are completed and replaced outside the measured part, so the
// claims walk through the backlog instead of meeting the same few jobs in the caches again. Wants
// an arena that holds them all.
#include "subject.hpp"

#include <stdexcept>

namespace bench {
namespace {

struct Depth {
  std::vector<double> cpu_us, empty_us, buffers;

  void append(const Depth& more) {
    cpu_us.insert(cpu_us.end(), more.cpu_us.begin(), more.cpu_us.end());
    empty_us.insert(empty_us.end(), more.empty_us.begin(), more.empty_us.end());
    buffers.insert(buffers.end(), more.buffers.begin(), more.buffers.end());
  }
};

class Backlog {
 public:
  explicit Backlog(const Subject& queue) : queue_(queue) {
    queue_.create(connection_);
    for (const Statement& statement : queue_.statements())
      connection_.prepare(statement.name, statement.sql);
    connection_.prepare("empty", "SELECT pg_catalog.pg_backend_pid()");
    meter_.only({connection_.backend_pid()});
  }

  void finish(std::int64_t jobs) {
    for (std::int64_t left = jobs; left > 0; left -= kChunk) {
      queue_.fill(connection_, std::min(left, kChunk));
      queue_.drain(connection_);
    }
  }
  void delay(std::int64_t jobs, const char* interval) { queue_.fill(connection_, jobs, interval); }
  void add(std::int64_t jobs) { queue_.fill(connection_, jobs); }
  void remove(std::int64_t jobs) {
    while (jobs > 0) {
      const Result claimed = connection_.execute(
          "claim", "drain", std::to_string(std::min<std::int64_t>(jobs, 10000)));
      if (claimed.rows() == 0) throw std::runtime_error("fewer pending jobs than enqueued");
      complete(claimed.column_as_array(0), claimed.column_as_array(1));
      jobs -= claimed.rows();
    }
  }

  Depth measure(int rounds) {
    Depth depth;
    for (int round = 0; round < rounds; ++round) {
      depth.cpu_us.push_back(claim_singly());
      meter_.start();
      for (int call = 0; call < kClaims; ++call) connection_.execute("empty");
      depth.empty_us.push_back(meter_.stop().cpu * 1e6 / kClaims);
      for (int call = 0; call < 3; ++call) depth.buffers.push_back(buffers_of_claim());
    }
    return depth;
  }

 private:
  static constexpr int kClaims = 400;
  static constexpr std::int64_t kChunk = 200000;

  void complete(const std::string& ids, const std::string& tokens) {
    connection_.execute("finish_many", ids, tokens);
  }

  double claim_singly() {
    std::string ids = "{";
    std::string tokens = "{";
    meter_.start();
    for (int call = 0; call < kClaims; ++call) {
      const Result claimed = connection_.execute("claim", "worker-1", "1");
      if (claimed.rows() != 1) throw std::runtime_error("a claim found nothing");
      ids += claimed.text(0, 0) + (call + 1 < kClaims ? "," : "}");
      tokens += claimed.text(0, 1) + (call + 1 < kClaims ? "," : "}");
    }
    const double cost = meter_.stop().cpu * 1e6 / kClaims;
    complete(ids, tokens);
    queue_.fill(connection_, kClaims);
    return cost;
  }

  // Shared buffers hit and read by the claim's plan node, which comes first in the plan.
  double buffers_of_claim() {
    const Result plan = connection_.query(
        "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, FORMAT JSON) SELECT job_id, "
        "lease_token, payload, attempt FROM durable_work.claim($1::text, 'buffers', 1)",
        queue_.place);
    const std::string text = plan.text(0, 0);
    const double buffers = field(text, "Shared Hit Blocks") + field(text, "Shared Read Blocks");
    const Result leases = connection_.query(
        "SELECT job_id, lease_token FROM durable_work.heartbeat('buffers') JOIN "
        "durable_work.leases USING (job_id) WHERE worker = 'buffers'");
    complete(leases.column_as_array(0), leases.column_as_array(1));
    queue_.fill(connection_, leases.rows());
    return buffers;
  }

  static double field(const std::string& json, const std::string& name) {
    const std::size_t at = json.find("\"" + name + "\": ");
    if (at == std::string::npos) throw std::runtime_error("no \"" + name + "\" in the plan");
    return std::stod(json.substr(at + name.size() + 4));
  }

  Subject queue_;
  Connection connection_;
  Meter meter_;
};

}  // namespace

void backlog(Bench& bench) {
  const std::int64_t small = 1000;
  const std::int64_t deep = bench.options.pick<std::int64_t>(5000000, 300000);
  const std::int64_t delayed = bench.options.pick<std::int64_t>(1000000, 50000);
  const std::int64_t finished = bench.options.pick<std::int64_t>(5000000, 300000);
  const int rounds = bench.options.pick(20, 6);
  Results& results = bench.results;

  Backlog queue(Subject::durable_work("bench_backlog"));
  results.note("finishing {} jobs", finished);
  queue.finish(finished);
  queue.delay(delayed, "13 min");  // inside the timer horizon, so they sit in the delayed heap
  queue.add(small);
  queue.measure(2);

  Depth shallow_depth;
  Depth deep_depth;
  for (int turn = 0; turn < 2; ++turn) {
    shallow_depth.append(queue.measure(rounds));
    results.note("filling up to {} pending", deep);
    queue.add(deep - small);
    deep_depth.append(queue.measure(rounds));
    queue.remove(deep - small);
  }
  shallow_depth.append(queue.measure(rounds));

  const std::string scale =
      fmt::format("{} against {} pending, {} delayed, {} finished", deep, small, delayed, finished);
  results.at_most("server CPU per claim, deep against shallow",
                  median(deep_depth.cpu_us) / median(shallow_depth.cpu_us), 1.15, "x",
                  fmt::format("{:.2f} us against {:.2f} us; {}; an empty function meanwhile "
                              "{:.3f} x",
                              median(deep_depth.cpu_us), median(shallow_depth.cpu_us), scale,
                              median(deep_depth.empty_us) / median(shallow_depth.empty_us)));
  results.at_most("buffers per claim, deep minus shallow",
                  median(deep_depth.buffers) - median(shallow_depth.buffers), 0, "buffers",
                  fmt::format("{:.1f} against {:.1f}", median(deep_depth.buffers),
                              median(shallow_depth.buffers)));
}

}  // namespace bench
