/*
 * The hash of a partition key: over its UTF-8 bytes, whatever the database's encoding, so that
 * every client computes the same. In a database without an encoding the bytes are taken as they
 * are. Names of workers are hashed likewise.
 */
#pragma once

#include "core/hash.hpp"

#include "pg/headers.hpp"

#include <string_view>

namespace dw::store {

/* The text in UTF-8: itself, or a copy in the current memory context. */
inline std::string_view utf8_text(std::string_view text) {
  const int encoding = GetDatabaseEncoding();
  if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII) return text;
  const char* const utf8 = pg_server_to_any(text.data(), static_cast<int>(text.size()), PG_UTF8);
  return utf8 == text.data() ? text : std::string_view(utf8);
}

inline uint32 key_hash(std::string_view key) { return core::fnv1a32(utf8_text(key)); }

/*
 * The second hash, see core/hash.hpp; of the bytes in the database's encoding. A key that is short
 * enough to count is never stored out of line, for there would be longer columns to begin with; it
 * may be compressed.
 */
inline uint32 key_check(Datum key) {
  if (toast_raw_datum_size(key) - VARHDRSZ > core::kLongestCheckedKey ||
      VARATT_IS_EXTERNAL(DatumGetPointer(key)))
    return core::key_check_of_long();
  const text* const whole = DatumGetTextPP(key);
  return core::key_check({VARDATA_ANY(whole), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(whole))});
}

}  // namespace dw::store
