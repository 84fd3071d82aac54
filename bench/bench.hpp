// What every row of the benchmark gets, and the list of rows.
#pragma once

#include "meter.hpp"
#include "results.hpp"
#include "session.hpp"
#include "statistics.hpp"

#include <deque>
#include <string>
#include <vector>

namespace bench {

struct Options {
  bool quick = false;
  // For profiling: measure only the product, nothing beside it.
  bool ours_only = false;
  // Restarts the server under test; a shell command that gets the shutdown mode as its argument.
  std::string restart_command;

  template <class T>
  T pick(T full, T short_run) const {
    return quick ? short_run : full;
  }
};

struct Bench {
  const Options& options;
  Results& results;
};

struct Row {
  const char* name;
  const char* what;
  void (*run)(Bench&);
};

const std::vector<Row>& all_rows();

void enqueue_single(Bench& bench);
void enqueue_batch(Bench& bench);
void claim_single(Bench& bench);
void claim_batch10(Bench& bench);
void claim_batch100(Bench& bench);
void complete_and_claim(Bench& bench);
void empty_claim(Bench& bench);
void wal(Bench& bench);
void no_wal(Bench& bench);
void backlog(Bench& bench);
void held_snapshot(Bench& bench);
void wake_up(Bench& bench);
void waiters(Bench& bench);
void restart(Bench& bench);
void memory(Bench& bench);
void spill(Bench& bench);
void by_id(Bench& bench);
void steady(Bench& bench);
void relocation(Bench& bench);
void large_transaction(Bench& bench);
void redrive(Bench& bench);
void change_many(Bench& bench);
void options(Bench& bench);
void rights(Bench& bench);
void ordered(Bench& bench);
void crowded_keys(Bench& bench);
void limits(Bench& bench);
void owned(Bench& bench);

// `count` sessions of one loop with these statements prepared and synchronous_commit set.
struct Statement {
  const char* name;
  std::string sql;
};
void open_sessions(std::deque<Session>& sessions, EventLoop& loop, int count,
                   const std::vector<Statement>& statements, bool synchronous);

// From an amount of work to the cost of one job of it.
Sample per_job(const Usage& usage, std::int64_t jobs);

// Prints the ratio of the server's processor time per job and whether it is at most `limit`; `more`
// goes behind the figures it is made of.
void judge_cpu(Bench& bench, const std::string& what, const Pairs& pairs, double limit,
               const std::string& more = {});

}  // namespace bench
