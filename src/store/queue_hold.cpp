#include "store/queue_hold.hpp"

#include "store/catalog.hpp"

namespace dw::store {

namespace {

bool lock(core::QueueId queue, LOCKMODE mode, bool wait) {
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, tables().queue, static_cast<Oid>(queue), 0);
  const bool held = LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
  AcceptInvalidationMessages();
  return held;
}

}  // namespace

bool hold_queue(core::QueueId queue, bool wait) { return lock(queue, AccessShareLock, wait); }

void hold_queue_for_purge(core::QueueId queue) { lock(queue, ShareUpdateExclusiveLock, true); }

void hold_queue_for_drop(core::QueueId queue) { lock(queue, AccessExclusiveLock, true); }

}  // namespace dw::store
