/*
 * The ring of segments: one is begun, left, drained and emptied, beside enqueues that stop anywhere,
 * workers, jobs that are moved to parked, a dump, and a crash.
 *
 * Of src/core: ring.cpp, rotation.cpp, drain_check.cpp, job_ids.cpp; of src/store: relocation.cpp,
 * segment_tables.cpp, taken_job.cpp, job_log.cpp (lock_segment); runtime/housekeeper_rotation.cpp.
 *
 * Two segments. A job has its row in one of them, or in parked, or moved from one to the other, and
 * its outcome where its entry says that the row is. Loading is one step here: loader.pml is about
 * that, and the housekeeper does nothing else meanwhile. Retention is over at once, and a dump may
 * last for any time (truncate_grace never passes).
 *
 * WRITERS   sessions that enqueue a job each; one more job is in the first segment at the start
 * BEGINS    how often a segment is begun
 * DUMP      a dump takes its snapshot, and looks at the tables later
 * CRASH     the server is killed once, between any two steps
 *
 *   correct  small  -DWRITERS=1 -DBEGINS=2 -DDUMP
 *   correct  small  -DWRITERS=1 -DBEGINS=2 -DCRASH
 *   correct  small  -DWRITERS=2 -DBEGINS=1
 *   correct  large  -DWRITERS=2 -DBEGINS=2 -DCRASH
 *   correct  large  -DWRITERS=2 -DBEGINS=2 -DDUMP
 *   correct  large  -DWRITERS=1 -DBEGINS=3 -DDUMP -DCRASH
 *
 *   broken  STATE_FIRST    found_by_id    -DWRITERS=1 -DBEGINS=2
 *   broken  ANY_ID         found_by_id    -DWRITERS=1 -DBEGINS=1
 *   broken  NO_QUIET       no_loss        -DWRITERS=1 -DBEGINS=1
 *   broken  TRUST_MEMORY   no_loss        -DWRITERS=1 -DBEGINS=1
 *   broken  MOVE_UNTAKEN   final          -DWRITERS=0 -DBEGINS=1
 *   broken  OLD_ADDRESS    final          -DWRITERS=0 -DBEGINS=1
 *   broken  NOT_MARKED     one_place      -DWRITERS=0 -DBEGINS=1
 *   broken  ANY_SNAPSHOT   found_by_dump  -DWRITERS=0 -DBEGINS=1 -DDUMP
 *   broken  PUBLISH_FIRST  found_by_id    -DWRITERS=1 -DBEGINS=1 -DCRASH
 */
#define JOBS (WRITERS + 1)
#define BLOCK 2 /* ids of a block */
#define NEVER 255

#define must(name, condition) assert((condition) || name)
hidden byte no_loss;       /* a committed job without an end has a row without one */
hidden byte final;         /* one that has an end is not to be had from the log again */
hidden byte one_place;     /* the log has it as unfinished in one place */
hidden byte found_by_id;   /* in the segment of its id, or in parked */
hidden byte found_by_dump; /* a snapshot that sees it as unfinished finds its row */
hidden byte handed_out;    /* in the end each has been handed out and finished */

mtype = { EMPTY, OPEN, QUIET };
mtype = { NONE, READY, LEASED, COMPLETING };

/* The log. */
byte first_on_disk[2];
byte slot[JOBS]; /* the segment it was written to */
bool in_segment[JOBS];
bool in_parked[JOBS];
bool ended_in_segment[JOBS];
bool ended_in_parked[JOBS];
bool moved[JOBS];

/* What is so, for the properties. */
bool committed[JOBS];
bool done[JOBS];

/* Locks of tables: writers of jobs, writers of outcomes, whoever truncates. */
byte jobs_locked[2];
byte outcomes_locked[2];
bool truncating[2];

/* Shared memory. */
mtype segment_state[2];
byte first_id[2];
byte current;
byte next_id;
byte block_end;
byte id[JOBS];
mtype entry[JOBS];
bool entry_parked[JOBS]; /* where it says that the row is */

bool dump_is_open;
bool dump_is_older; /* than what the housekeeper wants to empty */
bool gone[JOBS];    /* truncated since its snapshot */

bool crashed;

#define live_in_segment(j) (in_segment[j] && !ended_in_segment[j] && !moved[j])
#define live_in_parked(j) (in_parked[j] && !ended_in_parked[j])
#define is_live(j) (live_in_segment(j) || live_in_parked(j))

/* The one with the highest first id that is not above it. */
#define has(s, i) (first_id[s] != NEVER && first_id[s] <= (i))
#define segment_of(i) (has(0, i) && (!has(1, i) || first_id[0] > first_id[1]) -> 0 : 1)
#define may_write(i) ((has(0, i) || has(1, i)) && segment_state[segment_of(i)] == OPEN)

/* Whatever of this fails in some state fails after a crash there. */
inline check_log() {
  d_step {
    for (k : 0 .. JOBS - 1) {
      must(no_loss, !committed[k] || done[k] || is_live(k));
      must(final, !done[k] || !is_live(k));
      must(one_place, !live_in_segment(k) || !live_in_parked(k));
      must(found_by_id, !committed[k] || done[k] || !live_in_segment(k) ||
                        ((has(0, id[k]) || has(1, id[k])) && segment_of(id[k]) == slot[k]))
    }
    k = 0
  }
}

/* --- who enqueues --- */

proctype Writer(byte j) {
  byte s;
  bool parked;
  byte k;
  {
    atomic {
      if
      :: next_id == block_end -> block_end = block_end + BLOCK
      :: else
      fi;
      id[j] = next_id;
      next_id++
    };
choose:
    atomic {
      if
      :: may_write(id[j]) -> s = segment_of(id[j])
      :: else -> parked = true
      fi
    };
    if
    :: parked
    :: else ->
       atomic { !truncating[s] -> jobs_locked[s]++ };
#ifndef BROKEN_STATE_FIRST
       atomic {
         if
         :: may_write(id[j]) && segment_of(id[j]) == s
         :: else -> jobs_locked[s]--; goto choose
         fi
       }
#endif
    fi;
    if
    :: skip /* rolled back */
    :: atomic {
         true ->
         if
         :: parked -> in_parked[j] = true
         :: else -> in_segment[j] = true; slot[j] = s
         fi;
         committed[j] = true
       };
       check_log()
    fi;
    atomic { /* the callback, which leaves the rest to the loader; locks go after it */
      if
      :: parked
      :: else -> jobs_locked[s]--
      fi;
      s = 0;
      parked = false
    }
  } unless { crashed };
  d_step { s = 0; parked = false; k = 0 }
}

/* --- who works --- */

#define is_claimable(j) (j < JOBS && entry[j] == READY)

proctype Worker() {
  byte j;
  byte k;
  bool parked;
  bool after;
end_again:
  {
end_idle:
    do
    :: atomic { entry[0] == READY -> entry[0] = LEASED; j = 0 };
       goto work
#if WRITERS > 0
    :: atomic { entry[1] == READY -> entry[1] = LEASED; j = 1 };
       goto work
#endif
#if WRITERS > 1
    :: atomic { entry[2] == READY -> entry[2] = LEASED; j = 2 };
       goto work
#endif
    od;
work:
    atomic { entry[j] = COMPLETING; parked = entry_parked[j] };
    if
    :: parked
    :: else -> atomic { !truncating[slot[j]] -> outcomes_locked[slot[j]]++ }
    fi;
    if
    :: atomic {
         true ->
         if
         :: parked -> ended_in_parked[j] = true
         :: else -> ended_in_segment[j] = true
         fi;
         done[j] = true
       };
       check_log();
       atomic { entry[j] = NONE; entry_parked[j] = false }
    :: entry[j] = READY /* its failure is not recorded here; who rolls back gives it back, too */
    fi;
    atomic {
      if
      :: parked
      :: else -> outcomes_locked[slot[j]]--
      fi;
      parked = false;
      j = 0
    };
    goto end_idle
  } unless {
    atomic { crashed && !after -> after = true; parked = false; j = 0; k = 0; goto end_again }
  }
}

/* --- a dump --- */

#ifdef DUMP
proctype Dump() {
  bool wanted[JOBS];
  byte k;
  d_step {
    for (k : 0 .. JOBS - 1) {
      wanted[k] = live_in_segment(k)
    }
    dump_is_open = true;
    k = 0
  };
  d_step {
    for (k : 0 .. JOBS - 1) {
      must(found_by_dump, !wanted[k] || !gone[k]);
      wanted[k] = false;
      gone[k] = false
    }
    dump_is_open = false;
    dump_is_older = false;
    k = 0
  }
}
#endif

/* --- the housekeeper --- */

inline load() {
  for (k : 0 .. JOBS - 1) {
    if
    :: entry[k] == NONE && is_live(k) -> entry[k] = READY; entry_parked[k] = !live_in_segment(k)
    :: else
    fi
  }
  k = 0
}

#if WRITERS == 0
#define something_to_load (entry[0] == NONE && is_live(0))
#elif WRITERS == 1
#define something_to_load (entry[0] == NONE && is_live(0) || entry[1] == NONE && is_live(1))
#else
#define something_to_load                                                                     \
  (entry[0] == NONE && is_live(0) || entry[1] == NONE && is_live(1) ||                        \
   entry[2] == NONE && is_live(2))
#endif

#define other (1 - current)
#define is_drained (stage == CHECKED && !left[0] && (JOBS < 2 || !left[1]) && (JOBS < 3 || !left[2]))

mtype = { UNKNOWN, CHECKED, DRAINED };

proctype Housekeeper() {
  byte k;
  byte s;
  byte first;
  byte begun;
  mtype stage = UNKNOWN; /* of the segment that is not the current one */
  bool seen_end[JOBS];
  bool left[JOBS];
  bool after;
end_again:
  {
end_idle:
    do
    :: atomic { something_to_load -> load() }

    /* --- the next segment --- */
    :: begun < BEGINS && segment_state[other] == EMPTY ->
       s = other;
again_begin:
#ifdef BROKEN_ANY_ID
       first = next_id;
#else
       first = block_end + BLOCK;
#endif
#ifdef BROKEN_PUBLISH_FIRST
       atomic {
         if
         :: block_end <= first -> segment_state[s] = OPEN; first_id[s] = first; current = s
         :: else -> goto again_begin
         fi
       };
#else
       first_on_disk[s] = first;
       atomic {
         if
#ifdef BROKEN_ANY_ID
         :: true ->
#else
         :: block_end <= first ->
#endif
            segment_state[s] = OPEN;
            first_id[s] = first;
            current = s;
            check_log()
#ifndef BROKEN_ANY_ID
         :: else -> goto again_begin
#endif
         fi
       };
#endif
       atomic { /* ids up to there are used up */
         if
         :: next_id < first -> next_id = first; block_end = first + BLOCK
         :: else
         fi
       };
#ifdef BROKEN_PUBLISH_FIRST
       first_on_disk[s] = first;
#endif
       atomic { begun++; first = 0; stage = UNKNOWN; s = 0 }

    /* --- the one that was left --- */
#ifndef BROKEN_NO_QUIET
    :: atomic {
         segment_state[other] == OPEN && jobs_locked[other] == 0 -> segment_state[other] = QUIET
       }
    :: atomic { segment_state[other] == QUIET && stage == UNKNOWN -> s = other };
#else
    :: atomic { segment_state[other] == OPEN && stage == UNKNOWN -> s = other };
#endif
#ifndef BROKEN_TRUST_MEMORY
       d_step { /* outcomes first */
         for (k : 0 .. JOBS - 1) {
           seen_end[k] = ended_in_segment[k] || moved[k]
         }
         k = 0
       };
       d_step { /* then rows */
         for (k : 0 .. JOBS - 1) {
           left[k] = in_segment[k] && slot[k] == s && !seen_end[k];
           seen_end[k] = false
         }
         k = 0;
         s = 0;
         stage = CHECKED
       }
#else
       d_step {
         for (k : 0 .. JOBS - 1) {
           left[k] = entry[k] != NONE && !entry_parked[k] && slot[k] == s
         }
         k = 0;
         s = 0;
         stage = CHECKED
       }
#endif
    :: stage == CHECKED && left[0] -> k = 0; goto move
#if WRITERS > 0
    :: stage == CHECKED && left[1] -> k = 1; goto move
#endif
#if WRITERS > 1
    :: stage == CHECKED && left[2] -> k = 2; goto move
#endif
    :: atomic { is_drained -> stage = DRAINED; dump_is_older = dump_is_open }
#ifdef BROKEN_ANY_SNAPSHOT
    :: stage == DRAINED && segment_state[other] != EMPTY ->
#else
    :: stage == DRAINED && !dump_is_older && segment_state[other] != EMPTY ->
#endif
       s = other;
       goto truncate
    od;

    /* --- an unfinished job goes to parked --- */
move:
    atomic {
      if
#ifdef BROKEN_MOVE_UNTAKEN
      :: entry[k] != NONE
#else
      :: entry[k] == READY && !entry_parked[k] -> entry[k] = COMPLETING
#endif
      :: entry[k] == NONE && live_in_segment(k) -> entry[k] = COMPLETING /* by a placeholder */
      :: entry[k] == READY && entry_parked[k] || entry[k] == NONE && !live_in_segment(k) ->
         left[k] = false; /* finished, or moved before */
         k = 0;
         goto end_idle
#ifndef BROKEN_MOVE_UNTAKEN
      :: else -> k = 0; goto end_idle /* somebody holds it: later */
#endif
      fi
    };
    if
    :: atomic {
         in_parked[k] = true;
#ifndef BROKEN_NOT_MARKED
         moved[k] = true;
#endif
         first = k /* check_log() counts with k */
       };
       check_log();
       atomic {
         k = first;
         first = 0;
#ifndef BROKEN_OLD_ADDRESS
         entry_parked[k] = true;
#endif
#ifdef BROKEN_MOVE_UNTAKEN
         if
         :: entry[k] == NONE -> entry_parked[k] = false
         :: else
         fi;
#else
         entry[k] = READY;
#endif
         left[k] = false
       }
    :: entry[k] = READY /* rolled back */
    fi;
    k = 0;
    goto end_idle;

truncate:
    atomic {
      if
      :: jobs_locked[s] == 0 && outcomes_locked[s] == 0 -> truncating[s] = true
      :: else -> s = 0; goto end_idle
      fi
    };
    if
    :: d_step {
         for (k : 0 .. JOBS - 1) {
           if
           :: in_segment[k] && slot[k] == s ->
              in_segment[k] = false;
              ended_in_segment[k] = false;
              moved[k] = false;
              gone[k] = dump_is_open
           :: else
           fi
         }
         k = 0;
         first_on_disk[s] = NEVER
       };
       check_log();
       atomic { segment_state[s] = EMPTY; first_id[s] = NEVER; stage = UNKNOWN }
    :: skip /* rolled back */
    fi;
    atomic { truncating[s] = false; s = 0 };
    goto end_idle
  } unless {
    atomic {
      crashed && !after ->
      after = true;
      for (k : 0 .. JOBS - 1) {
        seen_end[k] = false;
        left[k] = false
      }
      k = 0;
      s = 0;
      first = 0;
      stage = UNKNOWN;
      goto end_again
    }
  }
}

#ifdef CRASH
#define has_rows(s)                                                                            \
  (in_segment[0] && slot[0] == s || JOBS > 1 && in_segment[JOBS - 1] && slot[JOBS - 1] == s || \
   JOBS > 2 && in_segment[1] && slot[1] == s)

proctype Crash() {
  byte k;
  d_step {
    crashed = true;
    for (k : 0 .. JOBS - 1) {
      entry[k] = NONE;
      entry_parked[k] = false
    }
    /* The last one was announced and is not in use yet: it is forgotten. */
    if
    :: first_on_disk[0] != NEVER && first_on_disk[1] != NEVER ->
       k = (first_on_disk[0] > first_on_disk[1] -> 0 : 1);
       if
       :: !has_rows(k) -> first_on_disk[k] = NEVER
       :: else
       fi
    :: else
    fi;
    for (k : 0 .. 1) {
      jobs_locked[k] = 0;
      outcomes_locked[k] = 0;
      truncating[k] = false;
      first_id[k] = first_on_disk[k];
      segment_state[k] = (first_on_disk[k] == NEVER -> EMPTY : OPEN)
    }
    current = (segment_state[0] == EMPTY || segment_state[1] == OPEN && first_id[1] > first_id[0] -> 1 : 0);
    next_id = block_end; /* what is left of a block is lost */
    k = 0
  };
  check_log()
}
#endif

init {
  byte k;
  atomic {
    for (k : 0 .. JOBS - 1) {
      entry[k] = NONE
    }
    segment_state[0] = OPEN;
    segment_state[1] = EMPTY;
    first_id[1] = NEVER;
    first_on_disk[1] = NEVER;
    in_segment[0] = true;
    committed[0] = true;
    next_id = 1;
    block_end = BLOCK;
#if WRITERS > 0
    for (k : 1 .. WRITERS) {
      run Writer(k)
    }
#endif
    run Worker();
    run Housekeeper();
#ifdef DUMP
    run Dump();
#endif
#ifdef CRASH
    run Crash();
#endif
  }
  timeout;
  d_step {
    for (k : 0 .. JOBS - 1) {
      must(handed_out, !committed[k] || done[k])
    }
  }
}
