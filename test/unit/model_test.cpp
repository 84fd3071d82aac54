/*
 * Random runs of the whole core against a plain reference, see model_world.hpp.
 *
 * DW_SEED runs one seed only; DW_FIRST_SEED is the seed of the first run, DW_RUNS the number of
 * runs, DW_STEPS the length of each, DW_TRACE how many lines of what happened a failure shows. It
 * names the seed, and how few steps of that seed are enough.
 */
#include "model_world.hpp"

#include <cstdlib>
#include <iostream>

namespace dw::test {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Result {
  std::string what; /* empty: all went well */
  std::uint64_t step = 0;
  std::string settings;
  std::deque<std::string> trace;
  std::map<std::string_view, std::uint64_t> happened;
};

Result run(std::uint64_t seed, std::uint64_t steps, bool traced) {
  Result result;
  World world(seed, traced);
  result.settings = world.description();
  try {
    for (; result.step < steps; result.step++) world.step();
    world.finish();
  } catch (const std::exception& error) {
    result.what = error.what();
  }
  result.trace = world.trace();
  result.happened = world.happened();
  return result;
}

/* The end of a run often sees late what went wrong early: looks for the shortest run that fails. */
void report(std::uint64_t seed, Result failed) {
  std::uint64_t good = 0;
  std::uint64_t bad = failed.step + 1;
  while (bad - good > 1) {
    const std::uint64_t middle = good + (bad - good) / 2;
    if (run(seed, middle, false).what.empty()) {
      good = middle;
    } else {
      bad = middle;
    }
  }
  failed = run(seed, bad, true);
  std::string trace;
  const std::size_t lines =
      std::min<std::size_t>(failed.trace.size(), from_environment("DW_TRACE", 60));
  for (std::size_t i = failed.trace.size() - lines; i < failed.trace.size(); i++)
    trace += "  " + failed.trace[i] + "\n";
  ADD_FAILURE() << failed.what << "\nDW_SEED=" << seed << " DW_STEPS=" << bad << " (step "
                << failed.step << ")\n"
                << failed.settings << "\n"
                << trace;
}

constexpr std::uint64_t kRuns = 1000;
constexpr std::uint64_t kSteps = 4000;
/* What changed a job or a queue. Refused calls, empty transactions and idle rounds do not count. */
constexpr const char* kOperations[] = {"enqueue",       "claim",        "outcome",
                                       "expires",       "quarantine",   "lease extended",
                                       "queue created", "queue dropped"};
constexpr std::uint64_t kLeastOperations = 1'000'000;

TEST(Model, NoJobIsLostRepeatedOrHeldTwice) {
  const std::uint64_t only = from_environment("DW_SEED", 0);
  const std::uint64_t steps = from_environment("DW_STEPS", kSteps);
  const std::uint64_t first = from_environment("DW_FIRST_SEED", 1);
  const std::uint64_t runs = only != 0 ? 1 : from_environment("DW_RUNS", kRuns);
  std::map<std::string_view, std::uint64_t> happened;
  for (std::uint64_t i = 0; i < runs; i++) {
    const std::uint64_t seed = only != 0 ? only : first + i;
    const Result result = run(seed, steps, false);
    if (!result.what.empty()) return report(seed, result);
    for (const auto& [what, count] : result.happened) happened[what] += count;
  }
  for (const auto& [what, count] : happened)
    RecordProperty(std::string(what), std::to_string(count));
  if (only != 0 || runs < kRuns || steps < kSteps) return;
  /* A run that reaches nothing proves nothing. */
  for (const char* what : {"quarantine",
                           "statement failed",
                           "placeholder filled",
                           "placeholder dropped",
                           "expires",
                           "overdue",
                           "redrive",
                           "discard",
                           "killed",
                           "listed again",
                           "waited for",
                           "forgotten",
                           "store failed",
                           "restart",
                           "reload",
                           "savepoint rolled back",
                           "queue created",
                           "queue dropped",
                           "queue gone",
                           "queue removed late",
                           "queue full",
                           "length checked",
                           "dropped for a new one",
                           "row changed",
                           "decided again",
                           "replaced",
                           "purge",
                           "purged in memory",
                           "purged on disk",
                           "purge done",
                           "prepare",
                           "prepare refused",
                           "commit prepared",
                           "rollback prepared",
                           "limits changed",
                           "held back",
                           "not its turn",
                           "no place of the key",
                           "no token of the key",
                           "found prepared",
                           "worker registered",
                           "worker left",
                           "worker drains",
                           "workers looked after",
                           "buckets changed",
                           "claim of own jobs",
                           "claim of no own job"})
    EXPECT_GT(happened[what], 50U) << what;
  std::uint64_t operations = 0;
  for (const char* what : kOperations) operations += happened[what];
  RecordProperty("operations", std::to_string(operations));
  EXPECT_GT(operations, kLeastOperations);
}

}  // namespace
}  // namespace dw::test
