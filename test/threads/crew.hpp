/*
 * The other threads: the housekeeper of the database, who changes queues and workers, and who only
 * looks.
 */
#pragma once

#include "stage.hpp"

#include "core/announcer.hpp"
#include "core/census.hpp"
#include "core/expiry_walk.hpp"
#include "core/key_blocks.hpp"
#include "core/loader.hpp"
#include "core/sweeper.hpp"

#include <vector>

namespace dw::test {

class Housekeeper {
 public:
  explicit Housekeeper(Stage* stage);

  void run();
  void take_over();
  /* One round of everything; true: there may be more to do at once. */
  bool step();

 private:
  void read_catalog();
  void reload();

  Stage* stage_;
  SharedStore store_;
  Sweeper sweeper_;
  KeyBlocks key_blocks_;
  Loader loader_;
  Census census_;
  ExpiryWalk expiry_walk_;
  Announcer announcer_;
  std::uint64_t known_version_ = 0;
};

/* Sets options, limits and weights, drops and makes queues, registers and ends workers, raises the
 * epoch, asks for reloads. */
class Operator {
 public:
  explicit Operator(Stage* stage) : stage_(stage) {}
  void run();

 private:
  void act();
  void change_options();
  void change_members();

  Stage* stage_;
};

/* What views and explain functions do. */
class Reader {
 public:
  explicit Reader(Stage* stage) : stage_(stage) {}
  void run();

 private:
  void look_at_queue();
  void look_at_jobs();
  void look_at_workers();

  Stage* stage_;
};

}  // namespace dw::test
