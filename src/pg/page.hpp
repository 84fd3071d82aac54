// Reading a page that was read not long ago.
#pragma once

#include "pg/headers.hpp"

namespace pg {

// ReadBuffer that first tries the buffer where the block was last time, which saves the search in
// the buffer table. `recent` belongs to the caller, InvalidBuffer at first.
inline Buffer read_page(Relation relation, BlockNumber block, Buffer* recent) {
  if (BufferIsValid(*recent) && pin_recent(relation, block, *recent)) return *recent;
  *recent = ReadBuffer(relation, block);
  return *recent;
}

}  // namespace pg
