/*
 * The epoch: the upper half of every token. Each value is one row of durable_work.epoch, committed
 * with a flush before the first claim under it, so that no token is given twice over crashes,
 * promotions and restores.
 */
#pragma once

#include "pg/headers.hpp"

namespace dw::runtime {

/*
 * CREATE EXTENSION, each start, promotion and reload: one more than the highest, far more where
 * rows were made elsewhere, from the clock when there is none, so that a new extension does not
 * repeat tokens of one that was dropped. The caller's transaction must end with a local flush.
 * Needs an active snapshot.
 */
int64 raise_epoch();
/* What the epoch must be at least, by the rows there are: higher than what is in use after a
 * restore. Needs an active snapshot. */
int64 least_epoch();

}  // namespace dw::runtime
