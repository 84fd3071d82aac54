// A backlog many times deeper than memory: what enqueueing into it, and working it off, costs
// against the same with a queue that fits. Both queues are on one server whose arena holds 100,000
// jobs, and are measured in turn. The deep queue reads its jobs back from disk meanwhile, and that
// work, done by the housekeeper, is in the figures of processor time as well as in the rates.
#include "subject.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {
namespace {

// What the shallow queue holds at a time; within its guaranteed share of the arena.
const std::int64_t kShallow = 15000;
const int kClients = 4;

class Side {
 public:
  Side(const Subject& subject, bool deep) : subject_(subject), deep_(deep) {
    subject_.create(admin_);
    open_sessions(sessions_, loop_, kClients, subject_.statements(), false);
  }

  void fill(std::int64_t jobs) { subject_.fill(admin_, jobs); }

  // Both sides enqueue as many in one point; the shallow queue is emptied again.
  Sample enqueue(int batch, std::int64_t jobs) {
    const std::string argument = batch == 1 ? payload() : payloads(batch);
    std::int64_t calls = jobs / batch;
    std::vector<Client> running;
    running.reserve(sessions_.size());
    for (Session& session : sessions_)
      running.push_back(produce(session, batch == 1 ? "enqueue" : "enqueue_many", argument, calls));
    meter_.start();
    loop_.run(std::move(running));
    const Sample sample = per_job(meter_.stop(), jobs);
    if (!deep_) subject_.drain(admin_);
    return sample;
  }

  // The shallow queue is filled up again and again, outside of the measured parts.
  Sample consume_jobs(int batch, std::int64_t jobs) {
    Usage whole;
    std::int64_t done = 0;
    while (done < jobs) {
      const std::int64_t part = deep_ ? jobs : std::min(jobs - done, kShallow);
      if (!deep_) subject_.fill(admin_, part);
      Consumption state{.batch = batch, .wanted = part, .done = 0};
      std::vector<Client> running;
      running.reserve(sessions_.size());
      for (Session& session : sessions_) running.push_back(consume(session, state));
      meter_.start();
      loop_.run(std::move(running));
      const Usage usage = meter_.stop();
      whole.seconds += usage.seconds;
      whole.cpu += usage.cpu;
      whole.whole_cpu += usage.whole_cpu;
      whole.wal += usage.wal;
      done += state.done;
    }
    return per_job(whole, done);
  }

  struct Order {
    std::int64_t claimed = 0;
    std::int64_t late = 0;      // handed out after a younger one
    std::int64_t furthest = 0;  // by so many ids
  };
  // One client claims and completes; ids must rise.
  Order walk(std::int64_t jobs) {
    Connection& client = sessions_.front().connection();
    Order order;
    std::int64_t youngest = 0;
    int empty = 0;
    while (order.claimed < jobs) {
      const Result claimed = client.execute("claim", "worker-1", "100");
      if (claimed.rows() == 0 && ++empty > 100000) throw std::runtime_error("nothing to claim");
      if (claimed.rows() == 0) continue;
      empty = 0;
      for (int row = 0; row < claimed.rows(); ++row) {
        const std::int64_t id = claimed.integer(row, 0);
        if (id < youngest) {
          ++order.late;
          order.furthest = std::max(order.furthest, youngest - id);
        }
        youngest = std::max(youngest, id);
      }
      client.execute("finish_many", claimed.column_as_array(0), claimed.column_as_array(1));
      order.claimed += claimed.rows();
    }
    return order;
  }

  Result stats() {
    return admin_.query("SELECT unfinished FROM durable_work.queue_stats WHERE queue = $1",
                        subject_.place);
  }
  Connection& admin() { return admin_; }

 private:
  Subject subject_;
  bool deep_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
};

void enqueue_figures(Bench& bench, Side& deep, Side& shallow) {
  for (const int batch : {1, 100}) {
    const std::int64_t jobs = bench.options.pick(batch == 1 ? 12000 : 14000, 6000);
    deep.enqueue(batch, jobs);
    shallow.enqueue(batch, jobs);
    const Pairs pairs = interleave(
        bench.options.pick(16, 6), [&](int) { return deep.enqueue(batch, jobs); },
        [&](int) { return shallow.enqueue(batch, jobs); });
    bench.results.at_most(
        fmt::format("server CPU per enqueued job, spilled against resident, {} a call", batch),
        pairs.ratio(&Sample::cpu_us), 1.05, "x",
        fmt::format("{:.2f} us against {:.2f} us, {:.0f}/s against {:.0f}/s, {} pairs",
                    pairs.our_median(&Sample::cpu_us), pairs.their_median(&Sample::cpu_us),
                    pairs.our_median(&Sample::per_second), pairs.their_median(&Sample::per_second),
                    pairs.ours.size()));
  }
}

void consume_figures(Bench& bench, Side& deep, Side& shallow) {
  for (const int batch : {1, 10, 100}) {
    const std::int64_t jobs =
        bench.options.pick<std::int64_t>(batch == 1 ? 90000 : 180000, batch == 1 ? 30000 : 90000);
    deep.consume_jobs(batch, 30000);
    shallow.consume_jobs(batch, 15000);
    const Pairs pairs = interleave(
        bench.options.pick(8, 4), [&](int) { return deep.consume_jobs(batch, jobs); },
        [&](int) { return shallow.consume_jobs(batch, jobs); });
    bench.results.at_least(
        fmt::format("claim and complete, spilled against resident, {} a call", batch),
        pairs.ratio(&Sample::per_second), 0.7, "x",
        fmt::format(
            "{:.0f}/s against {:.0f}/s; server CPU {:.2f} us against {:.2f} us, {:.3f} x; {} "
            "pairs",
            pairs.our_median(&Sample::per_second), pairs.their_median(&Sample::per_second),
            pairs.our_median(&Sample::cpu_us), pairs.their_median(&Sample::cpu_us),
            pairs.ratio(&Sample::cpu_us), pairs.ours.size()));
  }
}

}  // namespace

void spill(Bench& bench) {
  const std::int64_t backlog = bench.options.pick<std::int64_t>(10000000, 1000000);
  Side deep(Subject::durable_work("bench_deep"), true);
  Side shallow(Subject::durable_work("bench_shallow"), false);
  bench.results.note("enqueueing {} jobs", backlog);
  deep.fill(backlog);
  enqueue_figures(bench, deep, shallow);
  consume_figures(bench, deep, shallow);

  const Side::Order order = deep.walk(bench.options.pick<std::int64_t>(1000000, 100000));
  bench.results.at_most("jobs of a spilled queue handed out after a younger one",
                        static_cast<double>(order.late), 0, "jobs",
                        fmt::format("of {}, by up to {} ids", order.claimed, order.furthest));
  const Result stats = deep.stats();
  const std::int64_t left = deep.admin().integer(
      "SELECT count(*) FROM durable_work.inbox WHERE queue = 'bench_deep' AND status = 'pending'");
  bench.results.holds("the count of unfinished jobs is that of the log",
                      stats.integer(0, 0) == left,
                      fmt::format("{} and {}", stats.integer(0, 0), left));
}

}  // namespace bench
