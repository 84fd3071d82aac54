/* The settings durable_work.*. */
#include "pg/headers.hpp"

#include "runtime/session.hpp"
#include "runtime/settings.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

constexpr int kDefaultResidentJobs = core::kDefaultResidentEntries;
constexpr int kFewestResidentJobs = 64;
constexpr int kMostResidentJobs = core::kMostResidentEntries;

int max_resident_jobs_setting = kDefaultResidentJobs;
int timer_horizon_setting = 15 * 60 * 1000;
int segment_max_age_setting = 3 * 60 * 60;
int segment_max_size_setting = 4 * 1024 * 1024;
int truncate_grace_setting = 60 * 60;
int max_wait_setting = 60 * 1000;
int max_headers_setting = 64;
int heartbeat_interval_setting = 5 * 1000;
int worker_dead_after_setting = 30 * 1000;
bool start_paused_setting = false;
int notify_interval_setting = 0;

}  // namespace

uint32 max_resident_jobs() { return static_cast<uint32>(max_resident_jobs_setting); }

int64 timer_horizon() { return int64{timer_horizon_setting} * 1000; }

int64 segment_max_age() { return int64{segment_max_age_setting} * core::kSecond; }

uint64 segment_max_size() { return static_cast<uint64>(segment_max_size_setting) * 1024; }

int64 truncate_grace() { return int64{truncate_grace_setting} * core::kSecond; }

int64 max_wait() { return int64{max_wait_setting} * 1000; }

int64 max_headers() { return int64{max_headers_setting} * 1024; }

int64 heartbeat_interval() { return int64{heartbeat_interval_setting} * 1000; }

int64 worker_dead_after() { return int64{worker_dead_after_setting} * 1000; }

bool start_paused() { return start_paused_setting; }

int64 notify_interval() { return int64{notify_interval_setting} * 1000; }

void define_settings(bool at_server_start) {
  if (at_server_start) {
    DefineCustomIntVariable(
        "durable_work.max_resident_jobs", "Sets how many jobs of all queues are kept in memory.",
        "Jobs beyond it wait on disk and are loaded as room appears. Each takes about 128 bytes of "
        "shared memory, and fewer where there are more of them.",
        &max_resident_jobs_setting, kDefaultResidentJobs, kFewestResidentJobs, kMostResidentJobs,
        PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
  }
  DefineCustomIntVariable(
      "durable_work.timer_horizon",
      "Sets how far ahead a delayed job may be due and still be kept with the others.",
      "Jobs due later are stored in the table durable_work.parked and brought in when their time "
      "is near.",
      &timer_horizon_setting, 15 * 60 * 1000, 1000, 24 * 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
      nullptr, nullptr, nullptr);
  DefineCustomIntVariable("durable_work.segment_max_age",
                          "Sets how long jobs are written to one segment of the log.",
                          "Then another segment is begun. The space of one comes back when all of "
                          "its jobs are finished "
                          "and the retention of their queues is over.",
                          &segment_max_age_setting, 3 * 60 * 60, 1, 30 * 24 * 60 * 60, PGC_SIGHUP,
                          GUC_UNIT_S, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "durable_work.segment_max_size",
      "Sets how large the tables of one segment of the log may grow before another is begun.",
      "There are eight segments. While all are in use the last one goes on growing.",
      &segment_max_size_setting, 4 * 1024 * 1024, 64, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB, nullptr,
      nullptr, nullptr);
  DefineCustomIntVariable(
      "durable_work.truncate_grace",
      "Sets how long an old snapshot keeps a segment of the log that could be emptied.",
      "A snapshot that is older than the last change in a segment and reads it only after it was "
      "emptied misses its jobs; a dump takes its snapshot first and its locks later.",
      &truncate_grace_setting, 60 * 60, 0, 30 * 24 * 60 * 60, PGC_SIGHUP, GUC_UNIT_S, nullptr,
      nullptr, nullptr);
  DefineCustomIntVariable("durable_work.max_wait", "Sets the longest timeout of wait_for_work.",
                          "A call with a longer one is refused.", &max_wait_setting, 60 * 1000, 1,
                          24 * 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "durable_work.max_headers", "Sets how large the headers of a job may be.",
      "The size is that of the jsonb object before compression, as pg_column_size tells it. Each "
      "queue has a limit of its own for payloads.",
      &max_headers_setting, 64, 1, 64 * 1024, PGC_SIGHUP, GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "durable_work.heartbeat_interval",
      "Sets how often registered workers are expected to call heartbeat.",
      "A worker that sleeps in claim or wait_for_work does it by itself, this often.",
      &heartbeat_interval_setting, 5 * 1000, 10, 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, nullptr,
      nullptr, nullptr);
  DefineCustomIntVariable(
      "durable_work.worker_dead_after",
      "Sets after which time without a sign of life a registered worker is taken for dead.",
      "Then its buckets go to others; its leases run out by themselves. It is back with its next "
      "heartbeat or claim. Several times durable_work.heartbeat_interval.",
      &worker_dead_after_setting, 30 * 1000, 10, 24 * 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
      nullptr, nullptr, nullptr);
  DefineCustomBoolVariable(
      "durable_work.start_paused",
      "Sets whether a database that is attached hands out no jobs for the time being.",
      "For copies: no job is handed out, expires or is redriven in a database that comes up while "
      "this is on, by a start of the server, promotion, restore or CREATE DATABASE, until it is "
      "turned off. A database that hands out jobs already goes on.",
      &start_paused_setting, false, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "durable_work.notify_interval",
      "Sets how often clients that LISTEN on the channel durable_work are told of due jobs.",
      "At most one notification a queue in this time, with the queue's name as payload, while it "
      "has due jobs that nobody has taken and no sleeping worker will. 0 sends none. For clients "
      "that cannot block in wait_for_work.",
      &notify_interval_setting, 0, 0, 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr,
      nullptr);
  if (at_server_start) MarkGUCPrefixReserved("durable_work");
}

}  // namespace dw::runtime
