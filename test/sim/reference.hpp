/*
 * What must be true of every job, kept in a plain map and written from the rules, not from the
 * code.
 *
 * A job's row is visible or not, finished or not, held under a token or not, being decided by
 * somebody or not. The world tells the reference of every event that a client or the log can see;
 * the reference says whether the answer that the dispatcher gave is allowed. It knows nothing of
 * arenas, modes or pages.
 *
 * While a commit or abort callback runs, the jobs it touches are in flux: the reference has them as
 * they will be, the dispatcher may still have them as they were.
 */
#pragma once

#include "fake_log.hpp"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace dw::test {

/* A broken rule. */
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct JobKey {
  QueueId queue;
  JobId id;
  bool operator<(const JobKey& other) const {
    return queue != other.queue ? queue < other.queue : id < other.id;
  }
  bool operator==(const JobKey& other) const { return queue == other.queue && id == other.id; }
};

constexpr int kNobody = -1;
constexpr int kHousekeeperFlux = -2;
/* Two callbacks at once: what came of it is only known when both have ended. */
constexpr int kUnknownFlux = -3;

struct ModelJob {
  Xid xid = kNoXid; /* that wrote it */
  bool visible = false;
  bool finished = false;       /* a final outcome is visible */
  bool dead = false;           /* by a dead letter that nobody has redriven or discarded */
  int taker = kNobody;         /* session that has taken its dead letter and not committed */
  bool gone = false;           /* with its queue; nothing is promised any more */
  bool published = false;      /* the callback of its enqueue has run */
  bool purged_on_disk = false; /* the decider ended it without an entry */
  Micros version = 0;          /* of its row that counts */
  std::uint32_t key = 0;       /* 0: none */
  std::uint64_t written_at = 0;
  std::uint64_t published_at = 0;
  bool revived = false;       /* its place in its key was given up */
  std::uint64_t ended_at = 0; /* it had to die with its key; 0: no */
  std::uint8_t priority = 0;
  std::int32_t most_attempts = 0;
  Micros due = kAlways;
  std::uint32_t expires_at = 0;
  std::int32_t attempts = 0;
  /* What the log knows, which is what is left after a restart. */
  Micros logged_due = kAlways;
  std::int32_t logged_attempts = 0;

  bool held = false; /* somebody has its lease */
  Token token = 0;   /* the last one given */
  Micros deadline = 0;
  bool lapsed = false;   /* held, but void */
  bool expiring = false; /* held or overdue, and the sweep is writing */
  bool dies = false;     /* what it writes is a dead letter */
  int decider = kNobody; /* session with an open decision */
  bool cancelled_under_holder = false;
  int flux = kNobody; /* session whose callback runs */
};

/* A key whose job was used up, as the table of blocked keys says. */
struct ModelBlock {
  JobId job;
  JobId up_to = 0;         /* those behind it below this id die too; 0: none */
  std::uint64_t since = 0; /* when that was said */
  int taker = kNobody;     /* session that has locked the row and not committed */
};

class Reference {
 public:
  std::map<JobKey, ModelJob> jobs;
  Token last_token = 0;
  /* Committed and not finished, by queue. */
  std::map<QueueId, std::int64_t> unfinished;
  /* All tokens ever given, newest last. */
  std::vector<std::pair<JobKey, Token>> given;
  /* Monotonic time up to which deadlines count for the sweep that runs; kAlways: none does. What it
   * has taken is stale from that moment, but only its writing tells what it has taken. */
  Micros sweeps_until = kAlways;

  ModelJob& job(JobKey key) {
    const auto found = jobs.find(key);
    if (found == jobs.end()) throw Violation("a job that nobody ever wrote");
    return found->second;
  }

  void show(ModelJob& job, JobKey key) {
    job.visible = true;
    unfinished[key.queue]++;
  }
  void finish(ModelJob& job, JobKey key, bool dead) {
    if (!job.finished) unfinished[key.queue]--;
    job.finished = true;
    job.dead = dead;
  }
  /* A dead letter waits again, as if it had never been tried. */
  void revive(ModelJob& job, JobKey key, Micros due, bool keeps_place) {
    unfinished[key.queue]++;
    job.finished = false;
    job.dead = false;
    if (!keeps_place) job.revived = true;
    job.ended_at = 0;
    job.attempts = job.logged_attempts = 0;
    job.due = job.logged_due = due;
  }

  /* The callback of its enqueue has run. */
  void publish(ModelJob& job) const {
    job.published = true;
    job.published_at = clock;
  }
  /* Of an ordered queue: nobody else holds a job of its key, and no earlier one can still run whose
   * enqueue had returned when this one was written. */
  void check_turn(JobKey key, Micros now);
  std::map<std::pair<QueueId, std::uint32_t>, ModelBlock> blocked;
  /* The commit that ended the job is visible. */
  void block(JobKey key, JobId up_to) {
    blocked[{key.queue, job(key).key}] = {key.id, up_to, clock};
  }
  /* The housekeeper has let a key go on whose followers were to die: so must all have that waited
   * when this was asked for. */
  void followers_ended(QueueId queue, JobId dead);
  std::uint64_t clock = 0; /* counts events */
  std::map<std::pair<QueueId, std::uint32_t>, std::vector<JobId>> by_key;

  /* A claim handed this out. */
  void claimed(JobKey key, Token token, std::int32_t attempt, Micros now, Micros deadline);
  /* A claim that is undone by its own transaction; what the job is then. */
  void undo_claim(ModelJob& job, Token token, bool delivered, Micros now, Micros backoff) const;
  /* complete, fail and the like got this answer for a token. */
  void decision_answered(JobKey key, Token token, int session, Verdict verdict) const;
  void cancel_answered(JobKey key, int session, Verdict verdict) const;
  void change_answered(JobKey key, int session, Verdict verdict) const;
  void extension_answered(JobKey key, Token token, bool extended) const;
  /* The sweep writes this. */
  void expires(const Expiry& expiry, Micros monotonic, Micros wall);

  /* A callback of this session begins to change it. */
  void begin_flux(ModelJob& job, JobKey key, int session) {
    const bool overlaps = job.flux != kNobody && job.flux != session;
    if (overlaps || session == kUnknownFlux) {
      job.flux = kUnknownFlux;
      unknown.push_back(key);
    } else {
      job.flux = session;
    }
  }
  /* Jobs whose state the dispatcher must tell. */
  std::vector<JobKey> unknown;

  /* Holds the lease, and may use it; also while a decision of it is visible whose callback has not
   * run. */
  static bool holds(const ModelJob& job, Token token) {
    return job.held && job.token == token && !job.lapsed && !job.expiring &&
           !job.cancelled_under_holder;
  }
  /* For the sweep that runs. */
  [[nodiscard]] bool has_run_out(const ModelJob& job) const {
    return sweeps_until != kAlways && (job.lapsed || job.deadline <= sweeps_until);
  }
  [[nodiscard]] bool may_be_swept(const ModelJob& job) const {
    return job.held && has_run_out(job);
  }
  /* Every lease is gone, and what was only known in memory is forgotten. */
  void restart();

 private:
  void overdue_expires(const Expiry& expiry, JobKey key, ModelJob& j, Micros wall);
  [[nodiscard]] bool dies_with_key(JobKey key, const ModelJob& j) const;
  static std::string name(JobKey key, const ModelJob& job);
  [[noreturn]] static void broken(JobKey key, const ModelJob& job, const std::string& what);
};

}  // namespace dw::test
