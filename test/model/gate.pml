/*
 * The turn of a key: enqueues that overlap, retries, a cancel, owners that change, eviction, loading,
 * and a crash, with the jobs of one key of an ordered queue.
 *
 * Of src/core: gate.cpp, loader_ordered.cpp, link.cpp, decide.cpp, key_blocks.cpp; of owners.cpp only
 * that a worker may claim the jobs of its buckets (owners.pml has the rest).
 *
 * Job j has the jth id that was drawn. Each has a page of its own, and a chunk reads any of the pages
 * that it has to read: so a page may have a late id, and an earlier one is on a page that is not
 * read yet. What the chunk knows of outcomes is what its snapshot sees (see loader.pml).
 *
 * JOBS    jobs, each enqueued by a transaction of its own; ROOM: entries of the arena
 * START_LIVE  the queue is live at the start, and not about to be loaded
 * CANCEL      somebody cancels the second job while it waits
 * EVICT       a job that waits gives its entry to another key, once
 * REBALANCE   two workers, and the key's bucket goes from one to the other
 * BLOCKS      a job may use up its attempts and block its key; somebody lets the key go on
 * CRASH       the server is killed once, between any two steps
 *
 *   correct  small  -DJOBS=2 -DROOM=2 -DCANCEL -DREBALANCE
 *   correct  small  -DJOBS=3 -DROOM=2
 *   correct  small  -DJOBS=3 -DROOM=2 -DEVICT -DSTART_LIVE
 *   correct  small  -DJOBS=2 -DROOM=1 -DCRASH
 *   correct  small  -DJOBS=2 -DROOM=2 -DBLOCKS -DCRASH
 *   correct  large  -DJOBS=3 -DROOM=2 -DEVICT -DREBALANCE
 *   correct  large  -DJOBS=3 -DROOM=3 -DCANCEL
 *   correct  large  -DJOBS=3 -DROOM=2 -DCRASH
 *
 *   broken  TURN_AT_CALLBACK    key_order      -DJOBS=2 -DROOM=2
 *   broken  NO_FRONTIER         key_order      -DJOBS=2 -DROOM=2
 *   broken  FRONTIER_STAYS      key_order      -DJOBS=2 -DROOM=2
 *   broken  EVICT_SILENTLY      key_order      -DJOBS=3 -DROOM=2 -DEVICT
 *   broken  RAISE_OVER_MARKS    key_order      -DJOBS=2 -DROOM=2
 *   broken  PAGE_BY_PAGE        key_order      -DJOBS=2 -DROOM=2
 *   broken  RAISE_AT_ONCE       key_order      -DJOBS=3 -DROOM=3
 *   broken  CANCEL_GIVES_PLACE  key_order      -DJOBS=3 -DROOM=3 -DCANCEL -DSTART_LIVE
 *   broken  RETRY_GIVES_TURN    key_order      -DJOBS=2 -DROOM=2 -DREBALANCE
 *   broken  TAKE_FROM_HOLDER    one_in_flight  -DJOBS=2 -DROOM=2 -DREBALANCE
 *   broken  TURN_OF_OWNER       key_order      -DJOBS=2 -DROOM=2 -DREBALANCE
 *   broken  NO_YOUNGER          handed_out     -DJOBS=2 -DROOM=1
 *   broken  BLOCKS_LATER        key_blocked    -DJOBS=2 -DROOM=2 -DBLOCKS -DCRASH
 *   broken  READ_ONCE           handed_out     -DJOBS=2 -DROOM=2 -DBLOCKS
 *   broken  BY_SIGHT            key_order      -DJOBS=2 -DROOM=2
 */
#define NOBODY 255

#define must(name, condition) assert((condition) || name)
hidden byte key_order;     /* what was enqueued before a job comes before it */
hidden byte one_in_flight; /* of a key one job is handed out at a time */
hidden byte key_blocked;   /* none of a blocked key is handed out */
hidden byte no_phantom;    /* none is handed out whose enqueue has not committed */
hidden byte handed_out;    /* in the end each has been handed out and finished */

mtype = { NONE, PENDING, READY, LEASED, COMPLETING, CANCELLING, GATED, BLOCKED, TOMBSTONE };
mtype = { OUT, WAITS, HELD }; /* of the gate */
mtype = { LOADING, HANDOVER, LIVE };

#define bit(j) (1 << (j))
#define all (bit(JOBS) - 1)

/* The log, a bit for each job. */
byte committed;
byte ended;
byte block_row = NOBODY; /* the dead job that blocks the key */

/* What had been enqueued when the id was drawn: what others saw of transactions that had linked an
 * entry, and of the others those whose COMMIT had returned. */
byte before[JOBS];
byte enqueued;
byte drawn;

/* Shared memory. */
mtype entry[JOBS];
mtype gate[JOBS];
byte turn = NOBODY;
byte frontier;
byte dirty;
byte dirty_from;
byte free_entries = ROOM;
mtype mode = LOADING;
bool chunk_active;
#ifdef BLOCKS
bool blocks_known;
bool reread_blocks;
#endif
bool owner; /* of the key's bucket: one of two workers */

/* The housekeeper's. */
bool whole = true;
byte scan;

bool idle; /* a chunk could do nothing, and nothing has changed since */

byte in_flight;
byte x; /* of the inlines, 0 between them */
bool crashed;

#define is_waiting(j) (entry[j] == READY || entry[j] == GATED)
#ifdef BROKEN_TAKE_FROM_HOLDER
#define may_step_back(j) true
#else
#define may_step_back(j)                                                                       \
  (entry[j] == READY || entry[j] == PENDING || entry[j] == CANCELLING)
#endif

/* --- the gate; all of it under the queue's lock --- */

inline lower_frontier(j) {
  idle = false;
#ifndef BROKEN_FRONTIER_STAYS
  frontier = (frontier < j -> frontier : j);
#endif
  dirty_from = (dirty_from < j -> dirty_from : j);
  mode = (mode == LIVE -> HANDOVER : mode)
}

inline queue_up(j) {
  if
  :: turn != NOBODY && (j > turn || !may_step_back(turn)) -> gate[j] = WAITS
  :: else ->
     if
     :: turn != NOBODY ->
        entry[turn] = (entry[turn] == READY -> GATED : entry[turn]);
        gate[turn] = WAITS
     :: else
     fi;
     turn = j
  fi
}

inline enter_gate(j) {
  if
  :: turn == j || gate[j] != OUT
#ifdef BROKEN_NO_FRONTIER
  :: else -> queue_up(j)
#else
  :: turn != j && gate[j] == OUT && j < frontier -> queue_up(j)
  :: else -> gate[j] = HELD
#endif
  fi
}

inline make_waiting(j) {
  idle = false;
  enter_gate(j);
  entry[j] = (turn == j -> READY : GATED)
}

inline pass_turn() {
  turn = NOBODY;
  x = 0;
  do
  :: x < JOBS && gate[x] != WAITS -> x++
  :: else -> break
  od;
  if
  :: x < JOBS && x < frontier ->
     gate[x] = OUT;
     turn = x;
     entry[x] = (entry[x] == GATED -> READY : entry[x])
  :: x < JOBS && x >= frontier -> gate[x] = HELD
  :: else
  fi;
  x = 0
}

inline release_entry(j) {
  entry[j] = NONE;
  idle = false;
  free_entries++
}

#ifdef BLOCKS
/* The row that the entry stands for may be gone by now. */
inline read_again() {
#ifndef BROKEN_READ_ONCE
  reread_blocks = true
#else
  skip
#endif
}
#endif

/* It goes from its key; what becomes of the entry is the caller's. */
inline leave_key(j) {
  if
  :: turn == j -> pass_turn()
  :: turn != j && gate[j] == HELD ->
     gate[j] = OUT;
     if
     :: turn == NOBODY -> pass_turn()
     :: else
     fi
  :: else -> gate[j] = OUT
  fi
}

inline finish_entry(j) {
  leave_key(j);
  if
  :: chunk_active -> entry[j] = TOMBSTONE
  :: else -> release_entry(j)
  fi
}

inline evict(j) {
#ifndef BROKEN_EVICT_SILENTLY
  lower_frontier(j);
#endif
  dirty = dirty | bit(j);
  mode = LOADING;
  finish_entry(j)
}

/* --- who enqueues --- */

proctype Producer(byte j) {
  bool mine;
  bool after;
  atomic {
    drawn == j ->
    before[j] = enqueued;
    drawn++;
    after = crashed
  };
  {
    d_step { /* PRE_COMMIT */
      if
      :: mode != LOADING && free_entries > 0 ->
         free_entries--;
         entry[j] = PENDING;
#ifndef BROKEN_TURN_AT_CALLBACK
         enter_gate(j);
#endif
         mine = true
      :: mode != LOADING && free_entries == 0 -> mode = LOADING
      :: else
      fi
    };
    if
    :: d_step { /* ABORT */
         true ->
         if
         :: mine -> leave_key(j); release_entry(j)
         :: else
         fi
       }
    :: d_step {
         committed = committed | bit(j);
#ifdef BROKEN_BY_SIGHT
         enqueued = committed
#else
         enqueued = (mine -> enqueued | bit(j) : enqueued)
#endif
       };
       d_step { /* the callback */
         enqueued = enqueued | bit(j);
         if
         :: mine -> make_waiting(j)
         :: else ->
            dirty = dirty | bit(j);
            lower_frontier(j)
         fi
       }
    fi
  } unless { crashed && !after };
  d_step { mine = false; after = false }
}

/* --- who works --- */

#ifdef BROKEN_TURN_OF_OWNER
#define may_take(j) (entry[j] == READY || entry[j] == GATED && gate[j] == WAITS && owner != holder)
bool holder;
#else
#define may_take(j) (entry[j] == READY)
#endif

inline hand_out(j) {
  must(no_phantom, committed & bit(j));
  must(key_order, (before[j] & (all - ended)) == 0);
  must(one_in_flight, in_flight == 0);
  must(key_blocked, block_row == NOBODY);
  entry[j] = LEASED;
  in_flight++
}

proctype Worker(bool me) {
  byte j;
  bool retried;
  bool after;
end_again:
  {
end_idle:
    do
    :: atomic { may_take(0) && owner == me -> j = 0; hand_out(0) };
       goto work
    :: atomic { may_take(1) && owner == me -> j = 1; hand_out(1) };
       goto work
#if JOBS > 2
    :: atomic { may_take(2) && owner == me -> j = 2; hand_out(2) };
       goto work
#endif
    od;
work:
#ifdef BROKEN_TURN_OF_OWNER
    holder = me;
#endif
    entry[j] = COMPLETING;
    if
    :: ended = ended | bit(j);
       d_step { in_flight--; finish_entry(j); j = 0 }
#ifdef BLOCKS
    :: atomic { block_row == NOBODY -> block_row = j; ended = ended | bit(j) };
       d_step { in_flight--; entry[j] = BLOCKED; read_again(); j = 0 }
#endif
    :: d_step { /* it fails, or its lease runs out, once */
         !retried ->
         retried = true;
         in_flight--;
#ifdef BROKEN_RETRY_GIVES_TURN
         leave_key(j);
         entry[j] = GATED
       };
       d_step {
#endif
         make_waiting(j);
         j = 0
       }
    fi;
    goto end_idle
  } unless { atomic { crashed && !after -> after = true; j = 0; goto end_again } }
}

#ifdef REBALANCE
proctype Rebalance() { owner = true }
#endif

#ifdef CANCEL
proctype Canceller() {
  {
    atomic {
      if
      :: is_waiting(1) ->
#ifdef BROKEN_CANCEL_GIVES_PLACE
         leave_key(1);
#endif
         entry[1] = CANCELLING
      :: else -> goto done
      fi
    };
    if
    :: ended = ended | bit(1);
       d_step { finish_entry(1) }
    :: d_step { true -> make_waiting(1) } /* rolled back */
    fi;
done:
    skip
  } unless { crashed }
}
#endif

#if defined(BLOCKS) && !defined(BROKEN_BLOCKS_LATER)
/* The dead job is skipped. */
proctype Unblock() {
  byte j;
  bool after;
end_again:
  {
end_idle:
    do
    :: atomic { block_row != NOBODY -> j = block_row; block_row = NOBODY };
       d_step {
         if
         :: entry[j] == BLOCKED -> finish_entry(j)
         :: else -> reread_blocks = true
         fi;
         j = 0
       }
    od
  } unless { atomic { crashed && !after -> after = true; j = 0; goto end_again } }
}
#endif

#ifdef EVICT
/* Somebody needs an entry for a job of another key, and gives it back. */
proctype Other() {
end_idle:
  atomic {
    free_entries == 0 && (gate[0] != OUT && entry[0] == GATED || gate[1] != OUT && entry[1] == GATED) ->
    if
    :: gate[1] != OUT && entry[1] == GATED -> evict(1)
    :: else -> evict(0)
    fi
  }
}
#endif

/* --- the housekeeper --- */

#define has_held (gate[0] == HELD || gate[1] == HELD || JOBS > 2 && gate[JOBS - 1] == HELD)
#define has_ready (entry[0] == READY || entry[1] == READY || JOBS > 2 && entry[JOBS - 1] == READY)
#define wants (whole || scan || dirty || mode != LIVE)
#define takes_part (!idle && wants && (whole || free_entries > 0 || has_held && !has_ready))

/* The least id on a page that is left to be read. */
inline least(mask) {
  x = 0;
  do
  :: x < JOBS && !(mask & bit(x)) -> x++
  :: else -> break
  od;
  bound = x;
  x = 0
}

proctype Loader() {
  byte k;
  byte seen;
  byte read_pages;
  byte bound;
  byte left;
  byte younger;
  bool out_of_room;
#ifdef BLOCKS
  byte standing;
  byte found;
  byte missing = NOBODY;
#endif
  bool after;
end_again:
  {
end_idle:
    do
#ifdef BLOCKS
    :: !blocks_known || reread_blocks ->
       d_step {
         reread_blocks = false;
         standing = 0;
         do
         :: standing < JOBS && entry[standing] != BLOCKED -> standing++
         :: else -> break
         od;
         found = block_row
       };
       /* What stands without a row is let go when that is so for the second time. */
       d_step {
         if
         :: standing < JOBS && found != standing && missing == standing && entry[standing] == BLOCKED ->
            finish_entry(standing);
            missing = NOBODY
         :: standing < JOBS && found != standing && missing != standing ->
            missing = standing;
            reread_blocks = true
         :: else -> missing = NOBODY
         fi;
         standing = 0
       };
       d_step {
         if
         :: found == NOBODY || entry[found] != NONE || turn != NOBODY && entry[turn] == BLOCKED ->
            blocks_known = true
         :: else ->
            if
            :: (turn == NOBODY || may_step_back(turn)) && free_entries > 0 ->
               free_entries--;
               if
               :: turn != NOBODY ->
                  entry[turn] = (entry[turn] == READY -> GATED : entry[turn]);
                  gate[turn] = WAITS
               :: else
               fi;
               turn = found;
               entry[found] = BLOCKED;
               read_again();
               blocks_known = true
            :: else -> reread_blocks = true
            fi
         fi;
         found = 0;
         idle = false
       }
#endif
#if defined(BLOCKS) && !defined(BROKEN_BLOCKS_LATER)
    :: takes_part && blocks_known ->
#else
    :: takes_part ->
#endif
       d_step {
         idle = true;
         scan = scan | dirty;
         dirty = 0;
         chunk_active = true;
         dirty_from = JOBS;
         mode = (mode == LOADING && !whole -> HANDOVER : mode)
       };
       atomic {
         seen = committed & (all - ended);
         scan = (whole -> all : scan);
         whole = false;
         /* Any of the pages are read before time is over. */
         do
         :: k < JOBS && (scan & bit(k)) -> read_pages = read_pages | bit(k); k++
         :: k < JOBS -> k++
         :: k == JOBS -> break
         od;
         k = 0;
         left = scan & (all - read_pages);
#ifdef BROKEN_PAGE_BY_PAGE
         bound = JOBS;
#else
         least(left);
#endif
         idle = idle && left == 0;
         scan = left;
         left = 0
       };
       d_step { /* in the order of ids, under one hold */
         for (k : 0 .. JOBS - 1) {
           if
           :: !(read_pages & seen & bit(k))
           :: (read_pages & seen & bit(k)) && (k >= bound || out_of_room) -> scan = scan | bit(k)
           :: else ->
              younger = JOBS;
#ifndef BROKEN_NO_YOUNGER
              if
              :: entry[k] == NONE && free_entries == 0 ->
                 for (x : k + 1 .. JOBS - 1) {
                   younger = (gate[x] == HELD && entry[x] == GATED -> x : younger)
                 }
                 x = 0
              :: else
              fi;
#endif
              if
              :: younger < JOBS ->
                 /* In a chunk its entry stays as a tombstone: the room comes with the next one. */
                 evict(younger);
                 out_of_room = true;
                 bound = k;
                 scan = scan | bit(k)
              :: younger == JOBS && entry[k] == NONE && free_entries > 0 ->
                 free_entries--;
                 make_waiting(k)
              :: younger == JOBS && entry[k] == NONE && free_entries == 0 ->
                 out_of_room = true;
                 bound = k;
                 scan = scan | bit(k)
              :: else /* resident */
              fi;
              younger = 0
           fi
         }
         k = 0;
         seen = 0;
         read_pages = 0
       };

       /* The frontier follows, step by step. */
#ifndef BROKEN_RAISE_OVER_MARKS
#define goal (bound < dirty_from -> bound : dirty_from)
#else
#define goal bound
#endif
#ifdef BROKEN_RAISE_AT_ONCE
#define is_held_before(i) (gate[0] == HELD && i > 0 || gate[1] == HELD && i > 1 || gate[JOBS - 1] == HELD && i >= JOBS)
#define goes_on (goal > frontier || is_held_before(goal))
#else
#define goes_on (goal > frontier)
#endif
       do
       :: d_step {
            goes_on ->
            k = 0;
            do
            :: k < JOBS && gate[k] != HELD -> k++
            :: else -> break
            od;
            if
            :: k >= goal -> frontier = goal
            :: else ->
               gate[k] = OUT;
               queue_up(k);
               entry[k] = (turn == k && entry[k] == GATED -> READY : entry[k]);
#ifndef BROKEN_RAISE_AT_ONCE
               /* Up to the next one that is held. */
               do
               :: k < JOBS && gate[k] != HELD -> k++
               :: else -> break
               od;
               frontier = (k < goal -> k : goal)
#else
               frontier = goal
#endif
            fi;
            idle = false;
            k = 0
          }
       :: !goes_on -> break
       od;
       skip;
       d_step {
         for (k : 0 .. JOBS - 1) {
           if
           :: entry[k] == TOMBSTONE -> release_entry(k)
           :: else
           fi
         }
         k = 0;
         chunk_active = false;
         if
         :: !scan && !dirty -> mode = LIVE; idle = false
         :: (scan || dirty) && out_of_room -> mode = LOADING
         :: else
         fi;
         out_of_room = false;
         bound = 0
       }
    od
  } unless {
    atomic {
      crashed && !after ->
      after = true;
      k = 0;
      seen = 0;
      read_pages = 0;
      bound = 0;
      left = 0;
      younger = 0;
      out_of_room = false;
#ifdef BLOCKS
      standing = 0;
      found = 0;
      missing = NOBODY;
#endif
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
      entry[k] = NONE;
      gate[k] = OUT
    }
    turn = NOBODY;
    frontier = 0;
    dirty = 0;
    dirty_from = 0;
    free_entries = ROOM;
    mode = LOADING;
    chunk_active = false;
#ifdef BLOCKS
    blocks_known = false;
    reread_blocks = false;
#endif
    idle = false;
    whole = true;
    scan = 0;
    in_flight = 0;
    x = 0;
    k = 0
  }
}
#endif

init {
  byte k;
  atomic {
    for (k : 0 .. JOBS - 1) {
      entry[k] = NONE;
      gate[k] = OUT
    }
    for (k : 0 .. JOBS - 1) {
      run Producer(k)
    }
    k = 0;
#ifdef START_LIVE
    mode = LIVE;
    whole = false;
    frontier = JOBS;
    dirty_from = JOBS;
#endif
    run Worker(false);
#ifdef REBALANCE
    run Worker(true);
    run Rebalance();
#endif
    run Loader();
#ifdef EVICT
    run Other();
#endif
#ifdef CANCEL
    run Canceller();
#endif
#if defined(BLOCKS) && !defined(BROKEN_BLOCKS_LATER)
    run Unblock();
#endif
#ifdef CRASH
    run Crash();
#endif
  }
  timeout;
  must(handed_out, (committed & (all - ended)) == 0 || block_row != NOBODY)
}
