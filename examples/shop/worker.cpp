// A worker in C++ with libpq: writes receipts until it gets SIGTERM.
//
//     worker --name cpp-1 --receipts /tmp/receipts [--batch 10] [--work-ms 15]
//
// The same loop as worker.py: claim; write the file; complete and insert the row in one
// transaction; wait when there is nothing to do. Job ids and tokens stay the strings that the
// server sent: a worker has no arithmetic to do with them, and they pass 2^53.

#include <libpq-fe.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using std::chrono::milliseconds;

constexpr std::string_view kStaleLease = "DW001";
constexpr std::string_view kInDoubt = "DW006";      // another open transaction is deciding this job
constexpr std::string_view kServerIsGone = "57P0";  // it shuts down, crashes, or starts
constexpr milliseconds kReconnectPause{200};
constexpr milliseconds kInDoubtPause{50};

volatile std::sig_atomic_t stop_requested = 0;

struct SqlError : std::runtime_error {
  std::string sqlstate;
  SqlError(const std::string& message, std::string state)
      : std::runtime_error(message), sqlstate(std::move(state)) {}
};

struct ConnectionLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

// One connection to the server that PGHOST, PGPORT … name.
class Connection {
 public:
  explicit Connection(const std::string& worker)
      : handle_(PQconnectdb(("fallback_application_name=" + worker).c_str()), &PQfinish) {
    if (PQstatus(handle_.get()) != CONNECTION_OK) throw ConnectionLost(first_line());
  }

  // One statement. Outside BEGIN and COMMIT it is its own transaction.
  Result run(const char* sql, std::initializer_list<std::string> parameters = {}) {
    std::vector<const char*> values;
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    Result result(PQexecParams(handle_.get(), sql, static_cast<int>(values.size()), nullptr,
                               values.data(), nullptr, nullptr, 0),
                  &PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return result;
    const char* field = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    const std::string sqlstate = field == nullptr ? "" : field;
    if (PQstatus(handle_.get()) != CONNECTION_OK || sqlstate.starts_with(kServerIsGone)) {
      throw ConnectionLost(first_line());
    }
    const char* message = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
    throw SqlError(message == nullptr ? "no answer" : message, sqlstate);
  }

 private:
  std::string first_line() const {
    const std::string message = PQerrorMessage(handle_.get());
    return message.substr(0, message.find('\n'));
  }

  std::unique_ptr<PGconn, decltype(&PQfinish)> handle_;
};

struct Options {
  std::string name;
  std::filesystem::path receipts;
  std::string batch = "10";
  milliseconds work{15};
};

struct Job {
  std::string job_id, lease_token, attempt, claimed_at;
  std::string order_id, customer, email, amount, currency;
};

class Worker {
 public:
  explicit Worker(Options options) : options_(std::move(options)) {}

  void run() {
    while (stop_requested == 0) {
      try {
        step();
      } catch (const ConnectionLost& error) {
        // The jobs in hand are kept and tried again. Our leases may be gone, or our last
        // COMMIT may have arrived after all: the tokens decide, we need not guess.
        std::printf("lost the server: %s\n", error.what());
        connection_.reset();
        std::this_thread::sleep_for(kReconnectPause);
      }
    }
    release_rest();
    std::printf("stopped: %d receipts, %d refused\n", handled_, refused_);
  }

 private:
  void step() {
    if (!connection_) {
      connection_ = std::make_unique<Connection>(options_.name);
      std::puts("connected");
    }
    if (batch_.empty()) claim();
    if (batch_.empty()) {
      connection_->run("CALL durable_work.wait_for_work('{receipts}', '500 ms')");
      return;
    }
    handle(batch_.front());
    batch_.pop_front();
  }

  void claim() {
    const Result rows = connection_->run(
        "SELECT job_id, lease_token, attempt, clock_timestamp(), payload->>'order_id',"
        "       payload->>'customer', payload->>'email', payload->>'currency',"
        "       round((payload->>'amount_cents')::numeric / 100, 2)"
        "  FROM durable_work.claim(queue => 'receipts', worker => $1, max_jobs => $2)",
        {options_.name, options_.batch});
    for (int row = 0; row < PQntuples(rows.get()); ++row) {
      const auto field = [&](int column) { return PQgetvalue(rows.get(), row, column); };
      batch_.push_back({.job_id = field(0),
                        .lease_token = field(1),
                        .attempt = field(2),
                        .claimed_at = field(3),
                        .order_id = field(4),
                        .customer = field(5),
                        .email = field(6),
                        .amount = field(8),
                        .currency = field(7)});
    }
  }

  void handle(const Job& job) {
    std::this_thread::sleep_for(options_.work);
    write_file(job);
    for (;;) {
      try {
        complete(job);
        return;
      } catch (const SqlError& error) {
        connection_->run("ROLLBACK");
        if (error.sqlstate == kStaleLease) {
          note_refusal(job, error);
          return;
        }
        if (error.sqlstate != kInDoubt || stop_requested != 0) throw;
        std::this_thread::sleep_for(kInDoubtPause);
      }
    }
  }

  void complete(const Job& job) {
    connection_->run("BEGIN");
    const Result answer =
        connection_->run("SELECT durable_work.complete(job_id => $1, lease_token => $2)",
                         {job.job_id, job.lease_token});
    const bool completed_now = std::string_view(PQgetvalue(answer.get(), 0, 0)) == "t";
    if (completed_now) {  // otherwise an earlier try of ours had been committed after all
      connection_->run(
          "INSERT INTO shop.receipts"
          "    (order_id, job_id, lease_token, attempt, worker, claimed_at)"
          " VALUES ($1, $2, $3, $4, $5, $6)",
          {job.order_id, job.job_id, job.lease_token, job.attempt, options_.name, job.claimed_at});
    }
    connection_->run("COMMIT");
    handled_ += completed_now ? 1 : 0;
  }

  // Our transaction is rolled back: somebody else has this job now, or has done it.
  void note_refusal(const Job& job, const SqlError& error) {
    ++refused_;
    connection_->run(
        "INSERT INTO shop.refusals"
        "    (order_id, job_id, lease_token, worker, claimed_at, sqlstate, message)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        {job.order_id, job.job_id, job.lease_token, options_.name, job.claimed_at, error.sqlstate,
         error.what()});
  }

  // The whole file or none: a new name, then a rename. The text depends on the order alone, so a
  // job that is handed out twice writes the same file twice.
  void write_file(const Job& job) const {
    const std::string name = "order-" + job.order_id + ".txt";
    const auto draft = options_.receipts / ("." + name + "." + std::to_string(getpid()));
    std::ofstream file(draft);
    file << "Receipt for order " << job.order_id << '\n'
         << job.customer << " <" << job.email << ">\n"
         << "paid: " << job.amount << ' ' << job.currency << '\n';
    file.close();
    if (!file) throw std::runtime_error("cannot write " + draft.string());
    std::filesystem::rename(draft, options_.receipts / name);
  }

  // Told to stop: gives back what it has not begun, so that nobody waits for the lease.
  void release_rest() {
    for (const Job& job : batch_) {
      try {
        if (connection_) {
          connection_->run("SELECT durable_work.release(job_id => $1, lease_token => $2)",
                           {job.job_id, job.lease_token});
        }
      } catch (const std::runtime_error&) {
        continue;  // stale, or no server: the lease ends by itself
      }
    }
  }

  Options options_;
  std::unique_ptr<Connection> connection_;
  std::deque<Job> batch_;
  int handled_ = 0;
  int refused_ = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--name")
      options.name = value;
    else if (name == "--receipts")
      options.receipts = value;
    else if (name == "--batch")
      options.batch = value;
    else if (name == "--work-ms")
      options.work = milliseconds(std::stoi(value));
    else
      throw std::invalid_argument("unknown option " + std::string(name));
  }
  if (options.name.empty() || options.receipts.empty())
    throw std::invalid_argument("--name and --receipts are needed");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::signal(SIGTERM, [](int) { stop_requested = 1; });
  try {
    Worker(parse(argc, argv)).run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "worker: %s\n", error.what());
    return 1;
  }
}
