// A redrive of a million dead letters in one call, beside a claimer of the same queue that never
// pauses. The redrive writes rows and takes no lock of the queue; its jobs are then read in by the
// housekeeper, a few to a lock hold. What the claimer sees of both is the longest pause between two
// answers: while the call runs, while it commits, and while the jobs come in.
#include "claimer.hpp"

namespace bench {
namespace {

void make_dead_letters(Connection& connection, const Subject& queue, std::int64_t jobs) {
  constexpr int kBatch = 5000;
  queue.fill(connection, jobs);
  connection.script(fmt::format(
      "DO $$ DECLARE mine record; BEGIN LOOP "
      "SELECT array_agg(job_id) AS jobs, array_agg(lease_token) AS tokens INTO mine "
      "FROM durable_work.claim('{}', 'undertaker', {}); "
      "IF mine.jobs IS NULL THEN "
      "EXIT WHEN (SELECT count(*) FROM durable_work.dead_letters WHERE queue = '{}') >= {}; "
      "ELSE PERFORM durable_work.fail_many(mine.jobs, mine.tokens, retryable => false); END IF; "
      "COMMIT; END LOOP; END $$",
      queue.place, kBatch, queue.place, jobs));
}

}  // namespace

void redrive(Bench& bench) {
  const Subject queue = Subject::durable_work("bench_redrive");
  const std::int64_t jobs = bench.options.pick<std::int64_t>(1000000, 20000);
  const std::int64_t alive = bench.options.pick<std::int64_t>(200000, 20000);
  Connection connection;
  queue.create(connection);
  connection.script("SET synchronous_commit = off");
  make_dead_letters(connection, queue, jobs);
  bench.results.note("{} dead letters", jobs);
  queue.fill(connection, alive);

  Claimer claimer(queue);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const double before = claimer.longest_pause_ms();
  const TimePoint begin = Clock::now();
  connection.script(fmt::format("SELECT durable_work.redrive('{}')", queue.place));
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double beside = claimer.longest_pause_ms();
  bench.results.note("redriven in {:.1f} s, longest pause {:.2f} ms", seconds, beside);
  // The claimer works on while they are read in; all of them would take too long.
  const std::int64_t enough = claimer.finished() + bench.options.pick<std::int64_t>(100000, 10000);
  const TimePoint give_up = Clock::now() + std::chrono::seconds(120);
  while (claimer.finished() < enough && Clock::now() < give_up)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const double after = claimer.longest_pause_ms();
  claimer.stop();

  bench.results.shown(fmt::format("redrive of {} dead letters", jobs), seconds, "s",
                      fmt::format("{:.0f} a second", static_cast<double>(jobs) / seconds));
  bench.results.at_most("longest pause of the claims beside it", beside, 50, "ms",
                        fmt::format("before it: {:.2f} ms", before));
  bench.results.at_most("longest pause while they are read in", after, 50, "ms");
  const Result redriven = connection.query(
      "SELECT count(*) FROM durable_work.parked_outcome AS o, "
      "durable_work.outcome_members(o.first_id, o.last_id, o.body) AS m "
      "WHERE m.kind = 'completed'");
  bench.results.holds("the redriven jobs are handed out", redriven.integer(0, 0) > 0,
                      fmt::format("{} of them so far", redriven.integer(0, 0)));
}

}  // namespace bench
