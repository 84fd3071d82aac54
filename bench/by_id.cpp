// Looking at single jobs among ten million finished ones: history(), explain_job() and a row of the
// view inbox by its id. Nothing on the hot path looks a job up by its id, so there is no btree for
// it; these go through block range indexes. The jobs were completed in batches of a hundred, the
// last hundredth one by one.
#include "subject.hpp"

#include <random>

namespace bench {
namespace {

class Retained {
 public:
  Retained() : subject_(Subject::durable_work("bench_by_id")) {
    subject_.create(connection_);
    open_sessions(sessions_, loop_, 8, subject_.statements(), false);
  }

  // Enqueues and completes.
  void finish(std::int64_t jobs, int batch) {
    const std::int64_t chunk = 200000;
    for (std::int64_t left = jobs; left > 0; left -= chunk) {
      const std::int64_t part = std::min(left, chunk);
      subject_.fill(connection_, part);
      Consumption state{.batch = batch, .wanted = part, .done = 0};
      std::vector<Client> running;
      running.reserve(sessions_.size());
      for (Session& session : sessions_) running.push_back(consume(session, state));
      loop_.run(std::move(running));
    }
  }

  void settle() { connection_.script("CHECKPOINT"); }

  struct Time {
    double median_ms;
    double p99_ms;
  };
  // Each id is asked for once before it counts.
  Time measure(const std::string& sql, int samples) {
    const std::int64_t last = connection_.integer("SELECT max(id) FROM durable_work.inbox");
    std::mt19937_64 draw(20260101);
    std::vector<double> ms;
    connection_.query("SELECT 1");
    connection_.prepare("look", sql);
    while (static_cast<int>(ms.size()) < samples) {
      const std::string id =
          std::to_string(1 + static_cast<std::int64_t>(draw() % static_cast<std::uint64_t>(last)));
      // Numbers have gaps.
      if (connection_.query("SELECT 1 FROM durable_work.inbox WHERE id = $1", id).rows() == 0)
        continue;
      connection_.execute("look", id);
      const TimePoint sent = Clock::now();
      connection_.execute("look", id);
      ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
    }
    connection_.script("DEALLOCATE look");
    return {median(ms), percentile(ms, 0.99)};
  }

 private:
  Subject subject_;
  Connection connection_;
  EventLoop loop_;
  std::deque<Session> sessions_;
};

}  // namespace

void by_id(Bench& bench) {
  const std::int64_t jobs = bench.options.pick<std::int64_t>(10000000, 1000000);
  const int samples = bench.options.pick(300, 100);
  Retained retained;
  bench.results.note("finishing {} jobs", jobs);
  retained.finish(jobs - jobs / 100, 100);
  retained.finish(jobs / 100, 1);
  retained.settle();
  const auto show = [&](const char* what, const std::string& sql, double limit) {
    const Retained::Time time = retained.measure(sql, samples);
    bench.results.at_most(std::string(what) + " by id, warm median", time.median_ms, limit, "ms",
                          fmt::format("p99 {:.2f} ms; {} jobs of {}", time.p99_ms, samples, jobs));
  };
  show("history", "SELECT * FROM durable_work.history($1)", 8);
  show("explain_job", "SELECT * FROM durable_work.explain_job($1)", 8);
  show("a row of inbox", "SELECT * FROM durable_work.inbox WHERE id = $1", 12);
}

}  // namespace bench
