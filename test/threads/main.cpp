/*
 * core_threads: real threads on one arena, with a mutex in the place of each of the server's locks.
 *
 *   --seed N          what the threads draw follows from it (1); when they run does not
 *   --rounds N        arenas, one after the other, each with another seed (1)
 *   --operations N    of all threads of a round together (20000)
 *   --sessions N      threads that work, besides the housekeeper, the operator and the reader (4)
 *   --entries N       of the arena (256); the fewer, the more lies in the log only
 *
 * Exit status 1 if a rule was broken.
 */
#include "arena_check.hpp"
#include "crew.hpp"
#include "session.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>

namespace dw::test {
namespace {

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t rounds = 1;
  std::uint64_t operations = 20000;
  std::uint64_t sessions = 4;
  std::uint64_t entries = 256;
};

[[noreturn]] void usage() {
  fmt::print(stderr,
             "usage: core_threads [--seed N] [--rounds N] [--operations N] [--sessions N] "
             "[--entries N]\n");
  std::exit(2);
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    std::uint64_t* const place = name == "--seed"         ? &options.seed
                                 : name == "--rounds"     ? &options.rounds
                                 : name == "--operations" ? &options.operations
                                 : name == "--sessions"   ? &options.sessions
                                 : name == "--entries"    ? &options.entries
                                                          : nullptr;
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(argv[i + 1], &end, 10);
    if (place == nullptr || *end != '\0') usage();
    *place = value;
  }
  if (argc % 2 == 0 || options.sessions > ThreadedPlatform::kMostWaiters || options.entries < 16)
    usage();
  return options;
}

void check_arena(Stage& stage, const char* when) {
  const std::string faults = arena_faults(stage.arena());
  if (!faults.empty()) stage.books.broke(fmt::format("{}: {}", when, faults));
}

/* Alone: nothing holds anything back any more, and what there is is worked off. */
void work_everything_off(Stage& stage) {
  constexpr int kMostRounds = 100000;
  Housekeeper housekeeper(&stage);
  Session session(&stage, 0);
  housekeeper.take_over();
  for (std::size_t place = 0; place < kKinds; place++) {
    const QueueId id = stage.queue_at(place);
    if (id == 0) continue;
    stage.d().set_queue_options(stage.database(), id, Stage::options_of(static_cast<Kind>(place)));
    stage.d().set_queue_limits(stage.database(), id, QueueLimits{});
  }
  for (int idle = 0, round = 0; idle < 5; idle++, round++) {
    if (round == kMostRounds) {
      stage.books.broke("jobs are left that nobody gets");
      return;
    }
    stage.platform().advance(kMinute);
    while (housekeeper.step()) {
    }
    for (std::size_t place = 0; place < kKinds; place++) {
      const QueueId id = stage.queue_at(place);
      if (id != 0 && session.work_off(id) > 0) idle = -1;
    }
  }
  housekeeper.step();
}

void check_end(Stage& stage) {
  std::int64_t left = 0;
  for (JobId id = 1; stage.books.has_room_for(id); id++) {
    const QueueId queue = stage.books.queue_of(id);
    if (queue == 0 || !stage.is_there(queue) || stage.books.has_ended(id)) continue;
    if (left++ < 3) stage.books.broke(fmt::format("job {} of queue {} was lost", id, queue));
  }
  for (std::size_t place = 0; place < kKinds; place++) {
    const QueueId id = stage.queue_at(place);
    if (id == 0) continue;
    QueueFigures figures{};
    stage.d().queue_figures(stage.d().find_queue(stage.database(), id), &figures);
    if (figures.ready + figures.delayed + figures.leased + figures.resident != 0)
      stage.books.broke(fmt::format("queue {} has {} ready, {} delayed, {} leased, {} resident", id,
                                    figures.ready, figures.delayed, figures.leased,
                                    figures.resident));
    if (!figures.counted || figures.unfinished != 0)
      stage.books.broke(fmt::format("queue {} counts {} unfinished jobs", id, figures.unfinished));
  }
  if (stage.arena().free_count != stage.arena().capacity)
    stage.books.broke(fmt::format("{} entries were not given back",
                                  stage.arena().capacity - stage.arena().free_count));
  if (stage.platform().broken_rule() != nullptr) stage.books.broke(stage.platform().broken_rule());
}

bool run_round(const Options& options, std::uint64_t seed) {
  ThreadedPlatform::seed_thread(seed);
  ThreadedPlatform::get().begin();
  const auto stage =
      std::make_unique<Stage>(static_cast<std::uint32_t>(options.entries), options.operations);
  std::vector<std::thread> threads;
  std::uint64_t number = 0;
  const auto begin = [&threads, &number, seed](auto run) {
    threads.emplace_back([run, own = seed * 1000 + number++] {
      ThreadedPlatform::seed_thread(own);
      run();
    });
  };
  for (std::uint64_t i = 0; i < options.sessions; i++)
    begin([&stage, i] { Session(stage.get(), static_cast<int>(i)).run(); });
  begin([&stage] { Housekeeper(stage.get()).run(); });
  begin([&stage] { Operator(stage.get()).run(); });
  begin([&stage] { Reader(stage.get()).run(); });
  for (std::thread& thread : threads) thread.join();
  check_arena(*stage, "when all had stopped");
  work_everything_off(*stage);
  check_arena(*stage, "at the end");
  check_end(*stage);
  for (const std::string& rule : stage->books.broken()) fmt::print("seed {}: {}\n", seed, rule);
  return stage->books.broken().empty();
}

int run(const Options& options) {
  for (std::uint64_t round = 0; round < options.rounds; round++) {
    if (!run_round(options, options.seed + round)) return 1;
  }
  fmt::print("{} rounds of {} operations from seed {}\n", options.rounds, options.operations,
             options.seed);
  return 0;
}

}  // namespace
}  // namespace dw::test

int main(int argc, char** argv) { return dw::test::run(dw::test::read_options(argc, argv)); }
