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
inline RelFileNumber rel_file_number(Relation relation) { return relation->rd_locator.relNumber; }
#endif

// 17 brought named wait events of extensions; before, all show as "Extension".
// Call once per process and name and keep the number (needs shared memory).
inline uint32 new_wait_event([[maybe_unused]] const char* name) {
#if PG_VERSION_NUM >= 170000
  return WaitEventExtensionNew(name);
#else
  return PG_WAIT_EXTENSION;
#endif
}

}  // namespace pg
