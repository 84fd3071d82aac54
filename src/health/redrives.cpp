/* Redrives at a rate that had to give up within the last day. */
#include "pg/headers.hpp"

#include "health/checks.hpp"

namespace dw::health {

namespace {

Finding look() {
  const char* columns[4] = {};
  first_row(
      "SELECT count(*) FILTER (WHERE state = 'failed' AND ended_at > clock_timestamp() - interval "
      "'1 "
      "day'), max(id) FILTER (WHERE state = 'failed'), (array_agg(error ORDER BY id DESC) FILTER "
      "(WHERE state = 'failed'))[1], count(*) FILTER (WHERE state = 'running') FROM "
      "durable_work.redrive_task",
      columns, 4);
  if (strcmp(columns[0], "0") == 0)
    return ok(strcmp(columns[3], "0") == 0 ? "no redrive is under way"
                                           : psprintf("%s redrives are under way", columns[3]));
  return warning(psprintf("%s redrives have failed within a day, last number %s: %s", columns[0],
                          columns[1], columns[2] == nullptr ? "no reason is known" : columns[2]),
                 "What it has moved stays moved. Mend the cause and call redrive() again: it takes "
                 "what is left.");
}

}  // namespace

const Check redrives_check{"redrives", Needs::nothing, look};

}  // namespace dw::health
