// From the commit of an enqueue to the payload in the hand of a claimer that was blocked.
// durable_work: CALL wait_for_work, then claim, both sent at once in libpq's pipeline mode, so that
// the claim is at the server before there is a job; shown also with the claim sent after the CALL
// returned. Beside it: LISTEN, a NOTIFY in the enqueuing transaction, then the SKIP LOCKED claim,
// which cannot be sent before the notification is here: it would find nothing and be over. The
// clock starts when COMMIT is sent.
#include "subject.hpp"

#include <poll.h>

#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

struct Flight {
  std::atomic<std::int64_t> received{0};  // jobs in the claimer's hand so far
  std::atomic<std::int64_t> at{0};        // when the latest arrived, ns of the steady clock
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
};

std::int64_t nanoseconds() { return Clock::now().time_since_epoch().count(); }

enum class Way { pipelined, two_trips, notified };

Result wait_and_claim(Connection& connection) {
  return connection.pipeline("wait", "claim", "worker-1", "1");
}

Result wait_then_claim(Connection& connection) {
  connection.execute("wait");
  return connection.execute("claim", "worker-1", "1");
}

// Blocks in poll() until a notification is there.
void sleep_in_listen(Connection& connection) {
  for (;;) {
    PQconsumeInput(connection.get());
    if (PGnotify* notification = PQnotifies(connection.get()); notification != nullptr) {
      do {
        PQfreemem(notification);
        notification = PQnotifies(connection.get());
      } while (notification != nullptr);
      return;
    }
    pollfd socket{PQsocket(connection.get()), POLLIN, 0};
    if (poll(&socket, 1, 1000) == 0) return;
  }
}

Result listen_then_claim(Connection& connection) {
  sleep_in_listen(connection);
  return connection.execute("claim", "worker-1", "1");
}

Result sleep_and_claim(Way way, Connection& connection) {
  switch (way) {
    case Way::pipelined:
      return wait_and_claim(connection);
    case Way::two_trips:
      return wait_then_claim(connection);
    case Way::notified:
      break;
  }
  return listen_then_claim(connection);
}

void claimer(Way way, Connection& connection, Flight& flight) {
  try {
    while (!flight.stop) {
      const Result claimed = sleep_and_claim(way, connection);
      if (claimed.rows() == 0) continue;
      flight.at = nanoseconds();
      ++flight.received;
      connection.execute("finish", claimed.raw(0, 0), claimed.raw(0, 1));
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "claimer: {}\n", error.what());
    flight.failed = true;
  }
}

// In microseconds from sending COMMIT, in the order of the jobs.
struct Latencies {
  std::vector<double> arrived;   // the payload in the claimer's hand
  std::vector<double> answered;  // the commit's reply at the producer
};

Latencies fly(Way way, const Subject& subject, int samples, bool synchronous) {
  Connection producer, consumer;
  for (Connection* connection : {&producer, &consumer}) {
    connection->script(synchronous ? "SET synchronous_commit = on"
                                   : "SET synchronous_commit = off");
    for (const Statement& statement : subject.statements())
      connection->prepare(statement.name, statement.sql);
  }
  if (subject.ours)
    consumer.prepare(
        "wait", fmt::format("CALL durable_work.wait_for_work(ARRAY['{}'], '1 s')", subject.place));
  else
    consumer.script("LISTEN " + subject.place);
  producer.prepare("begin", "BEGIN");
  producer.prepare("notify", "NOTIFY " + subject.place);
  producer.prepare("commit", "COMMIT");

  Flight flight;
  std::thread thread(claimer, way, std::ref(consumer), std::ref(flight));
  Latencies latencies;
  std::minstd_rand random(1);
  const std::string argument = payload();
  for (int i = 0; i < samples && !flight.failed; ++i) {
    // Long enough for the claimer to have finished the last job and to be blocked again.
    std::this_thread::sleep_for(std::chrono::microseconds(3000 + random() % 3000));
    producer.execute("begin");
    producer.execute("enqueue", argument);
    if (!subject.ours) producer.execute("notify");
    const std::int64_t sent = nanoseconds();
    producer.execute("commit");
    latencies.answered.push_back(static_cast<double>(nanoseconds() - sent) / 1e3);
    const TimePoint patience = Clock::now() + std::chrono::seconds(5);
    while (flight.received <= i && !flight.failed && Clock::now() < patience)
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (flight.received <= i) flight.failed = true;
    latencies.arrived.push_back(static_cast<double>(flight.at - sent) / 1e3);
  }
  flight.stop = true;
  thread.join();
  if (flight.failed) throw std::runtime_error("a committed job did not arrive within 5 s");
  return latencies;
}

struct Runs {
  std::vector<double> p50, p99, all, commit_p50;

  void add(const Latencies& latencies) {
    p50.push_back(percentile(latencies.arrived, 0.5));
    p99.push_back(percentile(latencies.arrived, 0.99));
    all.insert(all.end(), latencies.arrived.begin(), latencies.arrived.end());
    commit_p50.push_back(percentile(latencies.answered, 0.5));
  }
};

double ratio_of(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  return median(ratios);
}

void plot(Results& results, const std::string& side, const std::vector<double>& latencies) {
  for (const double at :
       {0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999})
    results.point("wake_up", {{"side", side}},
                  {{"fraction", at}, {"us", percentile(latencies, at)}});
}

std::string beside(const std::vector<double>& ours, const std::vector<double>& theirs) {
  return fmt::format("{:.0f} us against {:.0f} us, medians of {} runs", median(ours),
                     median(theirs), ours.size());
}

void show(Results& results, const std::string& than, const Runs& mine, const Runs& other) {
  results.shown("p50 against LISTEN/NOTIFY, " + than, ratio_of(mine.p50, other.p50), "x",
                beside(mine.p50, other.p50));
  results.shown("p99 against LISTEN/NOTIFY, " + than, ratio_of(mine.p99, other.p99), "x",
                beside(mine.p99, other.p99));
}

// The producer's own round trip is part of both figures, and the larger part of ours.
void show_commit(Results& results, const Runs& mine, const Runs& other) {
  const double ours = median(mine.p50) - median(mine.commit_p50);
  const double theirs = median(other.p50) - median(other.commit_p50);
  results.shown("the commit alone, sent to answered, p50", median(mine.commit_p50), "us",
                fmt::format("{:.0f} us with NOTIFY", median(other.commit_p50)));
  results.shown("p50 beyond the commit alone, against LISTEN/NOTIFY", ours / theirs, "x",
                fmt::format("{:.0f} us against {:.0f} us", ours, theirs));
}

void judge(Results& results, const Runs& mine, const Runs& other) {
  results.at_most("p50 against LISTEN/NOTIFY", ratio_of(mine.p50, other.p50), 1.0 / 3, "x",
                  beside(mine.p50, other.p50));
  results.at_most("p99 against LISTEN/NOTIFY", ratio_of(mine.p99, other.p99), 0.5, "x",
                  beside(mine.p99, other.p99));
}

void compare(Bench& bench, bool synchronous) {
  const Subject ours = Subject::durable_work("bench_wake");
  const Subject theirs = Subject::textbook("bench_wake_textbook");
  Connection admin;
  ours.create(admin);
  theirs.create(admin);
  const int samples = bench.options.pick(1000, 200);
  Runs pipelined, two_trips, notified;
  fly(Way::pipelined, ours, 50, synchronous);
  fly(Way::notified, theirs, 50, synchronous);
  for (int run = 0; run < bench.options.pick(5, 2); ++run) {
    pipelined.add(fly(Way::pipelined, ours, samples, synchronous));
    notified.add(fly(Way::notified, theirs, samples, synchronous));
    two_trips.add(fly(Way::two_trips, ours, samples, synchronous));
  }
  if (synchronous) {
    show(bench.results, "synchronous_commit on", pipelined, notified);
    show(bench.results, "claim sent after the wait, synchronous_commit on", two_trips, notified);
    return;
  }
  judge(bench.results, pipelined, notified);
  show(bench.results, "claim sent after the wait", two_trips, notified);
  show_commit(bench.results, pipelined, notified);
  plot(bench.results, "wait_for_work and claim in one pipeline", pipelined.all);
  plot(bench.results, "wait_for_work, then claim", two_trips.all);
  plot(bench.results, "LISTEN/NOTIFY, then SKIP LOCKED", notified.all);
}

}  // namespace

void wake_up(Bench& bench) {
  compare(bench, false);
  compare(bench, true);
}

}  // namespace bench
