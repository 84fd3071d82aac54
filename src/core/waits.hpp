/*
 * Why the jobs of a queue are not being worked on now, in numbers; what explain_waiting is made of.
 */
#pragma once

#include "core/dispatcher.hpp"

namespace dw::core {

struct QueueWaits {
  LoadMode mode;
  bool paused;
  bool open;          /* the epoch is raised: claims return jobs */
  bool counted;       /* on_disk is known */
  bool short_of_room; /* in memory, when it was last read from disk */
  std::uint32_t ready;
  std::uint32_t unowned;     /* of them: in buckets that no registered worker owns */
  std::uint32_t later;       /* due later, not tried yet */
  std::uint32_t retrying;    /* due later, after an attempt */
  std::uint32_t held;        /* by workers */
  std::uint32_t deciding;    /* in the hands of transactions that are open */
  std::uint32_t key_busy;    /* behind an earlier job of their key */
  std::uint32_t key_blocked; /* behind a dead one */
  std::uint32_t blocked_keys;
  std::uint32_t key_places; /* as many of their key are in flight as may be */
  std::uint32_t key_tokens; /* their key has started as many as may start for now */
  bool counting_keys;       /* for a new limit leases are counted for their keys */
  std::uint32_t ending;     /* lease over, or overdue: the sweep is about to record it */
  std::uint32_t waiters;    /* sleeping workers, if there are any who could take what is ready */
  std::int64_t on_disk;     /* unfinished and not in memory */
  Micros next_due;          /* wall; kNever: none of them is among the first due */
  Micros next_retry;
  Micros next_token;    /* of a key; likewise */
  Micros short_of_keys; /* wall: a key found no room to be counted; 0: never */
  Micros oldest_due;    /* wall, of those that are ready; kNever: none is */
  Micros last_claim;    /* wall; 0: none since the server started */
  Micros last_handed_out;
  LeaseRow first_to_end;
};

/* Why the ready jobs of a queue are not handed out. */
enum class ReadyWait : std::uint8_t {
  nothing_ready,
  paused,
  waking,        /* workers that sleep are being woken */
  nobody_asked,  /* since the server started */
  nobody_asks,   /* any more */
  asked_in_vain, /* workers ask and get nothing */
  busy,          /* workers ask and get jobs: there are more jobs than they can do */
};
/* With a claim as recent as this, somebody works on the queue. */
constexpr Micros kRecently = 60 * kSecond;

constexpr ReadyWait why_ready_waits(const QueueWaits& waits, Micros now) noexcept {
  if (waits.ready == 0) return ReadyWait::nothing_ready;
  if (waits.paused) return ReadyWait::paused;
  if (waits.waiters > 0) return ReadyWait::waking;
  if (waits.last_claim == 0) return ReadyWait::nobody_asked;
  if (now - waits.last_claim > kRecently) return ReadyWait::nobody_asks;
  const bool due_for_long = waits.oldest_due != kNever && now - waits.oldest_due > kRecently;
  if (due_for_long && now - waits.last_handed_out > kRecently) return ReadyWait::asked_in_vain;
  return ReadyWait::busy;
}

}  // namespace dw::core
