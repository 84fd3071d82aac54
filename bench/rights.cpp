// What asking for a right costs: enqueue, claim and complete of one queue by the owner of the
// extension, who needs none, against a role that was granted enqueue and work on it.
#include "subject.hpp"

namespace bench {
namespace {

constexpr double kLimit = 1.05;
constexpr int kClients = 4;
const char* const kRole = "bench_rights";

class Side {
 public:
  Side(const Subject& queue, bool granted) : queue_(queue) {
    open_sessions(sessions_, loop_, kClients, queue.statements(), false);
    if (!granted) return;
    for (Session& session : sessions_)
      session.connection().script(fmt::format("SET ROLE {}", kRole));
  }

  Sample enqueue(int batch, std::int64_t calls) {
    const std::string argument = batch == 1 ? payload() : payloads(batch);
    std::int64_t left = calls;
    return run(calls * batch, [&](Session& session) {
      return produce(session, batch == 1 ? "enqueue" : "enqueue_many", argument, left);
    });
  }

  Sample work(int batch, std::int64_t jobs) {
    queue_.fill(admin_, jobs + static_cast<std::int64_t>(batch) * kClients);
    Consumption state{.batch = batch, .wanted = jobs, .done = 0};
    return run(jobs, [&](Session& session) { return consume(session, state); });
  }

  void drain() { queue_.drain(admin_); }

 private:
  template <class Make>
  Sample run(std::int64_t jobs, Make make) {
    std::vector<Client> running;
    for (Session& session : sessions_) running.push_back(make(session));
    meter_.start();
    loop_.run(std::move(running));
    return per_job(meter_.stop(), jobs);
  }

  Subject queue_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
};

void prepare(Connection& admin, const Subject& queue) {
  queue.create(admin);
  if (admin.query("SELECT 1 FROM pg_roles WHERE rolname = $1", kRole).rows() == 0)
    admin.script(fmt::format("CREATE ROLE {}", kRole));
  for (const char* const right : {"enqueue", "work"})
    admin.query("SELECT durable_work.grant_queue($1, $2, $3)", queue.place, kRole, right);
}

}  // namespace

void rights(Bench& bench) {
  const Subject queue = Subject::durable_work("bench_rights");
  Connection admin;
  prepare(admin, queue);
  Side granted(queue, true);
  Side owner(queue, false);
  const int pairs = bench.options.pick(40, 5);
  const std::int64_t scale = bench.options.pick<std::int64_t>(4, 1);

  const auto judge = [&](const char* what, const std::function<Sample(Side&)>& measure) {
    measure(granted);
    measure(owner);
    const Pairs found = interleave(
        pairs, [&](int) { return measure(granted); }, [&](int) { return measure(owner); });
    owner.drain();
    judge_cpu(bench, fmt::format("server CPU per job with the right against the owner, {}", what),
              found, kLimit);
  };
  judge("enqueue", [&](Side& side) { return side.enqueue(1, 5000 * scale); });
  judge("enqueue_many of 100", [&](Side& side) { return side.enqueue(100, 300 * scale); });
  judge("claim and complete", [&](Side& side) { return side.work(1, 3000 * scale); });
  judge("claim and complete of 100", [&](Side& side) { return side.work(100, 50000 * scale); });
  admin.query("SELECT durable_work.revoke_queue($1, $2)", queue.place, kRole);
}

}  // namespace bench
