/*
 * durable_work.outcome_members(first_id, last_id, body): one row for each job of an outcome row.
 */
#include "core/dispatcher.hpp"
#include "core/outcome.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "see/detail.hpp"

extern "C" Datum dw_outcome_members_body(FunctionCallInfo fcinfo) {
  using namespace dw;
  const core::JobId first = pg::required_bigint(fcinfo, 0, "first_id");
  const bool batch = !pg::is_null(fcinfo, 1);
  auto* const body =
      reinterpret_cast<bytea*>(DatumGetPointer(pg::required_varlena(fcinfo, 2, "body")));
  pg::begin_set(fcinfo);
  core::OutcomeReader reader(first, batch,
                             reinterpret_cast<const unsigned char*>(VARDATA_ANY(body)),
                             VARSIZE_ANY_EXHDR(body));
  const Datum kind = CStringGetTextDatum(see::kind_name(reader.kind()));
  core::OutcomeMember member;
  while (reader.next(&member)) {
    const Datum values[] = {Int64GetDatum(member.id),
                            Int32GetDatum(reader.queue()),
                            kind,
                            TimestampTzGetDatum(reader.at()),
                            Int32GetDatum(member.attempt),
                            Int64GetDatum(member.token),
                            TimestampTzGetDatum(member.next_due)};
    const bool nulls[] = {false,
                          false,
                          false,
                          false,
                          !core::has_schedule(reader.kind()),
                          member.token == 0,
                          member.next_due == 0};
    pg::put_row(fcinfo, values, nulls);
  }
  return pg::end_set(fcinfo);
}
