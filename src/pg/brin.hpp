// Block range indexes: is a block's range summarised at all?
#pragma once

#include "pg/headers.hpp"

namespace pg {

struct BrinRange {
  bool summarised;  // has a summary, or the placeholder of one that is being made
  BlockNumber first;
  BlockNumber end;  // first block behind it
  [[nodiscard]] bool holds(BlockNumber block) const { return block >= first && block < end; }
};

inline BrinRange brin_range(Relation index, BlockNumber block) {
  BlockNumber pages_per_range = 0;
  Buffer buffer = InvalidBuffer;
  OffsetNumber offset = InvalidOffsetNumber;
  BrinRevmap* const map = open_brin_map(index, &pages_per_range);
  const BlockNumber first = block / pages_per_range * pages_per_range;
  const bool summarised = brin_summary(map, first, &buffer, &offset) != nullptr;
  if (summarised) LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  brinRevmapTerminate(map);
  if (BufferIsValid(buffer)) ReleaseBuffer(buffer);
  return {summarised, first, first + pages_per_range};
}

}  // namespace pg
