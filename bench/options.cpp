// What an option of one queue costs the other queues: server CPU per job of enqueue, claim and
// complete on a queue without options, while a neighbour in the same database uses the option,
// against the same while no queue does.
//
// Before each point the neighbour is made anew and lives: jobs are enqueued, claimed and finished,
// then some are left waiting and some held. On both sides it does the same, but for the option, so
// that neither its presence nor what making and dropping it leaves behind is counted. During the
// point it keeps its state, and sleeps where sleeping is the option.
#include "subject.hpp"

#include <stdexcept>
#include <thread>

namespace bench {
namespace {

constexpr double kLimit = 1.03;
constexpr int kClients = 4;
constexpr int kSleepers = 8;
// Jobs of the neighbour, by their numbers: finished, then held, then waiting.
constexpr int kFinished = 200;
constexpr int kHeld = kFinished + 100;
constexpr int kWaiting = kHeld + 100;

const char* const kNeighbour = "bench_neighbour";
// Another queue of the neighbour's, empty.
const char* const kAnnex = "bench_annex";

// An option in use. All but its name is SQL, in which {n} is the number of a job.
struct Use {
  std::string option;
  std::string settings = {};  // for alter_queue
  std::string enqueue = {};   // further arguments
  std::string claim = {};     // further arguments
  std::string finish = "complete($1, $2)";
  std::string with_held = {};     // for each held job ($1) and its token ($2); has to find a row
  std::string with_waiting = {};  // for each waiting job, $1 is the payload; has to find a row
  std::string sleep = {};         // sent by each sleeper; $1 is a waiting job of its own

  // The same life without the option.
  Use without() const {
    Use plain;
    plain.finish = finish;
    return plain;
  }
};

std::string numbered(const std::string& sql, int n) {
  return fmt::format(fmt::runtime(sql), fmt::arg("n", n));
}

const std::vector<Use>& uses() {
  static const std::string keyed =
      ", idempotency_key => 'key {n}', "
      "unique_while => (ARRAY['window', 'pending', 'active'])[1 + {n} % 3]";
  static const std::string requested = ", request_id => 'request {n}'";
  const auto enqueue_again = [](const std::string& arguments, const char* condition) {
    return fmt::format("SELECT 1 FROM durable_work.enqueue('{}', $1{}) WHERE {}", kNeighbour,
                       arguments, condition);
  };
  const auto refused = [](const char* payload, const char* state) {
    return fmt::format("SELECT pg_temp.refused('{}', {}, '{}')", kNeighbour, payload, state);
  };
  static const std::vector<Use> all = {
      {.option = "expires_at", .enqueue = ", expires_at => now() + interval '1 h'"},
      {.option = "expires_at, and some expire meanwhile",
       .enqueue = fmt::format(", expires_at => now() + CASE WHEN {{n}} < {} THEN interval '1 h' "
                              "ELSE {{n}} % 50 * interval '50 ms' + interval '100 ms' END",
                              kHeld)},
      {.option = "idempotency keys and unique_while",
       .enqueue = keyed,
       .with_waiting = enqueue_again(keyed, "NOT inserted")},
      {.option = "max_length, reject, and is full",
       .settings = fmt::format("max_length => {}", kWaiting - kFinished),
       .with_waiting = refused("$1", "DW005")},
      {.option = "max_length, drop_oldest, and is full",
       .settings = fmt::format("max_length => {}, overflow => 'drop_oldest'", kWaiting - kFinished),
       .with_waiting = enqueue_again("", "inserted")},
      {.option = "max_payload",
       .settings = "max_payload => '200 bytes'",
       .with_waiting = refused("jsonb_build_array($1::jsonb, $1::jsonb)", "22023")},
      {.option = "dead_letter_queue",
       .settings = fmt::format("dead_letter_queue => '{}'", kAnnex),
       .finish = "reject($1, $2, 'benchmark')"},
      {.option = "delivery at_most_once", .settings = "delivery => 'at_most_once'"},
      {.option = "durable_claims", .settings = "durable_claims => true"},
      {.option = "strict", .settings = "strict => true"},
      {.option = "max_runtime", .settings = "max_runtime => '5 min'"},
      {.option = "request_id",
       .claim = requested,
       .with_held = fmt::format("SELECT 1 FROM durable_work.claim('{}'::text, 'worker-2', 1{}) "
                                "WHERE job_id = $1 AND lease_token = $2",
                                kNeighbour, requested)},
      {.option = "set_progress",
       .with_held = "SELECT durable_work.set_progress($1, $2, to_jsonb({n}))"},
      {.option = "wait_for_job", .sleep = "CALL durable_work.wait_for_job($1, '30 s')"},
      {.option = "a claim that waits",
       .sleep = fmt::format(
           "SELECT job_id FROM durable_work.claim('{}'::text, $1, 1, wait => '5 s')", kAnnex)},
  };
  return all;
}

Client answered(Session::Reply reply) { co_await reply; }

class Neighbour {
 public:
  Neighbour() {
    admin_.script(
        "SET synchronous_commit = off;"
        "CREATE FUNCTION pg_temp.refused(queue text, payload jsonb, state text) RETURNS void "
        "LANGUAGE plpgsql AS $$ BEGIN PERFORM durable_work.enqueue(queue, payload); "
        "RAISE 'not refused'; EXCEPTION WHEN OTHERS THEN "
        "IF SQLSTATE <> state THEN RAISE; END IF; END $$");
    open_sessions(sleepers_, loop_, kSleepers, {}, false);
  }

  // Forgets what was before.
  void live(const Use& use) {
    queue_.create(admin_);
    annex_.create(admin_);
    if (!use.settings.empty())
      admin_.query(
          fmt::format("SELECT durable_work.alter_queue('{}', {})", kNeighbour, use.settings));
    for (int n = 0; n < kFinished; ++n) {
      enqueue(use, n);
      const Result job = claim(use, n);
      admin_.query("SELECT durable_work." + use.finish, job.raw(0, 0), job.raw(0, 1));
    }
    std::vector<std::string> ids;
    for (int n = kFinished; n < kWaiting; ++n) ids.push_back(enqueue(use, n));
    for (int n = kFinished; n < kHeld; ++n) {
      const Result job = claim(use, n);
      if (!use.with_held.empty())
        found(admin_.query(numbered(use.with_held, n), job.raw(0, 0), job.raw(0, 1)));
    }
    if (!use.with_waiting.empty())
      for (int n = kHeld; n < kWaiting; ++n)
        found(admin_.query(numbered(use.with_waiting, n), payload()));
    if (!use.sleep.empty()) fall_asleep(use, ids);
  }

  // Between a point with sleepers and the next life.
  void wake() {
    if (replies_.empty()) return;
    if (sleeping() != kSleepers) throw std::runtime_error("a sleeper woke up during the point");
    queue_.drain(admin_);
    annex_.fill(admin_, kSleepers);
    std::vector<Client> running;
    for (const Session::Reply& reply : replies_) running.push_back(answered(reply));
    replies_.clear();
    loop_.run(std::move(running));
  }

 private:
  static Result found(Result result) {
    if (result.rows() != 1) throw std::runtime_error("the neighbour does not use its option");
    return result;
  }

  std::string enqueue(const Use& use, int n) {
    const std::string sql =
        fmt::format("SELECT job_id FROM durable_work.enqueue('{}', $1{})", kNeighbour, use.enqueue);
    return admin_.query(numbered(sql, n), payload()).text(0, 0);
  }

  Result claim(const Use& use, int n) {
    const std::string sql = fmt::format(
        "SELECT job_id, lease_token FROM durable_work.claim('{}'::text, 'worker-2', 1{})",
        kNeighbour, use.claim);
    return found(admin_.query(numbered(sql, n)));
  }

  void fall_asleep(const Use& use, const std::vector<std::string>& ids) {
    for (int i = 0; i < kSleepers; ++i) {
      Session& sleeper = sleepers_[static_cast<std::size_t>(i)];
      sleeper.connection().script("DEALLOCATE ALL");
      sleeper.connection().prepare("sleep", use.sleep);
      replies_.push_back(sleeper.execute("sleep", *(ids.end() - 1 - i)));
    }
    while (sleeping() < kSleepers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::int64_t sleeping() {
    return admin_.integer(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE "
        "backend_type = 'client backend' AND wait_event_type = 'Extension'");
  }

  Subject queue_ = Subject::durable_work(kNeighbour);
  Subject annex_ = Subject::durable_work(kAnnex);
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sleepers_;
  std::vector<Session::Reply> replies_;
};

// The queue that uses no option.
class Plain {
 public:
  Plain() {
    queue_.create(admin_);
    open_sessions(sessions_, loop_, kClients, queue_.statements(), false);
  }

  Sample measure(std::int64_t jobs) {
    // Not measured: the sessions learn that queues were made and dropped.
    run(jobs / 10);
    meter_.start();
    run(jobs);
    return per_job(meter_.stop(), jobs);
  }

 private:
  void run(std::int64_t jobs) {
    const std::string argument = payload();
    std::int64_t calls = jobs;
    std::vector<Client> producing;
    for (Session& session : sessions_)
      producing.push_back(produce(session, "enqueue", argument, calls));
    loop_.run(std::move(producing));

    Consumption state{.batch = 1, .wanted = jobs, .done = 0};
    std::vector<Client> consuming;
    for (Session& session : sessions_) consuming.push_back(consume(session, state));
    loop_.run(std::move(consuming));
  }

  Subject queue_ = Subject::durable_work("bench_plain");
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
};

}  // namespace

void options(Bench& bench) {
  const std::int64_t jobs = bench.options.pick(4000, 3000);
  // Equal sides differ by a few percent, more when the machine is busy: the median of that many
  // pairs is good to about one.
  const int count = bench.options.pick(48, 3);
  Plain plain;
  Neighbour neighbour;
  const auto measure = [&](const Use& use) {
    neighbour.live(use);
    const Sample sample = plain.measure(jobs);
    neighbour.wake();
    return sample;
  };
  measure({});
  for (const Use& use : uses()) {
    const Pairs pairs = interleave(
        count, [&](int) { return measure(use); }, [&](int) { return measure(use.without()); });
    judge_cpu(bench, "server CPU per job beside a queue with " + use.option, pairs, kLimit);
  }
}

}  // namespace bench
