/*
 * What a job's holder has said about it.
 */
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::see {

/* A jsonb in the current memory context; false if there is none. */
bool read_progress(core::Index holder, core::Token token, Datum* progress);

}  // namespace dw::see
