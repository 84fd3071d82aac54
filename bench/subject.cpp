#include "subject.hpp"

#include <stdexcept>

namespace bench {
namespace {

const std::int64_t kFillBatch = 50000;

}  // namespace

std::string payload() {
  std::string text = R"({"order": 1048576, "customer": "c-20417", "note": ")";
  text.append(100 - text.size() - 2, 'n');
  return text + "\"}";
}

std::string payloads(int count) {
  std::string element = "\"";
  for (const char c : payload()) {
    if (c == '"') element += '\\';
    element += c;
  }
  element += '"';
  std::string array = "{";
  for (int i = 0; i < count; ++i) {
    if (i > 0) array += ',';
    array += element;
  }
  return array + "}";
}

void Subject::create(Connection& connection) const {
  if (ours) {
    if (connection.query("SELECT 1 FROM durable_work.queues WHERE queue = $1", place).rows() > 0)
      connection.query("SELECT durable_work.drop_queue($1, true)", place);
    connection.query("SELECT durable_work.create_queue($1, lease => '10 min')", place);
    return;
  }
  connection.script(
      fmt::format("DROP TABLE IF EXISTS {0};"
                  "CREATE TABLE {0} ("
                  " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                  " partition_key text, payload jsonb NOT NULL,"
                  " status text NOT NULL DEFAULT 'pending',"
                  " available_at timestamptz NOT NULL DEFAULT now(),"
                  " created_at timestamptz NOT NULL DEFAULT now(),"
                  " claimed_by text, lease_expires_at timestamptz,"
                  " lease_generation bigint NOT NULL DEFAULT 0, attempts int NOT NULL DEFAULT 0"
                  ") WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
                  " autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0,"
                  " autovacuum_analyze_threshold = 50000);"
                  "CREATE INDEX ON {0} (available_at, id) WHERE status = 'pending';"
                  "CREATE INDEX ON {0} (lease_expires_at) WHERE status = 'processing'",
                  place));
}

void Subject::fill(Connection& connection, std::int64_t jobs, const std::string& delay) const {
  for (std::int64_t left = jobs; left > 0; left -= kFillBatch) {
    const std::string count = std::to_string(std::min(left, kFillBatch));
    if (ours && delay.empty())
      connection.query(
          "SELECT count(*) FROM durable_work.enqueue_many($1, "
          "array_fill($2::jsonb, ARRAY[$3::int]))",
          place, payload(), count);
    else if (ours)
      connection.query(
          "SELECT count(*) FROM durable_work.enqueue_many($1, "
          "array_fill($2::jsonb, ARRAY[$3::int]), available_ats => "
          "array_fill(clock_timestamp() + $4::interval, ARRAY[$3::int]))",
          place, payload(), count, delay);
    else
      connection.query(fmt::format("INSERT INTO {} (payload, available_at) SELECT $1::jsonb, "
                                   "now() + $3::interval FROM generate_series(1, $2::int)",
                                   place),
                       payload(), count, delay.empty() ? "0" : delay);
  }
}

void Subject::fill_keyed(Connection& connection, std::int64_t jobs, int keys) const {
  for (std::int64_t left = jobs; left > 0; left -= kFillBatch) {
    const std::string count = std::to_string(std::min(left, kFillBatch));
    if (ours)
      connection.query(
          fmt::format("SELECT count(*) FROM durable_work.enqueue_many($1, array_fill($2::jsonb, "
                      "ARRAY[$3::int]), ARRAY(SELECT 'key:' || floor(random() * {}) FROM "
                      "generate_series(1, $3::int)))",
                      keys),
          place, payload(), count);
    else
      connection.query(
          fmt::format("INSERT INTO {} (payload, partition_key) SELECT $1::jsonb, "
                      "'key:' || floor(random() * {}) FROM generate_series(1, $2::int)",
                      place, keys),
          payload(), count);
  }
}

void Subject::drain(Connection& connection) const {
  for (;;) {
    const Result claimed = connection.query(
        "SELECT job_id, lease_token FROM durable_work.claim($1::text, 'drain', 10000)", place);
    if (claimed.rows() == 0) return;
    connection.query("SELECT count(*) FROM durable_work.complete_many($1, $2)",
                     claimed.column_as_array(0), claimed.column_as_array(1));
  }
}

std::vector<Statement> Subject::statements() const {
  return ours ? durable_work_statements() : textbook_statements();
}

std::vector<Statement> Subject::durable_work_statements() const {
  return {
      {"enqueue", fmt::format("SELECT durable_work.enqueue('{}', $1)", place)},
      {"enqueue_many",
       fmt::format("SELECT count(*) FROM durable_work.enqueue_many('{}', $1)", place)},
      {"claim", fmt::format("SELECT job_id, lease_token, payload, attempt "
                            "FROM durable_work.claim('{}'::text, $1, $2)",
                            place)},
      {"finish", "SELECT durable_work.complete($1, $2)"},
      {"finish_many", "SELECT count(*) FROM durable_work.complete_many($1, $2)"},
  };
}

std::vector<Statement> Subject::textbook_statements() const {
  return {
      {"enqueue", fmt::format("INSERT INTO {} (payload) VALUES ($1)", place)},
      {"enqueue_many", fmt::format("INSERT INTO {} (payload) SELECT unnest($1::jsonb[])", place)},
      {"claim", fmt::format("UPDATE {0} SET status = 'processing', claimed_by = $1,"
                            " lease_expires_at = clock_timestamp() + interval '10 min',"
                            " lease_generation = lease_generation + 1, attempts = attempts + 1"
                            " WHERE id = ANY(ARRAY(SELECT id FROM {0} WHERE status = 'pending'"
                            " AND available_at <= now() ORDER BY available_at, id"
                            " FOR UPDATE SKIP LOCKED LIMIT $2::int))"
                            " RETURNING id, lease_generation, payload, attempts",
                            place)},
      // The token is taken and not looked at, so that both sides send the same.
      {"finish", fmt::format("DELETE FROM {} WHERE id = $1 AND $2::bigint IS NOT NULL", place)},
      {"finish_many",
       fmt::format("DELETE FROM {} WHERE id = ANY($1::bigint[]) AND $2::bigint[] IS NOT NULL",
                   place)},
  };
}

Client produce(Session& session, const char* statement, const std::string& argument,
               std::int64_t& calls) {
  while (calls > 0) {
    --calls;
    co_await session.execute(statement, argument);
  }
}

Client consume(Session& session, Consumption& state, std::string worker) {
  const std::string batch = std::to_string(state.batch);
  int empty = 0;
  std::int64_t mine = state.each > 0 ? state.each : state.wanted;
  while (state.wanted > 0 && mine > 0) {
    state.wanted -= state.batch;
    const Result claimed = co_await session.execute("claim", worker, batch);
    const int jobs = claimed.rows();
    // Rows that others hold locked make a short claim; that many in a row mean there is nothing.
    empty = jobs == 0 ? empty + 1 : 0;
    if (empty > 1000) throw std::runtime_error("nothing left to claim");
    state.wanted += state.batch - jobs;
    mine -= jobs;
    if (jobs == 0) continue;
    if (state.batch == 1)
      co_await session.execute("finish", claimed.raw(0, 0), claimed.raw(0, 1));
    else
      co_await session.execute("finish_many", claimed.column_as_array(0),
                               claimed.column_as_array(1));
    state.done += jobs;
  }
}

}  // namespace bench
