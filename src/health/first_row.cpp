#include "pg/headers.hpp"

#include "health/check.hpp"
#include "store/catalog.hpp"

namespace dw::health {

bool first_row(const char* query, const char** columns, int count) {
  const MemoryContext caller = CurrentMemoryContext;
  store::OwnerScope scope;
  store::enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  if (SPI_execute(query, true, 1) != SPI_OK_SELECT) elog(ERROR, "a check is no query");
  const bool found = SPI_processed == 1;
  for (int i = 0; found && i < count; i++) {
    const char* const text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);
    columns[i] = text == nullptr ? nullptr : MemoryContextStrdup(caller, text);
  }
  SPI_finish();
  store::leave_owner(&scope);
  return found;
}

}  // namespace dw::health
