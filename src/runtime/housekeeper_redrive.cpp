/*
 * Redrives at a rate: the housekeeper works off the running tasks of durable_work.redrive_task.
 *
 * Each step is one short transaction that locks the task, moves some dead letters and writes how
 * far it has come. Nothing is waited for: a dead letter that somebody else is deciding is left out
 * and looked at again in another pass; a task or a queue that is locked is tried again later. What
 * this process remembers is only which tasks there are and when each may go on, so a crash costs
 * nothing but the pace of a tenth of a second.
 *
 * A queue that a task needs and that is not there: drop_queue has ended the tasks of its queues, so
 * this is a restore whose table of queues is still to come. It is given some time. A step that
 * fails is tried again with growing pauses, and ends the task in the end.
 */
#include <algorithm>

#include "core/pace.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "pg/subtransaction.hpp"
#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/test_point.hpp"
#include "store/catalog.hpp"
#include "store/queue_hold.hpp"
#include "store/redrive.hpp"
#include "store/redrive_task.hpp"

namespace dw::runtime {

namespace {

/* Tasks that go on at the same time; others wait for one to end. */
constexpr int kMostTasks = 16;
/* Jobs in one step: a few milliseconds. */
constexpr uint32 kMostInStep = 100;
constexpr int64 kRetryAfter = 1 * core::kSecond;
constexpr int64 kLongestRetry = 16 * core::kSecond;
constexpr int kMostFailures = 6;
constexpr int kMostLooksForQueue = 60;

struct Task {
  int64 id = 0;
  core::Pace pace{1, 0};
  int64 not_before = 0; /* monotonic */
  int failures = 0;     /* in a row */
  int looks = 0;        /* in vain, for a queue */
};

/* Process-local. */
constinit Task tasks[kMostTasks]{};
constinit int task_count = 0;

bool read_list(Housekeeper* self) {
  store::RunningTask running[kMostTasks];
  int count = 0;
  const bool good = transaction_step(*self, [&running, &count] {
    DW_SHELL_TEST_POINT("point:duty-redrive");
    count = store::list_running_tasks(running, kMostTasks);
  });
  if (!good) return false;
  Task known[kMostTasks];
  const int64 now = platform().monotonic_now();
  for (int i = 0; i < count; i++) {
    const Task* const before = std::find_if(
        tasks, tasks + task_count, [&](const Task& task) { return task.id == running[i].id; });
    if (before != tasks + task_count)
      known[i] = *before;
    else
      known[i] = Task{running[i].id, core::Pace(running[i].rate, now), now, 0, 0};
  }
  std::copy(known, known + count, tasks);
  task_count = count;
  return true;
}

enum class StepEnd : uint8 { moved, waits, no_queue, ended, locked };

struct Step {
  StepEnd end;
  uint32 moved;
};

/* False: a queue is not there. */
bool find_queues(const store::RedriveTask& task, store::Redrive* redrive) {
  const store::QueueInfo* const from = store::find_queue_by_id(task.from);
  if (from == nullptr) return false;
  memcpy(redrive->from_name, from->name, sizeof(redrive->from_name));
  const store::QueueInfo* const to = store::find_queue_by_id(task.to);
  if (to == nullptr) return false;
  redrive->to_topic = to->topic;
  return true;
}

/* In a transaction. */
Step run_step(int64 id, uint32 most) {
  store::RedriveTask task{};
  if (!store::take_task(id, &task)) return {StepEnd::locked, 0};
  store::Redrive redrive{};
  redrive.from = task.from;
  redrive.to = task.to;
  redrive.error_like = task.error_like;
  redrive.since = task.since;
  redrive.until = task.until;
  redrive.wait = false;
  if (task.job_ids != 0) redrive.job_ids = store::ids_of(task.job_ids, &redrive.job_id_count);
  if (!store::hold_queue(task.to, false)) return {StepEnd::waits, 0};
  if (!find_queues(task, &redrive)) return {StepEnd::no_queue, 0};

  const int64 left = std::max<int64>(task.most - task.moved, 0);
  const int wanted = static_cast<int>(std::min<int64>(left, most));
  store::Redriven done{0, false, true};
  if (wanted > 0) done = store::redrive_some(redrive, &task.position, wanted);
  task.moved += done.moved;
  task.left_out = task.left_out || done.left_out;
  const bool pass_ended = !done.more;
  const bool again = pass_ended && task.left_out;
  if (again) {
    task.position = store::kRedriveStart;
    task.left_out = false;
  }
  store::note_progress(task);
  const bool ended = task.moved >= task.most || (pass_ended && !again);
  if (ended) store::end_task(id, "done", nullptr);
  const StepEnd end = ended ? StepEnd::ended : again ? StepEnd::waits : StepEnd::moved;
  return {end, static_cast<uint32>(done.moved)};
}

/* A task that cannot go on is shown as failed. */
void give_up(Housekeeper* self, Task* task, const char* why) {
  if (transaction_step(*self, [task, why] { store::end_task(task->id, "failed", why); }))
    self->wants_redrives = true;
  else
    task->not_before = platform().monotonic_now() + kLongestRetry;
}

void note_failed(Housekeeper* self, Task* task, const char* why) {
  if (++task->failures >= kMostFailures) {
    give_up(self, task, why);
    return;
  }
  const int64 pause = std::min(kRetryAfter << (task->failures - 1), kLongestRetry);
  task->not_before = platform().monotonic_now() + pause;
}

void note_step(Housekeeper* self, Task* task, const Step& step) {
  const int64 now = platform().monotonic_now();
  task->failures = 0;
  task->pace.use(step.moved);
  task->not_before = now;
  switch (step.end) {
    case StepEnd::moved:
      task->looks = 0;
      break;
    case StepEnd::waits:
      task->not_before = now + kRetryAfter;
      break;
    case StepEnd::no_queue:
      task->not_before = now + kRetryAfter;
      if (++task->looks >= kMostLooksForQueue) give_up(self, task, "its queue does not exist");
      break;
    case StepEnd::ended:
    case StepEnd::locked:
      /* Ended by somebody else, or about to be. */
      task->not_before = now + kRetryAfter;
      self->wants_redrives = true;
      break;
  }
}

void step_task(Housekeeper* self, Task* task) {
  const uint32 most = task->pace.allowed(platform().monotonic_now(), kMostInStep);
  if (most == 0) return;
  pg::error_report report{};
  Step step{StepEnd::locked, 0};
  const bool good = pg::transaction(&report, self->memory, slot_is_gone(*self) ? DEBUG1 : LOG, [&] {
    PushActiveSnapshot(GetTransactionSnapshot());
    DW_SHELL_TEST_POINT("point:redrive-step");
    step = run_step(task->id, most);
    PopActiveSnapshot();
  });
  if (good)
    note_step(self, task, step);
  else
    note_failed(self, task, report.message);
}

int64 due_at(const Task& task) { return std::max(task.not_before, task.pace.next()); }

}  // namespace

bool redrive(Housekeeper* self) {
  if (!is_due(self->redrive)) return false;
  if (self->wants_redrives) {
    self->wants_redrives = false;
    if (!read_list(self)) {
      self->wants_redrives = true;
      note_failure(&self->redrive);
      return false;
    }
    note_success(&self->redrive);
  }
  bool more = false;
  for (int i = 0; i < task_count && !slot_is_gone(*self); i++) {
    Task& task = tasks[i];
    const int64 now = platform().monotonic_now();
    if (task.not_before > now || task.pace.next() > now) continue;
    MemoryContextReset(self->memory);
    step_task(self, &task);
    more = more || due_at(task) <= platform().monotonic_now();
  }
  return more || self->wants_redrives;
}

int64 next_redrive() {
  int64 next = core::kNever;
  for (int i = 0; i < task_count; i++) next = std::min(next, due_at(tasks[i]));
  return next;
}

}  // namespace dw::runtime
