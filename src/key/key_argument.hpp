// A queue and one of its keys, as functions take them.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"
#include "store/catalog.hpp"

namespace dw::key {

constexpr std::size_t kLongestKey = 1024;  // bytes

struct KeyArgument {
  store::QueueInfo queue;
  std::string_view key;
};

// Arguments 0 and 1. 22023 for a queue without turns.
KeyArgument key_argument(FunctionCallInfo fcinfo);

}  // namespace dw::key
