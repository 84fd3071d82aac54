/*
 * Writing durable_work.queue and durable_work.topic.
 *
 * The topic's row comes first and its unique name is what two sessions that make the same queue
 * wait on: the second inserts nothing, and reads what the first has made.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "runtime/session.hpp"
#include "store/grants.hpp"
#include "store/key_weight.hpp"
#include "store/queue_table.hpp"
#include "store/redrive_task.hpp"

namespace dw::store {

namespace {

constexpr const char* kBackoffNames[] = {"exponential", "linear", "fixed"};
constexpr const char* kExhaustionNames[] = {"skip", "hold", "dead_letter_key"};

/* Statements run as the owner between these two. */
void open_spi(OwnerScope* scope) {
  enter_owner(scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
}

void close_spi(OwnerScope* scope) {
  if (SPI_finish() != SPI_OK_FINISH) elog(ERROR, "SPI_finish failed");
  leave_owner(scope);
}

/*
 * Runs one statement with the latest snapshot, so that also under REPEATABLE READ a queue is
 * changed as it is now, and one that was just made is found.
 */
uint64 run(const char* statement, int n, const Oid* types, const Datum* values, const char* nulls,
           int expected) {
  SPIPlanPtr const plan = SPI_prepare(statement, n, const_cast<Oid*>(types));
  if (plan == nullptr)
    elog(ERROR, "statement \"%s\" gave %s", statement, SPI_result_code_string(SPI_result));
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  const int result = SPI_execute_snapshot(plan, const_cast<Datum*>(values), nulls, snapshot,
                                          InvalidSnapshot, false, true, 0);
  UnregisterSnapshot(snapshot);
  if (result != expected)
    elog(ERROR, "statement \"%s\" gave %s", statement, SPI_result_code_string(result));
  SPI_freeplan(plan);
  return SPI_processed;
}

template <int n>
uint64 execute(const char* statement, const Oid (&types)[n], const Datum (&values)[n],
               int expected) {
  return run(statement, n, types, values, nullptr, expected);
}

int32 returned_number() {
  bool null = false;
  const Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
  if (null) elog(ERROR, "a queue's number is null");
  return DatumGetInt32(value);
}

Datum interval_datum(int64 microseconds) {
  return IntervalPGetDatum(pg::make_interval(microseconds));
}

Datum backoff_datum(core::Backoff backoff) {
  return CStringGetTextDatum(kBackoffNames[static_cast<int>(backoff)]);
}

/* The columns of durable_work.queue that create_queue and alter_queue set, as parameters 3 and up;
 * 1 and 2 are the caller's. */
#define SETTING_COLUMNS                                                                      \
  "lease, backoff, backoff_base, backoff_cap, jitter, delivery, max_length, overflow, "      \
  "retention, dead_letter_queue, durable_claims, strict, max_runtime, max_payload, paused, " \
  "ordering, on_exhausted, fairness, buckets"
#define SETTING_PARAMETERS \
  "$3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21"
constexpr int kParameters = 21;

struct Parameters {
  Oid types[kParameters];
  Datum values[kParameters];
  char nulls[kParameters + 1];
};

Parameters parameters_of(Oid first_type, Datum first, Datum second, const QueueSettings& settings) {
  const core::QueueOptions& options = settings.options;
  Parameters all = {
      {first_type,  INT4OID, INTERVALOID, TEXTOID,     INTERVALOID, INTERVALOID, FLOAT8OID,
       TEXTOID,     INT8OID, TEXTOID,     INTERVALOID, INT4OID,     BOOLOID,     BOOLOID,
       INTERVALOID, INT8OID, BOOLOID,     TEXTOID,     TEXTOID,     TEXTOID,     INT4OID},
      {first,
       second,
       interval_datum(options.lease),
       backoff_datum(options.backoff),
       interval_datum(options.backoff_base),
       interval_datum(options.backoff_cap),
       Float8GetDatum(options.jitter),
       CStringGetTextDatum(options.at_most_once ? "at_most_once" : "at_least_once"),
       Int64GetDatum(options.max_length),
       CStringGetTextDatum(options.drop_oldest ? "drop_oldest" : "reject"),
       interval_datum(settings.retention),
       Int32GetDatum(settings.dead_letter_queue),
       BoolGetDatum(options.durable_claims),
       BoolGetDatum(options.strict),
       interval_datum(options.max_runtime),
       Int64GetDatum(settings.max_payload),
       BoolGetDatum(options.paused),
       CStringGetTextDatum(options.ordered ? "key" : "none"),
       CStringGetTextDatum(kExhaustionNames[static_cast<int>(options.on_exhausted)]),
       CStringGetTextDatum(options.fair ? "key" : "none"),
       Int32GetDatum(options.buckets)},
      "                     "};
  if (options.max_length == 0) all.nulls[8] = 'n';
  if (settings.dead_letter_queue == 0) all.nulls[11] = 'n';
  if (options.max_runtime == 0) all.nulls[14] = 'n';
  return all;
}

void write_settings(const char* statement, const Parameters& all, int expected) {
  run(statement, kParameters, all.types, all.values, all.nulls, expected);
}

/* Limits as parameters; what is not limited is null. */
struct LimitParameters {
  static constexpr int kMost = 15;
  Oid types[kMost];
  Datum values[kMost];
  char nulls[kMost + 1];
  int count;

  void add(Oid type, Datum value, bool null = false) {
    types[count] = type;
    values[count] = value;
    nulls[count++] = null ? 'n' : ' ';
  }
  void add_places(uint32 most) {
    add(INT4OID, Int32GetDatum(static_cast<int32>(most)), most == core::kUnlimited);
  }
  void add_rate(const core::Rate& rate) {
    const bool none = rate.jobs == 0;
    add(INT4OID, Int32GetDatum(static_cast<int32>(rate.jobs)), none);
    add(INTERVALOID, interval_datum(rate.interval), none);
    add(INT4OID, Int32GetDatum(static_cast<int32>(rate.burst)), none);
  }
  void add_name(const char* name) { add(TEXTOID, CStringGetTextDatum(name), name[0] == '\0'); }
};

void note(core::ActionKind kind, core::QueueId id, core::QueueRef slot,
          const core::QueueOptions* options) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  if (options != nullptr) transaction.set_options(id, *options);
  transaction.note_queue(runtime::level(), kind, slot, id);
}

/* Takes a slot in the arena, which the commit makes usable and a rollback frees. */
void announce(core::QueueId id, std::string_view name, const core::QueueOptions& options) {
  core::Transaction& transaction = runtime::transaction();
  transaction.reserve(1);
  transaction.set_options(id, options);
  core::QueueRef slot{core::kNone, 0};
  const core::Index database = transaction.database();
  if (database != core::kNone) {
    core::Dispatcher& dispatcher = runtime::dispatcher();
    const core::Index index = dispatcher.add_queue(
        database, id, name, options, core::QueueState::creating, core::LoadMode::live);
    if (index == core::kNone)
      pg::raise(
          "53400", "too many queues",
          psprintf("The server has room for %u queues in all its databases.", core::kMostQueues),
          "Drop queues that are no longer needed.");
    slot = dispatcher.queue_ref(index);
  }
  transaction.note_queue(runtime::level(), core::ActionKind::queue_created, slot, id);
}

}  // namespace

QueueSettings settings_of(const QueueInfo& queue) {
  return QueueSettings{queue.options, queue.retention, queue.dedupe_window, queue.max_payload,
                       queue.dead_letter_queue};
}

bool insert_queue(std::string_view name, const QueueSettings& settings) {
  runtime::require_writable("create_queue()");
  OwnerScope scope;
  open_spi(&scope);
  const Datum name_datum = pg::text_datum(name);

  const bool is_new = execute<3>(
                          "INSERT INTO durable_work.topic (name, dedupe_window, max_attempts) "
                          "VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING id",
                          {TEXTOID, INTERVALOID, INT4OID},
                          {name_datum, interval_datum(settings.dedupe_window),
                           Int32GetDatum(settings.options.max_attempts)},
                          SPI_OK_INSERT_RETURNING) == 1;
  int32 id = 0;
  if (is_new) {
    const int32 topic = returned_number();
    write_settings("INSERT INTO durable_work.queue (name, topic, " SETTING_COLUMNS
                   ") VALUES ($1, $2, " SETTING_PARAMETERS ") RETURNING id",
                   parameters_of(TEXTOID, name_datum, Int32GetDatum(topic), settings),
                   SPI_OK_INSERT_RETURNING);
    id = returned_number();
  }
  close_spi(&scope);

  if (is_new) {
    queues_changed();
    announce(id, name, settings.options);
  }
  return is_new;
}

bool lock_queue(core::QueueId id) {
  OwnerScope scope;
  open_spi(&scope);
  const bool found = execute<1>("SELECT 1 FROM durable_work.queue WHERE id = $1 FOR UPDATE",
                                {INT4OID}, {Int32GetDatum(id)}, SPI_OK_SELECT) == 1;
  close_spi(&scope);
  forget_queues(); /* the copy may be older than what the lock waited for */
  return found;
}

const QueueInfo& lock_newest(std::string_view name) {
  while (!lock_queue(require_queue(name, Right::operate).id)) {
  }
  return require_queue(name, Right::operate);
}

void update_queue(const QueueInfo& queue, const QueueSettings& settings) {
  const core::QueueId id = queue.id;
  const core::QueueRef slot = queue.slot;
  OwnerScope scope;
  open_spi(&scope);
  write_settings("UPDATE durable_work.queue SET (" SETTING_COLUMNS ") = (" SETTING_PARAMETERS
                 ") WHERE id = $1 AND topic = $2",
                 parameters_of(INT4OID, Int32GetDatum(id), Int32GetDatum(queue.topic), settings),
                 SPI_OK_UPDATE);
  execute<3>(
      "UPDATE durable_work.topic SET dedupe_window = $2, max_attempts = $3 "
      "WHERE id = $1 AND (dedupe_window, max_attempts) IS DISTINCT FROM ($2, $3)",
      {INT4OID, INTERVALOID, INT4OID},
      {Int32GetDatum(queue.topic), interval_datum(settings.dedupe_window),
       Int32GetDatum(settings.options.max_attempts)},
      SPI_OK_UPDATE);
  close_spi(&scope);
  queues_changed();
  note(core::ActionKind::queue_changed, id, slot, &settings.options);
}

void update_limits(const QueueInfo& queue, const core::QueueLimits& limits) {
  const core::QueueId id = queue.id;
  LimitParameters all{};
  all.add(INT4OID, Int32GetDatum(id));
  all.add_places(limits.max_in_flight);
  all.add_rate(limits.rate);
  all.add_places(limits.key_max_in_flight);
  all.add_rate(limits.key_rate);
  all.add_name(limits.group_of(core::LimitKind::concurrency));
  all.add_places(limits.group_max_in_flight);
  all.add_name(limits.group_of(core::LimitKind::rate));
  all.add_rate(limits.group_rate);
  OwnerScope scope;
  open_spi(&scope);
  run("UPDATE durable_work.queue SET (max_in_flight, rate_jobs, rate_interval, rate_burst, "
      "key_max_in_flight, key_rate_jobs, key_rate_interval, key_rate_burst, concurrency_group, "
      "group_max_in_flight, rate_group, group_rate_jobs, group_rate_interval, group_rate_burst) = "
      "($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) WHERE id = $1",
      all.count, all.types, all.values, all.nulls, SPI_OK_UPDATE);
  close_spi(&scope);
  queues_changed();
  runtime::transaction().note_limits(runtime::level(), id, limits);
}

void delete_queue(const QueueInfo& queue) {
  const core::QueueId id = queue.id;
  const core::QueueRef slot = queue.slot;
  const Datum topic = Int32GetDatum(queue.topic);
  drop_tasks_of(queue);
  delete_key_weights(id);
  OwnerScope scope;
  open_spi(&scope);
  execute<1>("DELETE FROM durable_work.dead_letter WHERE queue = $1", {INT4OID},
             {Int32GetDatum(id)}, SPI_OK_DELETE);
  execute<1>("DELETE FROM durable_work.blocked_key WHERE queue = $1", {INT4OID},
             {Int32GetDatum(id)}, SPI_OK_DELETE);
  execute<1>("DELETE FROM durable_work.idempotency WHERE topic = $1", {INT4OID}, {topic},
             SPI_OK_DELETE);
  execute<1>("UPDATE durable_work.queue SET dead_letter_queue = NULL WHERE dead_letter_queue = $1",
             {INT4OID}, {Int32GetDatum(id)}, SPI_OK_UPDATE);
  execute<1>("DELETE FROM durable_work.queue WHERE id = $1", {INT4OID}, {Int32GetDatum(id)},
             SPI_OK_DELETE);
  execute<1>("DELETE FROM durable_work.topic WHERE id = $1", {INT4OID}, {topic}, SPI_OK_DELETE);
  close_spi(&scope);
  drop_rights(id);
  queues_changed();
  note(core::ActionKind::queue_dropped, id, slot, nullptr);
}

int64 count_unfinished(const QueueInfo& queue, bool parked_only) {
  OwnerScope scope;
  open_spi(&scope);
  int64 count = 0;
  for (int i = parked_only ? core::kParkedSegment : 0; i < core::kStores; i++) {
    char job[NAMEDATALEN] = "parked";
    char outcome[NAMEDATALEN] = "parked_outcome";
    if (i < core::kSegments) {
      snprintf(job, sizeof(job), "job_%d", i);
      snprintf(outcome, sizeof(outcome), "outcome_%d", i);
    }
    execute<2>(
        psprintf("WITH member AS MATERIALIZED (SELECT member.* FROM durable_work.%s AS outcome "
                 "CROSS JOIN LATERAL durable_work.outcome_members(outcome.first_id, "
                 "outcome.last_id, outcome.body) AS member WHERE member.queue = $2) "
                 "SELECT count(*) FROM durable_work.%s AS job WHERE job.topic = $1 "
                 "AND NOT EXISTS (SELECT 1 FROM member WHERE member.id = job.id AND member.kind IN "
                 "('completed', 'cancelled', 'purged', 'moved')) "
                 /* A dead letter that was not redriven since. */
                 "AND NOT EXISTS (SELECT 1 FROM member AS death WHERE death.id = job.id "
                 "AND death.kind = 'dead_lettered' AND NOT EXISTS (SELECT 1 FROM member AS redrive "
                 "WHERE redrive.id = death.id AND redrive.kind = 'redriven' "
                 "AND redrive.lease_token > death.lease_token))",
                 outcome, job),
        {INT4OID, INT4OID}, {Int32GetDatum(queue.topic), Int32GetDatum(queue.id)}, SPI_OK_SELECT);
    bool null = false;
    count += DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
  }
  close_spi(&scope);
  return count;
}

}  // namespace dw::store
