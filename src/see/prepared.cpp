#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "see/prepared.hpp"

namespace dw::see {

namespace {

/* The name was given by a client; nullptr when the transaction has just ended. */
const char* name_of(TransactionId transaction, MemoryContext caller) {
  Oid types[] = {XIDOID};
  Datum values[] = {TransactionIdGetDatum(transaction)};
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  const int status = SPI_execute_with_args(
      "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.transaction "
      "OPERATOR(pg_catalog.=) $1",
      1, types, values, nullptr, true, 1);
  if (status != SPI_OK_SELECT) elog(ERROR, "reading pg_prepared_xacts: SPI status %d", status);
  const char* name = nullptr;
  if (SPI_processed == 1)
    name =
        MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
  SPI_finish();
  return name;
}

}  // namespace

const char* prepared_decider(core::QueueId queue, core::JobId id) {
  const core::Index here = runtime::database();
  if (here == core::kNone) return nullptr;
  const TransactionId transaction = runtime::dispatcher().prepared_decider(here, queue, id);
  if (!TransactionIdIsValid(transaction)) return nullptr;
  const char* const name = name_of(transaction, CurrentMemoryContext);
  return name == nullptr ? nullptr : psprintf("prepared transaction \"%s\" decides it", name);
}

const char* prepared_deciders(core::QueueRef queue, uint32* jobs) {
  constexpr uint32 kMostNames = 5;
  core::TransactionNumber transactions[kMostNames];
  const uint32 count =
      runtime::dispatcher().prepared_deciders(queue, transactions, kMostNames, jobs);
  if (count == 0) return nullptr;
  StringInfoData names;
  initStringInfo(&names);
  for (uint32 i = 0; i < Min(count, kMostNames); i++) {
    const char* const name = name_of(transactions[i], CurrentMemoryContext);
    if (name != nullptr) appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", name);
  }
  if (count > kMostNames) appendStringInfo(&names, ", and %u more", count - kMostNames);
  return names.len > 0 ? names.data : nullptr;
}

}  // namespace dw::see
