// What it costs that a claim gets only jobs of the worker's own buckets: claim and complete by four
// registered workers with owned_only, against four that take any job of a queue like it.
#include "consumers.hpp"

namespace bench {
namespace {

constexpr double kLimit = 1.05;
constexpr int kWorkers = 4;
constexpr int kKeys = 1000000;

class Side {
 public:
  Side(const std::string& place, bool owned) : workers_(Subject::durable_work(place), kWorkers) {
    for (int i = 0; owned && i < kWorkers; ++i) claim_owned(i);
  }

  // Deep enough that nobody comes to the end of his share, though shares differ.
  void make_backlog(std::int64_t jobs) {
    workers_.subject().drain(workers_.admin());
    workers_.subject().fill_keyed(workers_.admin(), jobs, kKeys);
  }

  Sample measure(int batch, std::int64_t jobs) {
    workers_.subject().fill_keyed(workers_.admin(), jobs, kKeys);
    return workers_.work_off(kWorkers, batch, jobs,
                             [](int i, Session& session, Consumption& state) {
                               return consume(session, state, name(i));
                             });
  }

 private:
  static std::string name(int i) { return fmt::format("bench-{}", i); }

  void claim_owned(int i) {
    const std::string& place = workers_.subject().place;
    const std::string instance =
        workers_.admin()
            .query("SELECT durable_work.register_worker($1, ARRAY[$2])", name(i), place)
            .text(0, 0);
    Connection& connection = workers_.connection(i);
    connection.script("DEALLOCATE claim");
    connection.prepare(
        "claim", fmt::format("SELECT job_id, lease_token, payload, attempt FROM durable_work.claim("
                             "'{}'::text, $1, $2, owned_only => true, instance => {})",
                             place, instance));
  }

  Consumers workers_;
};

}  // namespace

void owned(Bench& bench) {
  Side owned("bench_owned", true);
  Side plain("bench_any", false);
  const int count = bench.options.pick(24, 4);
  for (const int batch : {1, 10, 100}) {
    const std::int64_t jobs = bench.options.pick(10000, 3000);
    for (Side* const side : {&owned, &plain}) side->make_backlog(bench.options.pick(100000, 20000));
    owned.measure(batch, jobs);
    plain.measure(batch, jobs);
    const Pairs pairs = interleave(
        count, [&](int) { return owned.measure(batch, jobs); },
        [&](int) { return plain.measure(batch, jobs); });
    judge_cpu(
        bench,
        fmt::format("server CPU per job of claims with owned_only against any, {} a claim", batch),
        pairs, kLimit);
  }
}

}  // namespace bench
