// Enqueue against the floor: the INSERT into a bare table with an identity primary key. Measured
// twice, with nobody looking at the ids and with the ids coming back to the client.
#include "subject.hpp"

namespace bench {
namespace {

const char* const kFloor = "bench_floor";
const char* const kQueue = "bench_enqueue";

const std::vector<Statement>& floor_statements() {
  static const std::vector<Statement> statements = {
      {"single", fmt::format("INSERT INTO {} (payload) VALUES ($1)", kFloor)},
      {"single_id", fmt::format("INSERT INTO {} (payload) VALUES ($1) RETURNING id", kFloor)},
      {"many", fmt::format("INSERT INTO {} (payload) SELECT unnest($1::jsonb[])", kFloor)},
      {"many_id",
       fmt::format("INSERT INTO {} (payload) SELECT unnest($1::jsonb[]) RETURNING id", kFloor)},
  };
  return statements;
}

const std::vector<Statement>& our_statements() {
  static const std::vector<Statement> statements = {
      {"single", fmt::format("SELECT durable_work.enqueue('{}', $1)", kQueue)},
      {"single_id", fmt::format("SELECT job_id FROM durable_work.enqueue('{}', $1)", kQueue)},
      {"many", fmt::format("SELECT count(*) FROM durable_work.enqueue_many('{}', $1)", kQueue)},
      {"many_id", fmt::format("SELECT job_id FROM durable_work.enqueue_many('{}', $1)", kQueue)},
  };
  return statements;
}

class Side {
 public:
  Side(bool ours, bool synchronous) : ours_(ours) {
    if (ours_)
      Subject::durable_work(kQueue).create(admin_);
    else
      admin_.script(
          fmt::format("DROP TABLE IF EXISTS {0}; CREATE TABLE {0} (id bigint "
                      "GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb)",
                      kFloor));
    open_sessions(sessions_, loop_, 16, ours_ ? our_statements() : floor_statements(), synchronous);
  }

  Sample measure(int clients, const char* statement, int batch, std::int64_t calls) {
    const std::string argument = batch == 1 ? payload() : payloads(batch);
    const std::int64_t jobs = calls * batch;
    std::vector<Client> running;
    for (int i = 0; i < clients; ++i)
      running.push_back(
          produce(sessions_[static_cast<std::size_t>(i)], statement, argument, calls));
    meter_.start();
    loop_.run(std::move(running));
    const Sample sample = per_job(meter_.stop(), jobs);
    // Not measured: an empty queue for the next point, or the backlog outgrows shared memory.
    if (ours_) Subject::durable_work(kQueue).drain(admin_);
    return sample;
  }

 private:
  bool ours_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
};

struct Kind {
  const char* statement;
  const char* what;
  int batch;
  std::int64_t calls;
  double limit;
};

void report(Results& results, const Kind& kind, bool synchronous, const Pairs& pairs) {
  const std::string what = fmt::format("server CPU per job against {}{}", kind.what,
                                       synchronous ? ", synchronous_commit on" : "");
  const std::string beside = fmt::format(
      "{:.2f} us against {:.2f} us, WAL {:.0f} B against {:.0f} B, {:.0f}/s against {:.0f}/s, "
      "{} pairs at 4 and 16 clients",
      pairs.our_median(&Sample::cpu_us), pairs.their_median(&Sample::cpu_us),
      pairs.our_median(&Sample::wal_bytes), pairs.their_median(&Sample::wal_bytes),
      pairs.our_median(&Sample::per_second), pairs.their_median(&Sample::per_second),
      pairs.ours.size());
  if (synchronous)
    results.shown(what, pairs.ratio(&Sample::cpu_us), "x", beside);
  else
    results.at_most(what, pairs.ratio(&Sample::cpu_us), kind.limit, "x", beside);
}

void run(Bench& bench, const Kind& kind) {
  for (const bool synchronous : {false, true}) {
    const std::int64_t calls = kind.calls / bench.options.pick(1, 4) / (synchronous ? 4 : 1);
    const int count = synchronous ? bench.options.pick(6, 2) : bench.options.pick(24, 6);
    Side ours(true, synchronous);
    Side theirs(false, synchronous);
    const auto measure = [&](Side& side, int pair) {
      return side.measure(pair % 2 == 0 ? 4 : 16, kind.statement, kind.batch, calls);
    };
    measure(ours, 0);
    if (bench.options.ours_only) {
      for (int point = 0; point < 4 * count; ++point) measure(ours, point);
      return;
    }
    measure(theirs, 0);
    report(bench.results, kind, synchronous,
           interleave(
               count, [&](int pair) { return measure(ours, pair); },
               [&](int pair) { return measure(theirs, pair); }));
  }
}

}  // namespace

void enqueue_single(Bench& bench) {
  run(bench, {"single", "INSERT", 1, 60000, 1.05});
  run(bench, {"single_id", "INSERT RETURNING id", 1, 60000, 1.05});
}

void enqueue_batch(Bench& bench) {
  run(bench, {"many", "a 100-row INSERT", 100, 600, 1.1});
  run(bench, {"many_id", "a 100-row INSERT RETURNING id", 100, 600, 1.1});
}

}  // namespace bench
