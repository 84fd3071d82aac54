/*
 * Loading beside commits, workers, a cancel and crashes.
 *
 * Of src/core: loader.cpp (one chunk after the other), link.cpp (the two halves of a commit),
 * decide.cpp (outcome, placeholder, eviction), entries.cpp (tombstones, room),
 * known_outcomes.cpp; of src/store: taken_job.cpp (the cancel of a job that is only on disk).
 *
 * Each job has a page of its own, and a page of its own for its outcomes: what lies together is
 * read together, so everybody knows least this way. Priorities are left out: who claims takes any
 * ready job. Deferrals, releases and expired leases are failures or rolled back claims to this
 * protocol. Room is that of an arena whose queues have no more than their shares.
 *
 * JOBS    jobs; those from OLD on are on disk at the start, whoever wrote them
 * ROOM    entries of the arena
 * QUEUES  2: job 0 is of a new queue, the others fill the arena with those of a paused one
 * FAILS   workers fail jobs, too; CLAIMS_END: claims are rolled back with the attempt charged
 * CANCEL  somebody cancels job 0; CRASH: the server is killed once, between any two steps;
 * REPLACE the housekeeper ends once, between any two steps, and the next one takes over
 *
 *   correct  small  -DJOBS=2 -DROOM=2 -DOLD=2 -DFAILS -DREPLACE
 *   correct  small  -DJOBS=2 -DROOM=1 -DOLD=1 -DFAILS -DCRASH
 *   correct  small  -DJOBS=2 -DROOM=1 -DOLD=1 -DCANCEL -DFAILS
 *   correct  small  -DJOBS=3 -DROOM=2 -DOLD=1 -DQUEUES=2
 *   correct  small  -DJOBS=3 -DROOM=2 -DOLD=2
 *   correct  large  -DJOBS=3 -DROOM=2 -DOLD=2 -DFAILS -DREPLACE
 *   correct  large  -DJOBS=2 -DROOM=1 -DOLD=1 -DCANCEL -DFAILS -DCLAIMS_END -DCRASH
 *   correct  large  -DJOBS=2 -DROOM=2 -DOLD=1 -DCANCEL -DFAILS -DREPLACE -DCRASH
 *
 *   broken  LATE_LINK            finished_stays  -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  LATE_DROP            no_loss         -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  EARLY_MARK           no_loss         -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  NO_ABORT             no_leak         -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  SNAPSHOT_FIRST       no_loss         -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  PAGES_AFTER_SNAPSHOT finished_stays  -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  NO_TOMBSTONE         finished_stays  -DJOBS=1 -DROOM=2 -DOLD=1
 *   broken  TOMBSTONES_STAY      no_loss         -DJOBS=2 -DROOM=1 -DOLD=2
 *   broken  ENTRY_FIRST          finished_stays  -DJOBS=1 -DROOM=1 -DOLD=1
 *   broken  EVICT_UNMARKED       no_loss         -DJOBS=2 -DROOM=1 -DOLD=1
 *   broken  EVICT_FREES          attempts_stay   -DJOBS=2 -DROOM=1 -DOLD=2 -DCANCEL -DFAILS
 *   broken  EVICT_CHARGED        attempts_stay   -DJOBS=2 -DROOM=1 -DOLD=1 -DCANCEL -DCLAIMS_END
 *   broken  NO_PLACEHOLDER       finished_stays  -DJOBS=1 -DROOM=1 -DOLD=1 -DCANCEL
 *   broken  READ_ONCE            one_end         -DJOBS=1 -DROOM=1 -DOLD=1 -DCANCEL
 *   broken  BUSY_IS_RESIDENT     no_loss         -DJOBS=1 -DROOM=1 -DOLD=1 -DCANCEL
 *   broken  OUTCOMES_FORGOTTEN   finished_stays  -DJOBS=1 -DROOM=1 -DOLD=1 -DREPLACE
 *   broken  PAGES_FORGOTTEN      no_loss         -DJOBS=1 -DROOM=1 -DOLD=1 -DREPLACE
 *   broken  NO_RELIEF            no_loss         -DJOBS=3 -DROOM=2 -DOLD=1 -DQUEUES=2
 */
#ifndef QUEUES
#define QUEUES 1
#endif
#define MOST_ATTEMPTS 2

/* A property by its name, which is what a counterexample shows. All are 0. */
#define must(name, condition) assert((condition) || name)
hidden byte no_loss;        /* a committed job is handed out until it has an end */
hidden byte no_phantom;     /* none is handed out whose enqueue has not committed */
hidden byte finished_stays; /* none is handed out that has an end in the log */
hidden byte one_end;        /* the log gets one end of a job */
hidden byte attempts_stay;  /* the next attempt has the next number */
hidden byte no_leak;        /* in the end all room is free again, and the queue is live */

mtype = { NONE, PENDING, READY, LEASED, COMPLETING, BUSY, TOMBSTONE };
mtype = { LOADING, HANDOVER, LIVE };

/* The log, as a new snapshot sees it. */
bool row[JOBS];
bool ended[JOBS];
byte failed[JOBS]; /* the highest attempt that is recorded as failed */

/* Shared memory. */
mtype entry[JOBS];
byte attempt[JOBS];
byte recorded[JOBS]; /* attempts that the log knows of */
bool dirty[JOBS];
bool noted[JOBS]; /* outcome pages */
mtype mode[QUEUES];
bool chunk_active[QUEUES];
byte resident[QUEUES];
byte free_entries;

/* The housekeeper's. */
bool whole[QUEUES];
bool out_of_room[QUEUES];
bool scan[JOBS];
bool to_read[JOBS];
bool all_outcomes = true;
bool seen[JOBS]; /* by the chunk's snapshot */
bool known_end[JOBS];
byte known_failed[JOBS];

/* What nobody but the properties looks at. */
byte handed_out[JOBS]; /* the number of the last attempt since the start */

bool crashed;
bool replaced;

#if QUEUES == 1
#define queue_of(j) 0
#define share ROOM
#else
#define queue_of(j) ((j) == 0 -> 0 : 1)
#define share 1
#endif
#define has_room(q) (free_entries > 0 && resident[q] < share)
#define is_claimable(j) (entry[j] == READY && (QUEUES == 1 || (j) == 0))

inline take_entry(j, state) {
  entry[j] = state;
  free_entries--;
  resident[queue_of(j)]++
}

inline release_entry(j) {
  entry[j] = NONE;
  attempt[j] = 0;
  recorded[j] = 0;
  free_entries++;
  resident[queue_of(j)]--
}

inline finish_entry(j) {
  if
#ifndef BROKEN_NO_TOMBSTONE
  :: chunk_active[queue_of(j)] -> entry[j] = TOMBSTONE
#endif
  :: else -> release_entry(j)
  fi
}

inline evict(j) {
#ifndef BROKEN_EVICT_UNMARKED
  dirty[j] = true;
#endif
  mode[queue_of(j)] = LOADING;
#ifdef BROKEN_EVICT_FREES
  release_entry(j)
#else
  finish_entry(j)
#endif
}

#ifdef BROKEN_EVICT_CHARGED
#define may_go(j) (entry[j] == READY)
#else
#define may_go(j) (entry[j] == READY && attempt[j] <= recorded[j])
#endif

/* --- who enqueues --- */

proctype Producer(byte j) {
  bool mine;
  {
#ifdef BROKEN_EARLY_MARK
    if
    :: mode[queue_of(j)] == LOADING -> dirty[j] = true
    :: else
    fi;
#endif
    atomic { /* PRE_COMMIT */
      if
      :: mode[queue_of(j)] != LOADING && has_room(queue_of(j)) ->
         take_entry(j, PENDING);
         mine = true
      :: mode[queue_of(j)] != LOADING && !has_room(queue_of(j)) -> mode[queue_of(j)] = LOADING
      :: else
      fi
    };
    if
    :: atomic { /* ABORT */
         true ->
         if
#ifndef BROKEN_NO_ABORT
         :: mine -> release_entry(j)
#endif
         :: else
         fi;
         mine = false
       }
    :: row[j] = true; /* others see it */
       atomic {       /* the callback */
         if
         :: mine -> entry[j] = READY
#ifdef BROKEN_LATE_LINK
         :: !mine && mode[queue_of(j)] == LIVE && entry[j] == NONE && has_room(queue_of(j)) ->
            take_entry(j, READY)
#endif
#if defined(BROKEN_LATE_DROP)
         :: !mine && mode[queue_of(j)] == LIVE
#elif defined(BROKEN_EARLY_MARK)
         :: !mine
#endif
         :: else ->
            dirty[j] = true;
            if
            :: mode[queue_of(j)] == LIVE -> mode[queue_of(j)] = HANDOVER
            :: else
            fi
         fi;
         mine = false
       }
    fi
  } unless { crashed -> mine = false }
}

/* --- who works --- */

inline hand_out(j) {
  must(no_phantom, row[j]);
  must(finished_stays, !ended[j]);
  entry[j] = LEASED;
  attempt[j]++;
  must(attempts_stay, attempt[j] == handed_out[j] + 1);
  handed_out[j] = attempt[j]
}

inline write_end(j) {
  must(one_end, !ended[j]);
  ended[j] = true
}

proctype Worker() {
  byte j;
  bool after;
end_again:
  {
end_idle:
    do
    :: atomic { is_claimable(0) -> j = 0; hand_out(0) };
       goto work
#if JOBS > 1
    :: atomic { is_claimable(1) -> j = 1; hand_out(1) };
       goto work
#endif
#if JOBS > 2 && QUEUES == 1
    :: atomic { is_claimable(2) -> j = 2; hand_out(2) };
       goto work
#endif
    od;
work:
    if
    :: entry[j] = COMPLETING;
       if
       :: write_end(j);
#ifdef BROKEN_ENTRY_FIRST
          atomic { finish_entry(j) };
          atomic { noted[j] = true; j = 0 }
#else
          noted[j] = true;
          atomic { finish_entry(j); j = 0 }
#endif
#ifdef FAILS
       :: attempt[j] < MOST_ATTEMPTS -> failed[j] = attempt[j];
          noted[j] = true;
          atomic { recorded[j] = attempt[j]; entry[j] = READY; j = 0 }
#endif
       :: entry[j] = LEASED; /* its transaction is rolled back */
          goto work
       fi
#ifdef CLAIMS_END
    :: atomic { attempt[j] < MOST_ATTEMPTS -> entry[j] = READY; j = 0 }
#endif
    fi;
    goto end_idle
  } unless { crashed && !after -> atomic { after = true; j = 0; goto end_again } }
}

/* --- who cancels job 0, wherever it is --- */

#ifdef CANCEL
proctype Canceller() {
  bool is_there;
  byte fails;
look:
  {
    atomic { /* in memory? */
      if
      :: entry[0] == READY -> entry[0] = COMPLETING; goto decide
      :: entry[0] == NONE || entry[0] == TOMBSTONE
      :: else -> goto done
      fi
    };
    d_step {
      is_there = row[0] && !ended[0];
      fails = failed[0]
    };
#ifdef BROKEN_NO_PLACEHOLDER
    if
    :: is_there -> write_end(0); noted[0] = true
    :: else
    fi;
    goto done;
#endif
    if
    :: !is_there -> goto done
    :: else
    fi;
    atomic {
      if
      :: entry[0] != NONE -> goto look
      :: entry[0] == NONE && has_room(0) -> take_entry(0, BUSY)
#if JOBS > 1
      :: entry[0] == NONE && !has_room(0) && may_go(1) ->
         evict(1);
         if
         :: has_room(0) -> take_entry(0, BUSY)
         :: else -> goto done
         fi
#endif
      :: else -> goto done
      fi
    };
#ifndef BROKEN_READ_ONCE
    d_step {
      is_there = row[0] && !ended[0];
      fails = failed[0]
    };
#endif
    if
    :: atomic { !is_there -> release_entry(0); goto done }
    :: atomic { release_entry(0); goto done } /* an error: the transaction drops it */
    :: atomic { is_there -> entry[0] = COMPLETING; attempt[0] = fails; recorded[0] = fails }
    fi;
decide:
    if
    :: write_end(0);
       noted[0] = true;
       atomic { finish_entry(0) }
    :: entry[0] = READY /* it is rolled back */
    fi;
done:
    skip
  } unless { crashed };
  d_step { is_there = false; fails = 0 }
}
#endif

/* --- the housekeeper --- */

inline begin_chunk(q) {
  d_step {
    chunk_active[q] = true;
    for (k : 0 .. JOBS - 1) {
      if
      :: queue_of(k) == q && dirty[k] -> dirty[k] = false; scan[k] = true
      :: else
      fi
    }
    k = 0
  };
  if
  :: mode[q] == LOADING && !whole[q] -> mode[q] = HANDOVER
  :: true /* far from the tail */
  fi
}

inline note_pages() {
  d_step {
    for (k : 0 .. JOBS - 1) {
      to_read[k] = to_read[k] || noted[k];
      noted[k] = false
    }
    k = 0
  }
}

inline take_snapshot() {
  for (k : 0 .. JOBS - 1) {
    seen[k] = row[k];
    if
    :: to_read[k] || all_outcomes ->
       known_end[k] = known_end[k] || ended[k];
       known_failed[k] = failed[k]
    :: else
    fi
  }
  k = 0
}

/* What may be read is read; the pages of a queue that is to be read whole are known now. */
inline read_outcomes() {
  for (k : 0 .. JOBS - 1) {
    to_read[k] = false;
    scan[k] = scan[k] || (whole[queue_of(k)] && chunk_active[queue_of(k)])
  }
  all_outcomes = false;
  for (k : 0 .. QUEUES - 1) {
    whole[k] = whole[k] && !chunk_active[k]
  }
  k = 0
}

inline link(j) {
  if
  :: !scan[j] || !chunk_active[queue_of(j)] || out_of_room[queue_of(j)]
  :: else ->
     if
     :: !seen[j] || known_end[j] -> scan[j] = false
     :: seen[j] && !known_end[j] && entry[j] == NONE && has_room(queue_of(j)) ->
        take_entry(j, READY);
        attempt[j] = known_failed[j];
        recorded[j] = known_failed[j];
        scan[j] = false
     :: seen[j] && !known_end[j] && entry[j] == NONE && !has_room(queue_of(j)) ->
        out_of_room[queue_of(j)] = true;
        left[queue_of(j)] = j
#ifndef BROKEN_BUSY_IS_RESIDENT
     :: seen[j] && !known_end[j] && entry[j] == BUSY /* its page is looked at again */
#endif
     :: else -> scan[j] = false
     fi
  fi
}

inline end_chunk(q) {
  d_step {
    chunk_active[q] = false;
    more = whole[q];
    for (k : 0 .. JOBS - 1) {
      more = more || (queue_of(k) == q && (scan[k] || dirty[k]))
    }
#ifdef BROKEN_TOMBSTONES_STAY
    if
    :: more -> chunk_active[q] = true
    :: else ->
#endif
    for (k : 0 .. JOBS - 1) {
      if
      :: queue_of(k) == q && entry[k] == TOMBSTONE -> release_entry(k)
      :: else
      fi
    }
#ifdef BROKEN_TOMBSTONES_STAY
    fi;
#endif
    if
    :: !more -> mode[q] = LIVE
    :: more && out_of_room[q] -> mode[q] = LOADING
    :: else
    fi;
    /* One that comes behind what found no room gives way. */
    for (k : 1 .. JOBS - 1) {
      if
      :: out_of_room[q] && !has_room(q) && queue_of(k) == q && k > left[q] && may_go(k) -> evict(k)
      :: else
      fi
    }
    k = 0;
    out_of_room[q] = false;
    left[q] = 0;
    more = false
  }
}

#if JOBS == 1
#define marked(q) (scan[0] || dirty[0])
#elif JOBS == 2
#define marked(q) (scan[0] || dirty[0] || scan[1] || dirty[1])
#elif QUEUES == 1
#define marked(q) (scan[0] || dirty[0] || scan[1] || dirty[1] || scan[2] || dirty[2])
#else
#define marked(q) ((q) == 0 -> scan[0] || dirty[0] : scan[1] || dirty[1] || scan[2] || dirty[2])
#endif
#define wants(q) (whole[q] || marked(q) || mode[q] != LIVE)
/* Without room what may overtake is read. */
#if JOBS == 2
#define overtakes (scan[0] || dirty[0]) && may_go(1)
#elif JOBS == 3 && QUEUES == 1
#define overtakes \
  ((scan[0] || dirty[0]) && (may_go(1) || may_go(2)) || (scan[1] || dirty[1]) && may_go(2))
#else
#define overtakes false
#endif
#define takes_part(q) (wants(q) && (whole[q] || has_room(q) || overtakes))
#define is_starved(q) (wants(q) && resident[q] < share && free_entries == 0)

proctype Loader() {
  byte k;
  byte left[QUEUES];
  bool more;
  bool after;
  bool after_end;
end_again:
  {
end_idle:
    do
#if QUEUES == 2
#ifndef BROKEN_NO_RELIEF
    :: atomic { is_starved(0) && resident[1] > share ->
         if
         :: may_go(2) -> evict(2)
         :: !may_go(2) && may_go(1) -> evict(1)
         fi
       }
#endif
    :: takes_part(0) || takes_part(1) ->
#else
    :: takes_part(0) ->
#endif
#ifdef BROKEN_SNAPSHOT_FIRST
       d_step { take_snapshot() };
#endif
#if QUEUES == 2
       if
       :: takes_part(0) -> begin_chunk(0)
       :: else
       fi;
       if
       :: takes_part(1) -> begin_chunk(1)
       :: else
       fi;
#else
       begin_chunk(0);
#endif
#ifdef BROKEN_PAGES_AFTER_SNAPSHOT
       d_step { take_snapshot() };
       note_pages();
       d_step { read_outcomes() };
#else
       note_pages();
#ifdef BROKEN_SNAPSHOT_FIRST
       d_step { read_outcomes() };
#else
       d_step { take_snapshot(); read_outcomes() };
#endif
#endif
       atomic { link(0) };
#if JOBS > 1
       atomic { link(1) };
#endif
#if JOBS > 2
       atomic { link(2) };
#endif
       d_step {
         for (k : 0 .. JOBS - 1) {
           seen[k] = false
         }
         k = 0
       };
#if QUEUES == 2
       if
       :: chunk_active[1] -> end_chunk(1)
       :: else
       fi;
       if
       :: chunk_active[0] -> end_chunk(0)
       :: else
       fi
#else
       end_chunk(0)
#endif
    od
  } unless {
    atomic {
      (crashed && !after) || (replaced && !after_end) ->
      /* A new housekeeper knows nothing; what is marked in memory it takes over. */
      after = crashed;
      after_end = replaced;
      more = false;
      for (k : 0 .. JOBS - 1) {
#ifdef BROKEN_PAGES_FORGOTTEN
        scan[k] = false;
#else
        scan[k] = false;
        whole[queue_of(k)] = true;
#endif
        seen[k] = false;
        to_read[k] = false;
        known_end[k] = false;
        known_failed[k] = 0;
        if
        :: entry[k] == TOMBSTONE -> release_entry(k)
        :: else
        fi
      }
      for (k : 0 .. QUEUES - 1) {
        mode[k] = LOADING;
        chunk_active[k] = false;
        out_of_room[k] = false;
        left[k] = 0
      }
#ifndef BROKEN_OUTCOMES_FORGOTTEN
      all_outcomes = true;
#endif
      k = 0;
      goto end_again
    }
  }
}

#ifdef CRASH
proctype Crash() {
  byte k;
  d_step {
    crashed = true;
    for (k : 0 .. JOBS - 1) {
      if
      :: entry[k] != NONE -> release_entry(k)
      :: else
      fi;
      dirty[k] = false;
      noted[k] = false;
      handed_out[k] = failed[k]
    }
    k = 0
  }
}
#endif

#ifdef REPLACE
proctype Replace() { replaced = true }
#endif

init {
  byte k;
  atomic {
    free_entries = ROOM;
    for (k : 0 .. JOBS - 1) {
      entry[k] = NONE;
      row[k] = k >= OLD
    }
#if QUEUES == 2
    for (k : 1 .. JOBS - 1) {
      take_entry(k, READY)
    }
#endif
    for (k : 0 .. QUEUES - 1) {
      mode[k] = (QUEUES == 2 && k == 1 -> LIVE : LOADING);
      whole[k] = mode[k] == LOADING
    }
    for (k : 0 .. OLD - 1) {
      run Producer(k)
    }
    k = 0;
    run Worker();
    run Worker();
    run Loader();
#ifdef CANCEL
    run Canceller();
#endif
#ifdef CRASH
    run Crash();
#endif
#ifdef REPLACE
    run Replace();
#endif
  }
  timeout;
  d_step {
    for (k : 0 .. JOBS - 1) {
      if
      :: QUEUES == 1 || k == 0 ->
         must(no_loss, !row[k] || ended[k]);
         must(no_leak, entry[k] == NONE);
         must(no_leak, mode[queue_of(k)] == LIVE || !has_room(queue_of(k)))
      :: else ->
         must(no_loss, entry[k] == READY || scan[k] || dirty[k])
      fi
    }
  }
}
