/*
 * Who owns a bucket: workers that join and go while others compute owners, and the jobs of the bucket
 * that lie in the group of the one before.
 *
 * Of src/core: owners.cpp (find_owners, install_owners), ready_groups.cpp (move_some), members.cpp,
 * lease.cpp (claims of own jobs and of any).
 *
 * One bucket of two workers, a and b: it is b's while b is alive, else a's. b is registered by one
 * process and found dead by another one, each of which computes and installs; it may come back. Both
 * have a group, so a job that becomes ready goes to that of its owner. A hold of the lock moves one
 * job.
 *
 * JOBS     jobs that become ready one after the other
 * ANY      somebody claims jobs of any bucket
 * RETURNS  b comes back
 *
 *   correct  small  -DJOBS=2 -DANY
 *   correct  small  -DJOBS=3 -DRETURNS
 *   correct  large  -DJOBS=3 -DRETURNS -DANY
 *
 *   broken  NO_VERSION     right_owner  -DJOBS=1
 *   broken  VERSION_FIRST  right_owner  -DJOBS=1
 *   broken  CLAIM_AT_ONCE  in_order     -DJOBS=2
 *   broken  NOT_MOVED      handed_out   -DJOBS=1
 *   broken  NOT_ANEW       in_order     -DJOBS=2 -DRETURNS
 */
#define must(name, condition) assert((condition) || name)
hidden byte right_owner; /* in the end the table has the owner that there is */
hidden byte in_order;    /* of a bucket the first ready job is handed out */
hidden byte handed_out;  /* in the end each job has been handed out */

mtype = { COMING, IN_GROUP, DONE };

/* Under the lock of the members. */
bool b_is_alive;
byte version;

/* Under the queue's lock. Owner and group: 0 is a, 1 is b. */
bool owner;
bool to_be_moved[2]; /* a group that may have jobs of another owner */
byte moved_to[2];    /* up to which job it was looked through */
mtype job[JOBS];
bool group[JOBS];

#define is_in(j, g) (job[j] == IN_GROUP && group[j] == (g))
#define is_ready(j) (job[j] == IN_GROUP)
#if JOBS == 1
#define first_in(g) (is_in(0, g) -> 0 : JOBS)
#define first_ready (is_ready(0) -> 0 : JOBS)
#elif JOBS == 2
#define first_in(g) (is_in(0, g) -> 0 : (is_in(1, g) -> 1 : JOBS))
#define first_ready (is_ready(0) -> 0 : (is_ready(1) -> 1 : JOBS))
#else
#define first_in(g) (is_in(0, g) -> 0 : (is_in(1, g) -> 1 : (is_in(2, g) -> 2 : JOBS)))
#define first_ready (is_ready(0) -> 0 : (is_ready(1) -> 1 : (is_ready(2) -> 2 : JOBS)))
#endif

/* One job, or the end, of a group that has lost the bucket. Needs a byte k. */
inline move_some(g) {
  d_step {
    k = moved_to[g];
    do
    :: k < JOBS && !(job[k] == IN_GROUP && group[k] == g && owner != g) -> k++
    :: else -> break
    od;
    if
    :: k < JOBS -> group[k] = owner; moved_to[g] = k
    :: else -> to_be_moved[g] = false
    fi;
    k = 0
  }
}

inline find_owners() {
  do
  :: atomic { computed = b_is_alive; known = version };
     atomic {
       if
#ifdef BROKEN_NO_VERSION
       :: true ->
#else
       :: known == version ->
#endif
          if
          :: owner != computed && first_in(owner) < JOBS ->
             to_be_moved[owner] = true;
#ifdef BROKEN_NOT_ANEW
             skip
#else
             moved_to[0] = 0;
             moved_to[1] = 0
#endif
          :: else
          fi;
          owner = computed;
          computed = false;
          known = 0;
          break
#ifndef BROKEN_NO_VERSION
       :: else
#endif
       fi
     }
  od;
#ifndef BROKEN_NOT_MOVED
  do
  :: to_be_moved[0] -> move_some(0)
  :: to_be_moved[1] -> move_some(1)
  :: !to_be_moved[0] && !to_be_moved[1] -> break
  od
#endif
}

inline change_members(alive) {
#ifdef BROKEN_VERSION_FIRST
  version++;
  b_is_alive = alive;
#else
  atomic { b_is_alive = alive; version++ };
#endif
  find_owners()
}

proctype Registers() {
  byte k;
  byte known;
  bool computed;
  change_members(true)
#ifdef RETURNS
  ;
  !b_is_alive;
  change_members(true)
#endif
}

proctype Housekeeper() {
  byte k;
  byte known;
  bool computed;
end_idle:
  b_is_alive;
  change_members(false)
}

proctype Producer() {
  byte j;
  do
  :: j < JOBS -> atomic { job[j] = IN_GROUP; group[j] = owner; j++ }
  :: j == JOBS -> j = 0; break
  od
}

/* A claim of own jobs. What is left to be moved it moves first. */
proctype Owner(bool me) {
  byte k;
end_idle:
  do
#if !defined(BROKEN_CLAIM_AT_ONCE) && !defined(BROKEN_NOT_MOVED)
  :: owner == me && to_be_moved[0] -> move_some(0)
  :: owner == me && to_be_moved[1] -> move_some(1)
  :: atomic { owner == me && !to_be_moved[0] && !to_be_moved[1] && first_in(me) < JOBS ->
#else
  :: atomic { owner == me && first_in(me) < JOBS ->
#endif
       must(in_order, first_in(me) == first_ready);
       k = first_in(me);
       job[k] = DONE;
       k = 0
     }
  od
}

#ifdef ANY
proctype Other() {
  byte k;
end_idle:
  do
  :: atomic { first_ready < JOBS -> k = first_ready; job[k] = DONE; k = 0 }
  od
}
#endif

init {
  byte k;
  atomic {
    for (k : 0 .. JOBS - 1) {
      job[k] = COMING
    }
    k = 0;
    run Producer();
    run Owner(false);
    run Owner(true);
    run Registers();
    run Housekeeper();
#ifdef ANY
    run Other();
#endif
  }
  timeout;
  must(right_owner, owner == b_is_alive);
  d_step {
    for (k : 0 .. JOBS - 1) {
      must(handed_out, job[k] == DONE)
    }
  }
}
