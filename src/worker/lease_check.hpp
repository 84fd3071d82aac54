// Taking the decision on a leased job, and saying why it was refused.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::worker {

// What a lease token is worth, for those who want to know and not to fail.
enum class Standing : std::uint8_t {
  held,               // the decision is taken
  already_completed,  // by this very token
  in_doubt,           // an open transaction is deciding the job
  stale,
};

const char* standing_name(Standing standing);  // as try_complete() returns it; held is "completed"

// The lease that a call is about.
struct Lease {
  core::JobId id;
  core::Token token;
};

// Arguments 0 and 1: job_id and lease_token.
Lease lease_arguments(FunctionCallInfo fcinfo);
// Elements of job_ids and lease_tokens, checked alike.
Lease checked_lease(core::JobId id, core::Token token);

// A lease's length in microseconds; 0 when it is not given: the queue's.
int64 span_argument(FunctionCallInfo fcinfo, int number);

// The first lines of every function that decides: preloaded, writable, room for n decisions.
void begin_deciding(const char* command, std::size_t n);

// Begins the decision in the dispatcher. Asks the log when the dispatcher does not know the lease.
Standing take_decision(const Lease& lease, core::Decided* decided, std::size_t* action);

// The same, but raises DW001 or DW006 unless it is held or, where `completed` is given, completed
// before by this token: then *completed is true.
void require_decision(const Lease& lease, core::Decided* decided, std::size_t* action,
                      bool* completed = nullptr);

// What the two above see to by themselves, for calls that use a lease without deciding the job:
// raises 42501, or DW001 as for an unknown job, if it is in a queue that the current user may not
// work on. A job that is not in memory passes; nobody holds it.
void require_own_queue(const Lease& lease);

// Raises DW001 with the reason, as far as it is known to the current user.
[[noreturn]] void raise_stale(const Lease& lease);

}  // namespace dw::worker
