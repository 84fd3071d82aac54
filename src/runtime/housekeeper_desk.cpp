/* The housekeeper's side of the desk where it meets the launcher. */
#include "pg/headers.hpp"

#include "pg/latch.hpp"
#include "runtime/housekeeper.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

void wake_launcher() {
  const int launcher = control()->launcher.load(std::memory_order_acquire);
  if (launcher != kNoProcess) pg::set_latch_of(launcher);
}

/* On every exit, after the open transaction was aborted. */
void leave_desk(int, Datum argument) {
  auto* const self = reinterpret_cast<Housekeeper*>(DatumGetPointer(argument));
  if (self->slot != core::kNone) {
    int me = pg::my_proc_number();
    control()->housekeeper[self->slot].compare_exchange_strong(me, kNoProcess);
  }
  under_control_lock([self] {
    if (self->desk->generation != self->generation) return;
    self->desk->proc = kNoProcess;
    self->desk->state = DeskState::left;
  });
  wake_launcher();
}

}  // namespace

bool take_desk(Housekeeper* self, Datum argument) {
  const auto packed = DatumGetUInt64(argument);
  const auto number = static_cast<uint32>(packed);
  self->generation = static_cast<uint32>(packed >> 32);
  self->slot = core::kNone;
  if (number >= kDesks) return false;
  self->desk = &control()->desks[number];
  const bool mine = under_control_lock([self] {
    Desk& desk = *self->desk;
    if (desk.generation != self->generation || desk.state != DeskState::starting) return false;
    desk.state = DeskState::working;
    desk.proc = pg::my_proc_number();
    return true;
  });
  if (mine) before_shmem_exit(leave_desk, PointerGetDatum(self));
  return mine;
}

void settle_at_desk(const Housekeeper& self) {
  under_control_lock([&self] { self.desk->settled = true; });
  wake_launcher();
}

bool asked_to_leave(const Housekeeper& self) {
  return under_control_lock([&self] { return self.desk->leave; });
}

void say_farewell(const Housekeeper& self, Farewell farewell) {
  under_control_lock([&self, farewell] { self.desk->farewell = farewell; });
}

}  // namespace dw::runtime
