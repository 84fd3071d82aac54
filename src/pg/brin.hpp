// Look-ups through a block range index (BRIN), and the cheap question whether a
// block's range is summarised at all. A BRIN answers with whole pages only.
#pragma once

#include "pg/headers.hpp"

namespace pg {

namespace internal {

// 18 split the bitmap's iterators and lets callers bring instrumentation.
#if PG_VERSION_NUM >= 180000
inline IndexScanDesc begin_bitmap_scan(Relation index, Snapshot snapshot, int keys) {
  return index_beginscan_bitmap(index, snapshot, nullptr, keys);
}
using PageIterator = TBMPrivateIterator;
inline PageIterator* begin_pages(TIDBitmap* pages) { return tbm_begin_private_iterate(pages); }
inline bool next_page(PageIterator* iterator, BlockNumber* block) {
  TBMIterateResult result;
  if (!tbm_private_iterate(iterator, &result)) return false;
  *block = result.blockno;
  return true;
}
inline void end_pages(PageIterator* iterator) { tbm_end_private_iterate(iterator); }
#else
inline IndexScanDesc begin_bitmap_scan(Relation index, Snapshot snapshot, int keys) {
  return index_beginscan_bitmap(index, snapshot, keys);
}
using PageIterator = TBMIterator;
inline PageIterator* begin_pages(TIDBitmap* pages) { return tbm_begin_iterate(pages); }
inline bool next_page(PageIterator* iterator, BlockNumber* block) {
  const TBMIterateResult* const result = tbm_iterate(iterator);
  if (result == nullptr) return false;
  *block = result->blockno;
  return true;
}
inline void end_pages(PageIterator* iterator) { tbm_end_iterate(iterator); }
#endif

// 17 dropped the snapshot, which served old_snapshot_threshold only.
#if PG_VERSION_NUM >= 170000
inline BrinRevmap* open_revmap(Relation index, BlockNumber* pages_per_range) {
  return brinRevmapInitialize(index, pages_per_range);
}
inline BrinTuple* summary_of(BrinRevmap* map, BlockNumber block, Buffer* buffer,
                             OffsetNumber* offset) {
  return brinGetTupleForHeapBlock(map, block, buffer, offset, nullptr, BUFFER_LOCK_SHARE);
}
#else
inline BrinRevmap* open_revmap(Relation index, BlockNumber* pages_per_range) {
  return brinRevmapInitialize(index, pages_per_range, nullptr);
}
inline BrinTuple* summary_of(BrinRevmap* map, BlockNumber block, Buffer* buffer,
                             OffsetNumber* offset) {
  return brinGetTupleForHeapBlock(map, block, buffer, offset, nullptr, BUFFER_LOCK_SHARE, nullptr);
}
#endif

}  // namespace internal

// Calls each(block) for every page that may hold a match, in rising order, until it returns
// false. Keys number the index's columns. The caller holds locks on table and index, looks at the
// rows itself, and may be given pages behind the end of the table.
template <typename Each>
void for_each_brin_page(Relation index, ScanKey keys, int key_count, Snapshot snapshot, Each each) {
  TIDBitmap* const pages = tbm_create(static_cast<long>(work_mem) * 1024L, nullptr);
  const IndexScanDesc scan = internal::begin_bitmap_scan(index, snapshot, key_count);
  index_rescan(scan, keys, key_count, nullptr, 0);
  index_getbitmap(scan, pages);
  index_endscan(scan);
  internal::PageIterator* const iterator = internal::begin_pages(pages);
  BlockNumber block = 0;
  while (internal::next_page(iterator, &block) && each(block)) {
  }
  internal::end_pages(iterator);
  tbm_free(pages);
}

// The range of a block, and whether it has a summary (or a summariser's placeholder).
struct BrinRange {
  bool summarised;
  BlockNumber first;
  BlockNumber end;  // first block behind it
  [[nodiscard]] bool holds(BlockNumber block) const { return block >= first && block < end; }
};
inline BrinRange brin_range(Relation index, BlockNumber block) {
  BlockNumber pages_per_range = 0;
  Buffer buffer = InvalidBuffer;
  OffsetNumber offset = InvalidOffsetNumber;
  BrinRevmap* const map = internal::open_revmap(index, &pages_per_range);
  const BlockNumber first = block / pages_per_range * pages_per_range;
  const bool summarised = internal::summary_of(map, first, &buffer, &offset) != nullptr;
  if (summarised) LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  brinRevmapTerminate(map);
  if (BufferIsValid(buffer)) ReleaseBuffer(buffer);
  return {summarised, first, first + pages_per_range};
}

}  // namespace pg
