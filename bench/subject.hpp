// The two sides of the comparison behind one shape: durable_work, and the textbook inbox table.
// Both get the same parameters in the same form and return the same columns.
//
//   enqueue($1 payload)                     enqueue_many($1 payloads jsonb[])
//   claim($1 worker, $2 jobs)  -> id, token, payload, attempt
//   finish($1 id, $2 token)                 finish_many($1 ids, $2 tokens)
//
// The textbook claims with `id = ANY(ARRAY(SELECT ... FOR UPDATE SKIP LOCKED LIMIT n))`. The common
// form `id IN (SELECT ... LIMIT n)` claims more than n rows when the plan runs the subselect again,
// and is slower. The textbook finishes by id alone, without a fencing token: the cheapest that
// works.
#pragma once

#include "bench.hpp"

namespace bench {

struct Subject {
  std::string name;
  // Queue or table; own to a row of the benchmark.
  std::string place;
  bool ours;

  static Subject durable_work(const std::string& place) { return {"durable_work", place, true}; }
  static Subject textbook(const std::string& place) { return {"textbook", place, false}; }

  // Makes it anew, empty.
  void create(Connection& connection) const;
  // `jobs` pending ones with the standard payload, fast; `delay` as an interval, empty means due
  // now.
  void fill(Connection& connection, std::int64_t jobs, const std::string& delay = {}) const;
  // Likewise, due now, with keys drawn out of so many.
  void fill_keyed(Connection& connection, std::int64_t jobs, int keys) const;
  // Claims and completes everything that is due. Ours only.
  void drain(Connection& connection) const;
  std::vector<Statement> statements() const;

 private:
  std::vector<Statement> durable_work_statements() const;
  std::vector<Statement> textbook_statements() const;
};

// A JSON text of 100 bytes.
std::string payload();
// An array of `count` of them, as the text of a jsonb[].
std::string payloads(int count);

// Executes the statement with this argument again and again until no calls are left; `calls` is
// shared by the clients of a run, and both outlive it.
Client produce(Session& session, const char* statement, const std::string& argument,
               std::int64_t& calls);

// What the clients of a claim-and-complete run share.
struct Consumption {
  int batch = 1;
  std::int64_t wanted = 0;  // jobs still to be claimed
  std::int64_t done = 0;
  std::int64_t each = 0;  // of them by one client; 0: whoever is first
};
// Claims `batch`, then finishes them in a second transaction, until nothing is wanted any more.
Client consume(Session& session, Consumption& state, std::string worker = "worker-1");

}  // namespace bench
