/*
 * The arena: everything the dispatcher keeps in shared memory.
 *
 * It lies in the server's main shared memory segment, which has the same address in every process,
 * so plain pointers inside it are valid everywhere. What there are many of refers to each other by
 * index, or as nodes of trees by distance (tree_node.hpp). The structs own nothing and are never
 * destroyed. The arena is sized once at server start and never grows; what does not fit stays on
 * disk only.
 *
 * Lock protocol. Locks are numbered:
 *   kArenaLock         free list, room accounting, database slots; a queue slot comes and goes, and
 * its number of entries changes, under this and under its own lock
 *   kWorkersLock       worker slots and the lists of leases that hang on them
 *   kRequestsLock      requests, their hash and lists, and the head of each worker's list of them
 *   kAwaitingLock      the lists of processes that wait for the end of a job
 *   kProgressLock      slots of progress, their hash and order
 *   kWatchLock         what prepared transactions have left, see watch.hpp
 *   kLimitsLock        limit groups and their members, see limits.hpp; free records of keys
 *   kMembersLock       registered workers; what of them is atomic may be read without it
 *   kFirstStripeLock…  one for each stripe of the hash from job id to entry, and of those from key
 * to the entry whose turn it is and to the record of the key
 *   kFirstQueueLock…   one for each queue slot: the slot's fields, its trees, every field of its
 * entries, its owner table and its groups. A process holds at most one queue lock. The others are
 * leaves: they may be taken while a queue lock is held, never the other way round, and never two
 * leaves at once. Under any of them there is no I/O, no allocation, no error and no heavyweight
 * lock. The hash chain link of an entry belongs to its stripe, its lease list links to
 * kWorkersLock; while it hangs on that list its token does not change, and may be read under
 * kWorkersLock too.
 *
 * What is Peekable or atomic is read without its lock too, see peekable.hpp.
 *
 * Whatever outlives a lock hold refers to an entry by EntryRef and checks it again under the queue
 * lock: the incarnation rises whenever an entry or a queue slot is freed, so a stale reference
 * never matches its successor.
 */
#pragma once

#include "core/block_ranges.hpp"
#include "core/limits.hpp"
#include "core/ordered_tree.hpp"
#include "core/owner_ring.hpp"
#include "core/peekable.hpp"
#include "core/segment.hpp"
#include "core/types.hpp"

#include <atomic>
#include <type_traits>

namespace dw::core {

constexpr std::size_t kCacheLine = 64;
constexpr std::uint32_t kMostResidentEntries = 1U << 27;
constexpr std::uint32_t kDefaultResidentEntries = 262'144;
constexpr std::uint32_t kMostDatabases = 64;
constexpr std::uint32_t kMostQueues = 1024;
/* Each queue may be the only one of its groups, so they never run out. */
constexpr std::uint32_t kMostLimitGroups = kLimitKinds * kMostQueues;
constexpr std::uint32_t kMostWorkers = 4096;
constexpr std::uint32_t kMostMembers = 1024;
constexpr std::uint32_t kMostWaitedQueues = 64;
constexpr std::uint32_t kHashStripes = 128;
constexpr std::uint32_t kAwaitingLists = 64; /* as many as the mask has bits */
constexpr std::size_t kWorkerNameSize = 128; /* bytes, with the final zero */
constexpr std::size_t kQueueNameSize = 128;
constexpr std::size_t kUtf8NameSize = 3 * kWorkerNameSize; /* of a worker's name in any encoding */

constexpr std::uint32_t kArenaLock = 0;
constexpr std::uint32_t kWorkersLock = 1;
constexpr std::uint32_t kRequestsLock = 2;
constexpr std::uint32_t kAwaitingLock = 3;
constexpr std::uint32_t kProgressLock = 4;
constexpr std::uint32_t kWatchLock = 5;
constexpr std::uint32_t kLimitsLock = 6;
constexpr std::uint32_t kMembersLock = 7;
constexpr std::uint32_t kFirstStripeLock = 8;
constexpr std::uint32_t kFirstQueueLock = kFirstStripeLock + kHashStripes;
constexpr std::uint32_t kLockCount = kFirstQueueLock + kMostQueues;

static_assert(kStores <= 0xF && kLowestPriority <= 0xF, "they fit into their bits of an entry");

/* One resident job as one queue sees it. */
struct Entry : TreeNode {
  std::uint32_t block; /* where the job's row lies: (segment, block, offset) */
  JobId id;
  Peekable<Token> token; /* last token given, 0 for none */
  Micros at;        /* pending, ready, delayed: due (wall); leased, cancelled: deadline (monotonic);
                       overdue: kAlways, later after a failed sweep (monotonic) */
  Micros leased_at; /* monotonic time of the last claim; ready: its round in a fair queue, else 0;
                       behind others of its key: see KeyOrder */
  Index next_in_stripe; /* hash chain; in a free entry the free list */
  Index worker;         /* worker slot of the lease, kNone when not leased */
  Index next_of_worker; /* of a ready one the group that it lies in; kNone: the shelf */
  Index previous_of_worker;
  Peekable<std::uint32_t> incarnation;
  std::uint32_t key_hash;
  std::uint32_t key_check;            /* 0: the job has no key */
  Index next_of_key;                  /* hash chain of those whose turn it is */
  Peekable<std::uint32_t> expires_at; /* see expiry_seconds(); 0: never */
  Peekable<std::uint16_t> queue;      /* kNoQueue while it is free */
  std::uint16_t attempts;
  std::uint16_t max_attempts; /* 0: the queue's */
  std::uint16_t offset : 12;  /* kMostOffset */
  std::uint8_t segment : 4;
  EntryState state : 4;
  std::uint8_t priority : 4;
  std::uint8_t refunds; /* claiming statements that failed in a row */
  Lapse lapsed : 3; /* leased, but void: the sweep takes it at once and its token is stale; overdue:
                       why */
  std::uint8_t unrecorded : 2;      /* attempts that the log does not know of, see charge() */
  std::uint8_t counted_for_key : 1; /* in the record of its key, see key_limits.cpp */
  std::uint8_t waits_for_key : 1;   /* delayed, until a limit of its key lets it start */
  std::uint8_t holds_place : 1;     /* counted in Queue.in_flight */
  std::uint8_t later : 1;           /* pending, and due later: counted in Queue.pending_later */
  std::uint8_t deciding : 1;  /* it waited, and an open transaction decides it: counted likewise */
  std::uint8_t leaving : 1;   /* that transaction drops it for a new one: QueueLength.leaving */
  std::uint8_t straddles : 1; /* that transaction decided it on both sides of the boundary of a
                                 census: its commit disturbs the count */
  std::uint8_t at_once : 1;   /* waiting, enqueued without a due time; at says since when */
  std::uint8_t has_turn : 1;  /* of its key, see gate.cpp */
  std::uint8_t gate : 2;      /* which of the trees of a gate it is in: see Gate */

  /* An attempt begins. Only a claim that is given back takes one back, and it takes its own: where
   * there were three, two are left, which is as good as three. */
  void charge() noexcept {
    attempts++;
    if (unrecorded < kManyUnrecorded) unrecorded++;
  }
  void refund() noexcept {
    attempts--;
    if (unrecorded > 0 && unrecorded < kManyUnrecorded) unrecorded--;
  }
  /* The log knows of all attempts; only then may the entry go. */
  [[nodiscard]] bool is_recorded() const noexcept { return unrecorded == 0; }

 private:
  static constexpr std::uint8_t kManyUnrecorded = 3; /* or more */
};
static_assert(sizeof(Entry) == 96, "an entry, its share of the hashes and of all else: 128 bytes");

/* Entry.queue of one that is free: whoever holds a queue's lock tells its entries from all others.
 */
constexpr std::uint16_t kNoQueue = 0xFFFF;
static_assert(kMostQueues <= kNoQueue);

/* Entry.gate */
enum class Gate : std::uint8_t { none, waits_for_turn, waits_for_loader };

/* A place in the order of what is ready, made of what that order looks at. */
struct ReadyPlace {
  Micros leased_at;
  JobId id;
  std::uint8_t priority;

  static ReadyPlace of(const Entry& e) noexcept {
    return ReadyPlace{e.leased_at, e.id, e.priority};
  }
  [[nodiscard]] bool is_before(const ReadyPlace& other) const noexcept {
    if (leased_at != other.leased_at) return leased_at < other.leased_at;
    return priority != other.priority ? priority < other.priority : id < other.id;
  }
  [[nodiscard]] bool is_before(const Entry& e) const noexcept { return is_before(of(e)); }
};
struct ReadyOrder {
  bool operator()(const Entry& a, const Entry& b) const noexcept {
    return ReadyPlace::of(a).is_before(b);
  }
};
struct TimeOrder {
  bool operator()(const Entry& a, const Entry& b) const noexcept {
    if (a.at != b.at) return a.at < b.at;
    return a.priority != b.priority ? a.priority < b.priority : a.id < b.id;
  }
};

/* Of one key by id, and before that by leased_at: the priority where turns are given by it, else 0.
 */
struct KeyOrder {
  bool operator()(const Entry& a, const Entry& b) const noexcept {
    if (a.key_hash != b.key_hash) return a.key_hash < b.key_hash;
    if (a.key_check != b.key_check) return a.key_check < b.key_check;
    return a.leased_at != b.leased_at ? a.leased_at < b.leased_at : a.id < b.id;
  }
};
struct IdOrder {
  bool operator()(const Entry& a, const Entry& b) const noexcept { return a.id < b.id; }
};

using ReadyTree = OrderedTree<Entry, ReadyOrder>;
using TimeTree = OrderedTree<Entry, TimeOrder>;
using KeyTree = OrderedTree<Entry, KeyOrder>;
using IdTree = OrderedTree<Entry, IdOrder>;

/*
 * Ready jobs in buckets of one owner, or of nobody, which claims of owners have taken off the
 * shelf; see ready_groups.cpp. It hangs in a tree of its queue by the order of its first job, or
 * too far in front when its first job has gone, and never without a job.
 */
struct Group : TreeNode {
  OwnerNumber owner; /* kStaleGroup: of a number of buckets that was changed */
  ReadyTree jobs;
  ReadyPlace listed; /* where it hangs in the order: not behind its first job */
  Index queue;       /* kNone: free */
  std::atomic<Index> next_free;

  [[nodiscard]] Entry& first() noexcept { return *jobs.begin(); }
  [[nodiscard]] const Entry& first() const noexcept { return *jobs.begin(); }
};
static_assert(sizeof(Group) == 64);
constexpr OwnerNumber kStaleGroup = kNoOwner - 1;
static_assert(kMostMembers < kStaleGroup);

struct GroupOrder {
  bool operator()(const Group& a, const Group& b) const noexcept {
    return a.listed.is_before(b.listed);
  }
};
/* A job that has gone may come back into another group: two may hang at one place. */
using GroupTree = OrderedTree<Group, GroupOrder>;

constexpr ReadyPlace kBeforeAllReady{kAlways, kAlways, 0};

/* Links of waiters, see WaitLink. */
struct WaitList {
  Index first;
  Index last;
};

/* Members share their lists of waiters with others once there are more of them than this. */
constexpr std::uint32_t kWaitClasses = 64;
constexpr std::uint32_t wait_class(OwnerNumber member) noexcept { return member % kWaitClasses; }

/*
 * Who owns which bucket of a queue that registered workers have named, and how many jobs are ready
 * for whom. A queue keeps its table until it is dropped. See owners.cpp.
 */
struct OwnerTable {
  std::uint32_t queue; /* + 1; 0: free */
  /* Ready jobs up to this place in the order are counted, or all of them. */
  ReadyPlace counted_to;
  std::uint8_t all_counted;
  std::uint32_t unowned; /* ready jobs in buckets that nobody owns */
  OwnerNumber owner[kMostBuckets];
  std::uint32_t ready[kMostBuckets]; /* jobs */
  /* Of each member, and of nobody: group + 1; 0: none. */
  std::uint16_t group[kMostMembers + 1];
  /* Whose groups may hold jobs of buckets that are others' now, and how far the first of these has
   * been looked through. */
  std::uint32_t losers;
  std::uint32_t stale_groups;
  std::uint64_t loses[kMostMembers / 64 + 1];
  ReadyPlace moved_to;
  std::uint32_t owned[kMostMembers]; /* ready jobs in buckets of the member */
  /* Who sleeps until a job of a bucket of his member is ready, by class of members, see
   * wait_class(); how many of each member's were woken and have not asked yet; for which members
   * anybody sleeps. */
  WaitList waiters[kWaitClasses];
  std::uint8_t owed[kMostMembers];
  std::uint64_t waited_for[kMostMembers / 64];
};
/* OwnerTable.owed: no more are woken before one of them has asked. */
constexpr std::uint32_t kMostOwed = 255;
constexpr std::uint32_t kMostGroups = 0xFFFE;
constexpr std::uint32_t kMostOwnerTables = 256;

/*
 * A registered worker. The row in durable_work.worker is the truth about what it was registered
 * with; whether it is alive is known here only. See members.cpp.
 *
 * alive:    seen lately; owns buckets -> dead, draining, free
 * dead:     not seen for a while; owns none -> alive, draining, free
 * draining: is to end: owns none and claims nothing -> free
 * A later registration of the name takes the slot over: another incarnation, alive.
 */
enum class MemberState : std::uint8_t { free, alive, dead, draining };
struct Member {
  std::atomic<std::uint32_t> incarnation;
  std::atomic<MemberState> state;
  std::atomic<Micros> last_seen; /* monotonic */
  /* Under kMembersLock; they do not change within an incarnation, but for the deadline. */
  Index database;
  std::int64_t instance;
  Micros drain_deadline;  /* wall; draining */
  std::uint32_t capacity; /* most jobs in flight; 0: any number */
  std::uint32_t vnodes;
  std::uint32_t ring_seed;
  std::uint32_t queue_count;
  QueueId queues[kMostWaitedQueues];
  Index utf8_name; /* in Arena.utf8_names; kNone: as `name` is */
  char name[kWorkerNameSize];
};
/* A member's name in UTF-8, where the database has it in other bytes. Under kMembersLock. */
struct Utf8Name {
  char text[kUtf8NameSize]; /* empty: free */
};
constexpr std::uint32_t kMostUtf8Names = 128;

/*
 * What is known of a key of a queue whose keys are limited, see key_limits.cpp. A key without a
 * record has nothing in flight, and its bucket has been filling since the limit was set. Under the
 * queue's lock; the hash chain belongs to its stripe.
 */
struct LimitedKey {
  std::uint32_t queue; /* + 1; 0: free */
  std::uint32_t key_hash;
  std::uint32_t key_check;
  std::uint32_t in_flight; /* leases that count for it */
  Index next_in_chain;     /* in a free one the free list */
  Index older;             /* of the queue's; the one that took a token last is the newest */
  Index newer;
  std::uint32_t era; /* the bucket is one of that rate of the queue, see Queue.key_era */
  std::int64_t level;
  Micros as_of;
};
static_assert(sizeof(LimitedKey) == 48);
/* Before a job is tried again that found no record for its key. */
constexpr Micros kPauseForRecord = 1 * kSecond;

/* A key of a fair queue that gets more than one job a round, see weighted_keys.cpp. Under the queue
 * lock; next_in_chain under its stripe, in a free one under kLimitsLock. */
struct WeightedKey {
  std::uint16_t queue;      /* + 1; 0: free */
  ShortIndex next_in_chain; /* in a free one the free list */
  std::uint32_t key_hash;
  std::uint32_t key_check;
  std::uint32_t served; /* in the round */
  Micros round;         /* of its job that was handed out last; kNeverServed: none was */
  std::uint32_t weight;
  std::uint32_t reading; /* of the table that has found it last */
};
static_assert(sizeof(WeightedKey) == 32);
/* Of the server. */
constexpr std::uint32_t kMostWeightedKeys = 4096;
static_assert(kMostWeightedKeys <= kMostShort && kMostQueues < kMostShort);
constexpr Micros kNeverServed = -1;
constexpr std::uint32_t kMostWeight = 100;

struct EntryRef {
  Index entry;
  std::uint32_t incarnation;
};

struct QueueRef {
  Index queue;
  std::uint32_t incarnation;
};

enum class QueueState : std::uint8_t { free, creating, active };

/*
 * A transaction is ending all jobs of the queue, see withhold.cpp. Then nobody makes a job resident
 * that is on disk, and nobody puts a placeholder for one.
 * reading:  it still reads the log. What finishes becomes a tombstone, and nothing is evicted.
 * deciding: it has written; its end decides.
 * ended:    it has ended while a chunk of the loader runs, whose snapshot may not see what it
 * wrote. Nothing is made resident until the end of the chunk; placeholders are put again.
 */
enum class Withheld : std::uint8_t { no, reading, deciding, ended };

/* Figures since the server started. */
struct QueueCounters {
  std::uint64_t enqueued;
  std::uint64_t claimed;
  std::uint64_t completed;
  std::uint64_t failed;
  std::uint64_t expired;
  std::uint64_t dead_lettered;
  std::uint64_t cancelled;
  std::uint64_t woken;         /* sleeping workers */
  std::uint64_t woken_in_vain; /* of them: found nothing, or did not ask */
};

/*
 * How many jobs of a queue are unfinished: before + since, once `known`. census.hpp says how it
 * stays exact.
 */
struct QueueLength {
  /* Jobs from this id on are counted by their own commits, those before it by the census; kNever:
   * the boundary is not drawn yet. */
  JobId from_id;
  /* Of a job before from_id, an end with this token or a later one is counted by its own commit. */
  Token from_token;
  std::int64_t before;   /* unfinished, as the census counted them */
  std::int64_t since;    /* enqueued less ended, as commits counted them */
  std::int64_t reserved; /* room taken by jobs of open transactions */
  std::int64_t leaving;  /* jobs that open transactions drop in exchange for such room */
  Peekable<std::uint8_t> known;
  std::uint8_t disturbed;  /* a commit changed what the census counts: it counts again */
  std::uint32_t rows_gone; /* Database::rows_gone when the boundary was drawn */
};

/* Job pages with committed rows that nobody has linked, and the best priority of such a row. */
struct DirtyPages : BoundedRanges {
  std::uint8_t best;

  void clear() noexcept {
    BoundedRanges::clear();
    best = kLowestPriority;
  }
  void add(std::uint8_t segment, std::uint32_t first, std::uint32_t last,
           std::uint8_t priority = 0) noexcept {
    BoundedRanges::add(segment, first, last);
    if (priority < best) best = priority;
  }
};

/* Rows of parked that have no entry and are not to be found by their due times; in rising order. */
enum class ParkedLeft : std::uint8_t {
  none,
  some, /* an entry went, or none could be had: of an ordered queue, none before the frontier */
  any,  /* of an ordered queue: dead letters were redriven, whatever their ids */
};

/* What is read without the lock is not on a cache line that every commit writes. */
struct alignas(kCacheLine) Queue {
  Peekable<std::uint32_t> incarnation;
  Peekable<QueueId> id; /* row in durable_work.queue */
  Peekable<Index> database;
  Peekable<QueueState> state;
  LoadMode mode;
  std::uint8_t chunk_active;  /* a loader's chunk runs: what finishes becomes a tombstone */
  std::uint8_t short_of_room; /* the last chunk or commit found no room */
  ParkedLeft parked_left;     /* rows of parked are to be read again */
  std::uint8_t has_sleepers; /* live, and pages are left to be read again when their jobs are due */
  Withheld withheld;
  std::uint8_t waits_for_room; /* the housekeeper looked, and there was none worth loading into */
  char name[kQueueNameSize];
  QueueOptions options;
  alignas(kCacheLine) ReadyTree ready; /* those that lie in no group: the shelf */
  TimeTree delayed;
  TimeTree leased;
  KeyTree gated;        /* behind the job whose turn it is, or at a limit of their key */
  IdTree held;          /* from the frontier on */
  JobId frontier;       /* of an ordered queue: every unfinished job before it is resident */
  JobId dirty_from;     /* pages were marked since the last chunk began, for a job with that id */
  std::uint64_t chunks; /* of the loader that have begun */
  Micros round;         /* of a fair queue: of the last job handed out */
  /* See weighted_keys.cpp. */
  std::uint32_t weighted_keys;  /* records of its keys */
  std::uint32_t weight_changes; /* by transactions */
  Index served_key;             /* record + 1 of the key whose job is being handed out; 0: none */
  Peekable<std::uint32_t> gated_count;
  std::uint32_t waiting_turn; /* in both trees, and neither committing nor being decided */
  std::uint32_t held_count;
  std::uint32_t blocked_count; /* keys */
  std::uint32_t ending_count;  /* of them: their followers are about to die */
  std::uint32_t aside_count;   /* more of those, without an entry: see aside_keys.hpp */
  std::uint32_t turns_passed;  /* jobs made ready by an end of another's turn in this lock hold */
  std::uint8_t blocks_known;   /* the table of blocked keys was read */
  std::uint8_t blocks_changed; /* a key was blocked since it was read the last time */
  Peekable<std::uint32_t> ready_count; /* on the shelf and in groups */
  std::uint32_t ready_of_priority[kLowestPriority + 1];
  Index owners; /* owner table; kNone: none */
  GroupTree groups;
  Peekable<std::uint32_t> delayed_count;
  std::uint32_t retrying; /* of them: tried before */
  Peekable<std::uint32_t> leased_count;
  std::uint32_t pending_later; /* pending entries that will be delayed */
  std::uint32_t deciding;      /* entries taken out of ready and delayed by open transactions */
  std::uint32_t cancelled;     /* entries among the leased that are only kept to tell the holder */
  std::uint32_t in_flight;     /* leases, until they end or their holder is told of a cancel */
  std::uint32_t freed_places;  /* ends of leases in this lock hold, if the queue is limited */
  std::uint8_t limited;        /* any limit applies */
  std::uint8_t grouped;        /* one that it shares with other queues */
  /* See key_limits.cpp. */
  std::uint8_t keys_limited;    /* a limit of keys holds jobs back */
  std::uint8_t counts_keys;     /* leases count for their keys */
  std::uint32_t counted_places; /* of in_flight */
  std::uint32_t key_waits;      /* delayed entries that wait for their keys */
  Index oldest_key;             /* records of its keys */
  Index newest_key;
  std::uint32_t key_era; /* rises when the rate of keys changes */
  Micros keys_since;     /* monotonic time of that: buckets began empty */
  Micros short_of_keys;  /* wall time at which a job last found no record for its key; 0: never */
  Peekable<std::uint32_t> resident;     /* all entries; changes under kArenaLock as well */
  Index first_tombstone;                /* chained by next_of_worker */
  WaitList waiters;                     /* for any job of the queue */
  Peekable<std::uint32_t> waiter_count; /* with those in the owner table */
  std::uint32_t owed;     /* who were woken for this queue and have not asked yet, see wait.cpp */
  std::uint64_t given_up; /* waiting entries whose jobs went back to being on disk only */
  Micros last_claim;      /* wall time at which somebody last asked for a job; 0: never */
  Micros last_handed_out; /* likewise, and got one */
  DirtyPages dirty;
  DirtyPages urgent; /* likewise, with jobs that are to overtake some that are resident */
  QueueCounters counters;
  QueueLength length;
  /* See limits.cpp. What is in `member` changes under kLimitsLock too. */
  OwnLimits limits;
  TokenBucket bucket;
  GroupMember member[kLimitKinds];
};

/* A name under which leases are held. Reused when no lease hangs on it and another name needs the
 * slot. */
struct Worker {
  Index database;
  std::uint32_t lease_count;
  Index first_lease;
  std::uint32_t incarnation;
  std::int64_t instance; /* 0: none given */
  std::uint64_t last_used;
  /* Its requests that leases are held of. Changes under kRequestsLock; whoever ends a lease looks
   * without it whether there is any. */
  std::atomic<Index> first_request;
  /* Its leases with a slot of progress. Likewise, under kProgressLock. */
  std::atomic<std::uint16_t> progress_count;
  bool drains;                /* the housekeeper waits for the end of its last lease */
  char name[kWorkerNameSize]; /* empty: never used */
};
static_assert(sizeof(Worker) == 168);

/* A claim that may be asked for again; one for each queue that it took jobs from. See requests.cpp.
 */
struct Request {
  std::uint64_t key[2]; /* hash of who claims from which queues under which request id */
  Token first;          /* its tokens are one block */
  Micros until;         /* monotonic: the first deadline of its leases */
  std::uint32_t count;  /* tokens; 0: nothing handed out yet */
  std::uint32_t held;   /* leases that have not ended */
  std::uint32_t incarnation;
  std::int32_t process; /* whose open transaction made it; kSettled: it has committed */
  std::uint32_t transaction;
  std::uint32_t worker_incarnation;
  std::uint16_t worker;
  ShortIndex next_in_bucket; /* in a free one the free list */
  ShortIndex next;           /* of the worker's, or of the finished ones */
  ShortIndex previous;
};
static_assert(sizeof(Request) == 64 && kMostWorkers <= kMostShort);
constexpr std::int32_t kSettled = -1; /* Request.process: the transaction has committed */

/* What a worker last said about a job that it holds, its bytes in a chain of parts. See
 * progress.cpp. */
constexpr std::uint16_t kMostProgressBytes = 1000;
struct Progress {
  Token token;          /* of the lease */
  Index worker;         /* kNone: free */
  Index next_in_bucket; /* in a free one the free list */
  Index older;
  Index newer;
  Index first_part;
  std::uint16_t length;
};
struct ProgressPart {
  Index next; /* in a free one the free list */
  unsigned char bytes[124];
};
static_assert(sizeof(Progress) == 32 && sizeof(ProgressPart) == 128);

/* A backend that sleeps until one of some queues has a job. Link k of waiter w has the number w *
 * kMost + k. */
struct WaitLink {
  Index next;
  Index previous;
  /* kNone: not linked. Whoever takes the link off a list writes that last; who owns the link and
   * reads it without the lock may link it again. */
  std::atomic<Index> queue;
};
struct Waiter {
  /* Which queue it was woken for, see wake_word(), set by the one who wakes it; 0: sleeping or
   * settled; kForfeited: it was too slow, and its wake went to another. Is set back under that
   * queue's lock. */
  std::atomic<std::uint64_t> woken_by;
  std::atomic<Micros> woken_at; /* monotonic */
  std::uint32_t link_count;     /* the owner's own */
  /* Lower ones are served first. Does not change while it hangs on a list. */
  std::uint64_t place;
  /* The owner's own: the queue whose job somebody else took from it, so that it keeps its place
   * when it waits for that again; 0: none. */
  std::uint64_t kept_for;
  /* Whose jobs it waits for; kNoOwner: any. Does not change while it is linked, or woken. */
  std::atomic<OwnerNumber> member;
  std::atomic<Index> sleeps_as; /* member + 1 as which it sleeps; 0: none */
  /* See await.cpp. */
  std::atomic<std::uint32_t> ended; /* the job that it waits for may have ended */
  JobId awaited;
  Index awaits_in; /* database slot; kNone: it waits for no job */
  Index next_awaiting;
  WaitLink links[kMostWaitedQueues];
};

constexpr std::uint64_t kForfeited = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t wake_word(Index queue, std::uint32_t incarnation) noexcept {
  return (std::uint64_t{queue} + 1) << 32 | incarnation;
}

enum class DatabaseState : std::uint8_t {
  free,
  attaching, /* known, epoch not yet raised: enqueue works, claims return nothing */
  open,
};

enum class Reload : std::uint8_t {
  no,
  asked, /* -> begun */
  begun, /* the housekeeper has taken it; -> no when it has forgotten what it knew, or again */
  again, /* asked while one was begun; -> begun */
};

struct alignas(kCacheLine) Database {
  Peekable<DatabaseOid> oid;
  Peekable<std::uint32_t> incarnation; /* another one after DROP and CREATE EXTENSION */
  Peekable<DatabaseState> state;
  /* A commit met no slot for its queue, or somebody asked: load everything again. Changed under
   * kArenaLock; while it is not `no`, what was counted says nothing of the rows there are. */
  std::atomic<Reload> reload;
  std::uint8_t catalog_stale;    /* the table of queues changed while no slot could be made */
  std::uint8_t redrives_changed; /* the table of redrives at a rate */
  std::uint8_t workers_changed;  /* that of registered workers, past the functions */
  std::uint8_t outcomes_noted;   /* at least one outcome page is in outcome_pages */
  /* Somebody found no record for a key: those that say nothing are to be dropped. */
  std::atomic<bool> keys_wanted;
  /* Attached while durable_work.start_paused was on, and that is still so: nothing is handed out.
   * Set before the database opens, taken back once. */
  std::atomic<bool> paused;
  /* Clients that listen are told of due work this often, see announcer.hpp; 0: not. */
  std::atomic<Micros> announce_interval;
  Peekable<std::int64_t> epoch;
  /* Read without a lock, see ring.cpp. */
  std::atomic<std::uint8_t> current_segment; /* kParkedSegment: not known yet */
  std::atomic<SegmentState> segment_state[kSegments];
  std::atomic<JobId> first_id[kSegments]; /* kNever: empty */
  SegmentHold holds[kSegments];           /* Under kArenaLock; written by the housekeeper. */
  std::uint32_t tail_block[kStores];      /* highest job page written so far, a hint */
  std::uint32_t outcome_tail[kStores];
  /* Outcome pages written since the housekeeper last looked. Under kArenaLock. */
  BoundedRanges outcome_pages;
  /* Long sleepers due up to here have been brought in; a commit with an earlier one lowers
   * parked_from. */
  std::atomic<Micros> parked_until;
  std::atomic<Micros> parked_from;
  /* What the housekeeper sleeps until; kNever while it is awake, so that whoever sets a timer wakes
   * it. */
  std::atomic<Micros> planned_due;      /* wall */
  std::atomic<Micros> planned_deadline; /* monotonic */
  /* No waiting entry expires earlier (wall), except those that a walk is about to find; kNever:
   * none does. See expiry_walk.hpp. */
  std::atomic<Micros> next_expiry;
  /* How often rows of ended jobs were removed. What has ended since a boundary and is gone would be
   * missed by a count that is repeated behind it. */
  std::atomic<std::uint32_t> rows_gone;

  /* Who waits for the end of which job, see await.cpp. The mask is read at every end of a job. */
  alignas(kCacheLine) std::atomic<std::uint64_t> awaited;
  Index awaiting[kAwaitingLists];

  /* Written by every claim or every enqueue: each on a line of its own. */
  alignas(kCacheLine) std::atomic<Token> last_token; /* of this epoch */
  /* See job_ids.cpp. */
  alignas(kCacheLine) std::atomic<std::uint64_t> job_ids;
  std::atomic<std::uint32_t> job_id_sequence; /* 0: none yet */
  /* End of the last commit that enqueued, as a log position: a strict queue's claim flushes up to
   * it. */
  alignas(kCacheLine) std::atomic<std::uint64_t> commit_position;
};

enum class WatchState : std::uint8_t {
  free,
  preparing, /* its transaction is about to be prepared -> prepared, free */
  prepared,  /* -> free, by the housekeeper, once the transaction has ended */
};

/*
 * A prepared transaction. It ends in another process, or after a restart, and none of our callbacks
 * runs there: the housekeeper looks for its end, and does then what a callback would have done. See
 * watch.hpp.
 */
struct Watch {
  TransactionNumber transaction;
  Index database; /* kNone: it was detached while the transaction was being prepared */
  WatchState state;
  std::uint8_t found; /* read from the log after a start, not left by the transaction itself */
  Index first_held;
  Index last_held;
  Micros parked_from;          /* the earliest of its new rows in parked; kNever: none */
  BoundedRanges job_pages;     /* with rows of its jobs */
  BoundedRanges outcome_pages; /* that it wrote to */
};

struct Held;

struct Arena {
  std::uint32_t capacity; /* entries */
  std::uint32_t bucket_mask;
  std::uint32_t key_mask;
  std::uint32_t waiter_capacity;
  alignas(kCacheLine) Index first_free;
  std::uint32_t free_count;
  Peekable<std::uint32_t> queue_count;
  std::uint32_t borrowed; /* entries that queues hold beyond their guaranteed share */
  std::uint32_t unused;
  std::uint64_t worker_clock;
  /* Places of waiters given so far. */
  alignas(kCacheLine) std::atomic<std::uint64_t> places;
  /* Under kRequestsLock. */
  alignas(kCacheLine) Index first_free_request;
  Index first_finished_request; /* no lease is held of them; the one that ended first leads */
  Index last_finished_request;
  std::uint32_t request_capacity;
  std::uint32_t request_mask;
  /* Under kProgressLock. */
  alignas(kCacheLine) Index first_free_progress;
  Index oldest_progress;
  Index newest_progress;
  std::uint32_t progress_mask;
  Index first_free_progress_part;
  std::uint32_t free_progress_parts;
  /* Under kWatchLock; the count of watches that are not free is read without it. */
  alignas(kCacheLine) std::atomic<std::uint32_t> watch_count;
  std::uint32_t watch_capacity;
  Index first_free_held;
  std::uint32_t free_held_count;
  std::uint32_t held_capacity;
  /* Groups that are free, a stack: index + 1, with a number in the upper half that rises; and those
   * from `used_groups` on were never used. */
  alignas(kCacheLine) std::atomic<std::uint64_t> free_groups;
  std::atomic<std::uint32_t> used_groups;
  std::uint32_t group_capacity;
  std::uint32_t owner_table_capacity;
  /* Records of keys: those given back, and those from `used_keys` on were never used. Under
   * kLimitsLock. */
  alignas(kCacheLine) Index first_free_key;
  std::uint32_t used_keys;
  std::uint32_t limited_key_capacity;
  std::uint32_t limited_key_mask;
  /* Likewise. The count is read without the lock. */
  Index first_free_weighted_key;
  std::uint32_t used_weighted_keys;
  std::atomic<std::uint32_t> weighted_key_count;
  /* Rises whenever a ring may have changed; under kMembersLock, read without it. */
  alignas(kCacheLine) std::atomic<std::uint64_t> members_version;
  std::atomic<std::uint32_t> member_count;
  Database databases[kMostDatabases];
  Queue queues[kMostQueues];
  Worker workers[kMostWorkers];
  LimitGroup limit_groups[kMostLimitGroups];
  Member members[kMostMembers];
  Utf8Name utf8_names[kMostUtf8Names];
  WeightedKey weighted_keys[kMostWeightedKeys];
  ShortIndex weighted_key_buckets[kMostWeightedKeys];
  /* Behind the arena, in this order, aligned to 64 bytes each. */
  Entry* entries;
  OwnerTable* owner_tables;
  Group* groups;
  Index* buckets;
  Index* key_buckets; /* half as many, but at least one a stripe */
  Waiter* waiters;
  Request* requests;
  ShortIndex* request_buckets;
  Progress* progress;
  Index* progress_buckets;
  ProgressPart* progress_parts;
  Watch* watches;
  Held* held;
  LimitedKey* limited_keys;
  Index* limited_key_buckets;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
/* The nodes of trees, and their headers in queues and groups, lie in the arena's first parts. */
static_assert(sizeof(Arena) + sizeof(Entry) * std::uint64_t{kMostResidentEntries} +
                  sizeof(OwnerTable) * std::uint64_t{kMostOwnerTables} +
                  sizeof(Group) * std::uint64_t{kMostGroups} <
              kTreeReach);

/* Bytes of shared memory for this many entries, waiters, and prepared transactions that are
 * watched. */
std::size_t arena_size(std::uint32_t entries, std::uint32_t waiters,
                       std::uint32_t watches = 0) noexcept;
/* Lays an empty arena out in zeroed memory of that size, aligned to 64 bytes. */
Arena* arena_create(void* memory, std::uint32_t entries, std::uint32_t waiters,
                    std::uint32_t watches = 0) noexcept;

}  // namespace dw::core
