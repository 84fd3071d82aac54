// What the order of keys costs: server CPU per job of enqueue, claim and complete on a queue with
// `ordering => 'key'`, against the same jobs with the same keys on a queue without. The keys are
// drawn out of a million. Beside it the textbook table with the guard that one finds in books: a
// job is due when no earlier one of its key is unfinished.
#include "subject.hpp"

#include <random>

namespace bench {
namespace {

constexpr double kLimit = 1.2;
constexpr int kKeys = 1000000;

class Keyed {
 public:
  Keyed(const Subject& subject, const std::string& options, const Options& wish)
      : subject_(subject) {
    subject_.create(admin_);
    if (!subject_.ours)
      admin_.script(fmt::format(
          "CREATE INDEX ON {} (partition_key, id) WHERE status IN ('pending', 'processing')",
          subject_.place));
    else if (!options.empty())
      admin_.script(
          fmt::format("SELECT durable_work.drop_queue('{0}');"
                      "SELECT durable_work.create_queue('{0}', lease => '10 min', {1})",
                      subject_.place, options));
    std::vector<Statement> statements = subject_.statements();
    for (Statement& statement : statements) {
      if (std::string_view(statement.name) == "enqueue") statement.sql = enqueue();
      if (std::string_view(statement.name) == "claim" && !subject_.ours) statement.sql = guarded();
    }
    open_sessions(sessions_, loop_, 8, statements, false);
    subject_.fill_keyed(admin_, wish.pick(100000, 20000), kKeys);
    if (!subject_.ours) admin_.script("VACUUM ANALYZE " + subject_.place);
  }

  // Enqueued one by one, claimed and completed `batch` at a time.
  Sample measure(int clients, int batch, std::int64_t jobs) {
    std::vector<Client> running;
    meter_.start();
    std::int64_t left = jobs;
    for (int i = 0; i < clients; ++i) running.push_back(put(session(i), left));
    loop_.run(std::move(running));
    running.clear();
    Consumption state{.batch = batch, .wanted = jobs, .done = 0};
    for (int i = 0; i < clients; ++i) running.push_back(consume(session(i), state));
    loop_.run(std::move(running));
    return per_job(meter_.stop(), state.done);
  }

 private:
  Session& session(int i) { return sessions_[static_cast<std::size_t>(i)]; }

  std::string key() { return fmt::format("key:{}", draw_() % kKeys); }

  Client put(Session& session, std::int64_t& left) {
    while (left > 0) {
      --left;
      co_await session.execute("enqueue", payload(), key());
    }
  }

  [[nodiscard]] std::string enqueue() const {
    return subject_.ours ? fmt::format("SELECT durable_work.enqueue('{}', $1, $2)", subject_.place)
                         : fmt::format("INSERT INTO {} (payload, partition_key) VALUES ($1, $2)",
                                       subject_.place);
  }

  [[nodiscard]] std::string guarded() const {
    return fmt::format(
        "UPDATE {0} SET status = 'processing', claimed_by = $1,"
        " lease_expires_at = clock_timestamp() + interval '10 min',"
        " lease_generation = lease_generation + 1, attempts = attempts + 1"
        " WHERE id = ANY(ARRAY(SELECT id FROM {0} AS job WHERE status = 'pending'"
        " AND available_at <= now() AND NOT EXISTS (SELECT FROM {0} AS earlier"
        " WHERE earlier.partition_key = job.partition_key AND earlier.id < job.id"
        " AND earlier.status IN ('pending', 'processing'))"
        " ORDER BY available_at, id FOR UPDATE SKIP LOCKED LIMIT $2::int))"
        " RETURNING id, lease_generation, payload, attempts",
        subject_.place);
  }

  Subject subject_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
  std::mt19937_64 draw_{20260505};
};

}  // namespace

void ordered(Bench& bench) {
  Keyed ordered(Subject::durable_work("bench_ordered"), "ordering => 'key'", bench.options);
  Keyed plain(Subject::durable_work("bench_unordered"), "", bench.options);
  const std::int64_t jobs = bench.options.pick(30000, 5000);
  for (const int batch : {1, 10, 100}) {
    const auto measure = [&](Keyed& side) { return side.measure(4, batch, jobs); };
    measure(ordered);
    measure(plain);
    const Pairs pairs = interleave(
        bench.options.pick(12, 3), [&](int) { return measure(ordered); },
        [&](int) { return measure(plain); });
    judge_cpu(
        bench,
        fmt::format("server CPU per job of an ordered queue against one that is not, {} a claim",
                    batch),
        pairs, kLimit);
  }
  Keyed textbook(Subject::textbook("bench_guarded"), "", bench.options);
  const std::int64_t few = jobs / 10;
  const Pairs pairs = interleave(
      bench.options.pick(6, 2), [&](int) { return ordered.measure(4, 10, few); },
      [&](int) { return textbook.measure(4, 10, few); });
  bench.results.shown("server CPU per job against the textbook with a guard, 10 a claim",
                      pairs.ratio(&Sample::cpu_us), "x",
                      fmt::format("{:.2f} us against {:.2f} us", pairs.our_median(&Sample::cpu_us),
                                  pairs.their_median(&Sample::cpu_us)));
}

}  // namespace bench
