/*
 * A number that differs when anything in a row of words and numbers does: tells whether two
 * histories are the same without keeping them.
 */
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace dw::test {

class Digest {
 public:
  template <typename Value>
  void add(const Value& value) {
    if constexpr (std::is_integral_v<Value>) {
      /* The finaliser of MurmurHash3. */
      std::uint64_t x = value_ ^ static_cast<std::uint64_t>(value);
      x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
      x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
      value_ = (x ^ (x >> 33)) + 1;
    } else {
      /* FNV-1a. */
      for (const char c : std::string_view(value))
        value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    }
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace dw::test
