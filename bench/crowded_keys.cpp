// Whether keys that cannot go on slow those that can: claim and complete on a queue that keeps the
// order of keys, in which one key has 200,000 jobs waiting behind one that is held and 100,000
// other keys are blocked by a dead letter, against the same on a queue without such keys.
#include "consumers.hpp"

namespace bench {
namespace {

constexpr double kLimit = 1.05;
constexpr int kClients = 4;
constexpr int kKeys = 1000000;

class Side {
 public:
  explicit Side(const std::string& place) : workers_(Subject::durable_work(place), kClients) {
    admin().query("SELECT durable_work.drop_queue($1)", place);
    admin().query(
        "SELECT durable_work.create_queue($1, lease => '10 min', ordering => 'key', "
        "on_exhausted => 'hold')",
        place);
  }

  void crowd(int waiting, int blocked) {
    constexpr int kAtOnce = 50000;
    const auto enqueue = [&](int jobs, const char* keys) {
      for (int from = 0; from < jobs; from += kAtOnce)
        admin().query(
            fmt::format("SELECT count(*) FROM durable_work.enqueue_many($1, array_fill($2::jsonb, "
                        "ARRAY[$4::int - $3::int]), ARRAY(SELECT {} FROM "
                        "generate_series($3::int + 1, $4::int) AS n))",
                        keys),
            subject().place, payload(), std::to_string(from),
            std::to_string(std::min(jobs, from + kAtOnce)));
    };
    enqueue(blocked, "'blocked:' || n");
    for (;;) {
      const Result jobs = admin().query(
          "SELECT job_id, lease_token FROM durable_work.claim($1::text, 'bench', 10000)",
          subject().place);
      if (jobs.rows() == 0) break;
      admin().query("SELECT count(*) FROM durable_work.fail_many($1, $2, retryable => false)",
                    jobs.column_as_array(0), jobs.column_as_array(1));
    }
    enqueue(waiting + 1, "'crowd'");
    admin().query("SELECT FROM durable_work.claim($1::text, 'bench', 1, lease => '1 day')",
                  subject().place);
  }

  // Of another key each, all but for a few.
  void fill(std::int64_t jobs) { subject().fill_keyed(admin(), jobs, kKeys); }

  Sample measure(int batch, std::int64_t jobs) {
    fill(jobs);
    return workers_.work_off(kClients, batch, jobs);
  }

  std::string keys() {
    const Result figures = admin().query(
        "SELECT blocked, (SELECT count(*) FROM durable_work.blocked_keys($1)) "
        "FROM durable_work.queue_stats WHERE queue = $1",
        subject().place);
    return fmt::format("{} jobs behind others, {} keys blocked", figures.text(0, 0),
                       figures.text(0, 1));
  }

 private:
  const Subject& subject() const { return workers_.subject(); }
  Connection& admin() { return workers_.admin(); }

  Consumers workers_;
};

}  // namespace

void crowded_keys(Bench& bench) {
  Side crowded("bench_crowded");
  Side plain("bench_uncrowded");
  crowded.crowd(bench.options.pick(200000, 20000), bench.options.pick(100000, 5000));
  for (Side* const side : {&crowded, &plain}) side->fill(bench.options.pick(20000, 2000));
  const int count = bench.options.pick(24, 4);
  for (const int batch : {1, 100}) {
    const std::int64_t jobs = bench.options.pick(batch == 1 ? 8000 : 20000, 3000);
    crowded.measure(batch, jobs);
    plain.measure(batch, jobs);
    const Pairs pairs = interleave(
        count, [&](int) { return crowded.measure(batch, jobs); },
        [&](int) { return plain.measure(batch, jobs); });
    judge_cpu(bench, fmt::format("server CPU per job beside keys that wait, {} a claim", batch),
              pairs, kLimit, "; " + crowded.keys());
  }
}

}  // namespace bench
