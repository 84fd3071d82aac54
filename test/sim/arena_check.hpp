/*
 * Says whether an arena is sound: every entry is in exactly the lists that its state asks for,
 * every count agrees with what it counts. Written against layout.hpp only, so it does not repeat
 * what the dispatcher believes.
 */
#pragma once

#include "core/layout.hpp"

#include <string>

namespace dw::test {

/* Empty when everything agrees; else what does not. */
std::string arena_faults(const core::Arena& arena);

}  // namespace dw::test
