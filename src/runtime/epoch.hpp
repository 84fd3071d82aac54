/*
 * The epoch: the upper half of every token. Each value is one row of durable_work.epoch, committed
 * with a flush before the first claim under it, so that no token is given twice over crashes,
 * promotions and restores.
 */
#pragma once

#include "pg/headers.hpp"

namespace dw::runtime {

/* CREATE EXTENSION: from the clock, so that a new extension does not repeat tokens of one that was
 * dropped. */
int64 start_epoch();
/* Each start, promotion and reload: one more than the highest, or far more where the rows were made
 * elsewhere. The caller's transaction must end with a local flush. Needs an active snapshot. */
int64 raise_epoch();
/* The highest there is. Needs an active snapshot. */
int64 highest_epoch();

}  // namespace dw::runtime
