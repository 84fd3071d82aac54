// cancel_many and purge_queue of a million jobs, most of them on disk only, beside a claimer of the
// same queue that never pauses. cancel_many takes the jobs of one key, ten thousand a call, each a
// transaction of its own, as the guide has it; the others go on being worked off. What the claimer
// sees is the longest pause between two answers: while calls run, and while they commit.
#include "claimer.hpp"

namespace bench {
namespace {

constexpr double kLongestPause = 50;  // milliseconds

// Of these jobs every sixth has no key.
void fill(Connection& connection, const Subject& queue, std::int64_t jobs) {
  connection.script(fmt::format(
      "DO $$ BEGIN FOR i IN 1..{} LOOP PERFORM count(*) FROM durable_work.enqueue_many('{}', "
      "array_fill('{}'::jsonb, '{{60000}}'), partition_keys => ARRAY(SELECT CASE WHEN n % 6 > 0 "
      "THEN 'gone' END FROM generate_series(1, 60000) n)); COMMIT; END LOOP; END $$",
      (jobs + 49999) / 50000, queue.place, payload()));
}

template <typename Act>
double seconds_of(Act act) {
  const TimePoint begin = Clock::now();
  act();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

void change_many(Bench& bench) {
  const Subject queue = Subject::durable_work("bench_many");
  const std::int64_t jobs = bench.options.pick<std::int64_t>(1000000, 50000);
  Connection connection;
  queue.create(connection);
  connection.script("SET synchronous_commit = off");
  fill(connection, queue, jobs);

  Claimer claimer(queue);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const double before = claimer.longest_pause_ms();
  const std::int64_t finished = claimer.finished();
  const double seconds = seconds_of([&] {
    connection.script(fmt::format(
        "DO $$ DECLARE part durable_work.changed_jobs; BEGIN LOOP "
        "SELECT * INTO part FROM durable_work.cancel_many('{}', partition_key => 'gone', "
        "after_job_id => part.next_after); COMMIT; EXIT WHEN part.next_after IS NULL; "
        "END LOOP; END $$",
        queue.place));
  });
  const double beside = claimer.longest_pause_ms();
  const std::int64_t worked = claimer.finished() - finished;
  const Result cancelled = connection.query(fmt::format(
      "SELECT cancelled FROM durable_work.queue_stats WHERE queue = '{}'", queue.place));
  bench.results.shown(fmt::format("cancel_many of {} jobs of a key", cancelled.integer(0, 0)),
                      seconds, "s",
                      fmt::format("{:.0f} a second, {:.0f} jobs a second worked off beside it",
                                  static_cast<double>(cancelled.integer(0, 0)) / seconds,
                                  static_cast<double>(worked) / seconds));
  bench.results.at_most("longest pause of the claims beside cancel_many", beside, kLongestPause,
                        "ms", fmt::format("before it: {:.2f} ms", before));

  fill(connection, queue, jobs);
  claimer.longest_pause_ms();
  std::int64_t purged = 0;
  const double purge_seconds = seconds_of([&] {
    purged = connection.query(fmt::format("SELECT durable_work.purge_queue('{}')", queue.place))
                 .integer(0, 0);
  });
  const double beside_purge = claimer.longest_pause_ms();
  claimer.stop();
  bench.results.shown(fmt::format("purge_queue of {} jobs", purged), purge_seconds, "s",
                      fmt::format("{:.0f} a second", static_cast<double>(purged) / purge_seconds));
  bench.results.at_most("longest pause of the claims beside purge_queue", beside_purge,
                        kLongestPause, "ms");
  const Result left = connection.query(fmt::format(
      "SELECT unfinished FROM durable_work.queue_stats WHERE queue = '{}'", queue.place));
  bench.results.holds("nothing is left after the purge", left.integer(0, 0) == 0,
                      fmt::format("{} jobs", left.integer(0, 0)));
}

}  // namespace bench
