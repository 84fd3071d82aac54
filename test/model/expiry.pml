/*
 * The end of a lease: the sweep beside renewals, completions, failures, a cancel, a claim that is
 * rolled back, jobs that expire, and a crash.
 *
 * Of src/core: sweeper.cpp, lease.cpp (claim, extend, the end of a claim), decide.cpp, loader.cpp
 * (take_over). One entry, which the jobs have one after the other: what a reference was to may
 * long be another one. Clients outlive the server; their open transactions do not.
 *
 * JOBS      jobs; each has two attempts
 * CLIENTS   clients; each claims, works and calls, or dies
 * CANCEL    somebody cancels a job, held or not; EXPIRES: jobs expire while they wait
 * ROLLBACK  the transaction of a claim stays open, and may be rolled back much later
 * NO_RENEWAL  nobody extends a lease
 * CRASH     the server is killed once; REPLACE: the housekeeper ends once
 *
 *   correct  small  -DJOBS=1 -DCLIENTS=2 -DCANCEL -DEXPIRES
 *   correct  small  -DJOBS=2 -DCLIENTS=2 -DROLLBACK
 *   correct  small  -DJOBS=1 -DCLIENTS=2 -DCRASH -DREPLACE
 *   correct  large  -DJOBS=2 -DCLIENTS=2 -DCANCEL -DEXPIRES -DROLLBACK
 *   correct  large  -DJOBS=2 -DCLIENTS=2 -DCRASH -DREPLACE -DCANCEL
 *   correct  large  -DJOBS=1 -DCLIENTS=3 -DCANCEL -DEXPIRES -DROLLBACK -DREPLACE
 *
 *   broken  NO_STATE        one_record     -DJOBS=1 -DCLIENTS=1 -DNO_RENEWAL
 *   broken  NO_RECHECK      renewed_stays  -DJOBS=1 -DCLIENTS=1
 *   broken  RENEW_LATE      renewed_stays  -DJOBS=1 -DCLIENTS=1
 *   broken  ANY_TOKEN       one_record     -DJOBS=1 -DCLIENTS=2
 *   broken  SWEEP_DECIDED   one_record     -DJOBS=1 -DCLIENTS=1
 *   broken  CANCEL_SWEPT    one_record     -DJOBS=1 -DCLIENTS=1 -DCANCEL
 *   broken  OLD_TOKEN       one_record     -DJOBS=1 -DCLIENTS=1 -DEXPIRES
 *   broken  UNDO_BY_ENTRY   own_lease      -DJOBS=2 -DCLIENTS=1 -DROLLBACK
 *   broken  TOKENS_RESTART  one_record     -DJOBS=1 -DCLIENTS=2 -DCRASH
 *   broken  INTERRUPTED     one_record     -DJOBS=1 -DCLIENTS=1 -DREPLACE
 *   broken  NO_TAKE_OVER    no_loss        -DJOBS=1 -DCLIENTS=1 -DREPLACE
 */
#define MOST_ATTEMPTS 2
#define TOKENS 12

#define must(name, condition) assert((condition) || name)
hidden byte no_loss;        /* a job is handed out until it has an end */
hidden byte finished_stays; /* none is handed out that has an end in the log */
hidden byte one_end;        /* the log gets one end of a job */
hidden byte one_record;     /* the log gets one record under a token */
hidden byte renewed_stays;  /* a lease that was renewed does not end by its old deadline */
hidden byte own_lease;      /* who takes a claim back ends the lease of that claim */

mtype = { NONE, READY, LEASED, COMPLETING, EXPIRING, OVERDUE, CANCELLED };

/* The log. */
bool ended[JOBS];
byte failed[JOBS];      /* attempts recorded as failed */
bool written[TOKENS];   /* there is a record under this token */

/* The entry. */
mtype state = NONE;
byte job;
byte token;
byte attempt;
byte incarnation;
bool is_held; /* by a worker */
bool is_late; /* its deadline has passed */

byte next_token = 1;
bool crashed;

#ifdef ROLLBACK
/* What the open transaction has noted of its claim. */
byte open_token;
byte open_incarnation;
#endif

inline draw(t) {
  t = next_token;
  next_token++;
  assert(next_token < TOKENS)
}

inline write_record(t) {
  must(one_record, !written[t]);
  written[t] = true
}

inline write_end(j, t) {
  write_record(t);
  must(one_end, !ended[j]);
  ended[j] = true
}

inline finish_entry() {
  state = NONE;
  is_held = false;
  is_late = false;
  attempt = 0;
  token = 0;
  incarnation++
}

inline make_waiting() {
  state = READY;
  is_held = false;
  is_late = false
}

/* --- the holder --- */

#ifdef BROKEN_ANY_TOKEN
#define is_current(j, t) (job == j)
#else
#define is_current(j, t) (job == j && token == t)
#endif
#define is_mine(t, i) (state == COMPLETING && token == t && incarnation == i)

#ifdef BROKEN_RENEW_LATE
#define may_renew (state == LEASED || state == COMPLETING || state == EXPIRING)
#else
#define may_renew (state == LEASED || state == COMPLETING && is_held)
#endif

proctype Client() {
  byte j;
  byte t;
  byte i;
  bool renewed;
  bool after;
end_idle:
  do
  :: atomic {
       state == READY ->
       must(finished_stays, !ended[job]);
       draw(token);
       state = LEASED;
       attempt++;
       is_held = true;
       is_late = false;
       j = job;
       t = token
#ifdef ROLLBACK
       ;
       if
       :: open_token == 0 -> open_token = t; open_incarnation = incarnation
       :: true
       fi
#endif
     };
     do
#ifndef NO_RENEWAL
     :: atomic { /* extend_lease, heartbeat */
          !renewed && may_renew && is_current(j, t) -> is_late = false; renewed = true
        }
#endif
     :: atomic {
          true ->
          if
          :: state == LEASED && is_current(j, t) -> state = COMPLETING; i = incarnation; after = crashed
          :: else -> break /* stale: it gives up */
          fi
        };
        {
          if
          :: atomic { write_end(j, t) };
             atomic {
               if
               :: is_mine(t, i) -> finish_entry()
               :: else /* never: nothing but a crash ends a decision */
               fi
             };
             break
          :: attempt < MOST_ATTEMPTS ->
             atomic { write_record(t); failed[j] = attempt };
             atomic {
               if
               :: is_mine(t, i) -> make_waiting()
               :: else /* never */
               fi
             };
             break
          :: atomic { /* rolled back */
               true ->
               if
               :: is_mine(t, i) -> state = LEASED
               :: else /* never */
               fi
             }
          fi
        } unless { crashed && !after -> after = true }
     :: break /* it dies */
     od;
     atomic {
       j = 0;
       t = 0;
       i = 0;
       renewed = false;
       after = false
     }
  od
}

/* --- the transaction of a claim, rolled back at some time --- */

#ifdef ROLLBACK
proctype Rollback() {
end_idle:
  do
  :: atomic {
       open_token != 0 ->
       if
#ifdef BROKEN_UNDO_BY_ENTRY
       :: state == LEASED ->
#else
       :: state == LEASED && token == open_token && incarnation == open_incarnation ->
#endif
          must(own_lease, token == open_token && incarnation == open_incarnation);
          if
          :: attempt < MOST_ATTEMPTS -> make_waiting()
          :: else -> state = OVERDUE; is_held = false
          fi
       :: true /* it commits, or the lease is another's by now */
       fi;
       open_token = 0;
       open_incarnation = 0
     }
  od
}
#endif

/* --- who cancels --- */

#ifdef CANCEL
proctype Canceller() {
  byte t;
  byte j;
  bool was_leased;
  {
    atomic {
      if
#ifdef BROKEN_CANCEL_SWEPT
      :: state == EXPIRING -> was_leased = true
#endif
      :: state == LEASED -> was_leased = true
      :: state == READY -> draw(token)
      :: else -> goto done
      fi;
      t = token;
      j = job;
      state = COMPLETING
    };
    if
    :: atomic { write_end(j, t) };
       atomic {
         if
         :: is_held -> state = CANCELLED /* the holder is still to be told */
         :: else -> finish_entry()
         fi
       }
    :: atomic { /* rolled back */
         true ->
         if
         :: was_leased -> state = LEASED
         :: else -> state = READY
         fi
       }
    fi;
done:
    skip
  } unless { crashed };
  d_step { t = 0; j = 0; was_leased = false }
}
#endif

/* --- time --- */

proctype Clock() {
end_idle:
  do
  :: (state == LEASED || state == COMPLETING || state == CANCELLED) && is_held && !is_late ->
     is_late = true
#ifdef EXPIRES
  :: atomic { state == READY -> state = OVERDUE }
#endif
  od
}

/* --- the housekeeper: it sweeps, and gives the entry to the next job --- */

#define is_swept ((state == LEASED && is_late) || state == OVERDUE)

bool replaced;

proctype Housekeeper() {
  byte j;
  byte t;
  byte i;
  bool dies;
  bool has_failed;
  bool after;
  bool after_end;
end_again:
  {
end_idle:
    do
    :: atomic {
         state == NONE ->
         if
         :: !ended[0] -> job = 0; state = READY; attempt = failed[0]
#if JOBS > 1
         :: ended[0] && !ended[1] -> job = 1; state = READY; attempt = failed[1]
#endif
         :: else -> goto end_done
         fi
       }
    :: atomic { state == CANCELLED && is_late -> finish_entry() }
#ifdef BROKEN_SWEEP_DECIDED
    :: (is_swept || state == COMPLETING && is_late) ->
#else
    :: is_swept ->
#endif
#ifdef BROKEN_NO_RECHECK
       atomic {
         if
         :: state == LEASED
         :: else -> goto end_idle
         fi;
#else
       atomic {
         if
         :: is_swept
#ifdef BROKEN_SWEEP_DECIDED
         :: state == COMPLETING && is_late
#endif
         :: else -> goto end_idle
         fi;
#endif
         if
#ifndef BROKEN_OLD_TOKEN
         :: !is_held -> draw(token)
#endif
         :: else
         fi;
         dies = state == OVERDUE || attempt >= MOST_ATTEMPTS;
         j = job;
         t = token;
         i = incarnation;
#ifndef BROKEN_NO_STATE
         state = EXPIRING
#endif
       };
       if
       :: goto write
       :: atomic { /* its transaction fails, once: the lease is as it was */
            !has_failed ->
            has_failed = true;
            if
            :: state == EXPIRING && token == t && incarnation == i ->
               state = (is_held -> LEASED : OVERDUE)
            :: else /* never */
            fi;
            j = 0;
            t = 0;
            i = 0;
            dies = false
          };
          goto end_idle
       fi
    od;
write:
#ifdef BROKEN_INTERRUPTED
    atomic {
      must(renewed_stays, !is_held || is_late);
      if
      :: dies -> write_end(j, t)
      :: else -> write_record(t); failed[j] = attempt
      fi
    };
#endif
    /* Nothing looks for interrupts between the commit and what follows. */
    atomic {
#ifndef BROKEN_INTERRUPTED
      must(renewed_stays, !is_held || is_late);
      if
      :: dies -> write_end(j, t)
      :: else -> write_record(t); failed[j] = attempt
      fi;
#endif
      if
#ifdef BROKEN_NO_STATE
      :: true ->
#else
      :: state == EXPIRING && token == t && incarnation == i ->
#endif
         if
         :: dies -> finish_entry()
         :: else -> make_waiting()
         fi
#ifndef BROKEN_NO_STATE
      :: else /* never */
#endif
      fi;
      j = 0;
      t = 0;
      i = 0;
      dies = false
    };
    goto end_idle
  } unless {
    atomic {
      (crashed && !after) || (replaced && !after_end) ->
      after = crashed;
      after_end = replaced;
      if
#ifndef BROKEN_NO_TAKE_OVER
      :: state == EXPIRING -> state = (is_held -> LEASED : OVERDUE)
#endif
      :: else
      fi;
      j = 0;
      t = 0;
      i = 0;
      dies = false;
      goto end_again
    }
  };
end_done:
  skip
}

#ifdef CRASH
proctype Crash() {
  d_step {
    crashed = true;
    if
    :: state != NONE -> finish_entry()
    :: else
    fi;
#ifdef BROKEN_TOKENS_RESTART
    next_token = 1
#endif
  }
}
#endif

#ifdef REPLACE
proctype Replace() { replaced = true }
#endif

init {
  byte k;
  atomic {
    for (k : 1 .. CLIENTS) {
      run Client()
    }
    run Clock();
    run Housekeeper();
#ifdef CANCEL
    run Canceller();
#endif
#ifdef ROLLBACK
    run Rollback();
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
      must(no_loss, ended[k])
    }
  }
}
