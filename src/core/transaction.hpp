/*
 * What the open transaction of this process has done and what its end means for the dispatcher.
 *
 * Each operation notes an intent before or right after it writes its row; PRE_COMMIT links new jobs
 * as pending, the COMMIT and ABORT callbacks publish or undo. Intents carry references that are
 * checked again under the queue lock. They are kept in the order they were made and undone in the
 * reverse order; each knows the nesting level of the subtransaction that made it, so that a
 * rollback to a savepoint undoes just the tail.
 *
 * reserve() may throw std::bad_alloc and must come before the row is written or a job popped;
 * everything after it, and every callback, is noexcept and allocates nothing.
 */
#pragma once

#include "core/dispatcher.hpp"

#include <vector>

namespace dw::core {

enum class ActionKind : std::uint8_t {
  claim,
  request, /* a claim that may be repeated */
  decide,
  placeholder, /* a job on disk that is about to be decided */
  room,        /* reserved in a queue for jobs that are not written yet */
  queue_created,
  queue_changed,
  queue_dropped,
  limits_changed,   /* of a queue */
  attach,           /* CREATE EXTENSION: open the database at commit */
  detach,           /* DROP EXTENSION */
  rows_arrived,     /* past the engine's functions, as in a restore: load everything again */
  queues_arrived,   /* likewise for the table of queues */
  redriven,         /* dead letters have become jobs in parked */
  redrives_changed, /* a redrive at a rate was asked for, or arrived past the functions */
  withheld,         /* a queue all of whose jobs are ended */
  purged,           /* jobs that had no entry */
  segment_emptied,  /* the tables of a segment were truncated */
  key_unblocked,    /* a row of the table of blocked keys was deleted, or says something else */
  key_weighed,      /* of a fair queue: a row of the table of weights was written or deleted */
  worker_changed,   /* a worker was registered, or is to end */
  worker_left,
};

/* Whether a transaction can be prepared, or why not. */
enum class Preparation : std::uint8_t {
  ready,
  has_claims,
  has_purge,
  has_queues,    /* it makes, changes or drops a queue */
  has_extension, /* or the extension */
  has_workers,   /* it registers or ends a worker */
  holds_back,    /* it keeps a job from others without having written anything about it */
  queue_gone,    /* was dropped since the transaction enqueued to it */
  not_attached,  /* there is no slot of the database yet */
  no_room,       /* for what is to be remembered, at present */
};

class Transaction {
 public:
  explicit Transaction(Dispatcher* dispatcher) noexcept : dispatcher_(dispatcher) {}

  /* The slot of the process's database, kNone while it is not attached. */
  void set_database(Index database, DatabaseOid oid) noexcept {
    database_ = database;
    oid_ = oid;
  }
  [[nodiscard]] Index database() const noexcept { return database_; }
  /* True if the transaction did anything here. */
  [[nodiscard]] bool has_work() const noexcept { return !actions_.empty() || !jobs_.empty(); }
  /* True if the launcher is to look at this database after the end; also if what changed it was
   * rolled back to a savepoint. */
  [[nodiscard]] bool changes_database() const noexcept { return changes_database_; }
  /* Number of actions so far, to be given to delivered(). */
  [[nodiscard]] std::size_t size() const noexcept { return actions_.size(); }

  /* Room for n more jobs, n more actions and n more outcome rows. */
  void reserve(std::size_t n);
  /* Room for n more outcome rows, of decisions that write several. */
  void reserve_rows(std::size_t n);

  /* --- enqueue --- */
  void note_enqueue(std::int32_t level, QueueRef queue, const JobRow& row) noexcept;
  /* Room for n jobs that are about to be written. On granted it is given back unless use_room()
   * says that they were noted, each with has_room set. */
  Room reserve_room(std::int32_t level, QueueRef queue, std::uint32_t n, RoomFigures* figures,
                    std::size_t* action) noexcept;
  void use_room(std::size_t action) noexcept { actions_[action].number = 0; }
  /* The same for one job more, in a room that begin_room() made. On exchanged this transaction
   * decides the job that goes, as after begin_change(). */
  std::size_t begin_room(std::int32_t level, QueueRef queue) noexcept;
  Room exchange_room(std::int32_t level, std::size_t room, RoomFigures* figures, Decided* out,
                     std::size_t* action) noexcept;
  /* True if this transaction enqueued the job itself. */
  [[nodiscard]] bool enqueued_here(JobId id) const noexcept;
  /* A job that this transaction enqueued lies elsewhere now, with other columns; nullptr: it did
   * not enqueue it. May throw std::bad_alloc. */
  [[nodiscard]] const JobRow* enqueued_row(JobId id) const noexcept;
  void replace_enqueued(std::int32_t level, JobId id, const JobRow& row);

  /* --- claim --- */
  /* Notes what claim() just handed out, not yet delivered. */
  void note_claims(std::int32_t level, const ClaimedJob* jobs, std::uint32_t n) noexcept;
  /* Before the claim: its request is remembered from the commit on. */
  void note_request(std::int32_t level, RequestRef request) noexcept;
  /* The claiming statement got through: from here a rollback charges the attempts. first: size()
   * before. */
  void delivered(std::size_t first) noexcept;
  /* Quarantines a job whose row is not what its entry says. */
  void quarantine(EntryRef ref, Token token) noexcept;
  /* Where the record of a claim went. claim: its action, counted from size() before the claim. */
  void note_claim_row(std::size_t claim, std::uint8_t segment, std::uint32_t block) noexcept;
  /* Takes back a job whose row says that it has expired. */
  void expire_claim(EntryRef ref, Token token) noexcept;

  /* --- decide --- */
  /* complete, fail, release, defer, reject: fenced by the token. On ok *action is what settle() and
   * note_outcome_row() take; own_duplicate if this very transaction decided it before with this
   * token. permitted: see Dispatcher::begin_decision(). */
  Verdict begin_decision(std::int32_t level, JobId id, Token token, Decided* out,
                         std::size_t* action, QueueId permitted = 0) noexcept;
  Verdict begin_cancel(std::int32_t level, JobId id, QueueId queue, Decided* out,
                       std::size_t* action) noexcept;
  /* A job that waits. own_duplicate: this very transaction has decided it before. again: one that
   * it has only changed is decided anew, over what was decided; out->before is `completing` then.
   * begin_cancel does that always. */
  Verdict begin_change(std::int32_t level, JobId id, QueueId queue, bool again, Decided* out,
                       std::size_t* action) noexcept;
  /* After own_duplicate: what this transaction decided before. */
  [[nodiscard]] OutcomeKind outcome_of(std::size_t action) const noexcept {
    return actions_[action].outcome;
  }
  /* This transaction has written the end of the job. */
  [[nodiscard]] bool ended_here(JobId id) const noexcept;
  /* What becomes of it, and when the job is due again. Without a call it is given back at commit as
   * it was. */
  void settle(std::size_t action, Decision decision, OutcomeKind outcome, Micros due) noexcept;
  /* Before settle(reschedule): from the commit on the job is what this row of parked says, with its
   * attempts. May throw std::bad_alloc. */
  void set_row(std::size_t action, const JobRow& row);
  /* Where a row of its outcomes went; the loader learns it before the entry changes. */
  void note_outcome_row(std::size_t action, std::uint8_t segment, std::uint32_t block) noexcept;

  /* --- a job that is not resident ---
   * add_placeholder, read the log with a new snapshot, then fill_placeholder (the job waits;
   * continue as after begin_change) or drop_placeholder. An error in between drops it with the
   * transaction. */
  Verdict add_placeholder(std::int32_t level, QueueId queue, JobId id,
                          std::size_t* action) noexcept;
  /* waits: an abort leaves it waiting; else it is what the log says, and its entry goes. redriven:
   * the token of the job's last redrive. If that is of this transaction, the job waits for nobody
   * else, and the entry goes likewise. */
  bool fill_placeholder(std::size_t action, const JobRow& row, bool waits, Token redriven,
                        Decided* out) noexcept;
  void drop_placeholder(std::size_t action) noexcept;

  /* --- redrive ---
   * Rows that are written for jobs that have no entry. Room for a row each is reserved before. */
  void note_written(std::int32_t level, std::uint8_t segment, std::uint32_t block) noexcept;
  /* n jobs of that queue lie in parked now, the first due then, under tokens from `first` on that
   * were drawn together: all of them are on one side of a boundary of the census. */
  void note_redriven(std::int32_t level, QueueId queue, Micros due, std::uint32_t n,
                     Token first) noexcept;

  /* --- all jobs of a queue, see withhold.cpp --- */
  /* The queue is let go when the transaction, or the subtransaction, ends. */
  bool withhold(std::int32_t level, QueueRef queue, bool* all_resident) noexcept;
  /* n jobs that have no entry were ended under tokens from `first` on that were drawn together. */
  void note_purged(std::int32_t level, QueueId queue, std::uint32_t n, Token first) noexcept;

  /* --- queues and databases --- */
  /* Options that a queue_created or queue_changed noted next will have at commit. May throw
   * std::bad_alloc. */
  void set_options(QueueId id, const QueueOptions& options);
  void note_queue(std::int32_t level, ActionKind kind, QueueRef queue, QueueId id) noexcept;
  /* What the queue has from the commit on. May throw std::bad_alloc. */
  void note_limits(std::int32_t level, QueueId id, const QueueLimits& limits);
  void note_database(std::int32_t level, ActionKind kind, DatabaseOid oid) noexcept;
  /* The row of a worker that a worker_changed or worker_left noted next is about. May throw
   * std::bad_alloc. */
  void set_worker(const MemberRow& row);
  void note_worker(std::int32_t level, ActionKind kind) noexcept;
  void note_attach(std::int32_t level, DatabaseOid oid, std::int64_t epoch, bool paused) noexcept;

  /* --- keys --- */
  void note_unblocked(std::int32_t level, QueueId queue, JobId job, Unblock how,
                      JobId up_to) noexcept;
  void note_weight(std::int32_t level, const KeyWeight& row) noexcept;

  /* --- the log --- */
  void note_segment_emptied(std::int32_t level, std::uint8_t segment) noexcept;
  /* --- PREPARE TRANSACTION, see watch.hpp --- */
  /* The queues whose jobs it enqueued or decides, at most kMostQueues; the number. */
  std::uint32_t queues_used(QueueId* out) const noexcept;
  /* PRE_PREPARE: leaves what is to be done at the end in a watch. */
  Preparation prepare(TransactionNumber self, QueueId* gone) noexcept;
  /* PREPARE: from here the watch stands for the transaction, and this one is empty. */
  void prepared() noexcept;

  /* --- callbacks --- */
  /* PRE_COMMIT. False if a queue that was enqueued to is gone; its id is in *gone. */
  bool pre_commit(QueueId* gone) noexcept;
  /* log_position: the end of the commit record, 0 when nothing was written. */
  void commit(std::uint64_t log_position) noexcept;
  void abort() noexcept;
  void sub_commit(std::int32_t level) noexcept;
  void sub_abort(std::int32_t level) noexcept;

 private:
  struct NewJob {
    JobRow row;
    EntryRef ref;
    QueueRef queue;
    std::int32_t level;
  };
  struct Action {
    ActionKind kind;
    Decision decision;
    EntryState before;
    OutcomeKind outcome;
    bool delivered;
    bool settled;
    bool superseded; /* decide: another action decides over it */
    bool vanishes;   /* decide: the entry goes when this is undone, whatever `before` says */
    std::int32_t level;
    EntryRef ref;
    QueueRef queue;
    RequestRef request;
    Token token;
    Micros due;
    std::int64_t number; /* queue id, epoch, segment, or jobs that have room */
    /* key_weighed: the weight, its hashes being `due` and `token`; redriven, purged: jobs;
     * withheld: 1 if it was before; attach: 1 for paused */
    std::uint32_t count;
    /* queue_*: its options are the one before this; 0: none; limits_changed: its limits */
    std::size_t options;
    std::size_t row;     /* decide: likewise in rows_; worker_*: in workers_ */
    std::size_t earlier; /* decide, before `completing`: what this one is decided over */
    DatabaseOid oid;
  };
  struct Options {
    QueueId id;
    QueueOptions options;
  };
  /* What jobs_[job].row was before it was replaced. */
  struct ReplacedRow {
    std::size_t job;
    std::int32_t level;
    JobRow row;
  };
  /* A page that an outcome row went to. */
  struct OutcomePage {
    std::int32_t level;
    std::uint32_t block;
    std::uint8_t segment;
  };

  Action& add(std::int32_t level, ActionKind kind) noexcept;
  [[nodiscard]] bool find_own(const Decided& decided, std::size_t* action) const noexcept;
  [[nodiscard]] bool redriven_here(QueueId queue, Token token) const noexcept;
  Verdict note_decision(std::int32_t level, const Decided& decided, Verdict verdict,
                        std::size_t* action) noexcept;
  Verdict decide_again(std::int32_t level, std::size_t earlier, Decided* out,
                       std::size_t* action) noexcept;
  void undo(const Action& action) noexcept;
  void apply_decision(const Action& action) noexcept;
  bool settle_queues(QueueId* gone) noexcept;
  [[nodiscard]] Preparation obstacle() const noexcept;
  [[nodiscard]] const Action& in_force(const Action& last) const noexcept;
  [[nodiscard]] const Action& first_of(const Action& last) const noexcept;
  [[nodiscard]] bool leaves(const Action& action, Held* held) const noexcept;
  [[nodiscard]] Held held_decision(const Action& last) const noexcept;
  std::uint32_t held_jobs(std::size_t first, Held* held) const noexcept;
  void fill_watch() noexcept;
  void unlink_jobs() noexcept;
  void release_room(std::size_t first) noexcept;
  void apply(const Action& action) noexcept;
  void apply_options(const Action& action) noexcept;
  void apply_worker(const Action& action) noexcept;
  template <typename Each>
  void for_each_run(std::size_t first, Each each) noexcept;
  void clear() noexcept;

  Dispatcher* dispatcher_;
  Index database_ = kNone;
  DatabaseOid oid_ = 0;
  bool changes_database_ = false;
  Index watch_ = kNone; /* between PRE_PREPARE and the end */
  std::vector<NewJob> jobs_;
  std::vector<Action> actions_;
  std::vector<Options> options_;
  std::vector<QueueLimits> limits_;
  std::vector<OutcomePage> pages_;
  std::vector<JobRow> rows_; /* see set_row() */
  std::vector<ReplacedRow> replaced_;
  std::vector<MemberRow> workers_; /* see set_worker() */
};

}  // namespace dw::core
