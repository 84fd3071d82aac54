/*
 * Named places at which a test can stop, fail or kill the process; only in builds with
 * DW_TEST_POINTS. What happens at one is up to runtime/test_point.cpp.
 */
#pragma once

#ifdef DW_TEST_POINTS
namespace dw::core {
inline void (*reach_test_point)(const char* name) = nullptr;
}
#define DW_TEST_POINT(name) \
  (::dw::core::reach_test_point != nullptr ? ::dw::core::reach_test_point(name) : (void)0)
#else
#define DW_TEST_POINT(name) ((void)0)
#endif
