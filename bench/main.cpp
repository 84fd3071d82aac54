// durable_work_bench [--quick] [--ours-only] [--results FILE] [--restart COMMAND] [--list] ROW …
// Runs rows against the server that the PG* variables name. bench/run starts such a server.
#include "bench.hpp"

#include <cstdlib>
#include <cstring>
#include <exception>

namespace {

int usage() {
  fmt::print(stderr,
             "usage: durable_work_bench [--quick] [--ours-only] [--results FILE] "
             "[--restart COMMAND] [--list] ROW ...\n");
  return 2;
}

const bench::Row* find_row(std::string_view name) {
  for (const bench::Row& row : bench::all_rows())
    if (row.name == name) return &row;
  return nullptr;
}

// What an earlier row left behind would take memory from the jobs of the next.
void drop_queues() {
  bench::Connection connection;
  connection.query("SELECT durable_work.drop_queue(queue, true) FROM durable_work.queues");
}

int run(int argc, char** argv) {
  bench::Options options;
  std::string results_path = "/dev/null";
  std::vector<const bench::Row*> rows;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--ours-only") {
      options.ours_only = true;
    } else if (argument == "--results" && i + 1 < argc) {
      results_path = argv[++i];
    } else if (argument == "--restart" && i + 1 < argc) {
      options.restart_command = argv[++i];
    } else if (argument == "--list") {
      for (const bench::Row& row : bench::all_rows()) fmt::print("{:<18} {}\n", row.name, row.what);
      return 0;
    } else if (const bench::Row* row = find_row(argument); row != nullptr) {
      rows.push_back(row);
    } else {
      fmt::print(stderr, "unknown row or option \"{}\"\n", argument);
      return usage();
    }
  }
  if (rows.empty()) return usage();

  bench::Results results(results_path);
  bench::Bench context{options, results};
  bool failed = false;
  for (const bench::Row* row : rows) {
    results.row(row->name);
    try {
      drop_queues();
      row->run(context);
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}: {}\n", row->name, error.what());
      results.holds("the row ran to its end", false, error.what());
      failed = true;
    }
  }
  return failed ? 2 : results.all_met() ? 0 : 1;
}

}  // namespace

// Exit status: 0 every limit met, 1 some missed, 2 a row could not run.
int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "durable_work_bench: {}\n", error.what());
    return 2;
  }
}
