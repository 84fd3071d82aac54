/* The places in shared memory that trouble.hpp describes. */
#include "pg/headers.hpp"

#include "runtime/shared.hpp"
#include "runtime/trouble.hpp"

namespace dw::runtime {

namespace {

/* Process-local: of the step that failed last. */
constinit int last_sqlstate = 0;
constinit char last_message[sizeof(Trouble::message)] = "";

Trouble& place_of(core::Index database, Duty duty) {
  return control()->troubles[database][static_cast<uint32>(duty)];
}

}  // namespace

void remember_error(int sqlstate, const char* message) {
  last_sqlstate = sqlstate;
  const char* const text = message == nullptr ? "" : message;
  const int length = static_cast<int>(strlen(text));
  const int kept = pg_mbcliplen(text, length, static_cast<int>(sizeof last_message) - 1);
  std::memcpy(last_message, text, static_cast<Size>(kept));
  last_message[kept] = '\0';
}

void note_trouble(core::Index database, Duty duty) {
  if (database == core::kNone) return;
  const TimestampTz now = GetCurrentTimestamp();
  under_control_lock([&] {
    /* The slot may have another housekeeper by now. */
    if (control()->housekeeper[database].load() != pg::my_proc_number()) return;
    Trouble& place = place_of(database, duty);
    if (place.count == 0) place.since = now;
    place.count++;
    place.last = now;
    place.sqlstate = last_sqlstate;
    std::memcpy(place.message, last_message, sizeof place.message);
  });
}

void end_trouble(core::Index database, Duty duty) {
  if (database == core::kNone) return;
  under_control_lock([&] { place_of(database, duty).count = 0; });
}

void reset_troubles(core::Index database, bool anew) {
  under_control_lock([&] {
    for (uint32 i = 0; i < kDuties; i++) {
      if (anew || static_cast<Duty>(i) != Duty::start)
        place_of(database, static_cast<Duty>(i)).count = 0;
    }
  });
}

bool see_trouble(core::Index database, Duty duty, Trouble* out) {
  *out = under_control_lock([&] { return place_of(database, duty); });
  return out->count > 0;
}

}  // namespace dw::runtime
