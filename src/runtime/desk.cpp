/*
 * What other processes say to the launcher and to housekeepers. Callable in transaction callbacks:
 * memory work under one lock, and latches.
 */
#include "pg/headers.hpp"

#include "pg/latch.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

/* Sets the latch of whoever serves the database; asks it to go first if so wished. */
void nudge_housekeeper(Oid database, bool leave) {
  int procs[kDesks];
  const uint32 count = under_control_lock([&] {
    uint32 found = 0;
    for (Desk& desk : control()->desks) {
      if (desk.database != database) continue;
      if (desk.state != DeskState::starting && desk.state != DeskState::working) continue;
      if (leave) desk.leave = true;
      if (desk.proc != kNoProcess) procs[found++] = desk.proc;
    }
    return found;
  });
  for (uint32 i = 0; i < count; i++) pg::set_latch_of(procs[i]);
}

void wake_launcher() {
  const int launcher = control()->launcher.load(std::memory_order_acquire);
  if (launcher != kNoProcess) pg::set_latch_of(launcher);
}

}  // namespace

void poke_about(Oid database) {
  under_control_lock([database] {
    Control& shared = *control();
    if (shared.poke_count < kMostPokes) shared.pokes[shared.poke_count] = database;
    if (shared.poke_count <= kMostPokes) shared.poke_count++;
  });
  if (OidIsValid(database)) nudge_housekeeper(database, false);
  wake_launcher();
}

void poke_launcher() {
  if (preloaded()) poke_about(MyDatabaseId);
}

void replace_housekeeper() {
  /* In this order, or the poke would mostly be for the one that has just come. */
  poke_about(MyDatabaseId);
  nudge_housekeeper(MyDatabaseId, true);
}

void close_database_until_end(Oid database) {
  closing()[waiter()].store(database, std::memory_order_seq_cst);
  nudge_housekeeper(database, true);
}

void reopen_closed_database() {
  const Oid database =
      closing()[pg::my_proc_number()].exchange(InvalidOid, std::memory_order_seq_cst);
  if (OidIsValid(database)) poke_about(database);
}

bool is_closed(Oid database) {
  for (uint32 i = 0; i < control()->waiters; i++) {
    if (closing()[i].load(std::memory_order_seq_cst) == database) return true;
  }
  return false;
}

}  // namespace dw::runtime
