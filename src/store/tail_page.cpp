// Append-only tables have no free space map, so somebody has to say which page has room.
//
// Left alone, a process goes on filling the page that it used last, however far behind the end that
// is. Sending everybody to the last page instead makes writers wait for each other at one page. So:
//   - a process keeps its page while that has room and is not far behind the end;
//   - when its page is full it adds one of its own;
//   - one that has fallen far behind, or has just begun, goes to the last page; if that is full
//   too,
//     one process adds a page under the server's lock for extending the table, and those who waited
//     for the lock find that the end has moved, and share the new page.
// The end is a hint in shared memory, changed without a lock; a wrong one costs time or room,
// nothing else. A page's room is read without its lock and is a guess as well: the insert looks
// again, and adds a page of its own if the guess was wrong.
//
// New pages are left zeroed; the first insert into one initialises it, and after a crash in between
// the empty page does no harm.
#include "store/tail_page.hpp"

#include <atomic>

#include "pg/page.hpp"

namespace dw::store {

namespace {

constexpr int kMostTries = 8;

using Tail = std::atomic_ref<uint32>;

void raise(Tail tail, BlockNumber block) {
  uint32 known = tail.load(std::memory_order_relaxed);
  while (known < block && !tail.compare_exchange_weak(known, block, std::memory_order_relaxed)) {
  }
}

bool has_room(Relation table, BlockNumber block, Size row_size) {
  // Where a table's last page was; a guess that is checked.
  static Buffer recent[16];
  const Buffer buffer = pg::read_page(table, block, &recent[RelationGetRelid(table) % 16]);
  const Page page = BufferGetPage(buffer);
  const bool room = PageIsNew(page) || PageGetHeapFreeSpace(page) >= row_size;
  ReleaseBuffer(buffer);
  return room;
}

// Under the lock for extending the table.
BlockNumber extend(Relation table, Tail tail) {
  const Buffer buffer = ReadBuffer(table, P_NEW);
  const BlockNumber block = BufferGetBlockNumber(buffer);
  ReleaseBuffer(buffer);
  raise(tail, block);
  return block;
}

BlockNumber add_page(Relation table, Tail tail) {
  LockRelationForExtension(table, ExclusiveLock);
  const BlockNumber block = extend(table, tail);
  UnlockRelationForExtension(table, ExclusiveLock);
  return block;
}

// The page behind `full`: one that somebody else has added, or a new one.
BlockNumber page_after(Relation table, Tail tail, BlockNumber full) {
  LockRelationForExtension(table, ExclusiveLock);
  BlockNumber block = tail.load(std::memory_order_relaxed);
  if (block <= full) block = extend(table, tail);
  UnlockRelationForExtension(table, ExclusiveLock);
  return block;
}

// The last page; InvalidBlockNumber for an empty table. Puts the hint right where it is behind
// (after a restart) or beyond the end (somebody cut the table).
BlockNumber last_page(Relation table, Tail tail) {
  uint32 known = tail.load(std::memory_order_relaxed);
  const BlockNumber blocks = RelationGetNumberOfBlocks(table);
  const BlockNumber last = blocks == 0 ? 0 : blocks - 1;
  if (known != last) tail.compare_exchange_strong(known, last, std::memory_order_relaxed);
  return blocks == 0 ? InvalidBlockNumber : last;
}

}  // namespace

void aim_at_tail(Relation table, uint32* shared_tail, Size row_size) {
  const Tail tail(*shared_tail);
  // What is stored out of line leaves a short row behind.
  const Size needed = Min(MAXALIGN(row_size), static_cast<Size>(TOAST_TUPLE_TARGET));
  BlockNumber block = RelationGetTargetBlock(table);
  const BlockNumber known = tail.load(std::memory_order_relaxed);
  if (block != InvalidBlockNumber && block + kFarBehind >= known) {
    if (!has_room(table, block, needed)) RelationSetTargetBlock(table, add_page(table, tail));
    return;
  }
  // One system call a page, or whenever the process comes back from far behind.
  block = last_page(table, tail);
  // A page that others have added may be full again when the lock comes round.
  for (int tries = 0; tries < kMostTries; tries++) {
    if (block == InvalidBlockNumber || has_room(table, block, needed)) break;
    block = page_after(table, tail, block);
  }
  RelationSetTargetBlock(table, block);
}

void raise_tail(uint32* shared_tail, BlockNumber block) { raise(Tail(*shared_tail), block); }

}  // namespace dw::store
