/*
 * Test points: named places at which a test lets the server fail.
 *
 * A test writes "NAME ACTION COUNT" into the file durable_work.test_point of the data directory.
 * The process that is the first to come to the place the COUNT-th time after that crash   kills
 * itself as kill -9 does, error   raises an error, pause   stops until the file is gone;
 * durable_work.test_point.reached says that it has. It takes the file away before it fails, so this
 * happens once, whatever is started again after it. With   errors   everybody fails there until the
 * file is gone. A file and not a setting: it reaches all
 * processes at the same moment, also inside of a commit, and nothing of it is to be seen in the
 * catalogs of a server.
 */
#ifdef DW_TEST_POINTS

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "core/test_point.hpp"

#include "pg/headers.hpp"

#include "pg/call.hpp"
#include "runtime/test_point.hpp"

namespace dw::runtime {

namespace {

constexpr const char* kFile = "durable_work.test_point";
constexpr const char* kReached = "durable_work.test_point.reached";

struct Order {
  char name[64];
  char action[16];
  int count;
};

bool read_order(Order* order) {
  const int file = open(kFile, O_RDONLY);
  if (file < 0) return false;
  char text[128];
  const ssize_t length = read(file, text, sizeof(text) - 1);
  close(file);
  if (length <= 0) return false;
  text[length] = '\0';
  return std::sscanf(text, "%63s %15s %d", order->name, order->action, &order->count) == 3;
}

void stop_here() {
  const int file = open(kReached, O_WRONLY | O_CREAT, 0600);
  if (file >= 0) close(file);
  while (access(kFile, F_OK) == 0) usleep(5000);
}

/* From core, whose frames have objects to destroy. */
void reach_from_core(const char* name) {
  pg::call([name] { reach_test_point(name); });
}

}  // namespace

void reach_test_point(const char* name) {
  static int passed = 0;
  Order order;
  if (!read_order(&order) || std::strcmp(order.name, name) != 0) return;
  if (++passed < order.count) return;
  passed = 0;
  if (std::strcmp(order.action, "pause") == 0) {
    stop_here();
    return;
  }
  /* Somebody else was faster. */
  if (std::strcmp(order.action, "errors") != 0 && unlink(kFile) != 0) return;
  if (std::strcmp(order.action, "crash") == 0) {
    kill(getpid(), SIGKILL);
    pause();
  }
  ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("test point %s", name)));
}

void install_test_points() { core::reach_test_point = reach_from_core; }

}  // namespace dw::runtime

#endif
