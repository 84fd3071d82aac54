// Redrives at a rate: rows of durable_work.redrive_task, which the housekeeper works off.
//
// running -> done | failed. Whoever works on a task has its row locked; what it has moved and how
// far it has come is written in the transaction that moves, so a crash loses neither.
#pragma once

#include "pg/headers.hpp"

#include "store/redrive.hpp"

namespace dw::store {

struct RedriveTask {
  int64 id;
  core::QueueId from;
  core::QueueId to;
  Datum job_ids;     // bigint[] in rising order; 0: none
  Datum error_like;  // 0: none
  TimestampTz since;
  TimestampTz until;
  int64 most;  // PG_INT64_MAX: all
  double rate;
  int64 matched;
  int64 moved;
  RedrivePosition position;
  bool left_out;  // something was left out behind the position: one more pass
};

// The number of the new task. id, moved, position and left_out are not looked at.
int64 insert_redrive_task(const RedriveTask& task);

struct RunningTask {
  int64 id;
  double rate;
};
// The first that run, in the order in which they were asked for.
int list_running_tasks(RunningTask* tasks, int most);

// Locks the task's row. False: it does not run any more, or somebody else has it. Datums are copies
// in the current memory context.
bool take_task(int64 id, RedriveTask* task);
void note_progress(const RedriveTask& task);
void end_task(int64 id, const char* state, const char* error);

// For drop_queue, before the queue's row goes: its tasks go, and those that send to it fail.
void drop_tasks_of(const QueueInfo& queue);

// ids as an array in rising order without repetitions; in the current memory context.
core::JobId* sorted_ids(const Datum* ids, int n, int* count);
core::JobId* ids_of(Datum array, int* count);
Datum array_of_ids(const core::JobId* ids, int n);

}  // namespace dw::store
