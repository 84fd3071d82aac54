/*
 * The block of shared memory named durable_work: requested and laid out once by the postmaster, and
 * again, empty, after a crash of any process. Children inherit the pointers by fork.
 */
#include <new>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "runtime/settings.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

shmem_request_hook_type next_request_hook = nullptr;
shmem_startup_hook_type next_startup_hook = nullptr;

Control* the_control = nullptr;
core::Arena* the_arena = nullptr;
LWLockPadded* the_locks = nullptr;
std::atomic<Oid>* the_closing = nullptr;

static_assert(std::is_standard_layout_v<Control>);
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<Oid>::is_always_lock_free);
static_assert(sizeof(LWLockPadded) % 64 == 0, "the arena behind the locks is aligned to 64 bytes");

/* A waiter's number is its place among the processes that serve clients or work in the background.
 */
uint32 waiter_count() { return static_cast<uint32>(MaxBackends); }

/*
 * Prepared transactions, and those that have ended while the housekeeper was busy. More than that
 * wait for it.
 */
uint32 watch_count() {
  return max_prepared_xacts == 0 ? 0 : 4 * static_cast<uint32>(max_prepared_xacts) + 64;
}

Size aligned(Size size) { return TYPEALIGN(PG_CACHE_LINE_SIZE, size); }
Size closing_size() { return aligned(mul_size(waiter_count(), sizeof(std::atomic<Oid>))); }
Size locks_size() { return mul_size(kAllLocks, sizeof(LWLockPadded)); }

Size block_size() {
  Size size = aligned(sizeof(Control));
  size = add_size(size, closing_size());
  size = add_size(size, locks_size());
  return add_size(size, core::arena_size(max_resident_jobs(), waiter_count(), watch_count()));
}

void create_control(char* memory) {
  the_control = new (memory) Control();
  the_control->tranche = LWLockNewTrancheId();
  the_control->waiters = waiter_count();
  the_control->launcher.store(kNoProcess);
  for (std::atomic<int>& housekeeper : the_control->housekeeper) housekeeper.store(kNoProcess);
}

void request() {
  if (next_request_hook != nullptr) next_request_hook();
  RequestAddinShmemSpace(block_size());
}

void create() {
  if (next_startup_hook != nullptr) next_startup_hook();

  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found = false;
  char* const memory = static_cast<char*>(ShmemInitStruct("durable_work", block_size(), &found));
  char* const closing = memory + aligned(sizeof(Control));
  char* const locks = closing + closing_size();
  char* const arena_place = locks + locks_size();
  the_closing = reinterpret_cast<std::atomic<Oid>*>(closing);
  the_locks = reinterpret_cast<LWLockPadded*>(locks);
  if (found) {
    the_control = reinterpret_cast<Control*>(memory);
    the_arena = reinterpret_cast<core::Arena*>(arena_place);
  } else {
    create_control(memory);
    for (uint32 i = 0; i < waiter_count(); i++) new (&the_closing[i]) std::atomic<Oid>(InvalidOid);
    for (uint32 i = 0; i < kAllLocks; i++)
      LWLockInitialize(&the_locks[i].lock, the_control->tranche);
    the_arena = core::arena_create(arena_place, max_resident_jobs(), waiter_count(), watch_count());
  }
  LWLockRelease(AddinShmemInitLock);
  LWLockRegisterTranche(the_control->tranche, "durable_work");
}

}  // namespace

Control* control() { return the_control; }

core::Arena* arena() { return the_arena; }

LWLock* numbered_lock(uint32 number) { return &the_locks[number].lock; }

std::atomic<Oid>* closing() { return the_closing; }

void request_shared_memory() {
  next_request_hook = shmem_request_hook;
  shmem_request_hook = request;
  next_startup_hook = shmem_startup_hook;
  shmem_startup_hook = create;
}

}  // namespace dw::runtime
