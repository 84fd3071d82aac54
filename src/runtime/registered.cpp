#include "runtime/registered.hpp"

#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "runtime/shared.hpp"

namespace dw::runtime {

namespace {

/* Process-local. */
struct Memory {
  Registered worker;
  core::Index database;
  int64 instance;
  char name[core::kWorkerNameSize];
};
constinit Memory last{};

[[noreturn]] void raise_not_registered(std::string_view name, int64 instance, int64 present) {
  const char* const worker = pg::copy(name);
  pg::raise(DW_WRONG_STATE,
            psprintf("instance " INT64_FORMAT " of worker \"%s\" is not registered any more",
                     instance, worker),
            present != 0
                ? psprintf("The worker was registered again since, as instance " INT64_FORMAT ".",
                           present)
                : "The worker was deregistered, or has drained, or its registration was not "
                  "committed.",
            present != 0 ? "If both processes are to work, give each a name of its own. If this is "
                           "the older one, end it."
                         : "Call durable_work.register_worker again if it is to go on.");
}

Registered look_up(std::string_view name, int64 instance, core::Index here) {
  core::MemberFacts facts{};
  const core::MemberRef member = dispatcher().find_member(here, name, &facts);
  if (member.member == core::kNone) raise_not_registered(name, instance, 0);
  if (facts.instance != instance) raise_not_registered(name, instance, facts.instance);
  last.worker = {member, facts.capacity, true};
  last.database = here;
  last.instance = instance;
  std::memcpy(last.name, name.data(), name.size());
  last.name[name.size()] = '\0';
  return last.worker;
}

}  // namespace

Registered registered_worker(std::string_view name, int64 instance) {
  constexpr Registered kNobody{{core::kNone, 0}, 0, false};
  if (!is_registration(instance)) return kNobody;
  const core::Index here = database();
  /* Workers are read before the database is opened; nothing is handed out until then. */
  if (here == core::kNone || arena()->databases[here].state != core::DatabaseState::open)
    return kNobody;
  for (;;) {
    const bool same = last.worker.known && last.database == here && last.instance == instance &&
                      name == last.name;
    const Registered worker = same && dispatcher().is_current(last.worker.member)
                                  ? last.worker
                                  : look_up(name, instance, here);
    if (dispatcher().note_seen(worker.member)) return worker;
  }
}

}  // namespace dw::runtime
