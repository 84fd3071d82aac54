#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "see/progress.hpp"

namespace dw::see {

bool read_progress(core::Index holder, core::Token token, Datum* progress) {
  char bytes[core::kMostProgressBytes];
  const uint16 length = runtime::dispatcher().see_progress(holder, token, bytes);
  if (length == 0) return false;
  char* const copy = pg::allocate<char>(VARHDRSZ + length);
  SET_VARSIZE(copy, VARHDRSZ + length);
  std::memcpy(VARDATA(copy), bytes, length);
  *progress = PointerGetDatum(copy);
  return true;
}

}  // namespace dw::see
