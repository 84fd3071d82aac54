/*
 * One process's part of the engine, and the end of its transactions.
 *
 * The callbacks run outside of the guard: before the commit they may raise a server error, at and
 * after the end they only call what cannot fail. A process that ends in the middle of a transaction
 * aborts it on its way out while shared memory is still there, so the abort callback gives back
 * what it held.
 *
 * The server's nesting level is 1 outside any savepoint, and in the callback of a subtransaction
 * that ends it still is that subtransaction's own.
 */
#include <new>

#include "core/dispatcher.hpp"
#include "core/transaction.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"
#include "runtime/test_point.hpp"
#include "store/catalog.hpp"
#include "store/queue_hold.hpp"

namespace dw::runtime {

namespace {

/* Made on first use and never destroyed. */
alignas(core::Dispatcher) unsigned char dispatcher_memory[sizeof(core::Dispatcher)];
alignas(core::Transaction) unsigned char transaction_memory[sizeof(core::Transaction)];
core::Dispatcher* the_dispatcher = nullptr;
core::Transaction* the_transaction = nullptr;

bool on_exit_registered = false;
bool database_created = false;
bool extension_altered = false;

struct WorkerMemory {
  core::WorkerRef ref;
  core::Index database;
  int64 instance;
  bool known;
  char name[core::kWorkerNameSize];
};
WorkerMemory last_worker;

/* The last waiter that was woken must not take the wake with it. */
void leave_waiting(int, Datum) {
  const auto self = static_cast<core::Index>(pg::my_proc_number());
  dispatcher().sleep_as(self, nullptr);
  dispatcher().await_end(self);
  dispatcher().wait_end(self);
  dispatcher().pass_wake_on(self);
}

[[noreturn]] void raise_queue_gone() {
  pg::raise(DW_UNKNOWN_OBJECT, "a queue was dropped while this transaction enqueued to it", nullptr,
            "Run the transaction again; it will see that the queue is gone.");
}

void before_commit() {
  core::QueueId gone = 0;
  const bool has_work = the_transaction->has_work();
  if (has_work) DW_SHELL_TEST_POINT("point:pre-commit");
  const bool linked = the_transaction->pre_commit(&gone);
  if (has_work) DW_SHELL_TEST_POINT("point:pre-commit-linked");
  if (!linked) raise_queue_gone();
}

[[noreturn]] void refuse_prepare(const char* what, const char* why, const char* advice) {
  pg::raise(DW_FEATURE_NOT_SUPPORTED, psprintf("cannot PREPARE a transaction that %s", what), why,
            advice);
}

/* What no other process, or no later start of the server, could bring to its end. */
void refuse_unless_ready(core::Preparation answer) {
  switch (answer) {
    case core::Preparation::ready:
    case core::Preparation::no_room:
      break;
    case core::Preparation::has_claims:
      refuse_prepare("has claimed jobs",
                     "A lease is held in memory and does not survive a restart.",
                     "Claim and commit first; the transaction that is prepared may complete the "
                     "jobs.");
    case core::Preparation::has_purge:
      refuse_prepare("has purged a queue",
                     "Nothing of the queue could be loaded from disk until it ends.",
                     "Purge in a transaction of its own, or use cancel_many.");
    case core::Preparation::has_queues:
      refuse_prepare("has created, changed or dropped a queue, or unblocked a key",
                     "Queues are made known to other sessions by the commit of this one.",
                     "Do that in a transaction of its own.");
    case core::Preparation::has_extension:
      refuse_prepare("has created or dropped the extension durable_work",
                     "Its background worker is started and stopped by the commit of this session.",
                     "Use COMMIT.");
    case core::Preparation::has_workers:
      refuse_prepare("has registered or ended a worker",
                     "Rings of workers are changed by the commit of this session.",
                     "Do that in a transaction of its own.");
    case core::Preparation::holds_back:
      refuse_prepare("holds back a job that it does not change",
                     "An enqueue with unique_while => 'pending' met a job that waits, which must "
                     "not be claimed before this transaction ends.",
                     "Use on_duplicate => 'replace', or COMMIT.");
    case core::Preparation::queue_gone:
      raise_queue_gone();
    case core::Preparation::not_attached:
      pg::raise(DW_NOT_READY, "durable_work is still starting in this database",
                "A transaction can be prepared once the housekeeper has looked at the database.",
                "Try again in a moment.");
  }
}

/* COMMIT PREPARED cannot fail because a queue was dropped; so drop_queue waits for it. */
void hold_queues() {
  core::QueueId queues[core::kMostQueues];
  const uint32 count = the_transaction->queues_used(queues);
  for (uint32 i = 0; i < count; i++) store::hold_queue(queues[i], true);
}

/*
 * The housekeeper gives room back when prepared transactions have ended. It does so within
 * milliseconds; what does not come within seconds is taken by transactions that are prepared.
 */
void before_prepare() {
  constexpr int kLooks = 500;
  constexpr long kPause = 10000;
  /* The server's own complaint comes next. */
  if (!the_transaction->has_work() || max_prepared_xacts == 0) return;
  hold_queues();
  core::QueueId gone = 0;
  core::Preparation answer = core::Preparation::no_room;
  for (int look = 0; look < kLooks && answer == core::Preparation::no_room; look++) {
    if (look > 0) {
      platform().wake_housekeeper(the_transaction->database());
      CHECK_FOR_INTERRUPTS();
      pg_usleep(kPause);
    }
    answer = the_transaction->prepare(GetTopTransactionId(), &gone);
    refuse_unless_ready(answer);
  }
  if (answer == core::Preparation::ready) return;
  pg::raise("53400", "prepared transactions hold too much in the memory of durable_work",
            psprintf("There is room for %u of them and for %u jobs that they decide, and this "
                     "transaction would exceed it.",
                     arena()->watch_capacity, arena()->held_capacity),
            "Commit or roll back prepared transactions, or raise max_prepared_transactions or "
            "durable_work.max_resident_jobs.");
}

void on_transaction(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
      before_commit();
      break;
    case XACT_EVENT_PRE_PREPARE:
      before_prepare();
      break;
    case XACT_EVENT_COMMIT: {
      const bool look = the_transaction->changes_database();
      /* Others see the commit, memory does not know of it. No error can be raised any more. */
      if (the_transaction->has_work()) DW_SHELL_TEST_POINT("point:commit-callback");
      /* Of an earlier commit when this one wrote nothing, which does no harm. */
      the_transaction->commit(XactLastCommitEnd);
      if (look) poke_launcher();
      if (database_created) poke_about(InvalidOid);
      if (extension_altered) replace_housekeeper();
      database_created = false;
      extension_altered = false;
      reopen_closed_database();
      break;
    }
    case XACT_EVENT_PREPARE:
      the_transaction->prepared();
      database_created = false;
      reopen_closed_database();
      break;
    case XACT_EVENT_ABORT:
      the_transaction->abort();
      database_created = false;
      extension_altered = false;
      reopen_closed_database();
      break;
    default:
      /* A parallel worker has no actions; its leader's end is what counts. */
      break;
  }
}

void on_subtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  switch (event) {
    case SUBXACT_EVENT_COMMIT_SUB:
      the_transaction->sub_commit(level());
      break;
    case SUBXACT_EVENT_ABORT_SUB:
      the_transaction->sub_abort(level());
      break;
    default:
      break;
  }
}

}  // namespace

bool preloaded() { return control() != nullptr; }

void require_preloaded() {
  PreventCommandIfParallelMode("functions of durable_work");
  if (likely(preloaded())) {
    /* What others have revoked or dropped counts from this call on, also in a transaction that has
     * taken no lock since. */
    AcceptInvalidationMessages();
    (void)store::tables();
    return;
  }
  pg::raise(
      DW_NOT_READY, "durable_work is not loaded at server start",
      "Jobs are dispatched from shared memory, which can only be had at server start.",
      "Add shared_preload_libraries = 'durable_work' to postgresql.conf and restart the server.");
}

void require_writable(const char* command) {
  PreventCommandDuringRecovery(command);
  PreventCommandIfReadOnly(command);
}

core::Dispatcher& dispatcher() {
  if (unlikely(the_dispatcher == nullptr))
    the_dispatcher = new (dispatcher_memory) core::Dispatcher(arena(), &platform());
  return *the_dispatcher;
}

core::Transaction& transaction() {
  if (unlikely(the_transaction == nullptr)) {
    auto* const made = new (transaction_memory) core::Transaction(&dispatcher());
    RegisterXactCallback(on_transaction, nullptr);
    the_transaction = made;
    RegisterSubXactCallback(on_subtransaction, nullptr);
  }
  the_transaction->set_database(database(), MyDatabaseId);
  return *the_transaction;
}

core::Index database() {
  static core::Index known = 0;
  const core::Database& slot = arena()->databases[known];
  if (likely(slot.oid == MyDatabaseId && slot.state != core::DatabaseState::free)) return known;
  const core::Index found = dispatcher().find_database(MyDatabaseId);
  if (found != core::kNone) known = found;
  return found;
}

bool starts_paused() {
  const core::Index here = database();
  return here != core::kNone && arena()->databases[here].paused.load();
}

int level() { return GetCurrentTransactionNestLevel(); }

core::Index waiter() {
  const auto number = static_cast<core::Index>(pg::my_proc_number());
  if (unlikely(!on_exit_registered)) {
    if (number >= control()->waiters)
      pg::raise(DW_INTERNAL_ERROR, "durable_work has no waiter for this kind of process");
    before_shmem_exit(leave_waiting, 0);
    on_exit_registered = true;
  }
  return number;
}

core::WorkerRef worker(std::string_view name, int64 instance) {
  const core::Index here = database();
  if (likely(last_worker.known && last_worker.database == here &&
             last_worker.instance == instance && name == last_worker.name))
    return last_worker.ref;
  pg::check_length(name, "worker", 1, core::kWorkerNameSize - 1);
  const core::WorkerRef ref = dispatcher().worker_slot(here, name, instance);
  if (ref.worker == core::kNone)
    pg::raise("53400", "too many workers hold leases at the same time",
              psprintf("At most %u names of workers can hold leases.", core::kMostWorkers),
              "Use one name for each worker process, not one for each job.");
  last_worker.known = false;
  std::memcpy(last_worker.name, name.data(), name.size());
  last_worker.name[name.size()] = '\0';
  last_worker.ref = ref;
  last_worker.database = here;
  last_worker.instance = instance;
  last_worker.known = true;
  return ref;
}

void forget_worker() { last_worker.known = false; }

void note_quarantined() {
  const core::Index here = database();
  if (here != core::kNone) control()->quarantined[here].fetch_add(1, std::memory_order_relaxed);
}

void note_created_database() { database_created = true; }

void note_altered_extension() { extension_altered = true; }

}  // namespace dw::runtime
