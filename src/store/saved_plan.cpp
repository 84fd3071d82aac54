#include "store/saved_plan.hpp"

#include "pg/error.hpp"
#include "store/catalog.hpp"

namespace dw::store {

uint64 run_as_owner(SavedPlan* saved, const char* statement, int parameters, const Oid* types,
                    const Datum* values, const char* nulls) {
  OwnerScope scope;
  enter_owner(&scope);
  if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  if (saved->plan == nullptr) {
    const SPIPlanPtr plan = SPI_prepare(statement, parameters, const_cast<Oid*>(types));
    if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    if (SPI_keepplan(plan) != 0) elog(ERROR, "SPI_keepplan failed");
    saved->plan = plan;
  }
  const int result = SPI_execute_plan(saved->plan, const_cast<Datum*>(values), nulls, false, 0);
  if (result < 0) elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
  const uint64 processed = SPI_processed;
  SPI_finish();
  leave_owner(&scope);
  return processed;
}

}  // namespace dw::store
