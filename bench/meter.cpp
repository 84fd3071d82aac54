#include "meter.hpp"

#include "format.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace bench {
namespace {

const char* const kCountedProcesses =
    "SELECT pid FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid() AND "
    "backend_type NOT IN ('autovacuum launcher', 'autovacuum worker', 'logical replication "
    "launcher', 'background writer', 'checkpointer', 'walwriter', 'walsender', 'archiver', "
    "'startup', 'logger', 'walsummarizer', 'io worker', 'slotsync worker')";

// Fields of /proc/<pid>/stat after the command name, which may hold spaces; field 0 is the state.
std::vector<std::string> stat_fields(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  std::vector<std::string> fields;
  const std::size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return fields;
  std::istringstream rest(line.substr(end_of_name + 1));
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double ticks(const std::vector<std::string>& fields, std::size_t user, std::size_t system) {
  if (fields.size() <= system) return 0;
  static const double per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return (std::stod(fields[user]) + std::stod(fields[system])) / per_second;
}

double cpu_of_process(int pid) {
  std::ifstream file(fmt::format("/proc/{}/schedstat", pid));
  double nanoseconds = 0;
  if (file >> nanoseconds) return nanoseconds / 1e9;
  return ticks(stat_fields(pid), 11, 12);
}

}  // namespace

Meter::Meter() {
  const std::string file = monitor_
                               .query(
                                   "SELECT pg_catalog.split_part(pg_catalog.pg_read_file("
                                   "'postmaster.pid'), E'\\n', 1)")
                               .text(0, 0);
  postmaster_ = std::stoi(file);
}

void Meter::start() {
  counted_ = only_;
  if (counted_.empty()) {
    const Result pids = monitor_.query(kCountedProcesses);
    for (int row = 0; row < pids.rows(); ++row)
      counted_.push_back(static_cast<int>(pids.integer(row, 0)));
  }
  wal_ = wal_position();
  whole_cpu_ = cpu_of_whole_server();
  cpu_ = cpu_of_counted();
  started_ = Clock::now();
}

Usage Meter::stop() {
  Usage usage;
  usage.seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  usage.cpu = cpu_of_counted() - cpu_;
  usage.whole_cpu = cpu_of_whole_server() - whole_cpu_;
  usage.wal = wal_position() - wal_;
  return usage;
}

std::int64_t Meter::wal_position() {
  return monitor_.integer(
      "SELECT pg_catalog.pg_wal_lsn_diff("
      "pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint");
}

double Meter::cpu_of_counted() const {
  double sum = 0;
  for (const int pid : counted_) sum += cpu_of_process(pid);
  return sum;
}

double Meter::cpu_of_whole_server() const {
  const std::string parent = std::to_string(postmaster_);
  // 13 and 14: the processor time of children that have ended.
  double sum = cpu_of_process(postmaster_) + ticks(stat_fields(postmaster_), 13, 14);
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const int pid = std::stoi(name);
    const std::vector<std::string> fields = stat_fields(pid);
    if (fields.size() > 1 && fields[1] == parent && pid != monitor_.backend_pid())
      sum += cpu_of_process(pid);
  }
  return sum;
}

}  // namespace bench
