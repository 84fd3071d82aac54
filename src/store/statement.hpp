// Rare statements of the engine, run as the owner of its tables, planned each time.
#pragma once

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "store/catalog.hpp"

namespace dw::store {

// A column of a row of the statement that execute() runs.
inline Datum column(uint64 row, int number, bool* null) {
  return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

// Of one that is never null.
inline Datum number(uint64 row, int at) {
  bool null = false;
  return column(row, at, &null);
}

inline void ignore(uint64) {}

// `read` sees each row of the result before it goes, in the caller's memory context. `nulls` has
// one character for each parameter, 'n' for null. Returns the number of rows.
template <int n, typename Read>
uint64 execute(const char* statement, const Oid (&types)[n], Datum (&values)[n], const char* nulls,
               Read read) {
  const MemoryContext caller = CurrentMemoryContext;
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const int result =
      SPI_execute_with_args(statement, n, const_cast<Oid*>(types), values, nulls, false, 0);
  if (result < 0) elog(ERROR, "a statement gave %s", SPI_result_code_string(result));
  const uint64 rows = SPI_processed;
  for (uint64 row = 0; row < rows && SPI_tuptable != nullptr; row++)
    pg::in_context(caller, [&read, row] { read(row); });
  SPI_finish();
  leave_owner(&scope);
  return rows;
}

}  // namespace dw::store
