/* What the dispatcher's shared memory costs. */
#include "core/layout.hpp"

#include <gtest/gtest.h>

namespace dw::test {
namespace {

using namespace dw::core;

/* Beside the arena the block has the locks, and what launcher and housekeepers share. */
constexpr std::size_t kOfTheServer = 288 * 1024;
/* Processes of a server with 200 connections. */
constexpr std::uint32_t kWaiters = 240;

TEST(ArenaSize, IsAtMost128BytesAJobAtTheDefault) {
  EXPECT_LE(arena_size(kDefaultResidentEntries, kWaiters) + kOfTheServer,
            std::size_t{128} * kDefaultResidentEntries);
}

TEST(ArenaSize, IsLessAJobWhereThereAreMore) {
  for (const std::uint32_t entries : {1U << 20, 1U << 24, kMostResidentEntries})
    EXPECT_LE(arena_size(entries, kWaiters), std::size_t{120} * entries) << entries;
}

}  // namespace
}  // namespace dw::test
