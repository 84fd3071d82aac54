/* See test_point.cpp. DW_SHELL_TEST_POINT is for plain shell code, DW_TEST_POINT for core. */
#pragma once

#ifdef DW_TEST_POINTS
namespace dw::runtime {
void reach_test_point(const char* name);
void install_test_points();
}  // namespace dw::runtime
#define DW_SHELL_TEST_POINT(name) ::dw::runtime::reach_test_point(name)
#else
#define DW_SHELL_TEST_POINT(name) ((void)0)
#endif
