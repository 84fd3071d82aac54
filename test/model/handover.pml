/*
 * A queue under steady commits becomes live.
 *
 * Of src/core: loader.cpp (a chunk's begin and end), link.cpp (the two halves of a commit). Two
 * producers commit for ever, the loader reads for ever, and each of them goes on as long as it can
 * (weak fairness). All there is of a job is the mark that its commit leaves if it made no entry;
 * there is always room.
 *
 *   correct  small
 *   correct  large  -DPRODUCERS=4
 *
 *   broken  TWO_MODES        cycle
 *   broken  BACK_TO_LOADING  cycle
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif

mtype = { LOADING, HANDOVER, LIVE };

mtype mode = LOADING;
bool dirty;

active[PRODUCERS] proctype Producer() {
  bool mine;
  do
  :: mine = mode != LOADING; /* PRE_COMMIT links an entry */
     atomic {                /* the callback, after others see the row */
       if
       :: mine
       :: else ->
          dirty = true;
          if
#ifdef BROKEN_TWO_MODES
          :: mode == LIVE -> mode = LOADING
#else
          :: mode == LIVE -> mode = HANDOVER
#endif
          :: else
          fi
       fi;
       mine = false
     }
  od
}

active proctype Loader() {
  do
  :: mode != LIVE ->
     atomic {
       dirty = false;
#if !defined(BROKEN_TWO_MODES) && !defined(BROKEN_BACK_TO_LOADING)
       mode = HANDOVER
#endif
     };
     skip; /* it reads, with a snapshot of its own */
     atomic {
       if
       :: !dirty -> mode = LIVE
       :: else ->
#ifdef BROKEN_BACK_TO_LOADING
          mode = LOADING
#else
          skip
#endif
       fi
     }
  :: mode == LIVE -> (mode != LIVE)
  od
}

ltl becomes_live { <> [] (mode == LIVE) }
