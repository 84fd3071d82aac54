/*
 * Words shared by every part of the core: ids, times, states, options.
 *
 * Times are microseconds. Wall times count from 2000-01-01 UTC (the server's own epoch) and are
 * used for what a person set: due times. Monotonic times have no meaningful zero and are used for
 * leases, so that a step of the system clock neither expires nor prolongs one.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace dw::core {

using JobId = std::int64_t;
using Token = std::int64_t;
using Micros = std::int64_t;
using DatabaseOid = std::uint32_t;
/* A transaction of the server. */
using TransactionNumber = std::uint32_t;
/* Number of a queue's row in durable_work.queue. A queue that starts to read its topic anew gets a
 * new number, so one number names the queue and the generation of its subscription. */
using QueueId = std::int32_t;

constexpr Micros kNever = std::numeric_limits<Micros>::max();
constexpr Micros kAlways = std::numeric_limits<Micros>::min();
constexpr Micros kMillisecond = 1000;
constexpr Micros kSecond = 1000 * kMillisecond;
constexpr Micros kMinute = 60 * kSecond;

/* Index into an array of the arena; 32 bits instead of a pointer's 64. */
using Index = std::uint32_t;
constexpr Index kNone = std::numeric_limits<Index>::max();

/* The same in 16 bits, into an array of at most kMostShort; kNone as such is kept, too. */
constexpr std::uint32_t kMostShort = 0xFFFF;
class ShortIndex {
 public:
  ShortIndex& operator=(Index index) noexcept {
    bits_ = static_cast<std::uint16_t>(index);
    return *this;
  }
  operator Index() const noexcept { return bits_ == kMostShort ? kNone : bits_; }

 private:
  std::uint16_t bits_;
};

/* Slots of the ring of log tables, and the table of long sleepers, which is addressed like one more
 * slot. */
constexpr std::uint8_t kSegments = 8;
constexpr std::uint8_t kParkedSegment = kSegments;
constexpr std::uint8_t kStores = kSegments + 1;

/* No row of a page has a higher number, however large the server's pages are. */
constexpr std::uint16_t kMostOffset = 0xFFF;

constexpr std::uint8_t kLowestPriority = 9;
constexpr std::uint8_t kDefaultPriority = 4;
constexpr std::int32_t kMostAttempts = 32767;

/* What a lock holder does in one go when a transaction is large. */
constexpr std::uint32_t kEntriesPerHold = 1024;

enum class Backoff : std::uint8_t { exponential, linear, fixed };

/* What becomes of a key of an ordered queue when a job of it is used up. */
enum class OnExhausted : std::uint8_t {
  skip,            /* the next one follows */
  hold,            /* the key is blocked until an operator decides */
  dead_letter_key, /* those that wait behind it die with it */
};

/* Options of a queue that the dispatcher needs; the row in durable_work.queue is the truth. */
struct QueueOptions {
  Micros lease = 90 * kSecond;
  Micros backoff_base = 5 * kSecond;
  Micros backoff_cap = 3600 * kSecond;
  double jitter = 1.0;
  Micros max_runtime = 0;      /* 0: none */
  std::int64_t max_length = 0; /* 0: none */
  std::int32_t max_attempts = 20;
  std::int32_t buckets = 360;
  Backoff backoff = Backoff::exponential;
  bool paused = false;
  bool strict = false;
  bool at_most_once = false;
  bool durable_claims = false;
  bool drop_oldest = false;
  bool ordered = false; /* by key */
  bool fair = false;    /* round robin over keys */
  OnExhausted on_exhausted = OnExhausted::skip;

  friend bool operator==(const QueueOptions&, const QueueOptions&) = default;
};

/* Attempts that a job gets; of_job 0: the queue's. */
constexpr std::int32_t most_attempts(const QueueOptions& options, std::uint16_t of_job) noexcept {
  if (options.at_most_once) return 1;
  return of_job != 0 ? of_job : options.max_attempts;
}

/*
 * States of a resident job. Each names its next ones.
 *
 *            +--------- abort ---------+
 *            v                         |
 *   free -> pending -> ready <-> delayed (due time passed)
 *     ^                  |          ^
 *     |                 claim       | retry, defer, rolled back claim
 *     |                  v          |
 *     +--- tombstone <- completing <-> leased -> expiring -> ready | delayed | free
 *                        |              (back as it was when the sweep's transaction fails)
 *                        +-> cancelled -> free (at the old deadline)
 *   free -> busy -> completing | free         (a job on disk that somebody is about to decide)
 *   pending | ready | delayed | leased | completing -> overdue -> expiring    (expires_at passed)
 *   free -> overdue         (loaded, and what the log says of its last claim is its end)
 *   pending | ready | delayed | free -> gated -> ready | delayed | overdue    (see gate.cpp)
 *   completing | expiring | free -> blocked -> free | ready | delayed         (likewise)
 */
enum class EntryState : std::uint8_t {
  free,       /* -> pending, ready, delayed, busy */
  pending,    /* its enqueue is committing -> ready, delayed, free */
  ready,      /* due -> leased, completing (cancel), free (evicted) */
  delayed,    /* due later -> ready, completing (cancel), free (evicted) */
  leased,     /* held by a worker -> completing, expiring, delayed (claim rolled back) */
  completing, /* an open transaction decides it -> free, tombstone, ready, delayed, cancelled;
                 abort: as before */
  expiring,   /* the sweep writes its failed attempt; the token is already stale -> ready, free,
                 leased, overdue */
  busy, /* placeholder while the log is read for a job that is not resident -> completing, free */
  tombstone, /* finished while a loader's chunk runs, so that the chunk does not load it again ->
                free */
  cancelled, /* cancelled under its holder; kept to tell the holder so -> free */
  overdue,   /* waits, but must not be claimed: the sweep makes a dead letter of it -> expiring */
  gated,     /* waits for its key's turn -> ready, delayed, completing, overdue, free (evicted) */
  blocked,   /* dead, and kept because its key waits for an operator -> free, ready, delayed */
};

/* Why the sweep ends a lease or a wait. On a lease, anything but none makes it void. */
enum class Lapse : std::uint8_t {
  none,
  lease_expired,      /* its deadline passed */
  claim_rolled_back,  /* the transaction that claimed it rolled back, and no attempt is left */
  expired,            /* expires_at passed while it waited */
  outcome_unknown,    /* it was to be handed out once, and nobody told what became of it */
  attempts_exhausted, /* the server stopped during the last attempt */
  key_dead,           /* an earlier job of its key is a dead letter, and takes it along */
};

/* There is no next attempt, whatever attempts are left. */
constexpr bool ends_job(Lapse reason) noexcept {
  return reason == Lapse::expired || reason == Lapse::outcome_unknown ||
         reason == Lapse::attempts_exhausted || reason == Lapse::key_dead;
}

/* The job was tried and is used up, or was to be handed out once: then its key may be blocked. */
constexpr bool uses_up(Lapse reason) noexcept {
  return reason != Lapse::expired && reason != Lapse::key_dead;
}

/* As failures and dead letters give it. */
constexpr const char* reason_of(Lapse reason) noexcept {
  switch (reason) {
    case Lapse::claim_rolled_back:
      return "claim rolled back";
    case Lapse::expired:
      return "expired";
    case Lapse::outcome_unknown:
      return "outcome unknown";
    case Lapse::attempts_exhausted:
      return "attempts exhausted";
    case Lapse::key_dead:
      return "key dead-lettered";
    case Lapse::none:
    case Lapse::lease_expired:
      break;
  }
  return "lease expired";
}

/* When a job expires, as an entry keeps it: seconds since 2000-01-01, rounded up; 0: never, or
 * later than these 32 bits reach, which is the year 2136. */
constexpr std::uint32_t expiry_seconds(Micros at) noexcept {
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (at > kMost * kSecond) return 0;
  return at <= kSecond ? 1 : static_cast<std::uint32_t>((at + kSecond - 1) / kSecond);
}
constexpr Micros expiry_time(std::uint32_t seconds) noexcept {
  return seconds == 0 ? kNever : Micros{seconds} * kSecond;
}
constexpr bool has_expired(std::uint32_t seconds, Micros now) noexcept {
  return seconds != 0 && Micros{seconds} * kSecond <= now;
}

/*
 * How commits and the loader share the work of making a queue's jobs resident.
 * loading:  far from the tail of the log, or no room: commits only mark what they wrote as dirty.
 * handover: commits link their own jobs while the loader still scans, and skips what is resident.
 * live:     everything on disk is resident or finished; the loader has nothing to do.
 */
enum class LoadMode : std::uint8_t { loading, handover, live };

enum class OutcomeKind : std::uint8_t {
  completed = 0,
  attempt_failed = 1,
  dead_lettered = 2,
  cancelled = 3,
  moved = 4,
  claimed = 5,
  rescheduled = 6,
  payload_replaced = 7,
  purged = 8,
  redriven = 9,   /* a dead letter waits again; only of jobs in parked */
  relocated = 10, /* a waiting job has come to parked as it was; only there */
};

/* After a final outcome the job is never handed out again, but for a dead letter that is redriven:
 * see outcome_sum.hpp. */
constexpr bool is_final(OutcomeKind kind) noexcept {
  return kind == OutcomeKind::completed || kind == OutcomeKind::dead_lettered ||
         kind == OutcomeKind::cancelled || kind == OutcomeKind::purged;
}

}  // namespace dw::core
