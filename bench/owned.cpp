// What it costs that a claim gets only jobs of the worker's own buckets: claim and complete by four
// registered workers with owned_only, against four that take any job of a queue like it.
#include "subject.hpp"

namespace bench {
namespace {

constexpr double kLimit = 1.05;
constexpr int kWorkers = 4;
constexpr int kKeys = 1000000;

class Side {
 public:
  Side(const std::string& place, bool owned) : subject_(Subject::durable_work(place)) {
    subject_.create(admin_);
    open_sessions(sessions_, loop_, kWorkers, subject_.statements(), false);
    for (int i = 0; owned && i < kWorkers; ++i) claim_owned(i);
  }

  // Deep enough that nobody comes to the end of his share, though shares differ.
  void make_backlog(std::int64_t jobs) {
    subject_.drain(admin_);
    subject_.fill_keyed(admin_, jobs, kKeys);
  }

  Sample measure(int batch, std::int64_t jobs) {
    subject_.fill_keyed(admin_, jobs, kKeys);
    Consumption state{.batch = batch, .wanted = jobs, .done = 0};
    std::vector<Client> running;
    for (int i = 0; i < kWorkers; ++i) running.push_back(consume(session(i), state, name(i)));
    meter_.start();
    loop_.run(std::move(running));
    return per_job(meter_.stop(), state.done);
  }

 private:
  static std::string name(int i) { return fmt::format("bench-{}", i); }
  Session& session(int i) { return sessions_[static_cast<std::size_t>(i)]; }

  void claim_owned(int i) {
    const std::string instance =
        admin_.query("SELECT durable_work.register_worker($1, ARRAY[$2])", name(i), subject_.place)
            .text(0, 0);
    Connection& connection = session(i).connection();
    connection.script("DEALLOCATE claim");
    connection.prepare(
        "claim", fmt::format("SELECT job_id, lease_token, payload, attempt FROM durable_work.claim("
                             "'{}'::text, $1, $2, owned_only => true, instance => {})",
                             subject_.place, instance));
  }

  Subject subject_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
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
    bench.results.at_most(
        fmt::format("server CPU per job of claims with owned_only against any, {} a claim", batch),
        pairs.ratio(&Sample::cpu_us), kLimit, "x",
        fmt::format("{:.2f} us against {:.2f} us, {} pairs", pairs.our_median(&Sample::cpu_us),
                    pairs.their_median(&Sample::cpu_us), pairs.ours.size()));
  }
}

}  // namespace bench
