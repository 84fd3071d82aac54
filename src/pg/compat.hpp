// Differences between PostgreSQL 15, 16, 17 and 18, polyfilled towards the
// newest name. Every block says since when and why; call sites carry no
// version conditionals. Included by pg/headers.hpp only.
#pragma once

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "durable_work builds for PostgreSQL 15, 16, 17 and 18"
#endif

// 15.1 renamed SetSingleFuncCall() and its flags to InitMaterializedSRF().
#if PG_VERSION_NUM < 150001
#define InitMaterializedSRF SetSingleFuncCall
#define MAT_SRF_USE_EXPECTED_DESC SRF_SINGLE_USE_EXPECTED
#define MAT_SRF_BLESS SRF_SINGLE_BLESS
#endif

// 17 lets an index keep state between inserts of one statement and wants it freed.
#if PG_VERSION_NUM < 170000
inline void index_insert_cleanup(Relation, IndexInfo*) {}
#endif

// 17 brought infinite intervals.
#ifndef INTERVAL_NOT_FINITE
#define INTERVAL_NOT_FINITE(interval) ((void)(interval), false)
#endif

// 17 lets TimestampDifferenceMilliseconds saturate; 17 also brought these names.
#ifndef INVALID_PROC_NUMBER
using ProcNumber = int;
#define INVALID_PROC_NUMBER InvalidBackendId
#endif

namespace pg {

// 16 renamed RelFileNode to RelFileLocator and its relNode to relNumber.
#if PG_VERSION_NUM < 160000
using RelFileNumber = Oid;
inline RelFileNumber rel_file_number(Relation relation) { return relation->rd_node.relNode; }
#else
using ::RelFileNumber;
inline RelFileNumber rel_file_number(Relation relation) { return relation->rd_locator.relNumber; }
#endif

// Lets a trigger fire in every replication role. 16 added two arguments.
inline void enable_trigger_always(Relation relation, const char* name) {
#if PG_VERSION_NUM >= 160000
  EnableDisableTrigger(relation, name, InvalidOid, TRIGGER_FIRES_ALWAYS, false, false,
                       AccessExclusiveLock);
#else
  EnableDisableTrigger(relation, name, TRIGGER_FIRES_ALWAYS, false, AccessExclusiveLock);
#endif
}

// The current user, for what only an owner may do. 16 made one function of those for each catalog.
inline bool owns_database(Oid database) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(DatabaseRelationId, database, GetUserId());
#else
  return pg_database_ownercheck(database, GetUserId());
#endif
}

// This process's place in the array of all processes; 17 took it out of PGPROC.
inline ProcNumber my_proc_number() {
#if PG_VERSION_NUM >= 170000
  return MyProcNumber;
#else
  return MyProc->pgprocno;
#endif
}

// A transaction while it is open, whether or not it has written anything: a process and a number of
// its own. 17 took both out of PGPROC and renamed the first.
struct OpenTransaction {
  int32 process;
  uint32 number;
};
inline OpenTransaction my_transaction() {
#if PG_VERSION_NUM >= 170000
  return {MyProc->vxid.procNumber, MyProc->vxid.lxid};
#else
  return {MyProc->backendId, MyProc->lxid};
#endif
}
// Returns when its locks are gone, which is after its callbacks have run.
inline void wait_for_end_of(OpenTransaction transaction) {
  VirtualTransactionId id;
#if PG_VERSION_NUM >= 170000
  id.procNumber = transaction.process;
#else
  id.backendId = transaction.process;
#endif
  id.localTransactionId = transaction.number;
  VirtualXactLock(id, true);
}

// 17 brought named wait events of extensions; before, all show as "Extension".
// Call once per process and name and keep the number (needs shared memory).
inline uint32 new_wait_event([[maybe_unused]] const char* name) {
#if PG_VERSION_NUM >= 170000
  return WaitEventExtensionNew(name);
#else
  return PG_WAIT_EXTENSION;
#endif
}

// 18 added a place for counters of the scan.
inline IndexScanDesc begin_bitmap_scan(Relation index, Snapshot snapshot, int keys) {
#if PG_VERSION_NUM >= 180000
  return index_beginscan_bitmap(index, snapshot, nullptr, keys);
#else
  return index_beginscan_bitmap(index, snapshot, keys);
#endif
}

// Calls each(block) for every page in the bitmap, in order. 18 gave iterators of
// one process a name of their own and returns results through an argument.
template <typename Each>
void for_each_bitmap_block(TIDBitmap* bitmap, Each each) {
#if PG_VERSION_NUM >= 180000
  TBMPrivateIterator* const iterator = tbm_begin_private_iterate(bitmap);
  TBMIterateResult page;
  while (tbm_private_iterate(iterator, &page)) each(page.blockno);
  tbm_end_private_iterate(iterator);
#else
  TBMIterator* const iterator = tbm_begin_iterate(bitmap);
  while (const TBMIterateResult* const page = tbm_iterate(iterator)) each(page->blockno);
  tbm_end_iterate(iterator);
#endif
}

// 17 dropped the snapshot from these, which had served old_snapshot_threshold only.
inline BrinRevmap* open_brin_map(Relation index, BlockNumber* pages_per_range) {
#if PG_VERSION_NUM >= 170000
  return brinRevmapInitialize(index, pages_per_range);
#else
  return brinRevmapInitialize(index, pages_per_range, nullptr);
#endif
}
inline BrinTuple* brin_summary(BrinRevmap* map, BlockNumber block, Buffer* buffer,
                               OffsetNumber* offset) {
#if PG_VERSION_NUM >= 170000
  return brinGetTupleForHeapBlock(map, block, buffer, offset, nullptr, BUFFER_LOCK_SHARE);
#else
  return brinGetTupleForHeapBlock(map, block, buffer, offset, nullptr, BUFFER_LOCK_SHARE, nullptr);
#endif
}

// Pins the buffer if it still holds that block of the table. 16 renamed the table's file address.
inline bool pin_recent(Relation relation, BlockNumber block, Buffer buffer) {
#if PG_VERSION_NUM >= 160000
  return ReadRecentBuffer(relation->rd_locator, MAIN_FORKNUM, block, buffer);
#else
  return ReadRecentBuffer(relation->rd_node, MAIN_FORKNUM, block, buffer);
#endif
}

// 17 renamed ShmemVariableCache. What became of an older transaction nobody knows; under
// XactTruncationLock.
#if PG_VERSION_NUM >= 170000
inline TransactionId oldest_known_transaction() { return TransamVariables->oldestClogXid; }
#else
inline TransactionId oldest_known_transaction() { return ShmemVariableCache->oldestClogXid; }
#endif

}  // namespace pg
