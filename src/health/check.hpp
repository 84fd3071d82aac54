/*
 * One check of health(): what it looks at, and what it found.
 *
 * Each is a file here with one constant, named in checks.hpp; it reads shared memory, or the
 * server's catalogs and views by first_row(), and never a table of jobs as a whole. What it needs
 * and is not there makes the answer unknown without a look.
 */
#pragma once

#include "pg/headers.hpp"

namespace dw::health {

enum class Severity : uint8 { ok, warning, critical, unknown };

struct Finding {
  Severity severity;
  const char* seen;
  const char* advice; /* nullptr: nothing to do */
};

inline Finding ok(const char* seen) { return Finding{Severity::ok, seen, nullptr}; }
inline Finding warning(const char* seen, const char* advice) {
  return Finding{Severity::warning, seen, advice};
}
inline Finding critical(const char* seen, const char* advice) {
  return Finding{Severity::critical, seen, advice};
}

enum class Needs : uint8 {
  nothing,
  catalogs, /* the same; but on a standby the primary is the one to be asked */
  memory,   /* preloaded */
  workers,  /* and no standby */
  slot,     /* and the dispatcher knows this database */
};

struct Check {
  const char* name;
  Needs needs;
  Finding (*look)();
};

/*
 * The columns of the first row that the query has, as text in the current memory context, nullptr
 * for null. False: there is no row. Runs as the owner of the extension, who sees all sessions, with
 * search_path pg_catalog.
 */
bool first_row(const char* query, const char** columns, int count);

}  // namespace dw::health
