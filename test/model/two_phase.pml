/*
 * A prepared transaction: it completes job 0 and enqueues job 1, and is ended by somebody else, at
 * any time, also after a crash.
 *
 * Of src/core: transaction_prepare.cpp, watch.cpp, prepared_scan.cpp, loader.cpp, decide.cpp; of
 * src/store: taken_job.cpp; runtime/housekeeper_prepared.cpp, housekeeper_attach.cpp (the order of a
 * start). What an ordinary commit does is in loader.pml; that segments of a watch are not emptied is
 * not shown here, nor is the count of jobs.
 *
 * There is always room. Each job has a page of its own, and one for its outcomes.
 *
 * WORKERS workers, beside the client that prepares
 * CANCEL  somebody cancels job 0, wherever it is
 * MANY    somebody looks for all jobs in memory alone, as cancel_many does if the queue keeps all
 * CRASH   the server is killed once, between any two steps
 *
 *   correct  small  -DCANCEL -DMANY
 *   correct  small  -DCANCEL -DMANY -DCRASH -DWORKERS=2
 *   correct  large  -DCANCEL -DMANY -DCRASH -DWORKERS=3
 *
 *   broken  NO_WATCH            no_leak
 *   broken  DECIDED_AT_PREPARE  no_loss
 *   broken  MARK_AT_PREPARE     no_loss
 *   broken  NO_MARKS            no_loss
 *   broken  LIVE_KEEPS_ALL      all_resident   -DMANY
 *   broken  NO_SCAN             one_end        -DCRASH
 *   broken  OPEN_FIRST          one_end        -DCRASH -DCANCEL
 *   broken  SKIP_ONLY           one_end        -DCRASH -DCANCEL
 *   broken  NO_PAGES            finished_stays -DCRASH
 *   broken  ROLLBACK_UNMARKED   no_loss        -DCRASH
 */
#ifndef WORKERS
#define WORKERS 1
#endif
#define JOBS 2

#define must(name, condition) assert((condition) || name)
hidden byte no_loss;        /* a committed job is handed out until it has an end */
hidden byte no_phantom;     /* none is handed out whose enqueue has not committed */
hidden byte finished_stays; /* none is handed out that has an end in the log */
hidden byte one_end;        /* the log gets one end of a job */
hidden byte all_resident;   /* a queue that keeps all has each committed job in memory */
hidden byte no_leak;        /* in the end nothing is held */

mtype = { NONE, READY, LEASED, COMPLETING, BUSY, TOMBSTONE };
mtype = { LOADING, HANDOVER, LIVE };
mtype = { BEFORE, OPEN, PREPARED, COMMITTED, ABORTED };
mtype = { FREE, PREPARING, WATCHED, FOUND }; /* of the watch; FOUND: at a start */

/* The log. */
mtype transaction = BEFORE;
bool name_locked; /* by the process that prepares */
bool ended[JOBS]; /* by others than the transaction */

#define row(j) ((j) == 0 || transaction == COMMITTED)
#define is_ended(j) (ended[j] || (j) == 0 && transaction == COMMITTED)

/* Shared memory. */
bool is_open; /* the database: nothing is claimed or decided before */
mtype entry[JOBS];
bool lease_is_its; /* of job 0, the transaction's client's */
bool dirty[JOBS];
bool noted[JOBS];
mtype mode = LOADING;
bool chunk_active;
mtype watch = FREE;

/* The housekeeper's. */
bool whole = true;
bool all_outcomes = true;
bool scan[JOBS];
bool seen[JOBS];
bool known_end[JOBS];
bool skip_found; /* of the variant that only skips what a start has found */

bool crashed;

inline finish_entry(j) { entry[j] = (chunk_active -> TOMBSTONE : NONE) }

inline mark(j) {
  dirty[j] = true;
  mode = (mode == LIVE -> HANDOVER : mode)
}

inline hand_out(j) {
  must(no_phantom, row(j));
  must(finished_stays, !is_ended(j));
  entry[j] = LEASED
}

inline write_end(j) {
  must(one_end, !is_ended(j));
  ended[j] = true
}

/* --- the transaction --- */

proctype Client() {
end_idle:
  {
    atomic { entry[0] == READY && is_open -> hand_out(0); lease_is_its = true };
    atomic {
      if
      :: entry[0] == LEASED && lease_is_its -> entry[0] = COMPLETING; transaction = OPEN
      :: else -> goto done /* its lease is over */
      fi
    };
    if
    :: atomic { transaction = ABORTED; entry[0] = LEASED }
    :: watch = PREPARING;
       if
       :: atomic { transaction = ABORTED; watch = FREE; entry[0] = LEASED } /* an error */
       :: atomic { transaction = PREPARED; name_locked = true };
          atomic {
#ifdef BROKEN_NO_WATCH
            watch = FREE;
#else
            watch = WATCHED;
#endif
#ifdef BROKEN_MARK_AT_PREPARE
            mark(1);
#endif
#ifdef BROKEN_DECIDED_AT_PREPARE
            finish_entry(0);
#endif
            name_locked = false
          }
       fi
    fi;
done:
    skip
  } unless { crashed }
}

/* COMMIT PREPARED, ROLLBACK PREPARED: no callback of ours runs there. */
proctype Ender() {
end_idle:
  atomic {
    transaction == PREPARED && !name_locked ->
    if
    :: transaction = COMMITTED; must(one_end, !ended[0])
    :: transaction = ABORTED
    fi
  }
}

/* --- others --- */

proctype Worker() {
  byte j;
  bool after;
end_again:
  {
end_idle:
    do
    :: atomic { entry[0] == READY && is_open -> hand_out(0); j = 0 };
       goto work
    :: atomic { entry[1] == READY && is_open -> hand_out(1); j = 1 };
       goto work
    od;
work:
    if
    :: entry[j] = COMPLETING;
       write_end(j);
       noted[j] = true;
       atomic { finish_entry(j); j = 0 }
    :: atomic { entry[j] = READY; j = 0 }
    fi;
    goto end_idle
  } unless { atomic { crashed && !after -> after = true; j = 0; goto end_again } }
}

#ifdef CANCEL
proctype Canceller() {
  bool is_there;
  bool after;
end_again:
  {
    is_open;
look:
    atomic {
      if
      :: entry[0] == READY -> entry[0] = COMPLETING; goto decide
      :: entry[0] == NONE || entry[0] == TOMBSTONE
      :: else -> goto done /* in doubt, or somebody works on it */
      fi
    };
    if
    :: is_ended(0) -> goto done
    :: else
    fi;
    atomic {
      if
      :: entry[0] == NONE -> entry[0] = BUSY
      :: else -> goto look
      fi
    };
    is_there = !is_ended(0);
    if
    :: atomic { !is_there -> entry[0] = NONE; goto done }
    :: atomic { is_there -> entry[0] = COMPLETING }
    fi;
decide:
    if
    :: write_end(0);
       noted[0] = true;
       atomic { finish_entry(0) }
    :: entry[0] = READY
    fi;
done:
    skip
  } unless { atomic { crashed && !after -> after = true; is_there = false; goto end_again } };
  is_there = false
}
#endif

#ifdef MANY
#ifdef BROKEN_LIVE_KEEPS_ALL
#define keeps_all (mode == LIVE)
#else
#define keeps_all (mode == LIVE && watch == FREE)
#endif

proctype Many() {
end_idle:
  d_step {
    is_open && keeps_all ->
    must(all_resident, is_ended(0) || entry[0] != NONE && entry[0] != TOMBSTONE);
    must(all_resident, !row(1) || is_ended(1) || entry[1] != NONE && entry[1] != TOMBSTONE)
  }
}
#endif

/* --- the housekeeper --- */

/* In the order of a callback: pages of outcomes, entries, jobs. */
inline finish_watch() {
#ifndef BROKEN_NO_PAGES
  noted[0] = noted[0] || transaction == COMMITTED;
#endif
  if
  :: entry[0] != COMPLETING /* never: what a watch decides stays so */
  :: entry[0] == COMPLETING && (transaction == COMMITTED || watch == FOUND) -> finish_entry(0)
  :: entry[0] == COMPLETING && transaction == ABORTED && watch != FOUND -> entry[0] = LEASED
  fi;
#if !defined(BROKEN_NO_MARKS) && !defined(BROKEN_MARK_AT_PREPARE)
  if
  :: transaction == COMMITTED -> mark(1)
  :: else
  fi;
#endif
#ifndef BROKEN_ROLLBACK_UNMARKED
  if
  :: watch == FOUND -> mark(0); mark(1)
  :: else
  fi;
#endif
  watch = FREE
}

inline link(j) {
  scan[j] = scan[j] && seen[j] && !known_end[j] && entry[j] == BUSY;
  entry[j] = (was_read[j] && seen[j] && !known_end[j] && entry[j] == NONE &&
              !(j == 0 && skip_found) -> READY : entry[j]);
  was_read[j] = false
}

proctype Housekeeper() {
  byte k;
  bool is_prepared;
  bool was_read[JOBS];
  bool after;
end_again:
  {
    /* A start. */
#if defined(BROKEN_OPEN_FIRST)
    is_open = true;
#endif
#ifndef BROKEN_NO_SCAN
    is_prepared = transaction == PREPARED && watch == FREE;
    atomic { /* its rows are read, and what they decide is held */
      if
#ifdef BROKEN_SKIP_ONLY
      :: is_prepared -> watch = FOUND; skip_found = true
#else
      :: is_prepared && (entry[0] == NONE || entry[0] == COMPLETING) ->
         entry[0] = COMPLETING;
         watch = FOUND
#endif
      :: else
      fi;
      is_prepared = false
    };
#endif
    is_open = true;

end_idle:
    do
    :: atomic {
         (watch == WATCHED || watch == FOUND) &&
         (transaction == COMMITTED || transaction == ABORTED) ->
#ifdef BROKEN_SKIP_ONLY
         skip_found = false;
         if
         :: watch == FOUND && entry[0] != COMPLETING ->
            noted[0] = transaction == COMMITTED;
            mark(0);
            mark(1);
            watch = FREE
         :: else -> finish_watch()
         fi
#else
         finish_watch()
#endif
       }
    :: atomic { entry[0] == LEASED && lease_is_its -> entry[0] = READY; lease_is_its = false }
    :: whole || scan[0] || scan[1] || dirty[0] || dirty[1] || mode != LIVE ->
       d_step {
         chunk_active = true;
         for (k : 0 .. JOBS - 1) {
           scan[k] = scan[k] || dirty[k];
           dirty[k] = false
         }
         k = 0;
         mode = (mode == LOADING && !whole -> HANDOVER : mode)
       };
       d_step {
         for (k : 0 .. JOBS - 1) {
           was_read[k] = noted[k] || all_outcomes;
           noted[k] = false
         }
         k = 0
       };
       d_step { /* the snapshot, and what it sees of the pages */
         for (k : 0 .. JOBS - 1) {
           seen[k] = row(k);
           known_end[k] = known_end[k] || was_read[k] && is_ended(k);
           scan[k] = scan[k] || whole;
           was_read[k] = scan[k]
         }
         k = 0;
         whole = false;
         all_outcomes = false
       };
       d_step { link(0) };
       d_step { link(1) };
       d_step {
         for (k : 0 .. JOBS - 1) {
           entry[k] = (entry[k] == TOMBSTONE -> NONE : entry[k]);
           seen[k] = false
         }
         k = 0;
         chunk_active = false;
         mode = (scan[0] || scan[1] || dirty[0] || dirty[1] -> mode : LIVE)
       }
    od
  } unless {
    atomic {
      crashed && !after ->
      after = true;
      is_prepared = false;
      for (k : 0 .. JOBS - 1) {
        was_read[k] = false;
        seen[k] = false;
        scan[k] = false;
        known_end[k] = false
      }
      k = 0;
      whole = true;
      all_outcomes = true;
      goto end_again
    }
  }
}

#ifdef CRASH
proctype Crash() {
  byte k;
  d_step {
    crashed = true;
    transaction = (transaction == OPEN -> ABORTED : transaction);
    name_locked = false;
    is_open = false;
    lease_is_its = false;
    mode = LOADING;
    chunk_active = false;
    watch = FREE;
    for (k : 0 .. JOBS - 1) {
      entry[k] = NONE;
      dirty[k] = false;
      noted[k] = false
    }
    k = 0
  }
}
#endif

init {
  byte k;
  atomic {
    for (k : 0 .. JOBS - 1) {
      entry[k] = NONE
    }
    run Client();
    run Ender();
    for (k : 1 .. WORKERS) {
      run Worker()
    }
    k = 0;
    run Housekeeper();
#ifdef CANCEL
    run Canceller();
#endif
#ifdef MANY
    run Many();
#endif
#ifdef CRASH
    run Crash();
#endif
  }
  timeout;
  must(no_leak, watch == FREE);
  must(no_leak, entry[0] != COMPLETING && entry[0] != LEASED);
  must(no_loss, is_ended(0));
  must(no_loss, !row(1) || is_ended(1));
  must(no_leak, entry[0] == NONE && entry[1] == NONE)
}
