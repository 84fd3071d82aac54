// Handing out jobs and putting their rows into the result: what claim and complete_and_claim share.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "runtime/registered.hpp"
#include "worker/limits.hpp"

namespace dw::worker {

// What a call asks for beside its queues.
struct ClaimWish {
  std::string_view worker;
  uint32 max_jobs;
  core::Micros lease;           // 0: the queue's
  int64 instance;               // 0: none
  std::string_view request_id;  // empty: none
  bool owned_only;
  runtime::Registered registered;
};

// Sets `registered`; DW006 when the instance is not of the present registration, 22023 when
// owned_only is wished for without one.
void find_registered(ClaimWish* wish);

// The registered worker gets nothing now, and waiting for jobs does not change that: it drains, or
// holds as many as it may.
bool is_closed(const ClaimWish& wish);

// The queues that a call names, in its order.
struct ClaimSources {
  std::string_view* names;
  int count;
};

// Argument `number`: one name, or an array of them.
ClaimSources one_source(FunctionCallInfo fcinfo, int number, std::string_view* name);
ClaimSources several_sources(FunctionCallInfo fcinfo, int number);

// Where the rows go.
struct ClaimOutput {
  Tuplestorestate* rows;
  TupleDesc description;
  Datum outcome;            // of a job that is handed out; 0: the result has no column for it
  const EState* statement;  // that the function is called in
};

constexpr int kClaimedColumns = 10;

// A tuplestore of the row type that the caller expects, which is the declared one: the executor
// then has nothing to check and nothing to copy. `columns` is what the function declares: those of
// a claimed job, and perhaps the outcome before them.
ClaimOutput begin_claim_output(FunctionCallInfo fcinfo, int columns);

struct HandedOut {
  uint32 rows;
  bool again;  // what is left of the batch that this request_id got before, even if that is nothing
};

// Claims from the queues in turn until there are max_jobs, and puts the rows out. From here a
// rollback charges the attempts. Raises DW002 when a queue is not there (any more).
HandedOut hand_out(const ClaimSources& sources, const ClaimWish& wish, const ClaimOutput& output);

}  // namespace dw::worker
