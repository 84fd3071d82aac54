/*
 * One seed's history from its first step to its end, and the shortest beginning of one that fails.
 */
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace dw::test {

/* Long enough for slots to go round and tokens of old epochs to meet new ones; a fault is found by
 * another seed sooner than by going on. */
constexpr std::uint64_t kHistorySteps = 4000;

struct History {
  std::string broken; /* the rule; empty: all went well */
  std::uint64_t steps = 0;
  std::string settings;
  std::deque<std::string> trace;
  std::map<std::string_view, std::uint64_t> happened;
  std::uint64_t digest = 0; /* of everything that happened, in order */
};

/* choices: the first ones, see choices.hpp. */
History run_history(std::uint64_t seed, std::uint64_t steps, bool traced,
                    std::span<const std::uint8_t> choices = {});

/* What broke in which step, how few steps are enough to see it, and the last lines of the trace.
 * The end of a history often sees late what went wrong early. */
std::string report_failure(std::uint64_t seed, const History& failed, std::size_t lines);

/* What must happen often in a run of many seeds, by the names of History::happened. */
constexpr std::size_t kMostToReach = 96;
std::span<const std::string_view> things_to_reach();

}  // namespace dw::test
