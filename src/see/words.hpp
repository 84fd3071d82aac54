/* Times as people read them. In the current memory context. */
#pragma once

#include "pg/headers.hpp"

namespace dw::see {

/* "90 s", "5 min", "3 h", "2 days" */
const char* duration(int64 microseconds);
/* "at …, in 5 min", "at …, 5 min ago" */
const char* moment(TimestampTz at);

}  // namespace dw::see
