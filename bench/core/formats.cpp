/* Cost of what every enqueue or outcome computes beside the dispatcher. */
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "core/backoff.hpp"
#include "core/hash.hpp"
#include "core/outcome.hpp"

namespace dw::bench {
namespace {

constexpr core::Micros kAt = 833'500'800LL * core::kSecond;

void HashOfAKey(benchmark::State& state) {
  const std::string key(static_cast<std::size_t>(state.range(0)), 'k');
  for (auto _ : state) benchmark::DoNotOptimize(core::fnv1a32(key));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

std::vector<core::OutcomeMember> members_of(std::int64_t n) {
  std::vector<core::OutcomeMember> members;
  for (std::int64_t i = 0; i < n; i++)
    members.push_back({1000 + i, (core::Token{7} << 32) + i, 1, 0});
  return members;
}

void PackOutcome(benchmark::State& state) {
  const auto members = members_of(state.range(0));
  unsigned char body[core::kMostBody];
  std::size_t length = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(core::pack_outcome(core::OutcomeKind::completed, kAt, 1,
                                                members.data(), members.size(), body, &length));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void ReadOutcome(benchmark::State& state) {
  const auto members = members_of(state.range(0));
  unsigned char body[core::kMostBody];
  std::size_t length = 0;
  core::pack_outcome(core::OutcomeKind::completed, kAt, 1, members.data(), members.size(), body,
                     &length);
  core::OutcomeMember member{};
  for (auto _ : state) {
    core::OutcomeReader reader(members[0].id, state.range(0) > 1, body, length);
    while (reader.next(&member)) benchmark::DoNotOptimize(member);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void RetryDelay(benchmark::State& state) {
  const core::QueueOptions options;
  for (auto _ : state)
    benchmark::DoNotOptimize(
        core::retry_delay(options, static_cast<std::int32_t>(state.range(0)), 0.5));
}

BENCHMARK(HashOfAKey)->Arg(10)->Arg(100)->ArgName("bytes");
BENCHMARK(PackOutcome)->Arg(1)->Arg(100)->ArgName("jobs");
BENCHMARK(ReadOutcome)->Arg(1)->Arg(100)->ArgName("jobs");
BENCHMARK(RetryDelay)->Arg(1)->Arg(32767)->ArgName("attempt");

}  // namespace
}  // namespace dw::bench
