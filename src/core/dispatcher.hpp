/*
 * The dispatcher: which job goes to whom next.
 *
 * It is a view on the arena plus the platform's locks and clocks; every process makes its own and
 * all work on the same memory. Nothing here touches the log: the protocols in transaction.hpp,
 * loader.hpp and sweeper.hpp say which row is written between which two calls. All operations are
 * noexcept and allocation-free; those that run in commit and abort callbacks rely on it.
 *
 * Cost: claim, decide, extend and link are O(log n) in the resident jobs of one queue, and O(1)
 * amortised for jobs that arrive in order, because the trees remember their ends.
 */
#pragma once

#include "core/dispatcher_types.hpp"
#include "core/layout.hpp"
#include "core/member.hpp"
#include "core/platform.hpp"

#include <string_view>

namespace dw::core {

class QueueLock;
struct Held;
struct QueueWaits;

class Dispatcher {
 public:
  Dispatcher(Arena* arena, const Platform* platform) noexcept
      : arena_(arena), platform_(platform) {}

  [[nodiscard]] Arena& arena() const noexcept { return *arena_; }
  [[nodiscard]] const Platform& platform() const noexcept { return *platform_; }

  /* --- databases (registry.cpp) --- */
  Index find_database(DatabaseOid oid) const noexcept;
  /* Finds or makes the slot; kNone when all are taken. */
  Index attach_database(DatabaseOid oid) noexcept;
  /* Opens it for claims. The counter starts anew only if the epoch is higher. */
  void open_database(Index database, std::int64_t epoch) noexcept;
  /* Before it is opened: nothing is handed out until unpause_database(). */
  void pause_database(Index database) noexcept;
  void unpause_database(Index database) noexcept;
  /* The queue or its whole database. Under the queue lock. */
  [[nodiscard]] bool is_paused(const Queue& q) const noexcept;
  /* Whether the number of unfinished jobs is known. Under the queue lock. */
  [[nodiscard]] bool is_counted(const Queue& q) const noexcept;
  /* The next number of the open block; 0 when it is used up or belongs to another sequence. */
  JobId take_job_id(Index database, std::uint32_t sequence) noexcept;
  /* Makes the numbers after first, count with it, those to be handed out next. False: first is
   * below numbers given already and must not be used; take another. */
  bool open_job_ids(Index database, std::uint32_t sequence, JobId first,
                    std::uint32_t count) noexcept;
  /* Gives up what is left of the open block. What was given stays the floor of the next: a session
   * may still bring a lower one. */
  void close_job_ids(Index database) noexcept;
  /* Numbers up to this one are in the log, whatever the sequence says. */
  void raise_job_ids(Index database, JobId highest) noexcept;
  /* The first of n new tokens that follow each other, for outcomes of jobs that have no entry; 0:
   * the epoch is not raised yet. */
  Token take_tokens(Index database, std::uint32_t n) noexcept;
  /* Raises the position that claims of strict queues flush up to. */
  void note_commit_position(Index database, std::uint64_t position) noexcept;
  /* Frees the slot, all its queues and their entries. */
  void detach_database(Index database) noexcept;
  /* True once per request: reload everything, re-read the table of queues, or that of redrives. */
  bool take_reload(Index database) noexcept;
  /* Waiting jobs are on disk only, until they are loaded again. Before a reload. */
  void forget_waiting(Index database) noexcept;
  /* What was taken is under way: everything known before is forgotten. */
  void reload_begun(Index database) noexcept;
  bool take_catalog_stale(Index database) noexcept;
  bool take_redrives_changed(Index database) noexcept;
  void note_catalog_stale(DatabaseOid oid) noexcept;
  void note_redrives_changed(DatabaseOid oid) noexcept;
  /* Somebody loaded or moved rows past the engine: every queue is loaded again. */
  void request_reload(Index database) noexcept;

  /* --- segments of the log (ring.cpp) --- */
  /* The log of a new database: segment 0, from the first id on; nothing if segments are known. */
  void begin_log(Index database) noexcept;
  /* A segment that is in use, as the table of segments has it. */
  void know_segment(Index database, std::uint8_t segment, JobId first) noexcept;
  /* An empty one becomes the current one for ids from `first` on. False: it is not empty, or ids
   * from there on may be given already. */
  bool open_segment(Index database, std::uint8_t segment, JobId first) noexcept;
  /* While a lock proves that nobody writes to it. Not the current one. */
  void make_quiet(Index database, std::uint8_t segment) noexcept;
  /* COMMIT of the transaction that truncated it. */
  void empty_segment(Index database, std::uint8_t segment) noexcept;
  /* Rows of ended jobs were removed from parked. */
  void note_rows_gone(Index database) noexcept;
  /* Where the row of a job lies if not in parked; kParkedSegment: nowhere else. */
  std::uint8_t segment_of(Index database, JobId id) const noexcept;
  bool may_write(Index database, std::uint8_t segment) const noexcept;
  /* Those in use, in the order of their ids; how many. */
  std::uint8_t segments_in_order(Index database, std::uint8_t* out) const noexcept;
  void note_hold(Index database, std::uint8_t segment, SegmentHold hold) noexcept;
  [[nodiscard]] SegmentHold see_hold(Index database, std::uint8_t segment) const noexcept;
  /* Jobs of a segment that have an entry, at most `most` and one more, and the first of them. */
  std::uint32_t residents_of(Index database, std::uint8_t segment, std::uint32_t most,
                             Straggler* oldest) const noexcept;

  /* --- queues (registry.cpp) --- */
  /* Without a lock: whoever acts on it looks again under the queue's. */
  Index find_queue(Index database, QueueId id) const noexcept;
  /* Makes a slot; kNone when all are taken. A new queue starts live (nothing of it is on disk); one
   * that the housekeeper finds in the table starts loading. */
  Index add_queue(Index database, QueueId id, std::string_view name, const QueueOptions& options,
                  QueueState state, LoadMode mode) noexcept;
  void activate_queue(QueueRef ref) noexcept;
  void set_queue_options(Index database, QueueId id, const QueueOptions& options) noexcept;
  /* Token buckets whose rate changes begin empty. */
  void set_queue_limits(Index database, QueueId id, const QueueLimits& limits) noexcept;
  /* Jobs that a key of a fair queue gets a round; 1 is that of any key. False: there is no slot of
   * the queue, or no room for one more key. */
  bool set_key_weight(Index database, QueueId id, std::uint32_t key_hash, std::uint32_t key_check,
                      std::uint32_t weight) noexcept;
  [[nodiscard]] bool has_room_for_weight() const noexcept {
    return arena_->weighted_key_count.load(std::memory_order_relaxed) < kMostWeightedKeys;
  }
  /* What the table says, as a snapshot read it that was taken after weight_changes() had answered
   * `changes`; stale: a transaction has changed weights since, nothing is done. `reading` is
   * another number than that of the reading before. */
  std::uint32_t weight_changes(QueueRef ref) noexcept;
  WeightFound weight_found(QueueRef ref, std::uint32_t changes, const KeyWeight& row,
                           std::uint32_t reading) noexcept;
  /* Those that it did not find. */
  WeightFound drop_other_weights(QueueRef ref, std::uint32_t changes,
                                 std::uint32_t reading) noexcept;
  /* Frees the slot and its entries, in chunks; wakes its waiters. */
  void remove_queue(QueueRef ref) noexcept;
  [[nodiscard]] QueueRef queue_ref(Index queue) const noexcept;
  [[nodiscard]] bool queue_matches(QueueRef ref) const noexcept;
  void queue_figures(Index queue, QueueFigures* out) noexcept;

  /* --- how many there are (length.cpp) --- */
  /* Unfinished jobs of the queue; false while they are being counted. */
  bool length_of(Index queue, std::int64_t* unfinished) const noexcept;
  /* Room for n more jobs in a queue of limited length, until they are published or the room is
   * released. */
  Room reserve_room(QueueRef queue, std::uint32_t n, RoomFigures* figures) noexcept;
  void release_room(QueueRef queue, std::uint32_t n) noexcept;
  /* Room for one more job; when the queue is full, in exchange for the ready job with the lowest
   * id, else for the delayed one that is due first, which the caller's transaction decides from
   * here on. */
  Room exchange_room(QueueRef queue, RoomFigures* figures, Decided* out) noexcept;
  /* Every id given so far is below; 0: none was since the server started. */
  [[nodiscard]] JobId next_job_id(Index database) const noexcept;
  /* The followers of a job that dies now have ids below this one. */
  [[nodiscard]] JobId end_of_followers(Index database) const noexcept {
    const JobId next = next_job_id(database);
    return next != 0 ? next : kNever - 1;
  }

  /* --- linking (link.cpp) --- */
  /* PRE_COMMIT: links up to n rows of one queue as pending; writes a reference for each, kNone
   * where there was no room or the queue is loading. At most kEntriesPerHold rows. */
  void link_pending(QueueRef queue, const JobRow* const* rows, EntryRef* refs,
                    std::uint32_t n) noexcept;
  /* COMMIT: makes pending entries ready or delayed; marks the pages of rows without one dirty;
   * wakes waiters. */
  void publish(Index database, QueueId id, QueueRef queue, const JobRow* const* rows,
               const EntryRef* refs, std::uint32_t n) noexcept;
  /* ABORT: frees pending entries. */
  void unlink_pending(QueueRef queue, const EntryRef* refs, std::uint32_t n) noexcept;
  /* Loader, under the queue lock: links a committed row unless it is resident. */
  LinkResult link_loaded(Index queue, const JobRow& row, Micros now) noexcept;
  void note_outcome_page(Index database, std::uint8_t segment, std::uint32_t block) noexcept;
  void note_outcome_pages(Index database, const BlockRange& pages) noexcept;
  /* COMMIT: n dead letters became jobs of the queue, in parked, under the tokens from `first` on;
   * the earliest is due then. */
  void publish_redriven(Index database, QueueId id, Micros due, Token first,
                        std::uint32_t n) noexcept;
  void note_parked(Index database, Micros due) noexcept;
  void mark_dirty(Index database, QueueId id, std::uint8_t segment, std::uint32_t block) noexcept;

  /* --- working (lease.cpp) --- */
  /* Finds or makes the worker's slot; kNone when all are taken by workers with leases. instance 0:
   * none. */
  WorkerRef worker_slot(Index database, std::string_view name, std::int64_t instance) noexcept;
  /* Hands out up to n due jobs. lease 0: the queue's. kWorkerGone: the slot went to another name,
   * find it anew. request: what the batch is remembered under, if it is not empty. waiter: who
   * asks; if it was woken for this queue it owes nothing any more. */
  std::uint32_t claim(QueueRef queue, WorkerRef worker, Micros lease, ClaimedJob* out,
                      std::uint32_t n, const RequestRef* request = nullptr, Index waiter = kNone,
                      const Claimant* claimant = nullptr) noexcept;
  /* The claiming statement failed before its rows were out: attempt refunded, after a pause. */
  void refund_claim(EntryRef ref, Token token) noexcept;
  /* The transaction of a finished claim rolled back: attempt charged, backoff. */
  void roll_back_claim(EntryRef ref, Token token) noexcept;
  /* A claimed row is not what its entry says: forget the entry, load the queue's pages of that
   * segment again. */
  void quarantine(EntryRef ref, Token token) noexcept;
  /* The claim is recorded in the log, and committed. */
  void record_claim(EntryRef ref, Token token) noexcept;
  /* A claimed row expired within the second that its entry does not know of: it was not handed out,
   * and becomes a dead letter. */
  void expire_claim(EntryRef ref, Token token) noexcept;
  /* Returns the new end, as wall time. Never further than the queue's max_runtime allows;
   * used_up: not one moment further. */
  Micros extend(Index database, JobId id, Token token, Micros lease, Verdict* verdict) noexcept;
  /* Leases of a worker, at most n; the number there are. */
  std::uint32_t worker_leases(Index worker, EntryRef* out, std::uint32_t n) noexcept;
  Index find_worker(Index database, std::string_view name, std::int64_t instance) noexcept;
  /* The queue of a resident job, for whoever has to ask before it does something; 0: it is not
   * there. With several queues on one topic that of the token, if it is not 0. */
  QueueId queue_of(Index database, JobId id, Token token) noexcept;
  QueueId queue_of(EntryRef ref) noexcept;
  /* A lease that the worker holds, and that nobody is deciding; false: it is none. */
  bool see_lease(EntryRef ref, Index worker, LeaseRow* out) noexcept;
  /* Extends one lease in a heartbeat; false: it is no longer this worker's. */
  bool heartbeat(EntryRef ref, Index worker, Micros lease, LeaseRow* out,
                 HeartbeatState* state) noexcept;

  /* --- claims that may be repeated (requests.cpp) --- */
  /* fresh: *out is for the first queue; the others get one each by add_request, kNone when there is
   * no room. One that nothing was claimed with is forgotten. */
  RequestStanding begin_request(const RequestKey& key, RequestOwner self, RequestRef* out,
                                RequestOwner* other) noexcept;
  RequestRef add_request(RequestRef like) noexcept;
  void settle_request(RequestRef ref) noexcept;
  void forget_request(RequestRef ref) noexcept;
  /* What is left of the batch, in no order, at most n; it may end before it is looked at. */
  std::uint32_t request_leases(const RequestKey& key, LeaseRef* out, std::uint32_t n) noexcept;
  /* The job as its claim handed it out, with the deadline it has now; false: no longer held, or
   * being decided. */
  bool see_claimed(LeaseRef lease, ClaimedJob* out) noexcept;

  /* --- deciding (decide.cpp) --- */
  /* permitted: the queue whose jobs the caller may decide, 0: any. A job of another one is not
   * touched: other_queue, and out->queue_id says which. */
  Verdict begin_decision(Index database, JobId id, Token token, Decided* out,
                         QueueId permitted = 0) noexcept;
  /* cancel: waiting or leased. A waiting job is decided under a new token, which its entry has
   * from here on; a leased one under its lease's. QueueId 0: the first queue that has it. */
  Verdict begin_cancel(Index database, JobId id, QueueId queue, Decided* out) noexcept;
  /* The same for a job that waits, and only then. */
  Verdict begin_change(Index database, JobId id, QueueId queue, Decided* out) noexcept;
  /* Placeholder for a job that is not resident, with the token to decide it under; not ok: it is
   * resident after all, or no room. */
  Verdict add_placeholder(Index database, QueueId queue, JobId id, EntryRef* out) noexcept;
  /* The log says it waits: the placeholder becomes an entry that the caller's transaction is
   * deciding. */
  bool fill_placeholder(EntryRef ref, const JobRow& row, bool waits, Decided* out) noexcept;
  void drop_placeholder(EntryRef ref) noexcept;
  [[nodiscard]] bool is_entry_of(EntryRef ref, JobId id) noexcept;
  /* A waiting job that the caller's transaction is deciding under that token: from here on under
   * the one returned; 0: not open. And back again. */
  Token redecide(EntryRef ref, Token token) noexcept;
  void withdraw_decision(EntryRef ref, Token token, Token earlier) noexcept;
  /* row: of a job that goes on waiting, its row from here on; nullptr: the one it has. */
  void commit_decision(EntryRef ref, Token token, Decision decision, OutcomeKind outcome,
                       Micros due, const JobRow* row = nullptr) noexcept;
  void abort_decision(EntryRef ref, Token token, EntryState before) noexcept;

  /* --- all jobs of a queue (withhold.cpp) --- */
  /* False: the slot is not this queue's, or it is withheld; again: or it is not, by the same
   * transaction. all_resident: nothing but the long sleepers in parked is on disk only. */
  bool withhold(QueueRef queue, bool again, bool* all_resident) noexcept;
  void stop_reading(QueueRef queue) noexcept;
  void let_go(QueueRef queue) noexcept;
  /* True also when the slot is not this queue's any more. */
  bool is_resident(QueueRef queue, JobId id) noexcept;
  /* COMMIT: n jobs that had no entry were ended, under tokens from `first` on. */
  void publish_purged(Index database, QueueId id, Token first, std::uint32_t n) noexcept;
  /* Up to kEntriesPerHold jobs, from that entry on; the walk is over when the position is the
   * arena's capacity. */
  std::uint32_t list_jobs(QueueRef queue, const ListWish& wish, Index* position,
                          ListedJob* out) noexcept;
  /* The same walk over the jobs of the queue that are not finished, each with its key. */
  std::uint32_t list_keys(QueueRef queue, Index* position, KeyedJob* out) noexcept;
  /* A walk between two calls that were true, with the same number, has seen every job that waited
   * all the while, but for the long sleepers in parked. */
  bool keeps_all(QueueRef queue, std::uint64_t* given_up) const noexcept;
  /* At this moment. May be read without the lock. */
  [[nodiscard]] bool keeps_all_resident(const Queue& q) const noexcept;

  /* --- keys (gate.cpp) --- */
  /* COMMIT, or the followers have ended. False: there is no such block. */
  bool unblock(Index database, QueueId queue, JobId job, Unblock how, JobId up_to) noexcept;
  /* The table says no more that the key is blocked, nobody why. */
  void forget_block(Index database, QueueId queue, JobId job) noexcept;
  /* A key that the table says is blocked by that job. False: no room, or another has the turn. */
  bool block_found(QueueRef queue, const JobRow& dead, JobId up_to) noexcept;
  /* Jobs that wait behind a dead one and are to follow it, at most n of them, become overdue. True:
   * there are no others. */
  bool end_followers(QueueRef queue, JobId dead, std::uint32_t n) noexcept;
  void set_blocks_known(QueueRef queue) noexcept;
  void begin_reading_blocks(Index queue) noexcept;
  /* A part of the walk, see key_figures.cpp. False: it was the last one. */
  bool look_at_key(Index queue, QueueId id, KeyLook* look) noexcept;

  /* --- waiting (wait.cpp) --- */
  /* False: one of the queues has work now, or the member may not claim; nothing is registered.
   * member: only jobs of its buckets count. */
  bool wait_begin(Index waiter, const QueueRef* queues, std::uint32_t n,
                  const MemberRef* member = nullptr) noexcept;
  [[nodiscard]] bool woken(Index waiter) const noexcept;
  /* From here the waiter's latch is set when the registered worker changes; nullptr: no longer. */
  void sleep_as(Index waiter, const MemberRef* member) noexcept;
  /* Takes the waiter off every list. One that was woken still owes a claim from that queue. */
  void wait_end(Index waiter) noexcept;
  /* Whoever was woken and goes on without that claim passes the wake on. Also on process exit. */
  void pass_wake_on(Index waiter) noexcept;
  /* Wakes waiters of queues of the database that have work nobody was woken for, or somebody who
   * has not come; true if it did. */
  bool wake_idle(Index database) noexcept;
  /* Records of keys that say nothing any more make room for others. */
  void drop_idle_keys(Index database) const noexcept;
  /* The queue has due work that nobody has taken and no waiter is going to. */
  bool calls_for_work(QueueRef queue) noexcept;

  /* --- registered workers (members.cpp) --- */
  /* kNone: the name is not registered. */
  MemberRef find_member(Index database, std::string_view name, MemberFacts* out) noexcept;
  [[nodiscard]] bool is_current(MemberRef ref) const noexcept;
  [[nodiscard]] bool may_claim(MemberRef ref) const noexcept;
  [[nodiscard]] bool serves(MemberRef ref, QueueId queue) const noexcept;
  bool has_room_for_member(Index database, std::string_view name,
                           std::string_view utf8_name) noexcept;
  /* COMMIT, or as the table has it: a registration, or that a worker drains. */
  MemberChange add_member(Index database, const MemberRow& row) noexcept;
  bool remove_member(Index database, std::string_view name, std::int64_t instance) noexcept;
  void forget_members(Index database) noexcept;
  /* It is alive; false: there is another registration, or none. */
  bool note_seen(MemberRef ref) noexcept;
  /* Takes those that were not seen for so long out of their rings; monotonic time of the next look.
   */
  Micros check_members(Index database, Micros dead_after) noexcept;
  bool see_member(Index member, Index database, MemberFigures* out) noexcept;
  std::uint32_t leases_held(Index database, std::string_view name, std::int64_t instance) noexcept;
  void note_workers_changed(DatabaseOid oid) noexcept;
  bool take_workers_changed(Index database) noexcept;

  /* --- who owns which bucket (owners.cpp) --- */
  /* Before a worker is registered for the queue; false: no room for another table. */
  bool make_owner_table(QueueRef ref) noexcept;
  /* Of the bucket of that hash; writes its name, kWorkerNameSize bytes. kNone: nobody. */
  Index owner_of_bucket(Index queue, QueueId id, std::uint32_t key_hash, char* name) noexcept;
  /* At most kMostBuckets; the number. */
  std::uint32_t owned_buckets(Index queue, QueueId id, MemberRef member,
                              std::uint16_t* out) noexcept;

  /* --- progress (progress.cpp) --- */
  /* Remembers at most kMostProgressBytes for as long as the lease is held and the place is not
   * needed for another; ok, stale or not_resident. */
  Verdict set_progress(Index database, JobId id, Token token, const void* bytes,
                       std::uint16_t length) noexcept;
  /* The number of bytes; 0 when there is nothing. */
  std::uint16_t see_progress(Index holder, Token token, void* out) const noexcept;

  /* --- waiting for the end of a job (await.cpp) --- */
  /* To be called before the log is read: from here the job's end sets awaited_ended() and wakes. */
  void await_begin(Index waiter, Index database, JobId id) noexcept;
  /* Before the log is read again. */
  void await_again(Index waiter) noexcept;
  [[nodiscard]] bool awaited_ended(Index waiter) const noexcept;
  /* Does nothing for one that does not wait. */
  void await_end(Index waiter) noexcept;
  void wake_awaiting(Index database, JobId id) const noexcept;

  /* --- prepared transactions (watch.cpp) --- */
  /* A watch with room for so many things to hold; kNone: one of the two cannot be had. */
  Index reserve_watch(Index database, TransactionNumber transaction, std::uint32_t held) noexcept;
  /* One thing more; false: no room. */
  bool add_held(Index watch, const Held& held) noexcept;
  void activate_watch(Index watch) noexcept;
  void drop_watch(Index watch) noexcept;
  void forget_watches(Index database) noexcept;
  /* Those that were read from the log, with what they hold: they are read anew. */
  void forget_found(Index database) noexcept;
  [[nodiscard]] bool has_watches(Index database) const noexcept;
  /* A transaction that is prepared, or whose end the housekeeper has not dealt with yet, wrote rows
   * of that segment: it must not be emptied. */
  [[nodiscard]] bool is_watched(Index database, std::uint8_t segment) const noexcept;
  [[nodiscard]] bool has_watch_of(Index database, TransactionNumber transaction) const noexcept;
  /* The prepared transaction that decides the job; 0: none does. */
  TransactionNumber prepared_decider(Index database, QueueId queue, JobId id) noexcept;
  /* Prepared transactions that decide jobs of a queue: at most n of their numbers, and how many
   * jobs all of them decide. Returns how many there are. */
  std::uint32_t prepared_deciders(QueueRef queue, TransactionNumber* out, std::uint32_t n,
                                  std::uint32_t* jobs) const noexcept;
  void publish_prepared(Index database, const Held& jobs, const BoundedRanges& pages) noexcept;
  void look_at_pages(Index database, const BoundedRanges& pages, bool committed) noexcept;
  /* The entry of a job that a prepared transaction decides, found in the log. kNone: no room, or
   * the queue is gone. */
  EntryRef hold_found(Index database, const JobRow& row, Token token) noexcept;

  /* --- seeing (see.cpp) --- */
  bool see_job(Index database, QueueId queue, JobId id, ResidentRow* out) noexcept;
  /* See waits.hpp; false: the slot is not this queue's. */
  bool queue_waits(Index queue, QueueId id, QueueWaits* out) noexcept;
  /* Leases of one queue in the order of their deadlines, at most n; returns how many there are. */
  std::uint32_t see_leases(Index queue, QueueId id, LeaseRow* out, std::uint32_t n) noexcept;
  /* See limits.hpp; false: the slot is not this queue's. */
  bool see_limits(Index queue, QueueId id, QueueLimitFigures* out) const noexcept;

 private:
  friend class Announcer;
  friend class AsideKeys;
  friend class Census;
  friend class KeyBlocks;
  friend class KeyWeights;
  friend class Loader;
  friend class Sweeper;
  friend class ExpiryWalk;
  friend class QueueLock;
  friend class Starts;

  void lock(std::uint32_t number) const noexcept { platform_->lock(number); }
  void unlock(std::uint32_t number) const noexcept { platform_->unlock(number); }
  Entry& entry(Index i) const noexcept { return arena_->entries[i]; }
  Index index_of(const Entry& e) const noexcept { return static_cast<Index>(&e - arena_->entries); }
  Queue& queue(Index i) const noexcept { return arena_->queues[i]; }
  static std::uint32_t hash_of(Index database, JobId id) noexcept;
  static std::uint32_t stripe_lock(std::uint32_t hash) noexcept {
    return kFirstStripeLock + hash % kHashStripes;
  }

  static void forget_segments(Database& database) noexcept;
  static void find_current(Database& database) noexcept;
  /* Ids from here on are not given yet, and are not until kArenaLock is let go. */
  [[nodiscard]] JobId end_of_job_ids(Index database) const noexcept;
  [[nodiscard]] Index unused_queue() const noexcept; /* under kArenaLock */
  static void begin_queue(Queue& q, LoadMode mode) noexcept;

  /* Under the queue lock: a commit that enqueued or ended a job. */
  void count_enqueued(QueueLock& hold, Queue& q, JobId id) noexcept;
  void count_ended(QueueLock& hold, Queue& q, JobId id, Token token) noexcept;
  void count_redriven(QueueLock& hold, Queue& q, Token first, std::uint32_t n) noexcept;
  void count_purged(QueueLock& hold, Queue& q, Token first, std::uint32_t n) noexcept;
  void disturb_count(QueueLock& hold, Queue& q) noexcept;
  static void count_anew(Queue& q) noexcept;
  void free_watch(Watch& watch) noexcept;
  bool free_tombstones(Queue& q) noexcept;
  void end_withholding(QueueRef queue, Withheld next) noexcept;
  /* By a transaction that is still open. */
  static bool is_withheld(const Queue& q) noexcept;
  static Entry* oldest_waiting(Queue& q) noexcept;
  /* A waiting job that a transaction decides from here on, and its end. */
  static void begin_deciding(Queue& q, Entry& e) noexcept;
  static void end_deciding(Queue& q, Entry& e) noexcept;

  /* Guaranteed entries of each queue: half of the arena in equal parts, at least 16. Under
   * kArenaLock. */
  [[nodiscard]] std::uint32_t share() const noexcept;
  void count_borrowed() noexcept;
  void ask_reload(Index database) noexcept; /* under kArenaLock */
  [[nodiscard]] std::uint32_t room(const Queue& q) const noexcept;

  /* Turns of keys (gate.cpp), under the queue lock. */
  static bool waits_for_turn(const Queue& q, const Entry& e) noexcept;
  [[nodiscard]] std::uint32_t key_hash_of(const Entry& e) const noexcept;
  Entry* turn_of(Index queue, std::uint32_t key_hash, std::uint32_t key_check) const noexcept;
  Entry* turn_of(const Entry& e) const noexcept;
  void give_turn(Entry& e) noexcept;
  void take_turn_from(Entry& e) noexcept;
  static void become_gated(Queue& q, Entry& e) noexcept;
  static void gate_add(Queue& q, Entry& e, Gate gate) noexcept;
  static void gate_remove(Queue& q, Entry& e) noexcept;
  bool enter_gate(Queue& q, Entry& e) noexcept;
  bool queue_up(Queue& q, Entry& e) noexcept;
  void step_back(Queue& q, Entry& e) noexcept;
  void end_turn(Queue& q, Entry& e) noexcept;
  void pass_turn(Queue& q, const Entry& e) noexcept;
  void leave_gate(Queue& q, Entry& e) noexcept;
  void make_ready(Queue& q, Entry& e) noexcept;
  static Micros due_of(const Entry& e) noexcept;
  void block(Queue& q, Entry& e, JobId up_to) noexcept;
  static void end_block(Queue& q, const Entry& e) noexcept;
  static void note_parked_left(Queue& q, ParkedLeft left) noexcept {
    if (q.parked_left < left) q.parked_left = left;
  }
  static void lower_frontier(Queue& q, JobId id) noexcept;
  /* Lets in what was held, in bounded steps; false: there is more. */
  bool raise_frontier(Queue& q, JobId to) noexcept;
  /* What a claim may find: ready, or behind it in a fair queue. */
  static std::uint32_t due_count(const Queue& q) noexcept;
  bool evict_younger(Queue& q, JobId id) noexcept;
  static Entry* gated_to_go(Queue& q) noexcept;

  /* The order of what is ready (ready.cpp), under the queue lock. */
  void ready_add(Queue& q, Entry& e) noexcept;
  void ready_remove(Queue& q, Entry& e) noexcept;
  /* Next to be handed out, of at least one. */
  static Entry* ready_first(Queue& q) noexcept;
  /* With the lowest id, of those that come first of their priority; nullptr: nothing is ready. */
  static Entry* ready_oldest(Queue& q) noexcept;
  /* Near the end of the order, and nothing is lost when it goes; nullptr: none. */
  static Entry* ready_last_to_go(Queue& q) noexcept;
  /* Of the priorities the worst; 0, which nothing is better than: nothing is ready. */
  static std::uint8_t ready_worst(const Queue& q) noexcept;
  /* Since when the one has been due that waits longest, wall; kNever: nothing is ready. */
  static Micros ready_oldest_due(const Queue& q) noexcept;

  /* Ready jobs by owner (ready_groups.cpp), under the queue lock. */
  /* How far a claim of a member's jobs has looked. */
  struct OwnedLook {
    OwnerNumber member;
    bool begun; /* some had to stay on the shelf: it goes on behind `place` */
    bool more;  /* not everything was looked at: go on under another hold */
    std::uint32_t passed;
    ReadyPlace place;
  };
  Index take_group() noexcept;
  void free_group(Group& group) noexcept;
  static void list_group(Queue& q, Group& group) noexcept;
  void leave_group(Queue& q, Entry& e) noexcept;
  void put_into_group(Queue& q, Entry& e, Group& group) noexcept;
  bool enter_group(Queue& q, Entry& e) noexcept;
  bool join_group(Queue& q, Entry& e) noexcept;
  static Group& first_group(Queue& q) noexcept;
  Entry* first_owned(Queue& q, OwnedLook* look) noexcept;
  void lose_bucket(Queue& q, std::uint32_t bucket) noexcept;
  bool move_some(Queue& q) noexcept;
  void make_groups_stale(Queue& q) noexcept;
  bool dissolve_some(Queue& q) noexcept;

  /* Owner tables (owners.cpp), under the queue lock unless it says otherwise. */
  [[nodiscard]] OwnerTable& table_of(const Queue& q) const noexcept;
  static std::uint32_t bucket_of_entry(const Queue& q, const Entry& e) noexcept;
  void count_ready(Queue& q, const Entry& e, int change) noexcept;
  static void begin_counting(OwnerTable& table) noexcept;
  bool count_some(Queue& q) noexcept;
  void settle_buckets(Index queue) noexcept; /* under no lock */
  void move_jobs(Index queue) noexcept;      /* likewise */
  void free_owner_table(Queue& q) noexcept;
  std::uint64_t compute_owners(Index database, QueueId id, std::uint32_t buckets,
                               OwnerNumber* owner) const noexcept; /* under no lock */
  void find_members_of(Index queue) noexcept;                      /* under no lock */
  void install_owners(Queue& q, const OwnerNumber* owner) noexcept;
  void find_owners(Index queue) noexcept; /* under no lock */
  void buckets_changed(Queue& q) noexcept;
  [[nodiscard]] std::uint32_t ready_unowned(const Queue& q) const noexcept;

  /* Queues that a change of a member concerns: those before and after it. */
  struct QueueNumbers {
    std::uint32_t count;
    QueueId ids[2 * kMostWaitedQueues];
  };
  [[nodiscard]] Index member_named(Index database, std::string_view name) const noexcept;
  [[nodiscard]] const char* utf8_name_of(const Member& member) const noexcept;
  [[nodiscard]] Index unused_utf8_name() const noexcept;
  [[nodiscard]] bool has_room_for_name(const Member& member, const MemberRow& row) const noexcept;
  [[nodiscard]] Index unused_member() const noexcept;
  static void note_queues(const Member& member, QueueNumbers* queues) noexcept;
  void fill_member(Member& member, Index database, const MemberRow& row) noexcept;
  bool take_member_row(Member& member, Index database, const MemberRow& row,
                       QueueNumbers* queues) noexcept;
  void ring_changed(Index database, Index member, const QueueNumbers& queues) noexcept;
  void wake_sleepers(Index member) noexcept;
  void watch_last_lease(Index database, const MemberRow& row) noexcept;
  void free_member(Member& member, QueueNumbers* queues) noexcept;
  static bool make_dead(Member& member, Micros before) noexcept;

  /* Under the queue lock. */
  Entry* allocate(Index queue) noexcept;
  void release_entry(
      Entry& e) noexcept; /* out of the hash, back to the free list; not in any tree */
  void finish_entry(Entry& e) noexcept;             /* release, or tombstone while a chunk runs */
  bool hash_add(Index database, Entry& e) noexcept; /* false: (database, queue, id) is there */
  void hash_remove(Index database, Entry& e) noexcept;
  const Entry* find_entry(Index queue, JobId id) noexcept; /* nullptr: not resident */
  LinkResult met(Index queue, const JobRow& row) noexcept;
  bool revive(Index queue, const JobRow& row, Micros now) noexcept;
  bool hash_has(Index database, Index queue, JobId id) noexcept;
  void make_waiting(Queue& q, Entry& e, Micros due,
                    Micros now) noexcept; /* ready, delayed or overdue */
  void make_leased(Queue& q, Entry& e, Micros deadline) noexcept;
  void make_overdue(Queue& q, Entry& e, Lapse reason) noexcept;
  static bool is_in_leased(const Entry& e) noexcept;
  void set_expiry(const Queue& q, Entry& e, std::uint32_t expires_at) noexcept;
  void lower_next_expiry(Index database, Micros at) noexcept;
  /* Back to the ready or delayed tree; wakes a waiter if it is ready. */
  void give_back(QueueLock& hold, Queue& q, Entry& e, Micros due) noexcept;
  void lapse(Queue& q, Entry& e, Lapse reason) noexcept;
  [[nodiscard]] static Micros extended(const Queue& q, const Entry& e, Micros wanted) noexcept;
  void charge_attempt(QueueLock& hold, Queue& q, Entry& e, Lapse at_the_end) noexcept;
  void leave_tree(Queue& q, Entry& e) noexcept;
  void delayed_add(Queue& q, Entry& e) noexcept;
  void delayed_remove(Queue& q, Entry& e) noexcept;
  void promote_due(Queue& q, Micros now) noexcept;
  void drop_lease_link(Entry& e) noexcept;

  /* --- limits (limits.cpp), under the queue lock --- */
  std::uint32_t allowance(QueueLock* hold, Queue& q, std::uint32_t n, Micros now,
                          bool take) const noexcept;
  std::uint32_t claimable(QueueLock* hold, Queue& q, std::uint32_t n) const noexcept;
  std::uint32_t group_allowance(QueueLock* hold, Queue& q, std::uint32_t n, Micros now,
                                bool take) const noexcept;
  void tell_others(QueueLock& hold, const Queue& q, LimitGroup& group, Micros now) const noexcept;
  void return_starts(QueueLock& hold, Queue& q, std::uint32_t n, Micros taken_at) const noexcept;
  /* The entry is nobody's any more, as far as limits go. */
  void give_place_back(Entry& e) noexcept;
  [[nodiscard]] Micros starts_at(const Queue& q) const noexcept;
  void set_start_timer(const Queue& q) const noexcept;
  void pass_on(QueueLock& hold, const Queue& q) const noexcept;
  bool call_groups(QueueLock& hold, const Queue& q) const noexcept;
  void after_ends(QueueLock& hold, Index queue) const noexcept;
  void gives_turn_up(Queue& q) const noexcept;
  void last_waiter_left(Queue& q) const noexcept;
  void clear_limits(QueueLock& hold, Queue& q) const noexcept;
  void fill_limits(const Queue& q, Micros monotonic, Micros offset,
                   QueueLimitFigures* out) const noexcept;
  Index set_group(Queue& q, LimitKind kind, const QueueLimits& limits, Micros now) const noexcept;
  /* Under kLimitsLock as well. */
  std::uint32_t share_of(LimitGroup& group, const Queue& q, Micros now) const noexcept;
  Index find_group(Index database, LimitKind kind, const char* name) const noexcept;
  [[nodiscard]] Index next_to_call(const LimitGroup& group, std::uint64_t tried) const noexcept;
  void leave_group(Queue& q, LimitKind kind) const noexcept;
  void join_group(Queue& q, LimitKind kind, Index group) const noexcept;
  /* Limits of keys (key_limits.cpp), under the queue lock. */
  enum class KeyWait : std::uint8_t { none, place, token };
  /* Why a job of a key may not start now. */
  struct KeyStart {
    KeyWait wait;
    Micros at; /* wall; of a token */
  };
  /* Leases are out that do not count for their keys yet: until they do, or have ended, nothing is
   * handed out. */
  static bool is_counting_keys(const Queue& q) noexcept {
    return q.counts_keys != 0 && q.counted_places != q.in_flight;
  }
  KeyStart key_start(const Queue& q, std::uint32_t key_hash,
                     std::uint32_t key_check) const noexcept;
  [[nodiscard]] bool waits_for_limit(const Queue& q, const Entry& e) const noexcept;
  bool key_lets_start(Queue& q, Entry& e) noexcept;
  bool start_of_key(Queue& q, Entry& e) noexcept;
  void keep_for_key(Queue& q, Entry& e, const KeyStart& start) noexcept;
  void settle_key(Queue& q, const Entry& of) noexcept;
  static void count_without_key(Queue& q, Entry& e) noexcept;
  bool count_for_key(Queue& q, Entry& e) const noexcept;
  void leave_key(Queue& q, Entry& e) noexcept;
  static void begin_key_limits(Queue& q, const OwnLimits& limits, Micros now) noexcept;
  /* Under no lock. */
  void key_limits_changed(Index queue, QueueId id) noexcept;
  void count_leases(Index queue, QueueId id) noexcept;
  void look_at_key_waits(Index queue, QueueId id) noexcept;
  void settle_keys(Index queue, QueueId id) noexcept;

  /* Records of keys (limited_keys.cpp), under the queue lock. */
  static TokenBucket tokens_of(const Queue& q, const LimitedKey* key) noexcept;
  LimitedKey* find_key(const Queue& q, std::uint32_t key_hash,
                       std::uint32_t key_check) const noexcept;
  LimitedKey* find_or_make_key(Queue& q, const Entry& e) const noexcept;
  LimitedKey* take_key_record() const noexcept;
  void link_key(Queue& q, LimitedKey& key) const noexcept;
  void unlink_key(Queue& q, LimitedKey& key) const noexcept;
  void free_key(Queue& q, LimitedKey& key) const noexcept;
  void take_token_of(Queue& q, LimitedKey& key) const noexcept;
  [[nodiscard]] bool says_nothing(const Queue& q, const LimitedKey& key) const noexcept;
  void drop_idle_keys(Queue& q, std::uint32_t looks) const noexcept;
  void ask_for_keys() const noexcept;
  /* Under no lock. */
  void drop_idle_keys_of(Index queue, QueueId id) const noexcept;
  void free_keys(Index queue) const noexcept;

  /* What is known of a key (key_figures.cpp), under the queue lock. */
  void look_at_first(const Entry& e, KeyFigures* out) const noexcept;
  bool look_behind_turn(Index queue, KeyLook* look) noexcept;
  bool look_for_key(Index queue, KeyLook* look) noexcept;
  void look_at_limits(const Queue& q, KeyLook* look) const noexcept;

  /* Keys with a weight (weighted_keys.cpp), under the queue lock. */
  WeightedKey* find_weighted_key(const Queue& q, std::uint32_t key_hash,
                                 std::uint32_t key_check) const noexcept;
  WeightedKey* make_weighted_key(Queue& q, std::uint32_t key_hash,
                                 std::uint32_t key_check) const noexcept;
  void free_weighted_key(Queue& q, WeightedKey& key) const noexcept;
  bool weigh(Queue& q, std::uint32_t key_hash, std::uint32_t key_check, std::uint32_t weight,
             std::uint32_t reading) const noexcept;
  [[nodiscard]] Micros next_round(const Queue& q, const Entry& e) const noexcept;
  WeightedKey* begin_serving(Queue& q, const Entry& e) const noexcept;
  /* Under no lock. */
  void free_weighted_keys(Index queue) const noexcept;
  bool wake_group(Index group) const noexcept;
  bool call_member(Index queue, Index group, LimitKind kind) const noexcept;

  static void mark_dirty_locked(Queue& q, DirtyPages& pages, const JobRow& row) noexcept;
  [[nodiscard]] bool worth_loading(const Queue& q) const noexcept;
  [[nodiscard]] bool runs_dry(const Queue& q) const noexcept;
  [[nodiscard]] ShortIndex* request_bucket(std::uint64_t word) const noexcept;
  void append_finished(Index request) noexcept;
  void unlink_request(Index request) noexcept;
  void free_request(Index request) noexcept;
  RequestRef make_request(const RequestKey& key, RequestOwner owner) noexcept;
  void note_block(RequestRef ref, WorkerRef worker, Token first, std::uint32_t count,
                  Micros until) noexcept;
  void leave_request(Index worker, Token token) noexcept;
  void fill_figures(const Queue& q, std::uint32_t due, QueueFigures* out) const noexcept;
  /* Takes waiters off the queue's list, to be woken after the lock is let go. */
  std::uint32_t take_from(Index queue, OwnerNumber member, Index* out,
                          std::uint32_t n) const noexcept;
  std::uint32_t take_waiters(Index queue, Index* out, std::uint32_t n) const noexcept;
  std::uint32_t take_all_waiters(Index queue, Index* out, std::uint32_t n) const noexcept;
  /* All that sleep for jobs of that member; under no lock. */
  void wake_member(Index queue, OwnerNumber member) noexcept;
  /* Wakes as many as there are jobs to be had that nobody was woken for, at most; if there are not
   * enough, the housekeeper tells clients that listen. What makes jobs ready, or lets ready ones
   * start, ends with this. */
  void wake_for_work(QueueLock& hold, Index queue, std::uint32_t most) const noexcept;
  bool wake_waiters(QueueLock& hold, Index queue, std::uint32_t most) const noexcept;
  void owes_claim(Queue& q, OwnerNumber member) const noexcept;
  void owes_no_claim(Queue& q, OwnerNumber member) const noexcept;
  [[nodiscard]] bool is_ready_for(const Queue& q, OwnerNumber member) const noexcept;
  template <typename Visit>
  void for_each_waiting_member(const Queue& q, Visit visit) const noexcept;
  [[nodiscard]] std::uint32_t unasked_of(const Queue& q, OwnerNumber member) const noexcept;
  static std::uint32_t unasked(const Queue& q) noexcept;
  [[nodiscard]] std::uint32_t jobs_to_wake_for(const Queue& q) const noexcept;
  /* Somebody sleeps who could take a job that is due. */
  [[nodiscard]] bool has_sleeper_for_work(const Queue& q) const noexcept;
  /* Nobody sleeps who could take what is due: clients that listen are told, in good time. */
  void call_announcer(QueueLock& hold, Queue& q) const noexcept;
  [[nodiscard]] bool calls_for_listeners(Queue& q) const noexcept;
  /* Its claim from the queue got so many jobs. */
  void settle_wake(Index waiter, Index queue, std::uint32_t taken) noexcept;
  bool take_wake_back(Index waiter, std::uint64_t word, std::uint64_t now) noexcept;
  bool forfeit_wakes(Index database) noexcept;
  [[nodiscard]] WaitLink& wait_link(Index number) const noexcept;
  [[nodiscard]] WaitList& wait_list(Queue& q, OwnerNumber member) const noexcept;
  [[nodiscard]] Index waiter_of(Index number, OwnerNumber member) const noexcept;
  void link_wait(Index waiter, std::uint32_t k, QueueRef queue) noexcept;
  void unlink_wait(Index waiter, std::uint32_t k) const noexcept;
  bool has_work_for(QueueLock& hold, Index queue, OwnerNumber member) noexcept;
  [[nodiscard]] bool can_wait_for(QueueRef queue, const MemberRef* member) const noexcept;
  static bool is_held(const Entry& e, Token token) noexcept;
  [[nodiscard]] Index* progress_bucket(Token token) const noexcept;
  [[nodiscard]] Index find_progress(Index worker, Token token) const noexcept;
  void unlink_progress(Index slot) noexcept;
  void append_progress(Index slot) noexcept;
  void free_progress_bytes(Progress& slot) noexcept;
  void free_progress(Index slot) noexcept;
  void put_progress_bytes(Progress& slot, const unsigned char* bytes,
                          std::uint16_t length) noexcept;
  void write_progress(Index worker, Token token, const void* bytes, std::uint16_t length) noexcept;
  void forget_progress(Index worker, Token token) noexcept;
  [[nodiscard]] Index* awaiting_list(Index database, JobId id) const noexcept;
  void note_end(QueueLock& hold, const Queue& q, JobId id) const noexcept;
  std::uint32_t take_awaiting(Index database, Index list, JobId id, Index* out,
                              std::uint32_t n) const noexcept;
  void wake_list(Index database, Index list, JobId id) const noexcept;
  void wake_all_awaiting(Index database) const noexcept;
  void set_deadline_timer(const Queue& q, Micros deadline) noexcept;
  void set_due_timer(const Queue& q, Micros due) const noexcept;
  void set_timer(Index database, Micros due) const noexcept;
  Entry* lock_ref(EntryRef ref,
                  Index* queue) noexcept; /* nullptr: stale; else the queue lock is held */
  void note_unknown_queue(Index database) noexcept;
  EntryRef find_job(Index database, JobId id, Token token, QueueId queue_id, Index* queue) noexcept;
  Entry* lock_job(Index database, JobId id, Token token, QueueId queue_id, Index* queue) noexcept;
  /* The first of n new tokens that follow each other; 0: not open, or the epoch's are used up. */
  Token draw_tokens(QueueLock& hold, Index database, std::uint32_t n) noexcept;
  void take_row(Entry& e, const JobRow& row) noexcept;
  Verdict begin_waiting(QueueLock& hold, Queue& q, Entry& e, Decided* out) noexcept;
  void change_row(QueueLock& hold, Queue& q, Entry& e, const JobRow& row) noexcept;
  void fill_decided(const Queue& q, const Entry& e, Decided* out) const noexcept;
  /* What a claim asks for. */
  struct Claim {
    QueueRef ref;
    WorkerRef worker;
    Micros lease;
    const RequestRef* request;
    Index waiter;
    const Claimant* claimant;
    OwnedLook* look;  /* nullptr: any job */
    bool* unfinished; /* it looked at as many as one lock hold may, in vain */
  };
  Entry* next_ready(Queue& q, OwnedLook* look) noexcept;
  Entry* pop_ready(Queue& q, Micros now, std::uint32_t* looks, OwnedLook* look) noexcept;
  [[nodiscard]] std::uint32_t count_for(const Queue& q, const Claimant* claimant) const noexcept;
  std::uint32_t hand_out(Queue& q, const Claim& claim, Micros now, Micros span, Token first,
                         ClaimedJob* out, std::uint32_t n) noexcept;
  std::uint32_t claim_some(const Claim& claim, ClaimedJob* out, std::uint32_t n) noexcept;
  void fill_lease(const Queue& q, const Entry& e, Micros wall, Micros monotonic,
                  LeaseRow* out) const noexcept;
  template <typename Visit>
  bool walk_by_time(Index queue, QueueId id, TimeTree Queue::*tree, Visit visit) noexcept;
  void count_delayed(Index queue, QueueId id, QueueWaits* out) noexcept;
  void count_gated(Index queue, QueueId id, QueueWaits* out) noexcept;
  void count_key_waits(Index queue, QueueId id, QueueWaits* out) noexcept;
  void count_leased(Index queue, QueueId id, QueueWaits* out) noexcept;
  static void forget_later(Queue& q, Entry& e) noexcept;
  /* Entries due later, at most: half of the share or of what it holds, to leave room for others. */
  [[nodiscard]] std::uint32_t most_sleepers(const Queue& q) const noexcept;
  /* Takes the job that is due last out, or says that there is none that may go. */
  bool evict_sleeper(Queue& q) noexcept;
  void evict(Queue& q, Entry& e) noexcept;
  /* Makes room at the queue's own tail; its page becomes dirty in the same lock hold. */
  bool evict_last(Queue& q) noexcept;
  /* Likewise, for a job of that place in the order: only what comes behind it goes. */
  bool evict_behind(Queue& q, const JobRow& row) noexcept;
  void free_all_entries(Index queue) noexcept;

  Arena* arena_;
  const Platform* platform_;
};

}  // namespace dw::core
