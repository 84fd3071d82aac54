/*
 * durable_work.may(queue, right): what the views ask for each queue. It works without preloading,
 * as those views do that show tables only, and where library and SQL are of versions that do not
 * fit: there only superusers may.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "store/catalog.hpp"
#include "store/rights.hpp"

namespace {

using namespace dw;
using store::Right;

Right right_argument(FunctionCallInfo fcinfo) {
  const std::string_view name = pg::text_view(pg::required_datum(fcinfo, 1, "right"));
  if (name == "see") return Right::see;
  if (name == "read") return Right::read;
  if (name == "any") return Right::any;
  for (const store::RightName& each : store::kRights)
    if (name == each.name) return each.right;
  pg::raise_invalid(psprintf("right \"%s\" is not known", pg::copy(name)), nullptr,
                    "Use enqueue, work, operate, monitor, read, see or any.");
}

}  // namespace

extern "C" Datum dw_may_body(FunctionCallInfo fcinfo) {
  const core::QueueId queue =
      pg::required_int(fcinfo, 0, "queue", store::kEveryQueue, PG_INT32_MAX);
  const Right needed = right_argument(fcinfo);
  if (store::find_tables() == nullptr) return BoolGetDatum(superuser());
  return BoolGetDatum(store::may(queue, needed));
}
