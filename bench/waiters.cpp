// What claimers that wait cost a busy producer: processor time of the producers' backends alone,
// per enqueue, with two waiting claimers against none. Beside it the textbook: a NOTIFY in every
// insert with two listeners.
#include "subject.hpp"

namespace bench {
namespace {

struct Rush {
  std::int64_t calls;
  int producing;
  Usage usage;
};

Client produce(Session& session, Rush& rush, Meter& meter) {
  const std::string argument = payload();
  while (rush.calls > 0) {
    --rush.calls;
    co_await session.execute("produce", argument);
  }
  if (--rush.producing == 0) rush.usage = meter.stop();
}

// Waits, then takes all there is, in batches of 100.
Client work(Session& session, const Rush& rush) {
  while (rush.producing > 0) {
    co_await session.execute("wait");
    for (;;) {
      const Result claimed = co_await session.execute("claim", "worker-1", "100");
      if (claimed.rows() == 0) break;
      co_await session.execute("finish_many", claimed.column_as_array(0),
                               claimed.column_as_array(1));
    }
  }
}

class Side {
 public:
  explicit Side(const Subject& subject) : subject_(subject) {
    subject_.create(admin_);
    std::vector<Statement> statements = subject_.statements();
    if (subject_.ours) {
      statements.push_back({"produce", statements.front().sql});
      statements.push_back(
          {"wait",
           fmt::format("CALL durable_work.wait_for_work(ARRAY['{}'], '100 ms')", subject_.place)});
    } else {
      statements.push_back(
          {"produce", fmt::format("WITH told AS (SELECT pg_notify('{0}', '')) INSERT INTO "
                                  "{0} (payload) SELECT $1::jsonb FROM told",
                                  subject_.place)});
    }
    open_sessions(producers_, loop_, 4, statements, false);
    open_sessions(workers_, loop_, 2, statements, false);
    std::vector<int> pids;
    for (Session& session : producers_) pids.push_back(session.connection().backend_pid());
    meter_.only(pids);
  }

  // Listeners only receive: what they do with a notification is not the producers' business.
  void listen(bool on) {
    for (Session& session : workers_)
      session.connection().script((on ? "LISTEN " : "UNLISTEN ") + subject_.place);
  }

  Sample measure(std::int64_t calls, bool working) {
    Rush rush{.calls = calls, .producing = static_cast<int>(producers_.size()), .usage = {}};
    std::vector<Client> clients;
    meter_.start();
    for (Session& session : producers_) clients.push_back(produce(session, rush, meter_));
    if (working)
      for (Session& session : workers_) clients.push_back(work(session, rush));
    loop_.run(std::move(clients));
    if (subject_.ours) subject_.drain(admin_);
    return per_job(rush.usage, calls);
  }

 private:
  Subject subject_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> producers_;
  std::deque<Session> workers_;
  Meter meter_;
};

std::string beside(const Pairs& pairs) {
  return fmt::format("{:.2f} us against {:.2f} us, {:.0f}/s against {:.0f}/s, {} pairs",
                     pairs.our_median(&Sample::cpu_us), pairs.their_median(&Sample::cpu_us),
                     pairs.our_median(&Sample::per_second), pairs.their_median(&Sample::per_second),
                     pairs.ours.size());
}

}  // namespace

void waiters(Bench& bench) {
  const std::int64_t calls = bench.options.pick(20000, 5000);
  const int count = bench.options.pick(15, 5);
  Side queue(Subject::durable_work("bench_waiters"));
  queue.measure(calls, true);
  const Pairs ours = interleave(
      count, [&](int) { return queue.measure(calls, true); },
      [&](int) { return queue.measure(calls, false); });
  // "Nothing measurable": what pairs of equal sides differ by on a shared machine.
  bench.results.at_most("producers' CPU per enqueue, two waiting claimers against none",
                        ours.ratio(&Sample::cpu_us), 1.05, "x", beside(ours));
  if (bench.options.ours_only) return;

  Side textbook(Subject::textbook("bench_waiters_textbook"));
  const auto listened = [&](bool on) {
    textbook.listen(on);
    return textbook.measure(calls, false);
  };
  listened(true);
  const Pairs theirs = interleave(
      bench.options.pick(7, 3), [&](int) { return listened(true); },
      [&](int) { return listened(false); });
  bench.results.shown("a NOTIFY in every insert, two listeners against none",
                      theirs.ratio(&Sample::cpu_us), "x", beside(theirs));
}

}  // namespace bench
