// Block range indexes: is a block's range summarised at all?
//
// The server asks this for every row; here the range map is read directly. It begins behind the
// meta page and grows by whole pages, which never move (README and brin_page.h of the server).
#pragma once

#include "pg/headers.hpp"

#include "pg/page.hpp"

namespace pg {

struct BrinRange {
  bool summarised;  // has a summary, or the placeholder of one that is being made
  BlockNumber first;
  BlockNumber end;  // first block behind it
  [[nodiscard]] bool holds(BlockNumber block) const { return block >= first && block < end; }
};

// What a process remembers of an index; zeroed at first.
struct BrinMap {
  RelFileNumber file;
  BlockNumber pages_per_range;
  BlockNumber last_map_page;  // up to here map pages are known to exist
  Buffer recent;
};

namespace internal {

// The server's own way; finds out what there is to remember.
inline bool look_up_summary(Relation index, BlockNumber block, BrinMap* known) {
  Buffer buffer = InvalidBuffer;
  OffsetNumber offset = InvalidOffsetNumber;
  BrinRevmap* const map = open_brin_map(index, &known->pages_per_range);
  const BlockNumber first = block / known->pages_per_range * known->pages_per_range;
  const bool summarised = brin_summary(map, first, &buffer, &offset) != nullptr;
  if (summarised) LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  brinRevmapTerminate(map);
  if (BufferIsValid(buffer)) ReleaseBuffer(buffer);
  return summarised;
}

inline bool is_map_page(Relation index, BlockNumber page, Buffer* recent) {
  if (page >= RelationGetNumberOfBlocks(index)) return false;
  const Buffer buffer = read_page(index, page, recent);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const bool is_map = BRIN_IS_REVMAP_PAGE(BufferGetPage(buffer));
  UnlockReleaseBuffer(buffer);
  return is_map;
}

}  // namespace internal

inline BrinRange brin_range(Relation index, BlockNumber block, BrinMap* known) {
  if (known->file != rel_file_number(index)) {
    *known = BrinMap{};
    internal::look_up_summary(index, block, known);
    known->file = rel_file_number(index);
  }
  const BlockNumber range = block / known->pages_per_range;
  const BlockNumber first = range * known->pages_per_range;
  const BlockNumber end = first + known->pages_per_range;
  const auto map_page = static_cast<BlockNumber>(1 + range / REVMAP_PAGE_MAXITEMS);
  if (map_page > known->last_map_page) {
    if (!internal::is_map_page(index, map_page, &known->recent))
      return {internal::look_up_summary(index, block, known), first, end};
    known->last_map_page = map_page;
  }
  const Buffer buffer = read_page(index, map_page, &known->recent);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const auto* const map =
      reinterpret_cast<const RevmapContents*>(PageGetContents(BufferGetPage(buffer)));
  const bool summarised = ItemPointerIsValid(&map->rm_tids[range % REVMAP_PAGE_MAXITEMS]);
  UnlockReleaseBuffer(buffer);
  return {summarised, first, end};
}

}  // namespace pg
