/*
 * Fencing tokens: epoch << 32 | counter.
 *
 * The epoch is a row of the log, raised durably before the first claim after each start and
 * promotion; the counter is in shared memory and rises at each claim. So a token is never given
 * twice and always rises, although a claim writes nothing. The counter of an epoch is used up to
 * 2^31 before the epoch is raised again, which leaves nearly as much for the time until that raise
 * is durable. Numbers behind its end are drawn and given to nobody: so many that those who draw at
 * once never reach the next epoch.
 */
#pragma once

#include "core/types.hpp"

namespace dw::core {

constexpr std::uint64_t kCounterRaise = 1ULL << 31;
constexpr std::uint64_t kCounterEnd = (1ULL << 32) - (1ULL << 28);

constexpr Token make_token(std::int64_t epoch, std::uint64_t counter) noexcept {
  return static_cast<Token>((static_cast<std::uint64_t>(epoch) << 32) | counter);
}

constexpr std::int64_t epoch_of(Token token) noexcept { return token >> 32; }
constexpr std::uint64_t counter_of(Token token) noexcept {
  return static_cast<std::uint32_t>(token);
}

}  // namespace dw::core
