/*
 * A small world around the core: sessions with open transactions, a housekeeper, a log, clocks that
 * move, errors, crashes, all drawn from one seed. Each session, the housekeeper and whoever changes
 * workers has a stack of its own and can be stopped at each lock and at each call of the log, while
 * any of the others go on, for as long as the seed says. A crash leaves all of them where they are
 * and goes on with what the log has. The reference watches.
 *
 * Where one may be stopped: in a callback, in the housekeeper's protocols and in changes of workers
 * before and after each lock; in every other operation before each lock up to its first lock of a
 * queue, under which it takes effect, so that the reference can judge the answer by what is true at
 * that moment.
 */
#pragma once

#include "arena_memory.hpp"
#include "choices.hpp"
#include "digest.hpp"
#include "fake_platform.hpp"
#include "fake_store.hpp"
#include "fiber.hpp"
#include "reference.hpp"

#include "core/census.hpp"
#include "core/expiry_walk.hpp"
#include "core/key_blocks.hpp"
#include "core/key_weights.hpp"
#include "core/loader.hpp"
#include "core/rotation.hpp"
#include "core/sweeper.hpp"
#include "core/transaction.hpp"
#include "core/watch.hpp"

#include <fmt/format.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>

namespace dw::test {

/* Next in the order, of at least one. */
inline const Entry& first_ready(const Queue& q) {
  const Entry* first = q.ready.empty() ? nullptr : &*q.ready.begin();
  for (const Group& group : q.groups) {
    if (first == nullptr || ReadyOrder{}(group.first(), *first)) first = &group.first();
  }
  return *first;
}

class World {
 public:
  static constexpr std::size_t kTraceLines = 20000;

  World(std::uint64_t seed, bool traced, std::span<const std::uint8_t> choices = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /* One thing happens. */
  void step();
  /* Everybody ends, everything is worked off; then each committed job must have ended exactly once.
   */
  void finish();

  [[nodiscard]] std::string description() const;
  /* The latest lines. */
  [[nodiscard]] const std::deque<std::string>& trace() const { return trace_; }
  /* Of everything that happened, in order. */
  [[nodiscard]] std::uint64_t digest() const { return digest_.value(); }
  /* Things that happened, by name: says whether a run reached what it is meant to reach. */
  [[nodiscard]] const std::map<std::string_view, std::uint64_t>& happened() const {
    return happened_;
  }

 private:
  struct Settings {
    std::uint32_t entries;
    std::uint32_t rows_a_page;
    int sessions;
    int queues;
    std::int32_t most_attempts;
    Micros lease;
    Micros backoff;
    Micros horizon;
    int backlog;
    int max_length; /* 0: none */
    bool limits;
    bool key_limits;
    bool redrives;
    bool drop_oldest;
    bool errors;
    bool restarts;
    bool queues_come_and_go;
    bool purges;
    bool prepares;
    int keys; /* 0: no job has one */
    bool ordered;
    bool fair;
    bool workers;
    bool waits;
    bool weights;
    bool expiries;
    OnExhausted on_exhausted;
    int stop_percent; /* at each place where one may be stopped */
    JobId id_block;   /* ids that the sequence gives at a time */
    std::uint64_t segment_pages;
    Micros segment_age;
    Micros retention;
    Micros grace;
  };
  enum class Stage : std::uint8_t { idle, waiting, open, linked, visible, prepared, rolled_back };
  enum class EffectKind : std::uint8_t {
    wrote,
    replaced,
    claimed,
    decided,
    redrove,
    discarded,
    created_queue,
    dropped_queue,
    unblocked
  };
  struct Effect {
    EffectKind kind;
    std::int32_t level;
    JobKey key;
    Token token;
    bool delivered;
    Decision decision;
    OutcomeKind outcome;
    Micros due;
    std::int32_t attempt;
    bool was_held;
    std::uint32_t expires_at = 0; /* redrove: what is left of it */
    std::optional<JobRow> row{};  /* that counts from the commit on */
    bool again = false;           /* decided over what the transaction had decided before */
    bool on_disk = false;         /* decided without an entry */
    JobId up_to = 0;              /* with its key those behind it below this id die */
    Unblock how = Unblock::skip;
    bool keeps_place = false; /* redrove: it had blocked its key */
  };
  /* A purge that has not written everything. */
  struct Purge {
    enum class Step : std::uint8_t { list, resident, look, parked, slots };
    Step step = Step::list;
    QueueId queue = 0;
    QueueRef slot{kNone, 0};
    bool all_resident = false;
    std::vector<JobId> listed;
    Snapshot snapshot = 0;
    std::uint8_t segment = 0;
    Xid oldest_open = 0;  /* when its snapshot was taken */
    std::set<JobId> owed; /* must be ended by it */
  };
  /* A table of a segment, locked against whoever wants it for himself, until the end. */
  struct TableLock {
    std::uint8_t segment;
    bool outcomes;
    std::int32_t level;
  };
  /* What a session sleeps for, or has slept for and is to claim. */
  struct Wait {
    std::vector<QueueId> queues;
    std::vector<QueueRef> refs;
    MemberRef member{kNone, 0}; /* whose jobs; kNone: any */
    std::string name{};
    std::int64_t instance = 0;
    Micros until = 0; /* monotonic */
  };
  /* A row of the table of weights that it has written. */
  struct Weighing {
    QueueId queue;
    std::uint32_t key;
    std::uint32_t weight;
    std::int32_t level;
    bool by_hand; /* past the function */
  };
  struct Session {
    explicit Session(Dispatcher* dispatcher) : transaction(dispatcher) {}
    Transaction transaction;
    Stage stage = Stage::idle;
    std::uint32_t writer = 0;
    std::vector<Xid> xids;    /* one for each level */
    std::uint32_t number = 0; /* of its transaction */
    bool prepared = false;    /* it is, or was, and memory does not know of its end */
    bool outlived = false;    /* a restart since */
    std::vector<Effect> effects;
    /* Slots that it took room in since it began. */
    std::vector<QueueRef> rooms;
    bool cancels = false; /* what it began last on a job that is not leased: cancel or reschedule */
    /* A change that has placed its placeholder and not yet read the log. */
    bool has_placeholder = false;
    JobKey placeholder{};
    std::size_t placeholder_action = 0;
    std::int32_t placeholder_level = 0;
    Xid placeholder_oldest = 0; /* open when its statement began */
    std::optional<Purge> purge;
    /* Queues that it holds to end all their jobs, and since which level. */
    std::vector<std::pair<QueueId, std::int32_t>> purged;
    std::vector<TableLock> locks;
    std::optional<Wait> wait;
    bool latch = false;     /* is set, and it has not looked since */
    bool has_slept = false; /* since it left all lists the last time */
    bool asks = false;      /* it has come back from its sleep to claim */
    std::vector<Weighing> weighings;
    [[nodiscard]] std::int32_t level() const { return static_cast<std::int32_t>(xids.size()); }
    [[nodiscard]] Xid xid() const { return xids.back(); }
  };
  static bool is_of_queue(EffectKind kind) {
    return kind == EffectKind::created_queue || kind == EffectKind::dropped_queue;
  }
  /* A row of the table of queues. */
  struct ModelQueue {
    bool visible = false;
    bool gone = false;   /* its drop is visible */
    bool served = false; /* it has a slot, and keeps it until it is gone */
    bool paused = false;
    QueueLimits limits;
    std::int32_t buckets = 360;
    int creator = kNobody; /* session that made it and has not committed */
    int dropper = kNobody; /* session that locked and deleted it and has not committed */
    /* Its drop knows the slot; without one, as after a restart, freeing it is left to the
     * housekeeper. */
    bool drop_frees_slot = false;
  };
  struct Killed {};
  /* Unwinds what was stopped when the server crashed. */
  struct Crashed {};
  /* Where an actor may be stopped by itself. */
  enum class Stops : std::uint8_t { nowhere, at_locks, before_effect };
  struct Actor {
    std::unique_ptr<Fiber> fiber = std::make_unique<Fiber>();
    Stops stops = Stops::nowhere;
    std::uint64_t stopped_until = 0; /* step */
    std::optional<JobKey> job;       /* that its operation is about */
    std::function<void()> on_effect; /* called when that is about to take effect */
  };
  /* What became of a request's transaction; in flux while its callback runs. */
  enum class Fate : std::uint8_t { open, in_flux, settled, forgotten };
  /* A claim that may be asked for again. */
  struct ModelRequest {
    RequestKey key;
    int maker;
    std::int32_t level;
    Fate fate;
    bool claiming; /* its claim is under way */
    std::vector<std::pair<JobKey, Token>> batch;
  };

  /* A slot of the ring of segments on disk, and the housekeeper's locks on its tables. */
  struct Slot {
    JobId first = kNever; /* its row of the table of segments; kNever: none */
    Micros opened_at = 0;
    std::uint32_t times_emptied = 0;
    bool closed_to_jobs = false;
    bool closed = false;
  };
  /* A key of a fair queue, as claims have seen it; see weights.cpp. */
  struct ReadyJob {
    JobId id;
    Micros round;
    bool operator==(const ReadyJob&) const = default;
  };
  using ReadyJobs = std::map<std::uint32_t, ReadyJob>; /* by key */
  struct KeyShare {
    std::int64_t ahead = 0; /* of its weight a round, since claims are watched */
    std::int64_t least = 0; /* that it was ahead */
    std::int64_t most = 0;  /* likewise, while jobs of it were ready */
    std::optional<ReadyJob> ready{};
  };
  struct Rounds {
    std::uint32_t incarnation = 0;
    std::uint32_t weight_changes = 0;
    Micros round = 0;
    std::map<std::uint32_t, KeyShare> keys{};
  };
  struct Ended {
    JobKey key;
    OutcomeKind kind;
    Token token;
  };
  struct Dump {
    Snapshot snapshot;
    Xid oldest_open;
    Micros began_at; /* monotonic */
    std::vector<JobKey> wanted;
  };

  /* segments.cpp */
  class Segments;
  std::unique_ptr<SegmentLog> make_segments();
  void know_segments();
  void wait_while(const bool& locked);
  void lock_table(int session, std::uint8_t segment, bool outcomes);
  [[nodiscard]] int writer_of(std::uint8_t segment, bool outcomes) const;
  std::uint8_t segment_to_write(int session, JobId id);
  JobId next_of_sequence();
  JobId draw_id();
  void draw_id_for_census();
  void check_emptied(std::uint8_t segment);
  void keep_outcomes(std::uint8_t segment);
  [[nodiscard]] Xid oldest_open() const;
  [[nodiscard]] Xid oldest_snapshot() const;
  LoggedJob look_up(JobKey key);
  void dump();

  /* relocation.cpp */
  void rotate();
  void end_move();
  void relocate(std::uint8_t segment, const Straggler* jobs, std::size_t n, Relocation* results);
  Relocation relocate_job(std::uint8_t segment, JobKey key);
  Relocation relocate_from_disk(std::uint8_t segment, JobKey key);
  Relocation write_relocated(std::uint8_t segment, const Decided& decided, std::size_t action);
  void empty_ring();

  /* world.cpp */
  void start_server();
  void restart_server();
  void housekeeper();
  void load();
  [[nodiscard]] std::uint32_t count_aside();
  void count();
  void check_lengths();
  void check_rooms();
  void sweep();
  void walk();
  void replace_housekeeper();
  void guard(const std::function<void()>& protocol);
  void at_store_call(FakeStore::Call call);
  void show_sweep();
  void resolve_sweep(bool committed);
  const Entry* leased_entry(JobKey key);
  void ask_about_unknown();
  [[nodiscard]] bool is_in_callback(JobKey key) const;
  void take_turn(std::size_t actor);
  void move_clock(bool far);
  void check_residents();
  void check_all();
  void work_off();
  void each_outcome(const std::function<void(JobKey, OutcomeKind, Token)>& take) const;
  void each_outcome_of(std::uint8_t segment,
                       const std::function<void(JobKey, OutcomeKind, Token)>& take) const;
  [[nodiscard]] std::map<JobKey, int> count_ends() const;
  void check_end();

  /* scheduler.cpp */
  void go_on(std::size_t actor);
  void work(std::size_t actor);
  void stop();
  void maybe_stop();
  void before_lock(std::uint32_t lock);
  void after_lock();
  void callback(const std::function<void()>& call);
  void drain();
  void crash();
  /* The last session is the housekeeper's, for jobs that it moves: nobody else lets it act. */
  [[nodiscard]] int movers_place() const { return settings_.sessions; }
  [[nodiscard]] std::size_t housekeepers_place() const {
    return static_cast<std::size_t>(settings_.sessions);
  }
  [[nodiscard]] std::size_t operators_place() const { return housekeepers_place() + 1; }
  [[nodiscard]] bool has_stopped(std::size_t actor) const {
    return actors_[actor].fiber->has_stopped();
  }
  [[nodiscard]] bool may_stop() const {
    return current_ != nullptr && !calm_ && !crashing_ && violation_.empty();
  }
  [[nodiscard]] bool is_being_changed(JobKey key) const;
  template <typename Call>
  auto operation(std::optional<JobKey> job, Call call);

  /* queue.cpp */
  void create_queue(int session);
  void drop_queue(int session);
  void read_queues();
  void serve_queue(QueueId queue, LoadMode mode);
  /* A queue that this session may use; 0: there is none. */
  QueueId any_queue(int session);
  QueueId any_queue_to_fill(int session);
  [[nodiscard]] std::vector<QueueId> committed_queues() const;
  void forget_jobs(QueueId queue);
  [[nodiscard]] QueueOptions options_of(const ModelQueue& queue) const;
  QueueLimits any_limits();
  void change_limits(bool none);
  void check_limits(const Queue& q, std::uint32_t taken, std::uint32_t wanted);
  void check_key_limits(const Queue& q, const std::vector<ClaimedJob>& jobs, bool took_all);
  Index slot_index(QueueId queue);
  void undo_queue(const Effect& effect);
  void show_queue(const Effect& effect);
  void check_drops(const Session& session);

  /* session.cpp */
  void act(int session);
  void act_open(int session);
  void begin(int session);
  void enqueue(int session);
  bool take_room(int session, QueueRef slot, std::uint64_t jobs, std::size_t* room);
  bool exchange_room(int session, std::uint64_t jobs, std::size_t room);
  void claim(int session, QueueId queue, std::uint32_t n, bool more = false);
  std::uint32_t pop(int session, Index queue, Micros lease, ClaimedJob* jobs, std::uint32_t n,
                    std::uint64_t* request, MemberRef* owner);
  void decide(int session);
  static void check_decided(JobKey key, const Decided& decided);
  void decide_job(int session, JobKey key, Token token, int what);
  void redrive(int session);
  void redrive_jobs(int session, const std::vector<JobKey>& dead);
  void write_redriven(int session, JobKey key, Token token);
  void discard(int session, JobKey key);
  bool emptied_since(std::uint8_t segment, JobId id);
  Token draw_token();
  void extend();
  void heartbeat(int session);
  void open_savepoint(int session);
  void release_savepoint(int session);
  void roll_back_savepoint(int session);
  void fail_statement(int session);
  void pre_commit(int session);
  void become_visible(int session);
  void publish(int session);
  void abort(int session);
  void note_outcome(int session, const Decided& decided, std::size_t action, Decision decision,
                    OutcomeKind outcome, std::int32_t attempt, Micros due);
  void undo(int session, std::size_t first, const std::function<void()>& call);
  void run_callback(int session, const std::function<void()>& call);
  void set_after_commit(ModelJob& job, const Effect& effect) const;
  bool statement_fails(int session);

  /* change.cpp */
  JobKey any_job();
  void change(int session);
  void check_again(int session, JobKey key, const Decided& decided);
  void end_change(int session, const Decided& decided, std::size_t action);
  void go_on_with_placeholder(int session);
  bool fill_placeholder(int session, JobKey key, std::size_t action, const LoggedJob& found,
                        Decided* decided);
  JobRow another_row(JobKey key);
  void write_row(int session, const Decided& decided, std::size_t action);
  void replace(int session);
  void show_row(ModelJob& job, const JobRow& row) const;

  /* keys.cpp */
  using Blocks = decltype(Reference::blocked);
  void block_key(int session, const Decided& decided, std::size_t action);
  Blocks::iterator lock_block(int session, JobKey dead);
  void note_unblocked(int session, JobKey dead, Unblock how, JobId up_to);
  bool free_key_of(int session, JobKey dead);
  void unblock(int session);
  void show_unblocked(const Effect& effect);
  void unblock_all();

  /* purge.cpp */
  [[nodiscard]] bool is_held_for_purge(QueueId queue, int except = kNobody) const;
  void begin_purge(int session);
  void go_on_with_purge(int session);
  void list_for_purge(int session);
  void purge_resident(int session);
  void purge_on_disk(int session, std::uint8_t segment);
  void end_purge(int session);

  /* waiting.cpp */
  void begin_wait(int session);
  void act_asleep(int session);
  void come_back(int session);
  void end_sleep(int session);
  void leave_lists(int session);
  void claim_after_wait(int session, std::uint32_t n);
  void step_of_wait(int session, const std::function<void()>& call);
  void pass_wake_on(int session);
  void take_wakes();
  [[nodiscard]] bool sleeps_on(int session);
  void take_turn_of_sessions();
  void begin_look();
  void end_look();
  void check_wakes();
  void check_waits();
  void check_sleeper(int session);
  [[nodiscard]] bool has_sleeper(const WaitList& list, OwnerNumber member);
  [[nodiscard]] Micros may_start_at(const Queue& q);
  [[nodiscard]] bool looks_by(Micros wall);
  void check_ready(const Queue& q);
  void check_owing(const Queue& q);
  void check_latches();
  void serve_sleepers();
  void end_all_waits();

  /* weights.cpp */
  void set_weight(int session);
  void show_weights(const Session& session);
  [[nodiscard]] bool is_weighed(QueueId queue, int except) const;
  [[nodiscard]] std::uint32_t weight_of(QueueId queue, std::uint32_t key) const;
  void read_weights();
  std::map<std::uint32_t, std::uint32_t> weights_in_memory(const Queue& q);
  void check_weights();
  ReadyJobs ready_by_key(const Queue& q);
  void look_at_effect(const std::function<void()>& look);
  void watch_rounds(const Queue& q, const ReadyJobs& before, const std::vector<ClaimedJob>& jobs);

  /* prepared.cpp */
  bool prepare(int session);
  void end_prepared(int session);
  void follow_prepared();
  void follow_commit(ModelJob& job, const Effect& effect, bool outlived) const;
  void forget_prepared(Session& session);
  void find_prepared();

  /* ring.cpp */
  void change_ring();
  void change_members();
  void register_member(std::uint64_t number);
  void resize_buckets();
  MemberRef any_member(QueueId queue, std::string* name, std::int64_t* instance);
  void check_owned(Index index, MemberRef member, const std::vector<ClaimedJob>& jobs,
                   std::uint32_t wanted);

  /* request.cpp */
  RequestRef begin_request(int session, std::uint64_t* number);
  void note_batch(std::uint64_t number, QueueId queue, const std::vector<ClaimedJob>& jobs);
  void ask_again(int session);
  void check_list(const ModelRequest& request);
  [[nodiscard]] bool is_listable(JobKey key, Token token);
  void move_requests(int session, std::int32_t level, Fate from, Fate to);
  [[nodiscard]] RequestOwner owner_of(int session) {
    return RequestOwner{session, s(session).number};
  }

  Session& s(int session) { return sessions_[static_cast<std::size_t>(session)]; }
  Dispatcher& d() { return *dispatcher_; }
  FakePlatform& platform() { return FakePlatform::get(); }
  /* Slots of this database that are in use. */
  std::vector<Queue*> slots();
  std::uint64_t draw(std::uint64_t below) { return engine_() % below; }
  bool chance(int percent) { return draw(100) < static_cast<std::uint64_t>(percent); }
  std::size_t draw_index(std::size_t below) { return static_cast<std::size_t>(engine_() % below); }
  template <typename... Args>
  void note(const char* what, fmt::format_string<Args...> pattern, Args&&... args);
  void note(const char* what) { note(what, "{}", ""); }

  Choices engine_;
  Settings settings_{};
  bool traced_;
  std::uint64_t steps_ = 0;
  std::deque<std::string> trace_;
  Digest digest_;
  std::map<std::string_view, std::uint64_t> happened_;

  std::unique_ptr<ArenaMemory> memory_;
  std::unique_ptr<Dispatcher> dispatcher_;
  FakeLog log_;
  std::unique_ptr<FakeStore> store_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<KeyBlocks> key_blocks_;
  std::unique_ptr<KeyWeights> key_weights_;
  std::unique_ptr<Sweeper> sweeper_;
  std::unique_ptr<Census> census_;
  std::unique_ptr<ExpiryWalk> expiry_walk_;
  std::unique_ptr<WatchKeeper> watch_keeper_;
  std::unique_ptr<SegmentLog> segments_;
  std::unique_ptr<Rotation> rotation_;
  Slot ring_[kSegments];
  std::vector<Ended> emptied_;            /* outcomes that went with their segments */
  std::map<JobKey, JobRow> dead_letters_; /* of such segments */
  std::optional<Dump> dump_;
  Reference reference_;
  std::vector<Session> sessions_;
  std::map<QueueId, ModelQueue> queues_;
  QueueId next_queue_ = 1;
  std::map<std::pair<QueueId, std::uint32_t>, std::uint32_t> weights_; /* of the table */
  std::map<QueueId, Rounds> rounds_;
  std::deque<ModelRequest> requests_; /* the latest */
  std::uint64_t next_request_ = 1;
  std::vector<char> image_; /* of the arena when the housekeeper was killed */
  std::vector<JobKey> sweeping_;
  std::vector<std::pair<JobKey, JobId>> blocking_; /* by the sweep that writes; with up_to */
  std::optional<JobKey> freeing_;                  /* the blocked key whose row is being deleted */
  Index database_ = kNone;
  std::int64_t epoch_ = 1;
  std::int64_t early_rooms_ = 0; /* jobs that got room while a callback was to come */
  JobId sequence_ = 1;
  std::vector<JobKey> written_; /* in the order of their writing */
  Micros next_version_ = 1;
  std::int64_t next_instance_ = 1;
  std::vector<Actor> actors_; /* sessions, the housekeeper, who changes workers */
  Actor* current_ = nullptr;  /* nobody: what happens is not part of the world's time */
  bool calm_ = false;         /* no errors, nobody is stopped */
  bool crashing_ = false;
  bool housekeeping_ = false;
  bool housekeeper_latch_ = false;
  bool reading_weights_ = false;
  Micros idle_check_at_ = kNever; /* wall; the housekeeper looks after sleepers */
  bool following_ = false;
  std::string violation_;
};

/* An operation of a session. What is true of its job stands still from its last stop on. */
template <typename Call>
auto World::operation(std::optional<JobKey> job, Call call) {
  if (current_ == nullptr) return call();
  current_->stops = Stops::before_effect;
  current_->job = job;
  auto result = call();
  current_->stops = Stops::nowhere;
  current_->job.reset();
  if (crashing_) throw Crashed{};
  return result;
}

template <typename... Args>
void World::note(const char* what, fmt::format_string<Args...> pattern, Args&&... args) {
  happened_[what]++;
  digest_.add(what);
  (digest_.add(args), ...);
  if (!traced_) return;
  trace_.push_back(fmt::format("{:6} {}: ", steps_, what) +
                   fmt::format(pattern, std::forward<Args>(args)...));
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

}  // namespace dw::test
