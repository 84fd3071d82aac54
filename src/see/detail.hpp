/*
 * What views and functions say about an outcome: its name and what its detail holds.
 */
#pragma once

#include "core/types.hpp"

#include "pg/headers.hpp"

namespace dw::see {

/* As it is stored: completed, attempt_failed, … */
const char* kind_name(core::OutcomeKind kind);

/*
 * As people read it: completed, failed, expired, dead_letter, cancelled, deferred, rescheduled,
 * payload_replaced, redriven; nullptr for what is none of the job's own history. detail is the
 * outcome's jsonb, looked at if has_detail.
 */
const char* event_name(core::OutcomeKind kind, Datum detail, bool has_detail);

/* A member of a jsonb object; false if it is not there. */
bool json_member(Datum object, const char* name, Datum* member);
/* The same for a string, as a zero-terminated copy; nullptr if it is not there. */
const char* json_text(Datum object, const char* name);

/* What went wrong, out of the detail of a failed attempt: the error the worker gave, or else
 * {"reason": …}. */
bool error_of(Datum detail, Datum* error);

}  // namespace dw::see
