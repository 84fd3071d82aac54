/*
 * Cost of the dispatcher's operations, by how many jobs are resident: it must not depend on it by
 * more than the depth of a tree. Each round leaves as many jobs resident as it found.
 *
 *   build/core_bench --benchmark_filter=Claim
 */
#include <benchmark/benchmark.h>

#include <random>

#include "bench_arena.hpp"

namespace dw::bench {
namespace {

constexpr std::int64_t kFew = 1'000;
constexpr std::int64_t kMany = 1'000'000;

std::uint32_t resident(const benchmark::State& state) {
  return static_cast<std::uint32_t>(state.range(0));
}
std::uint32_t batch(const benchmark::State& state) {
  return static_cast<std::uint32_t>(state.range(1));
}

void count_jobs(benchmark::State& state) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(1));
}

/* Pre-commit and commit of a transaction that enqueues a batch. */
void Link(benchmark::State& state) {
  BenchArena arena(resident(state) + 2 * batch(state));
  arena.enqueue(resident(state));
  std::vector<core::ClaimedJob> jobs(batch(state));
  for (auto _ : state) {
    arena.enqueue(batch(state));
    state.PauseTiming();
    arena.claim(&jobs);
    for (const core::ClaimedJob& job : jobs) arena.complete(job);
    state.ResumeTiming();
  }
  count_jobs(state);
}

void Claim(benchmark::State& state) {
  BenchArena arena(resident(state) + 2 * batch(state));
  arena.enqueue(resident(state) + batch(state));
  std::vector<core::ClaimedJob> jobs(batch(state));
  for (auto _ : state) {
    arena.claim(&jobs);
    state.PauseTiming();
    for (const core::ClaimedJob& job : jobs) arena.complete(job);
    arena.enqueue(batch(state));
    state.ResumeTiming();
  }
  count_jobs(state);
}

/* begin_decision and commit_decision of each job of a batch. */
void Complete(benchmark::State& state) {
  BenchArena arena(resident(state) + 2 * batch(state));
  arena.enqueue(resident(state));
  std::vector<core::ClaimedJob> jobs(batch(state));
  for (auto _ : state) {
    state.PauseTiming();
    arena.enqueue(batch(state));
    arena.claim(&jobs);
    state.ResumeTiming();
    for (const core::ClaimedJob& job : jobs) arena.complete(job);
  }
  count_jobs(state);
}

/* The whole way of a batch: nothing is paused, so this is the truest figure for small batches. */
void EnqueueClaimComplete(benchmark::State& state) {
  BenchArena arena(resident(state) + 2 * batch(state));
  arena.enqueue(resident(state));
  std::vector<core::ClaimedJob> jobs(batch(state));
  for (auto _ : state) {
    arena.enqueue(batch(state));
    arena.claim(&jobs);
    for (const core::ClaimedJob& job : jobs) arena.complete(job);
  }
  count_jobs(state);
}

/* Finding resident jobs by id, in random order. */
void LookUp(benchmark::State& state) {
  BenchArena arena(resident(state));
  arena.enqueue(resident(state));
  std::mt19937_64 engine(1);
  std::vector<core::JobId> ids(4096);
  for (core::JobId& id : ids) id = 1 + static_cast<core::JobId>(engine() % resident(state));
  core::ResidentRow row;
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(arena.dispatcher().see_job(arena.database(), 1, ids[next], &row));
    next = (next + 1) % ids.size();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

/* The same for ids that have no entry. */
void LookUpAbsent(benchmark::State& state) {
  BenchArena arena(resident(state));
  arena.enqueue(resident(state));
  core::ResidentRow row;
  core::JobId id = arena.next_id();
  for (auto _ : state)
    benchmark::DoNotOptimize(arena.dispatcher().see_job(arena.database(), 1, id++, &row));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

/* A renewal moves the lease within the tree of deadlines. */
void Extend(benchmark::State& state) {
  BenchArena arena(resident(state));
  arena.enqueue(resident(state));
  std::vector<core::ClaimedJob> jobs(resident(state));
  arena.claim(&jobs);
  std::mt19937_64 engine(1);
  for (auto _ : state) {
    const core::ClaimedJob& job = jobs[engine() % jobs.size()];
    core::Verdict verdict;
    benchmark::DoNotOptimize(
        arena.dispatcher().extend(arena.database(), job.id, job.token, 0, &verdict));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

void ClaimOfAnEmptyQueue(benchmark::State& state) {
  BenchArena arena(64);
  std::vector<core::ClaimedJob> jobs(25);
  for (auto _ : state) benchmark::DoNotOptimize(arena.claim(&jobs));
}

void resident_and_batch(benchmark::internal::Benchmark* b) {
  for (const std::int64_t jobs : {kFew, kMany})
    for (const std::int64_t n : {1, 100, 1024}) b->Args({jobs, n});
  b->ArgNames({"resident", "batch"});
}

void resident_only(benchmark::internal::Benchmark* b) {
  b->Arg(kFew)->Arg(kMany)->ArgName("resident");
}

BENCHMARK(Link)->Apply(resident_and_batch);
BENCHMARK(Claim)->Apply(resident_and_batch);
BENCHMARK(Complete)->Apply(resident_and_batch);
BENCHMARK(EnqueueClaimComplete)->Apply(resident_and_batch);
BENCHMARK(LookUp)->Apply(resident_only);
BENCHMARK(LookUpAbsent)->Apply(resident_only);
BENCHMARK(Extend)->Apply(resident_only);
BENCHMARK(ClaimOfAnEmptyQueue);

}  // namespace
}  // namespace dw::bench
