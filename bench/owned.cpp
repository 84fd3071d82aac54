// What it costs that a claim gets only jobs of the worker's own buckets: claim and complete by four
// registered workers with owned_only, against four that take any job of a queue like it. And
// against a queue for each of the four, which is what one would do by hand: there, too, a worker's
// next jobs lie among those of the others, in the log and in memory.
#include <array>

#include "consumers.hpp"

namespace bench {
namespace {

constexpr double kLimit = 1.05;
constexpr int kWorkers = 4;
constexpr int kKeys = 1000000;

std::string name(int i) { return fmt::format("bench-{}", i); }

class Side {
 public:
  explicit Side(const std::string& place) : workers_(Subject::durable_work(place), kWorkers) {}
  virtual ~Side() = default;

  virtual void purge() { admin().query("SELECT durable_work.purge_queue($1)", place()); }
  virtual void fill(std::int64_t jobs) {
    workers_.subject().fill_keyed(workers_.admin(), jobs, kKeys);
  }
  Sample measure(int batch, std::int64_t jobs) {
    fill(jobs);
    return workers_.work_off(kWorkers, batch, jobs,
                             [jobs](int i, Session& session, Consumption& state) {
                               state.each = jobs / kWorkers;
                               return consume(session, state, name(i));
                             });
  }

 protected:
  const std::string& place() { return workers_.subject().place; }
  Connection& admin() { return workers_.admin(); }
  void claim_by(int i, const std::string& queue, const std::string& how) {
    Connection& connection = workers_.connection(i);
    connection.script("DEALLOCATE claim");
    connection.prepare("claim", fmt::format("SELECT job_id, lease_token, payload, attempt FROM "
                                            "durable_work.claim('{}'::text, $1, $2{})",
                                            queue, how));
  }

 private:
  Consumers workers_;
};

class Owned : public Side {
 public:
  Owned() : Side("bench_owned") {
    for (int i = 0; i < kWorkers; ++i) {
      const std::string instance =
          admin()
              .query("SELECT durable_work.register_worker($1, ARRAY[$2])", name(i), place())
              .text(0, 0);
      claim_by(i, place(), fmt::format(", owned_only => true, instance => {}", instance));
    }
  }
};

class ByHand : public Side {
 public:
  ByHand() : Side("bench_by_hand") {
    for (int i = 0; i < kWorkers; ++i) {
      admin().query("SELECT durable_work.create_queue($1, lease => '10 min')", queue(i));
      claim_by(i, queue(i), "");
    }
  }
  void fill(std::int64_t jobs) override {
    admin().query(
        fmt::format("SELECT count(durable_work.enqueue('{}_' || i % {}, $1::jsonb, partition_key "
                    "=> 'key:' || floor(random() * {}))) FROM generate_series(1, $2::int) i",
                    place(), kWorkers, kKeys),
        payload(), std::to_string(jobs));
  }
  void purge() override {
    for (int i = 0; i < kWorkers; ++i)
      admin().query("SELECT durable_work.purge_queue($1)", queue(i));
  }

 private:
  std::string queue(int i) { return fmt::format("{}_{}", place(), i); }
};

}  // namespace

void owned(Bench& bench) {
  Owned owned;
  Side any("bench_any");
  ByHand by_hand;
  const std::array<Side*, 3> sides{&owned, &any, &by_hand};
  const int count = bench.options.pick(24, 4);
  for (const int batch : {1, 10, 100}) {
    const std::int64_t jobs = bench.options.pick(10000, 3000);
    const auto compare = [&](Side& with) {
      // Each works off as many as the others, though their shares of what is enqueued differ: each
      // comparison begins with a backlog so deep that nobody comes to the end of his share. Both
      // fit into memory.
      for (Side* const side : sides) side->purge();
      for (Side* const side : {static_cast<Side*>(&owned), &with}) {
        side->fill(bench.options.pick(100000, 20000));
        side->measure(batch, jobs);
      }
      return interleave(
          count, [&](int) { return owned.measure(batch, jobs); },
          [&](int) { return with.measure(batch, jobs); });
    };
    const std::string what =
        fmt::format("server CPU per job of claims with owned_only, {} a claim, against ", batch);
    judge_cpu(bench, what + "claims of any", compare(any), kLimit);
    judge_cpu(bench, what + "a queue for each worker", compare(by_hand), kLimit);
  }
}

}  // namespace bench
