/* Every check, in the order of the rows of health(). A new one is a file and a line here. */
#pragma once

#include "health/check.hpp"

namespace dw::health {

extern const Check preloaded_check;
extern const Check versions_check;
extern const Check launcher_check;
extern const Check housekeeper_check;
extern const Check housekeeping_check;
extern const Check epoch_check;
extern const Check queues_check;
extern const Check settings_check;
extern const Check memory_check;
extern const Check log_check;
extern const Check damage_check;
extern const Check snapshots_check;
extern const Check locks_check;
extern const Check prepared_check;
extern const Check paused_check;
extern const Check keys_check;
extern const Check workers_check;
extern const Check dead_letters_check;
extern const Check redrives_check;

constexpr const Check* kChecks[] = {
    &preloaded_check,    &versions_check,     &launcher_check, &housekeeper_check,
    &housekeeping_check, &epoch_check,        &queues_check,   &settings_check,
    &memory_check,       &log_check,          &damage_check,   &snapshots_check,
    &locks_check,        &prepared_check,     &paused_check,   &keys_check,
    &workers_check,      &dead_letters_check, &redrives_check,
};

}  // namespace dw::health
