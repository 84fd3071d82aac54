// Raising errors from the shell: one call, plain frames.
//
//   pg::raise(DW_UNKNOWN_OBJECT, psprintf("queue \"%s\" does not exist", name));
//   pg::raise(DW_NOT_READY, "durable_work is not preloaded", nullptr,
//             "Add shared_preload_libraries = 'durable_work' to postgresql.conf and restart.");
//
// Primary message: lower case, no full stop. Detail and hint: full sentences.
// Text is shown as it is, never read as a format.
#pragma once

#include "pg/headers.hpp"

#include "durable_work/errors.h"

namespace pg {

// "DW001" to the server's packed form.
constexpr int sqlstate(const char* text) {
  return MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

// `file`, `line` and `function` are the caller's, for LOCATION; leave them out.
[[noreturn]] inline void raise(const char* state, const char* message, const char* detail = nullptr,
                               const char* hint = nullptr, const char* file = __builtin_FILE(),
                               int line = __builtin_LINE(),
                               const char* function = __builtin_FUNCTION()) {
  if (errstart(ERROR, TEXTDOMAIN)) {
    errcode(sqlstate(state));
    errmsg_internal("%s", message);
    if (detail != nullptr) errdetail_internal("%s", detail);
    if (hint != nullptr) errhint("%s", hint);
    errfinish(file, line, function);
  }
  pg_unreachable();
}

// A report below ERROR: WARNING, NOTICE, LOG, DEBUG1 ... Returns.
inline void report(int level, const char* state, const char* message, const char* detail = nullptr,
                   const char* hint = nullptr, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE(), const char* function = __builtin_FUNCTION()) {
  if (errstart(level, TEXTDOMAIN)) {
    errcode(sqlstate(state));
    errmsg_internal("%s", message);
    if (detail != nullptr) errdetail_internal("%s", detail);
    if (hint != nullptr) errhint("%s", hint);
    errfinish(file, line, function);
  }
}

}  // namespace pg
