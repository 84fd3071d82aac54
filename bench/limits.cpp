// What limits cost the queue that has them while they do not bind: claim and complete on a queue
// with a limit against the same on a queue without, each a transaction of its own. The jobs have
// keys, on both sides.
#include "consumers.hpp"

namespace bench {
namespace {

constexpr double kLimit = 1.03;
constexpr int kClients = 4;
constexpr int kKeys = 1000;

struct Kind {
  const char* name;
  std::string sql;  // {} is the queue
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"a concurrency limit", "SELECT durable_work.set_concurrency_limit('{}', 100000)"},
      {"a rate limit", "SELECT durable_work.set_rate_limit('{}', 1000000)"},
      {"a concurrency limit and a rate limit of a group",
       "SELECT durable_work.set_concurrency_limit('{0}', 100000, 'group', 'bench'), "
       "durable_work.set_rate_limit('{0}', 1000000, scope => 'group', limit_group => 'bench')"},
      {"a concurrency limit of each key",
       "SELECT durable_work.set_concurrency_limit('{}', 1000, 'key')"},
      {"a rate limit of each key",
       "SELECT durable_work.set_rate_limit('{}', 100000, scope => 'key')"},
  };
  return all;
}

class Side {
 public:
  explicit Side(const std::string& place) : workers_(Subject::durable_work(place), kClients) {}

  void limit(const Kind& kind) {
    workers_.subject().create(workers_.admin());
    workers_.admin().query(fmt::format(fmt::runtime(kind.sql), workers_.subject().place));
  }

  Sample measure(std::int64_t jobs) {
    workers_.subject().fill_keyed(workers_.admin(), jobs, kKeys);
    return workers_.work_off(kClients, 1, jobs);
  }

 private:
  Consumers workers_;
};

}  // namespace

void limits(Bench& bench) {
  const std::int64_t jobs = bench.options.pick(8000, 3000);
  const int count = bench.options.pick(24, 4);
  Side limited("bench_limited");
  Side plain("bench_plain");
  for (const Kind& kind : kinds()) {
    limited.limit(kind);
    // The bucket begins empty and is full by the end of this.
    limited.measure(jobs);
    plain.measure(jobs);
    const Pairs pairs = interleave(
        count, [&](int) { return limited.measure(jobs); },
        [&](int) { return plain.measure(jobs); });
    judge_cpu(bench, fmt::format("server CPU per job with {}", kind.name), pairs, kLimit);
  }
}

}  // namespace bench
