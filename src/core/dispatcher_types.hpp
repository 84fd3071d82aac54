/* What the dispatcher is asked and what it answers; nothing of this lies in shared memory. */
#pragma once

#include "core/layout.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace dw::core {

/* A job's row as the log knows it; enough to make it resident. */
struct JobRow {
  JobId id;
  Micros due; /* wall; kAlways when due at once */
  QueueId queue;
  std::uint32_t key_hash;
  std::uint32_t key_check; /* 0: no key */
  std::uint32_t block;
  std::uint16_t offset;
  std::uint8_t segment;
  std::uint8_t priority;
  std::uint16_t max_attempts; /* 0: the queue's */
  std::uint16_t attempts;
  std::uint32_t expires_at; /* see expiry_seconds(); 0: never */
  bool claim_is_open;       /* a claim of it is recorded, and not what became of that */
  bool has_room;            /* room for it was reserved in its queue */
  Micros enqueued_at;       /* wall, as far as it is known; 0: not */
};

/* An unfinished job of a segment. */
struct Straggler {
  JobId id;
  QueueId queue;
};

struct WorkerRef {
  Index worker;
  std::uint32_t incarnation;
};

struct RequestKey {
  std::uint64_t words[2];
};
struct RequestRef {
  Index request;
  std::uint32_t incarnation;
};
/* A transaction, as long as it is open. */
struct RequestOwner {
  std::int32_t process;
  std::uint32_t transaction;
};
enum class RequestStanding : std::uint8_t {
  fresh,          /* never asked for, or forgotten: claim, and note it with the claim */
  known,          /* list what is left of the batch */
  open_elsewhere, /* wait for that transaction, then ask again */
  no_room,
};

/* A lease that was held when it was listed. */
struct LeaseRef {
  EntryRef ref;
  Token token;
};

/* One job handed out. */
struct ClaimedJob {
  EntryRef ref;
  JobId id;
  Token token;
  Micros deadline; /* wall, for showing */
  std::uint32_t block;
  std::uint16_t offset;
  std::uint8_t segment;
  std::uint8_t priority;
  std::uint16_t attempt;
  std::uint16_t queue;
};

/* What becomes of a job when the transaction that decides it commits. */
enum class Decision : std::uint8_t {
  finish,      /* completed, dead-lettered, or cancelled while waiting: gone */
  retry,       /* failed: ready at the given time, attempt charged */
  put_back,    /* released or deferred: ready at the given time, attempt refunded */
  cancel_held, /* cancelled under its holder */
  block,      /* a dead letter that blocks its key; due: followers below this id die too, 0: none */
  reschedule, /* it was waiting and goes on waiting, until the given time */
};

enum class Verdict : std::uint8_t {
  ok,
  stale,         /* no lease with this token */
  in_doubt,      /* an open transaction is deciding it */
  cancelled,     /* the job was cancelled under this token */
  own_duplicate, /* this very transaction has already decided it with this token */
  leased,        /* a worker has it, and only a waiting job was asked for */
  not_resident,  /* no entry: only the log knows */
  no_room,       /* no entry could be had for a placeholder */
  not_open,      /* the epoch is not raised yet: there are no tokens to decide it under */
  used_up,       /* the lease can be extended no further */
  other_queue,   /* the job is not in the queue whose jobs the caller may decide */
};

/* What an accepted decision tells its caller, read under the lock. */
struct Decided {
  EntryRef ref;
  JobId id;
  Token token;
  Index queue;
  std::uint32_t queue_incarnation;
  QueueId queue_id;
  std::uint32_t block;
  std::uint16_t offset;
  std::uint8_t segment;
  /* What an abort restores: ready, delayed or leased; free: its entry goes. */
  EntryState before;
  Micros due; /* wall; of a waiting job */
  std::uint16_t attempts;
  std::uint16_t max_attempts; /* the effective one */
  std::uint32_t expires_at;   /* see expiry_seconds(); 0: never */
  bool claim_is_recorded;     /* the log knows of the attempt under way */
  bool has_turn;              /* of its key */
  QueueOptions options;
  char worker_name[kWorkerNameSize]; /* empty: none */

  /* The job as another row of it has it. */
  void take_row(const JobRow& row) noexcept;
};

/* One lease as views show it. */
struct LeaseRow {
  JobId id;
  Token token;
  Micros leased_at;
  Micros deadline; /* wall */
  QueueId queue;
  std::uint16_t attempt;
  EntryState state;
  Index holder; /* for see_progress() */
  char worker[kWorkerNameSize];
};

/* One job as views show it. */
struct ResidentRow {
  EntryState state;
  Token token;
  Micros due;      /* wall; when pending */
  Micros deadline; /* wall; when leased */
  Micros leased_at;
  std::uint16_t attempts;
  std::uint8_t segment; /* of the row it is known by */
  bool paused;
  bool key_is_limited; /* what it waits for is a limit of its key */
  Lapse lapsed;        /* why it is about to end */
  Index holder;        /* for see_progress(); kNone: none */
  char worker[kWorkerNameSize];
};

struct QueueFigures {
  QueueId id;
  LoadMode mode;
  bool paused;
  bool counted; /* unfinished is known */
  std::uint32_t ready;
  std::uint32_t delayed; /* with those that an open transaction is deciding */
  std::uint32_t leased;
  std::uint32_t blocked; /* behind an earlier job of their key */
  std::uint32_t blocked_keys;
  std::uint32_t resident;
  std::uint32_t waiters;
  std::int64_t unfinished;
  Micros oldest_due; /* wall; kNever: nothing is ready */
  QueueCounters counters;
};

enum class Room : std::uint8_t {
  granted,
  exchanged, /* for a job that goes */
  unlimited, /* the queue takes any number */
  full,
  counting, /* its jobs are being counted */
  no_queue, /* the slot is not this queue's any more */
};
/* What a refusal tells. */
struct RoomFigures {
  std::int64_t unfinished;
  std::int64_t reserved;
  std::int64_t max_length;
};

/* Which entries list_jobs() lists: those that wait, and that transactions decide. */
struct ListWish {
  bool one_key; /* of this hash only */
  std::uint32_t key_hash;
  bool leased;   /* those that are held too */
  bool retrying; /* only those that wait for their next attempt */
};
/* Where a job's row lies. */
struct ListedJob {
  JobId id;
  std::uint32_t block;
  std::uint16_t offset;
  std::uint8_t segment;
};
struct KeyedJob {
  ListedJob job;
  std::uint32_t key_hash;
  bool processing;
  bool due; /* it waits, and its time has come */
};

/* A loading queue asks for more before it runs dry. */
constexpr std::uint32_t kLowWater = 256;
/* A refill that brings less than this waits until the queue runs dry. */
constexpr std::uint32_t kWorthLoading = 4096;
/* Entries that are enough to load into, in an arena with so many. */
constexpr std::uint32_t enough_room(std::uint32_t capacity) noexcept {
  return std::min(kWorthLoading, std::max(capacity / 8, 1U));
}
/* A woken waiter is given so long to claim before another is woken for the job. */
constexpr Micros kWakePatience = 100 * kMillisecond;
/* So often the housekeeper looks whether waiters sleep beside due work, while there are any. */
constexpr Micros kIdleRound = 1 * kSecond;
/* The longest block of job numbers; a larger increment of the sequence leaves gaps. */
constexpr std::uint32_t kMostJobIds = 128;

constexpr std::uint32_t kWorkerGone = std::numeric_limits<std::uint32_t>::max();

enum class LinkResult : std::uint8_t {
  linked,
  resident,
  busy, /* somebody is about to decide it; if that fails it must be linked later */
  no_room,
};

/* A row of the table of weights of keys. */
struct KeyWeight {
  QueueId queue;
  std::uint32_t key_hash;
  std::uint32_t key_check;
  std::uint32_t weight;
};

enum class WeightFound : std::uint8_t { done, stale, no_room };

/* How a blocked key goes on. */
enum class Unblock : std::uint8_t {
  skip,  /* with the job behind the dead one */
  retry, /* with the dead one, which was redriven */
  end,   /* not before its followers below an id are dead too */
};

/* What of its limits lets no job of a key start. */
enum class KeyHindrance : std::uint8_t {
  none,
  place,    /* as many are in flight as may be */
  token,    /* as many have started as may start for now */
  counting, /* the limit is new, and leases from before it are being counted */
  record,   /* there is no room to count another key */
};

/* A key as an operator sees it. */
struct KeyFigures {
  JobId first;        /* which comes next, or ends next; 0: none is in memory, or the loader holds
                         them */
  EntryState state;   /* of that one */
  Micros at;          /* wall: its due time, or the end of its lease */
  bool first_is_due;  /* it waits, and its time has come */
  bool waits_for_key; /* it has been held back by a limit of its key */
  std::uint32_t waiting; /* besides the first one, in memory */
  std::uint32_t in_flight;
  bool limited; /* what follows says something */
  std::uint32_t max_in_flight;
  std::uint32_t available; /* jobs that the limits let start now */
  KeyHindrance hindrance;
  Micros next; /* wall, when there is a token; kNever: when something ends */
};

/* A walk over the jobs of one key. Begins with the hashes of the key, everything else zero. */
struct KeyLook {
  using Rank = std::tuple<int, int, Micros, int, JobId>;

  std::uint32_t key_hash;
  std::uint32_t key_check;
  Index position; /* of a queue without order: the next entry */
  JobId behind;   /* of an ordered one: what was counted up to this one */
  Rank first;     /* of figures.first, in a queue without order */
  KeyFigures figures;
};

enum class HeartbeatState : std::uint8_t { leased, cancelled, lost };

}  // namespace dw::core
