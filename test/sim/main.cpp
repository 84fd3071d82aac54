/*
 * sim: histories of one seed after the other, shared out to processes, until so many steps are
 * done or a rule is broken.
 *
 *   --seed N      the first seed (1)
 *   --steps N     of all histories together (one history); up to 4,000 are a history of their own
 *   --jobs N      processes (1)
 *   --lines N     of the trace that a broken rule shows (60)
 *   --trace       writes all that happened in the history of --seed, of --steps steps
 *
 * The last line says what was done, with a digest of all that happened: the same arguments give
 * the same line. Exit status 1 if a rule was broken.
 */
#include "history.hpp"

#include <fmt/format.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <string>
#include <string_view>

namespace dw::test {
namespace {

/* So many steps reach everything often, whatever the seeds are. */
constexpr std::uint64_t kMeaningfulSteps = 4'000'000;
constexpr std::uint64_t kOftenEnough = 50;
constexpr int kMostJobs = 64;

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t steps = kHistorySteps;
  int jobs = 1;
  std::size_t lines = 60;
  bool trace = false;
};

/* What one process has done so far; in memory that all share. */
struct Tally {
  std::uint64_t seeds;
  std::uint64_t steps;
  std::uint64_t server_crashes;
  std::uint64_t housekeeper_crashes;
  std::uint64_t digest;
  std::uint64_t reached[kMostToReach];
};
struct Shared {
  std::atomic<std::uint64_t> failed_seed{std::numeric_limits<std::uint64_t>::max()};
  Tally tallies[kMostJobs]{};
};

[[noreturn]] void usage(std::string_view what) {
  fmt::print(stderr,
             "sim: {}\nusage: sim [--seed N] [--steps N] [--jobs N] [--lines N] [--trace]\n", what);
  std::exit(2);
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string_view name = argv[i];
    if (name == "--trace") {
      options.trace = true;
      continue;
    }
    char* end = nullptr;
    const std::uint64_t value = i + 1 < argc ? std::strtoull(argv[i + 1], &end, 10) : 0;
    if (end == nullptr || *end != '\0' || end == argv[i + 1])
      usage(fmt::format("{} wants a number", name));
    i++;
    if (name == "--seed") {
      options.seed = value;
    } else if (name == "--steps") {
      options.steps = value;
    } else if (name == "--jobs" && value >= 1) {
      options.jobs = static_cast<int>(std::min<std::uint64_t>(value, kMostJobs));
    } else if (name == "--lines") {
      options.lines = value;
    } else {
      usage(fmt::format("{} {} is not understood", name, value));
    }
  }
  return options;
}

/* The last one may be shorter. */
std::uint64_t histories(const Options& options) {
  return std::max<std::uint64_t>(1, (options.steps + kHistorySteps - 1) / kHistorySteps);
}
std::uint64_t steps_of(const Options& options, std::uint64_t which) {
  return std::min(kHistorySteps, options.steps - which * kHistorySteps);
}

void add(Tally& tally, std::uint64_t seed, const History& history) {
  const auto count = [&](std::string_view what) {
    const auto found = history.happened.find(what);
    return found == history.happened.end() ? 0 : found->second;
  };
  tally.seeds++;
  tally.steps += history.steps;
  tally.server_crashes += count("restart");
  tally.housekeeper_crashes += count("killed");
  /* Whatever process came to it, and when. */
  tally.digest += history.digest * (2 * seed + 1);
  for (std::size_t i = 0; i < things_to_reach().size(); i++)
    tally.reached[i] += count(things_to_reach()[i]);
}

void run_share(const Options& options, int job, Shared* shared) {
  for (auto i = static_cast<std::uint64_t>(job); i < histories(options);
       i += static_cast<std::uint64_t>(options.jobs)) {
    const std::uint64_t seed = options.seed + i;
    std::uint64_t lowest = shared->failed_seed.load();
    if (seed > lowest) return;
    const History history = run_history(seed, steps_of(options, i), false);
    add(shared->tallies[job], seed, history);
    if (history.broken.empty()) continue;
    while (seed < lowest && !shared->failed_seed.compare_exchange_weak(lowest, seed)) {
    }
    return;
  }
}

Shared* share_memory() {
  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    std::exit(2);
  }
  return new (memory) Shared;
}

void run_all(const Options& options, Shared* shared) {
  for (int job = 0; job < options.jobs; job++) {
    const pid_t child = fork();
    if (child < 0) {
      std::perror("fork");
      std::exit(2);
    }
    if (child > 0) continue;
    run_share(options, job, shared);
    _exit(0);
  }
  bool all_well = true;
  for (int job = 0; job < options.jobs; job++) {
    int status = 0;
    all_well = wait(&status) > 0 && status == 0 && all_well;
  }
  if (all_well) return;
  fmt::print("a process of the simulation ended by itself; run it with --jobs 1 to see why\n");
  std::exit(1);
}

Tally sum(const Options& options, const Shared& shared) {
  Tally all{};
  for (int job = 0; job < options.jobs; job++) {
    const Tally& tally = shared.tallies[job];
    all.seeds += tally.seeds;
    all.steps += tally.steps;
    all.server_crashes += tally.server_crashes;
    all.housekeeper_crashes += tally.housekeeper_crashes;
    all.digest += tally.digest;
    for (std::size_t i = 0; i < kMostToReach; i++) all.reached[i] += tally.reached[i];
  }
  return all;
}

/* A run that reaches nothing proves nothing. */
bool reached_everything(const Tally& all) {
  bool everything = true;
  for (std::size_t i = 0; i < things_to_reach().size(); i++) {
    if (all.reached[i] > kOftenEnough) continue;
    fmt::print("\"{}\" happened {} times only\n", things_to_reach()[i], all.reached[i]);
    everything = false;
  }
  return everything;
}

int report(const Options& options, std::uint64_t seed) {
  const std::uint64_t steps = steps_of(options, seed - options.seed);
  const std::string text = report_failure(seed, run_history(seed, steps, false), options.lines);
  fmt::print("{}", text);
  return 1;
}

int write_trace(const Options& options) {
  const History history = run_history(options.seed, std::min(options.steps, kHistorySteps), true);
  fmt::print("{}\n", history.settings);
  for (const std::string& line : history.trace) fmt::print("{}\n", line);
  fmt::print("{}: {} steps of seed {}, digest {:016x}\n",
             history.broken.empty() ? "no rule broken" : history.broken, history.steps,
             options.seed, history.digest);
  return history.broken.empty() ? 0 : 1;
}

int run(const Options& options) {
  if (options.trace) return write_trace(options);
  Shared* const shared = share_memory();
  run_all(options, shared);
  const std::uint64_t failed = shared->failed_seed.load();
  if (failed != std::numeric_limits<std::uint64_t>::max()) return report(options, failed);
  const Tally all = sum(options, *shared);
  const bool meaningful = options.steps < kMeaningfulSteps || reached_everything(all);
  fmt::print(
      "{} steps of {} seeds from {}, {} crashes of the server, {} of the housekeeper, digest "
      "{:016x}\n",
      all.steps, all.seeds, options.seed, all.server_crashes, all.housekeeper_crashes, all.digest);
  return meaningful ? 0 : 1;
}

}  // namespace
}  // namespace dw::test

int main(int argc, char** argv) { return dw::test::run(dw::test::read_options(argc, argv)); }
