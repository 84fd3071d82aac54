// WAL per job, as differences of the insert position, and the proof that claiming writes none.
#include "subject.hpp"

#include <stdexcept>

namespace bench {
namespace {

// Enqueue, claim and complete of `jobs` jobs with one client, in batches.
class Life {
 public:
  explicit Life(const Subject& subject) : subject_(subject) {
    subject_.create(admin_);
    open_sessions(sessions_, loop_, 1, subject_.statements(), false);
  }

  double enqueue(int batch, std::int64_t jobs) {
    Connection& connection = sessions_.front().connection();
    const std::string argument = batch == 1 ? payload() : payloads(batch);
    meter_.start();
    for (std::int64_t done = 0; done < jobs; done += batch)
      connection.execute(batch == 1 ? "enqueue" : "enqueue_many", argument);
    return per_job(meter_.stop(), jobs).wal_bytes;
  }

  double consume_all(int batch, std::int64_t jobs) {
    Consumption state{.batch = batch, .wanted = jobs, .done = 0};
    std::vector<Client> running;
    running.push_back(consume(sessions_.front(), state));
    meter_.start();
    loop_.run(std::move(running));
    return per_job(meter_.stop(), state.done).wal_bytes;
  }

  void checkpoint() { admin_.script("CHECKPOINT"); }

 private:
  Subject subject_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
};

struct Bytes {
  double enqueue, consume, consume_after_checkpoint;
};

// Medians: the server's own records (running transactions, another database's vacuum) fall into
// some rounds.
Bytes measure(Life& life, int batch, std::int64_t jobs, int rounds) {
  std::vector<double> enqueue, consume, after_checkpoint;
  for (int round = 0; round < rounds; ++round) {
    enqueue.push_back(life.enqueue(batch, jobs));
    consume.push_back(life.consume_all(batch, jobs));
    life.enqueue(batch, jobs);
    life.checkpoint();
    after_checkpoint.push_back(life.consume_all(batch, jobs));
  }
  return {median(enqueue), median(consume), median(after_checkpoint)};
}

}  // namespace

void wal(Bench& bench) {
  Results& results = bench.results;
  Life ours(Subject::durable_work("bench_wal"));
  Life theirs(Subject::textbook("bench_wal_textbook"));
  for (const int batch : {1, 100}) {
    const std::int64_t jobs = bench.options.pick(20000, 5000);
    const int rounds = bench.options.pick(5, 2);
    const Bytes mine = measure(ours, batch, jobs, rounds);
    const Bytes other = measure(theirs, batch, jobs, rounds);
    const char* how = batch == 1 ? "single calls" : "batches of 100";
    const auto textbook = [](double bytes) { return fmt::format("textbook {:.0f} B", bytes); };
    results.at_most(
        fmt::format("WAL of a whole life, {}", how), mine.enqueue + mine.consume,
        batch == 1 ? 430 : 230, "B",
        fmt::format("enqueue {:.0f} B; {}", mine.enqueue, textbook(other.enqueue + other.consume)));
    const double limit = batch == 1 ? 125 : 12;
    results.at_most(fmt::format("WAL of claim and complete, {}", how), mine.consume, limit, "B",
                    textbook(other.consume));
    results.at_most(fmt::format("WAL of claim and complete after a checkpoint, {}", how),
                    mine.consume_after_checkpoint, limit, "B",
                    textbook(other.consume_after_checkpoint));
  }
}

namespace {

// Runs claim, heartbeat and extension and says whether any of them took a transaction id.
bool transaction_id_assigned(Connection& connection) {
  const auto assigned = [&] {
    return !connection.query("SELECT pg_catalog.pg_current_xact_id_if_assigned()").is_null(0, 0);
  };
  connection.script("BEGIN");
  const Result claimed = connection.execute("claim", "worker-1", "10");
  if (claimed.rows() == 0) throw std::runtime_error("nothing to claim");
  bool found = assigned();
  connection.query("SELECT * FROM durable_work.heartbeat('worker-1')");
  found = assigned() || found;
  connection.query("SELECT durable_work.extend_lease($1, $2)", claimed.raw(0, 0),
                   claimed.raw(0, 1));
  found = assigned() || found;
  connection.script("COMMIT");
  return found;
}

// Claims from pages that no one has read since the checkpoint, so a hint bit would be logged under
// checksums.
std::int64_t wal_of_claims(Connection& connection, Meter& meter, std::int64_t& leases) {
  connection.script("CHECKPOINT");
  // The server logs its running transactions after a checkpoint; wait until the position rests.
  std::int64_t before = meter.wal_position();
  for (TimePoint since = Clock::now(); Clock::now() - since < std::chrono::milliseconds(500);) {
    const std::int64_t now = meter.wal_position();
    if (now != before) since = Clock::now();
    before = now;
  }
  for (int call = 0; call < 100; ++call) {
    const Result claimed = connection.execute("claim", "worker-1", "10");
    for (int row = 0; row < claimed.rows(); ++row)
      connection.query("SELECT durable_work.extend_lease($1, $2)", claimed.raw(row, 0),
                       claimed.raw(row, 1));
    leases += claimed.rows();
    connection.query("SELECT count(*) FROM durable_work.heartbeat('worker-1')");
  }
  return meter.wal_position() - before;
}

}  // namespace

void no_wal(Bench& bench) {
  const Subject queue = Subject::durable_work("bench_no_wal");
  Connection connection;
  queue.create(connection);
  queue.fill(connection, 10000);
  for (const Statement& statement : queue.statements())
    connection.prepare(statement.name, statement.sql);
  Meter meter;
  const std::string checksums = connection.query("SHOW data_checksums").text(0, 0);
  bench.results.holds(
      fmt::format("claim, heartbeat, extend_lease take no transaction id, data checksums {}",
                  checksums),
      !transaction_id_assigned(connection));

  // A busy moment of a background process must not count: the least of some rounds.
  std::int64_t least = INT64_MAX;
  std::int64_t leases = 0;
  for (int round = 0; round < 5 && least > 0; ++round)
    least = std::min(least, wal_of_claims(connection, meter, leases));
  bench.results.at_most(
      fmt::format("WAL of claims, heartbeats and extensions after a checkpoint, data checksums {}",
                  checksums),
      static_cast<double>(least), 0, "B", fmt::format("{} leases", leases));
}

}  // namespace bench
