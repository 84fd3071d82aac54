#include "history.hpp"

#include "world.hpp"

#include <algorithm>
#include <iterator>

namespace dw::test {

History run_history(std::uint64_t seed, std::uint64_t steps, bool traced,
                    std::span<const std::uint8_t> choices) {
  History history;
  World world(seed, traced, choices);
  history.settings = world.description();
  try {
    for (; history.steps < steps; history.steps++) world.step();
    world.finish();
  } catch (const std::exception& error) {
    history.broken = error.what();
  }
  history.trace = world.trace();
  history.happened = world.happened();
  history.digest = world.digest();
  return history;
}

std::string report_failure(std::uint64_t seed, const History& failed, std::size_t lines) {
  std::uint64_t good = 0;
  std::uint64_t bad = failed.steps + 1;
  while (bad - good > 1) {
    const std::uint64_t middle = good + (bad - good) / 2;
    if (run_history(seed, middle, false).broken.empty()) {
      good = middle;
    } else {
      bad = middle;
    }
  }
  const History shortest = run_history(seed, bad, true);
  std::string text = fmt::format("{}\nseed {}, steps {} (step {})\n{}\n", shortest.broken, seed,
                                 bad, shortest.steps, shortest.settings);
  const std::size_t shown = std::min(shortest.trace.size(), lines);
  for (std::size_t i = shortest.trace.size() - shown; i < shortest.trace.size(); i++)
    text += "  " + shortest.trace[i] + "\n";
  return text;
}

std::span<const std::string_view> things_to_reach() {
  static constexpr std::string_view kThings[] = {"enqueue",
                                                 "claim",
                                                 "outcome",
                                                 "lease extended",
                                                 "quarantine",
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
                                                 "claim of no own job",
                                                 "segment announced",
                                                 "segment begun",
                                                 "segment quiet",
                                                 "segment emptied",
                                                 "writers waited for",
                                                 "segment left meanwhile",
                                                 "announced in vain",
                                                 "relocated",
                                                 "dump",
                                                 "key blocked",
                                                 "key blocked by the sweep",
                                                 "key retried",
                                                 "key skipped",
                                                 "key ended",
                                                 "key goes on",
                                                 "key set aside",
                                                 "died with its key",
                                                 "sleeps",
                                                 "work before sleep",
                                                 "woken",
                                                 "woken at the end",
                                                 "waited in vain",
                                                 "ended asleep",
                                                 "unwelcome",
                                                 "claim after a wake",
                                                 "dawdles",
                                                 "gone after its wake",
                                                 "wake passed on",
                                                 "woken by the housekeeper",
                                                 "sleepers looked after",
                                                 "key weighed",
                                                 "weights read",
                                                 "weight checked",
                                                 "several of a key",
                                                 "share checked"};
  static_assert(std::size(kThings) <= kMostToReach);
  return kThings;
}

}  // namespace dw::test
