/* What _PG_init does: in every process when preloaded, in one session otherwise. */
#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "runtime/shared.hpp"
#ifdef DW_TEST_POINTS
#include "runtime/test_point.hpp"
#endif

extern "C" void dw_runtime_init(void) {
  using namespace dw::runtime;
  define_settings(process_shared_preload_libraries_in_progress);
  help_binary_upgrade();
  if (!process_shared_preload_libraries_in_progress) return;
  request_shared_memory();
  install_hooks();
#ifdef DW_TEST_POINTS
  install_test_points();
#endif
  register_launcher();
}
