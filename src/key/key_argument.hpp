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

// Arguments 0 and 1, of a queue that the user has the right on.
KeyArgument key_argument(FunctionCallInfo fcinfo, store::Right needed);

}  // namespace dw::key
