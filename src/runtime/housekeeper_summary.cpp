/*
 * Keeps the block range indexes of the log usable: a range is summarised once it is full and the
 * tail has gone on.
 *
 * Only full ranges that no process fills any more: with a summarised tail every insert would
 * have to update the summary. Until a range is summarised a look-up by id reads its pages. Locks
 * are only taken when they are free.
 */
#include "core/types.hpp"

#include "pg/headers.hpp"

#include "runtime/housekeeper.hpp"
#include "runtime/session.hpp"
#include "runtime/test_point.hpp"
#include "store/catalog.hpp"
#include "store/tail_page.hpp"

namespace dw::runtime {

namespace {

constexpr int64 kLookEvery = 5 * core::kSecond;
constexpr int64 kBudget = 5 * core::kMillisecond;
constexpr int kTables = 2 * core::kSegments;

/* Next block to look at, of the jobs of each segment, then of the outcomes. Process-local. */
BlockNumber next_block[kTables];
/* What the table was when last looked at; a truncated or rewritten one begins anew. */
Oid file[kTables];
uint64 work_seen = 0;

Oid table_at(const store::Tables& tables, int number) {
  return number < core::kSegments ? tables.job[number] : tables.outcome[number - core::kSegments];
}

/* Jobs and outcomes written since the server started, roughly: read without locks. */
uint64 work_done(core::Index slot) {
  uint64 sum = 1;
  for (const core::Queue& queue : arena()->queues) {
    if (queue.database != slot) continue;
    const core::QueueCounters& count = queue.counters;
    sum += count.enqueued + count.completed + count.failed + count.expired + count.cancelled;
  }
  return sum;
}

/* The table's block range index; InvalidOid: none. */
Oid range_index(Relation table, BlockNumber* pages_per_range) {
  Oid found = InvalidOid;
  List* const indexes = RelationGetIndexList(table);
  ListCell* cell;
  foreach (cell, indexes) {
    const Oid candidate = lfirst_oid(cell);
    Relation index = index_open(candidate, AccessShareLock);
    if (index->rd_rel->relam == BRIN_AM_OID && index->rd_index->indisvalid) {
      found = candidate;
      *pages_per_range = BrinGetPagesPerRange(index);
    }
    index_close(index, AccessShareLock);
  }
  list_free(indexes);
  return found;
}

/* Summarises full ranges of one table until the time is over. True if it was. */
bool summarise_table(int number, int64 until) {
  const Oid oid = table_at(store::tables(), number);
  /* What a summary takes; when somebody else has it, the next round will do. */
  if (!ConditionalLockRelationOid(oid, ShareUpdateExclusiveLock)) return false;
  Relation table = table_open(oid, NoLock);
  if (file[number] != pg::rel_file_number(table)) {
    file[number] = pg::rel_file_number(table);
    next_block[number] = 0;
  }
  const BlockNumber blocks = RelationGetNumberOfBlocks(table);
  BlockNumber step = 0;
  bool late = false;
  const Oid index = blocks > next_block[number] ? range_index(table, &step) : InvalidOid;
  if (OidIsValid(index)) {
    while (!late && next_block[number] + step + store::kFarBehind < blocks) {
      DirectFunctionCall2(brin_summarize_range, ObjectIdGetDatum(index),
                          Int64GetDatum(next_block[number]));
      next_block[number] += step;
      late = platform().monotonic_now() >= until;
    }
  }
  table_close(table, NoLock);
  return late;
}

}  // namespace

bool summarise_ranges(Housekeeper* self) {
  const uint64 work = work_done(self->slot);
  if (work == work_seen) {
    self->summary.not_before = platform().monotonic_now() + kLookEvery;
    return false;
  }
  bool late = false;
  const bool done = transaction_step(*self, [&late] {
    DW_SHELL_TEST_POINT("point:duty-summary");
    const int64 until = platform().monotonic_now() + kBudget;
    for (int number = 0; number < kTables && !late; number++) late = summarise_table(number, until);
  });
  if (!done) {
    note_failure(&self->summary);
    return false;
  }
  note_success(&self->summary);
  if (late) return true;
  work_seen = work;
  self->summary.not_before = platform().monotonic_now() + kLookEvery;
  return false;
}

}  // namespace dw::runtime
