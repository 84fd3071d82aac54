/* Settings that only the runtime reads; the others are in session.hpp. */
#pragma once

#include "pg/headers.hpp"

namespace dw::runtime {

/* Entries in the arena. */
uint32 max_resident_jobs();

}  // namespace dw::runtime
