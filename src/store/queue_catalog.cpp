/*
 * The queues of this database, as a copy in each process.
 *
 * The copy is read from durable_work.queue and .topic with the latest snapshot and forgotten when
 * either relation is invalidated: whoever changes a queue sends that invalidation (queues_changed),
 * which reaches the own transaction at once, the others when it commits, and again the own one when
 * it rolls back. An enqueue or a claim therefore looks up its queue in memory, mostly by comparing
 * the name with the last one asked for.
 *
 * Rows that came in past the functions (a restored dump) send nothing. So a miss never trusts the
 * copy, and a queue that has no slot in the arena makes the housekeeper read the table again.
 */
#include <algorithm>

#include "core/dispatcher.hpp"
#include "core/hash.hpp"

#include "pg/headers.hpp"

#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/catalog.hpp"
#include "store/limit_columns.hpp"
#include "store/queue_table.hpp"
#include "store/row_values.hpp"

namespace dw::store {

namespace {

constexpr std::string_view kDefaultQueue = "default";

/* Columns of durable_work.topic and .queue, from 0. */
enum TopicColumn { topic_id, topic_name, topic_dedupe_window, topic_max_attempts, topic_columns };
enum QueueColumn {
  queue_id,
  queue_name,
  queue_topic,
  queue_lease,
  queue_backoff,
  queue_backoff_base,
  queue_backoff_cap,
  queue_jitter,
  queue_delivery,
  queue_max_length,
  queue_overflow,
  queue_retention,
  queue_dead_letter_queue,
  queue_durable_claims,
  queue_strict,
  queue_max_runtime,
  queue_max_payload,
  queue_paused,
  queue_created_at,
  queue_ordering,
  queue_on_exhausted,
  queue_fairness,
  queue_first_limit,
  queue_buckets = queue_first_limit + kLimitColumns,
  queue_columns
};

struct Topic {
  int32 id;
  int32 max_attempts;
  int64 dedupe_window;
};

/* Numbers of rows, found by a hash; open addressing. */
struct Finder {
  uint32* places; /* row + 1; 0: empty */
  uint32 mask;
};

/* Process-local. */
struct Copy {
  MemoryContext context; /* holds what the pointers point to */
  QueueInfo* rows;       /* in order of id */
  uint32 count;
  bool valid;
  bool stale_noted;    /* the housekeeper has been told that a slot is missing */
  TimestampTz read_at; /* start of the statement that read it */
  uint32 changes;      /* invalidations seen */
  Oid queue_relation;  /* whose invalidation counts; InvalidOid: any */
  Oid topic_relation;
  Finder by_name;
  Finder by_id;
  Finder by_topic;
  QueueInfo* last_named;
  uint32 last_length;
};
constinit Copy copy{};
constinit bool callback_registered = false;

void forget() {
  copy.valid = false;
  copy.last_named = nullptr;
  copy.changes++;
}

void on_relation_change(Datum, Oid relation) {
  if (!OidIsValid(relation) || relation == copy.queue_relation || relation == copy.topic_relation ||
      !OidIsValid(copy.queue_relation))
    forget();
}

/* --- reading the tables --- */

core::Backoff backoff_of(Datum value) {
  const std::string_view view = view_of(value);
  if (view == "linear") return core::Backoff::linear;
  if (view == "fixed") return core::Backoff::fixed;
  return core::Backoff::exponential;
}

core::OnExhausted exhaustion_of(Datum value) {
  const std::string_view view = view_of(value);
  if (view == "hold") return core::OnExhausted::hold;
  if (view == "dead_letter_key") return core::OnExhausted::dead_letter_key;
  return core::OnExhausted::skip;
}

/* Calls each with the first `columns` values and null marks of every row. */
template <typename Each>
void scan_table(Oid relation_id, Snapshot snapshot, int columns, Each each) {
  Relation const relation = table_open(relation_id, AccessShareLock);
  TupleTableSlot* const slot = table_slot_create(relation, nullptr);
  TableScanDesc const scan = table_beginscan(relation, snapshot, 0, nullptr);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    slot_getsomeattrs(slot, columns);
    each(slot->tts_values, slot->tts_isnull);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  table_close(relation, AccessShareLock);
}

struct TopicList {
  Topic* rows;
  uint32 count;
  uint32 room;
};

void read_topics(Snapshot snapshot, TopicList* topics) {
  topics->room = 64;
  topics->rows = pg::allocate<Topic>(topics->room);
  topics->count = 0;
  scan_table(tables().topic, snapshot, topic_columns, [topics](const Datum* values, const bool*) {
    if (topics->count == topics->room) {
      topics->room *= 2;
      topics->rows =
          static_cast<Topic*>(repalloc(topics->rows, mul_size(topics->room, sizeof(Topic))));
    }
    topics->rows[topics->count++] =
        Topic{DatumGetInt32(values[topic_id]), DatumGetInt32(values[topic_max_attempts]),
              span_of(values[topic_dedupe_window])};
  });
  std::sort(topics->rows, topics->rows + topics->count,
            [](const Topic& a, const Topic& b) { return a.id < b.id; });
}

const Topic* topic_with(const TopicList& topics, int32 id) {
  const Topic* const first = topics.rows;
  const Topic* const end = first + topics.count;
  const Topic* const found =
      std::lower_bound(first, end, id, [](const Topic& a, int32 b) { return a.id < b; });
  return found != end && found->id == id ? found : nullptr;
}

void fill_limits(const Datum* values, const bool* nulls, QueueInfo* row) {
  row->options.max_length =
      nulls[queue_max_length] ? 0 : std::max<int64>(0, DatumGetInt64(values[queue_max_length]));
  row->options.drop_oldest = view_of(values[queue_overflow]) == "drop_oldest";
  row->options.max_runtime = nulls[queue_max_runtime] ? 0 : span_of(values[queue_max_runtime]);
  row->max_payload = DatumGetInt64(values[queue_max_payload]);
  row->dead_letter_queue =
      nulls[queue_dead_letter_queue] ? 0 : DatumGetInt32(values[queue_dead_letter_queue]);
}

void fill_row(const Datum* values, const bool* nulls, const Topic& topic, QueueInfo* row) {
  *row = QueueInfo{};
  row->id = DatumGetInt32(values[queue_id]);
  row->topic = topic.id;
  row->slot = core::QueueRef{core::kNone, 0};
  row->options.lease = std::max<int64>(1, span_of(values[queue_lease]));
  row->options.backoff = backoff_of(values[queue_backoff]);
  row->options.backoff_base = span_of(values[queue_backoff_base]);
  row->options.backoff_cap = span_of(values[queue_backoff_cap]);
  row->options.jitter = std::min(1.0, std::max(0.0, DatumGetFloat8(values[queue_jitter])));
  row->options.max_attempts = std::clamp(topic.max_attempts, 1, core::kMostAttempts);
  row->options.at_most_once = view_of(values[queue_delivery]) == "at_most_once";
  row->options.durable_claims = DatumGetBool(values[queue_durable_claims]);
  row->options.strict = DatumGetBool(values[queue_strict]);
  row->options.paused = DatumGetBool(values[queue_paused]);
  row->options.ordered = view_of(values[queue_ordering]) == "key";
  row->options.on_exhausted = exhaustion_of(values[queue_on_exhausted]);
  row->options.fair = view_of(values[queue_fairness]) == "key";
  row->options.buckets =
      std::clamp(DatumGetInt32(values[queue_buckets]), 1, static_cast<int32>(core::kMostBuckets));
  row->retention = span_of(values[queue_retention]);
  row->dedupe_window = topic.dedupe_window;
  fill_limits(values, nulls, row);
  read_limits(values + queue_first_limit, nulls + queue_first_limit, &row->limits);
  const std::string_view name = view_of(values[queue_name]);
  const std::size_t length = std::min(name.size(), core::kQueueNameSize - 1);
  memcpy(row->name, name.data(), length);
  row->name[length] = '\0';
}

uint32 hash_of_number(int32 number) { return murmurhash32(static_cast<uint32>(number)); }

void enter_place(const Finder& finder, uint32 hash, uint32 row) {
  uint32 place = hash & finder.mask;
  while (finder.places[place] != 0) place = (place + 1) & finder.mask;
  finder.places[place] = row + 1;
}

Finder new_finder(uint32 count) {
  const uint32 size = pg_nextpower2_32(std::max<uint32>(8, count * 2));
  return Finder{pg::allocate_zeroed<uint32>(size), size - 1};
}

/* The row for which `is` holds, among those with this hash. */
template <typename Is>
QueueInfo* find_row(const Finder& finder, uint32 hash, Is is) {
  for (uint32 place = hash & finder.mask; finder.places[place] != 0;
       place = (place + 1) & finder.mask) {
    QueueInfo* const row = &copy.rows[finder.places[place] - 1];
    if (is(*row)) return row;
  }
  return nullptr;
}

/* Reads both tables into the current context. */
void read_tables(Copy* fresh) {
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  TopicList topics;
  read_topics(snapshot, &topics);

  uint32 room = 64;
  fresh->rows = pg::allocate<QueueInfo>(room);
  fresh->count = 0;
  scan_table(
      fresh->queue_relation, snapshot, queue_columns, [&](const Datum* values, const bool* nulls) {
        const Topic* const topic = topic_with(topics, DatumGetInt32(values[queue_topic]));
        if (topic == nullptr) return;
        if (fresh->count == room) {
          room *= 2;
          fresh->rows =
              static_cast<QueueInfo*>(repalloc(fresh->rows, mul_size(room, sizeof(QueueInfo))));
        }
        fill_row(values, nulls, *topic, &fresh->rows[fresh->count++]);
      });
  UnregisterSnapshot(snapshot);
  std::sort(fresh->rows, fresh->rows + fresh->count,
            [](const QueueInfo& a, const QueueInfo& b) { return a.id < b.id; });

  fresh->by_name = new_finder(fresh->count);
  fresh->by_id = new_finder(fresh->count);
  fresh->by_topic = new_finder(fresh->count);
  for (uint32 i = 0; i < fresh->count; i++) {
    const QueueInfo& row = fresh->rows[i];
    enter_place(fresh->by_name, core::fnv1a32(row.name), i);
    enter_place(fresh->by_id, hash_of_number(row.id), i);
    enter_place(fresh->by_topic, hash_of_number(row.topic), i);
  }
}

void read_copy() {
  if (!callback_registered) {
    CacheRegisterRelcacheCallback(on_relation_change, Datum{0});
    callback_registered = true;
  }
  for (;;) {
    const Tables& here = tables();
    const uint32 seen = copy.changes;
    /* An older copy goes only when the new one is complete. */
    MemoryContext const context = pg::new_context(CurrentMemoryContext, "durable_work queues");
    Copy fresh = copy;
    fresh.context = context;
    fresh.queue_relation = here.queue;
    fresh.topic_relation = here.topic;
    pg::in_context(context, [&fresh] { read_tables(&fresh); });
    if (seen != copy.changes) {
      MemoryContextDelete(context);
      continue;
    }
    MemoryContextSetParent(context, TopMemoryContext);
    if (copy.context != nullptr) MemoryContextDelete(copy.context);
    fresh.valid = true;
    fresh.stale_noted = false;
    fresh.last_named = nullptr;
    fresh.read_at = GetCurrentStatementStartTimestamp();
    copy = fresh;
    return;
  }
}

/* --- the slot in the arena --- */

void find_slot(QueueInfo* row) {
  row->slot = core::QueueRef{core::kNone, 0};
  const core::Index database = runtime::database();
  if (database == core::kNone) return;
  core::Dispatcher& dispatcher = runtime::dispatcher();
  const core::Index index = dispatcher.find_queue(database, row->id);
  if (index != core::kNone) {
    row->slot = dispatcher.queue_ref(index);
  } else if (!copy.stale_noted) {
    copy.stale_noted = true;
    dispatcher.note_catalog_stale(MyDatabaseId);
  }
}

inline const QueueInfo* with_slot(QueueInfo* row) {
  if (row != nullptr && runtime::preloaded() && !runtime::dispatcher().queue_matches(row->slot))
    find_slot(row);
  return row;
}

template <typename Is>
QueueInfo* find_by_number(Finder Copy::*finder, int32 number, Is is) {
  if (!copy.valid) read_copy();
  QueueInfo* row = find_row(copy.*finder, hash_of_number(number), is);
  /* Once a statement: rows of a dropped queue in the log ask for it again and again. */
  if (row == nullptr && copy.read_at != GetCurrentStatementStartTimestamp()) {
    read_copy();
    row = find_row(copy.*finder, hash_of_number(number), is);
  }
  return row;
}

}  // namespace

const QueueInfo* find_queue(std::string_view name) {
  if (likely(copy.last_named != nullptr && copy.last_length == name.size() &&
             memcmp(copy.last_named->name, name.data(), name.size()) == 0))
    return with_slot(copy.last_named);

  const auto is = [name](const QueueInfo& row) { return name == row.name; };
  const uint32 hash = core::fnv1a32(name);
  QueueInfo* row = copy.valid ? find_row(copy.by_name, hash, is) : nullptr;
  if (row == nullptr) {
    read_copy();
    row = find_row(copy.by_name, hash, is);
    if (row == nullptr) return nullptr;
  }
  copy.last_named = row;
  copy.last_length = static_cast<uint32>(name.size());
  return with_slot(row);
}

const QueueInfo* find_queue_by_id(core::QueueId id) {
  return with_slot(
      find_by_number(&Copy::by_id, id, [id](const QueueInfo& row) { return row.id == id; }));
}

const QueueInfo* find_queue_by_topic(int32 topic) {
  return with_slot(find_by_number(&Copy::by_topic, topic,
                                  [topic](const QueueInfo& row) { return row.topic == topic; }));
}

const QueueInfo& require_queue(std::string_view name, Right needed, bool make_default) {
  const QueueInfo* queue = find_queue(name);
  if (likely(queue != nullptr)) {
    require_right(*queue, needed);
    return *queue;
  }

  pg::check_length(name, "queue", 1, core::kQueueNameSize - 1);
  while (make_default && name == kDefaultQueue && may(kEveryQueue, needed)) {
    insert_queue(name, QueueSettings{});
    queue = find_queue(name);
    if (queue != nullptr) return *queue;
  }
  raise_unknown_queue(name);
}

void for_each_queue(void (*each)(const QueueInfo& queue, void* arg), void* arg) {
  read_copy(); /* rare, and what a restored dump brought sends no invalidation */
  /* `each` may look up queues and so replace the copy. */
  const uint32 count = copy.count;
  auto* const rows = pg::allocate<QueueInfo>(std::max<uint32>(count, 1));
  for (uint32 i = 0; i < count; i++) rows[i] = *with_slot(&copy.rows[i]);
  for (uint32 i = 0; i < count; i++) each(rows[i], arg);
  pfree(rows);
}

void forget_queues() { forget(); }

void queues_changed() {
  const Tables& here = tables();
  CacheInvalidateRelcacheByRelid(here.queue);
  CacheInvalidateRelcacheByRelid(here.topic);
  /* Ends the command even if it wrote nothing since the last one ended: only messages of an ended
   * command are sent again when the transaction rolls back. */
  (void)GetCurrentCommandId(true);
  CommandCounterIncrement();
  forget();
}

}  // namespace dw::store
