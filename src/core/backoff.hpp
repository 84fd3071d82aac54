/*
 * Delay before the next attempt.
 *
 * exponential: base * 2^(attempt - 1); linear: base * attempt; fixed: base; never more than the
 * cap. Jitter j keeps (1 - j) of the delay and draws the rest evenly; j = 1 is the "full jitter" of
 * the AWS Architecture Blog
 * ("Exponential Backoff And Jitter", 2015), which spreads a herd of retries best.
 */
#pragma once

#include "core/types.hpp"

namespace dw::core {

/* attempt: number of the attempt that failed, from 1; random: evenly in [0, 1). */
Micros retry_delay(const QueueOptions& options, std::int32_t attempt, double random) noexcept;

}  // namespace dw::core
