#include "bench.hpp"

namespace bench {

const std::vector<Row>& all_rows() {
  static const std::vector<Row> rows = {
      {"enqueue_single", "one enqueue a transaction against the floor's INSERT", enqueue_single},
      {"enqueue_batch", "enqueue_many of 100 against a 100-row INSERT", enqueue_batch},
      {"claim_single", "claim and complete one by one against the textbook", claim_single},
      {"claim_batch10", "claim and complete in batches of 10", claim_batch10},
      {"claim_batch100", "claim and complete in batches of 100", claim_batch100},
      {"complete_and_claim", "complete_and_claim against complete and claim, one job a call",
       complete_and_claim},
      {"empty_claim", "a claim that finds nothing against an empty C function", empty_claim},
      {"wal", "WAL of a whole life, of claim and complete, after a checkpoint", wal},
      {"no_wal", "claim, heartbeat and extension write nothing", no_wal},
      {"held_snapshot", "steady load under a held snapshot", held_snapshot},
      {"wake_up", "from commit to the payload in a blocked claimer's hand", wake_up},
      {"waiters", "what waiting claimers cost a busy producer", waiters},
      {"memory", "shared memory per resident job", memory},
      {"large_transaction", "one transaction of a million enqueues", large_transaction},
      {"redrive", "a million dead letters redriven beside a claimer", redrive},
      {"change_many", "a million jobs cancelled, and purged, beside a claimer", change_many},
      {"ordered", "what the order of keys costs, of a million keys", ordered},
      {"crowded_keys", "keys that cannot go on beside others", crowded_keys},
      {"options", "what options of another queue cost a queue without options", options},
      {"limits", "what limits that do not bind cost their queue", limits},
      {"owned", "claims of a worker's own buckets", owned},
      {"rights", "what asking for a right costs", rights},
      {"restart", "restart with a million pending", restart},
      {"backlog", "a claim with a thousand and with five million pending", backlog},
      {"spill", "a backlog of ten million with memory for 100,000 jobs", spill},
      {"steady", "full speed while the log goes round", steady},
      {"relocation", "jobs that are left in a segment are moved", relocation},
      {"by_id", "history, explain_job and inbox by id among ten million jobs", by_id},
  };
  return rows;
}

void open_sessions(std::deque<Session>& sessions, EventLoop& loop, int count,
                   const std::vector<Statement>& statements, bool synchronous) {
  for (int i = 0; i < count; ++i) {
    Connection& connection = sessions.emplace_back(loop).connection();
    connection.script(synchronous ? "SET synchronous_commit = on" : "SET synchronous_commit = off");
    for (const Statement& statement : statements) connection.prepare(statement.name, statement.sql);
  }
}

Sample per_job(const Usage& usage, std::int64_t jobs) {
  const auto count = static_cast<double>(jobs);
  return {.cpu_us = usage.cpu * 1e6 / count,
          .whole_cpu_us = usage.whole_cpu * 1e6 / count,
          .wal_bytes = static_cast<double>(usage.wal) / count,
          .per_second = count / usage.seconds};
}

void judge_cpu(Bench& bench, const std::string& what, const Pairs& pairs, double limit,
               const std::string& more) {
  bench.results.at_most(
      what, pairs.ratio(&Sample::cpu_us), limit, "x",
      fmt::format("{:.2f} us against {:.2f} us, {} pairs{}", pairs.our_median(&Sample::cpu_us),
                  pairs.their_median(&Sample::cpu_us), pairs.ours.size(), more));
}

}  // namespace bench
