// Memory contexts in plain frames: say which context, switch, switch back.
#pragma once

#include "pg/headers.hpp"

namespace pg {

// Runs `function` with `context` current. On a server error the handler that
// takes it restores its own context, so nothing needs to be undone here.
template <typename Function>
auto in_context(MemoryContext context, Function function) -> decltype(function()) {
  const MemoryContext before = MemoryContextSwitchTo(context);
  if constexpr (std::is_void_v<decltype(function())>) {
    function();
    MemoryContextSwitchTo(before);
  } else {
    const auto result = function();
    MemoryContextSwitchTo(before);
    return result;
  }
}

// A scratch context for loops: reset it once per iteration.
inline MemoryContext new_context(MemoryContext parent, const char* name) {
  return AllocSetContextCreateInternal(parent, name, ALLOCSET_DEFAULT_SIZES);
}

// `count` uninitialised values in the current context.
template <typename Value>
Value* allocate(Size count) {
  static_assert(std::is_trivially_destructible_v<Value>);
  return static_cast<Value*>(palloc(mul_size(count, sizeof(Value))));
}

template <typename Value>
Value* allocate_zeroed(Size count) {
  static_assert(std::is_trivially_destructible_v<Value>);
  return static_cast<Value*>(palloc0(mul_size(count, sizeof(Value))));
}

// NUL-terminated copy in the current context.
inline char* copy(std::string_view text) { return pnstrdup(text.data(), text.size()); }

}  // namespace pg
